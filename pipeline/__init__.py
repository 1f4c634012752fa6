"""What happens to videos and features. The only package that imports torch."""
