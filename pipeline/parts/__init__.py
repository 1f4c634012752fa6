"""Blocks that two methods share: numbers and tensors in, tensors out, never a method's `Config`."""
