"""Decoded uint8 frames become the encoder's input, batched, on the encoder's device.

The same resize, crop, mean and deviation as open_clip's own PIL transform of the model; at least 0.9999
cosine between the features of the two (the bicubic kernels round differently by up to two grey levels).
The resize works on uint8 where the device can: on a CPU that is four times as fast as PIL, and nearer to it
than float arithmetic.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from vlp.pipeline.encoder_spec import Preprocess
from vlp.pipeline.framing import MIRRORED, MODEL, Framing, corner_of, short_side_of


def cut_views(frames: Tensor, preprocess: Preprocess, framing: Framing) -> Tensor:
    """Cut every view out of every frame.

    Args:
        frames: (n, H, W, 3) uint8 RGB, on the encoder's device.
        preprocess: the encoder's.
        framing: which V squares, of a frame of which size.

    Returns:
        (n, V, 3, S, S) uint8; of a single view it may share the memory of ``frames``.
    """
    applied = framing.applied_to(preprocess)
    if framing.variant == MODEL:
        whole = resize_and_crop(frames, applied)
    else:
        short_side = short_side_of(applied.image_size)
        whole = resize_short_side(frames.permute(0, 3, 1, 2), short_side, applied.interpolation)
    views = [_cut(whole, view, applied.image_size) for view in framing.views]
    return views[0][:, None] if len(views) == 1 else torch.stack(views, dim=1)


def _cut(images: Tensor, view: str, size: int) -> Tensor:
    height, width = images.shape[-2:]
    top, left = corner_of(view, height, width, size)
    square = images[..., top : top + size, left : left + size]
    return square.flip(-1) if view in MIRRORED else square


def resize_and_crop(frames: Tensor, preprocess: Preprocess) -> Tensor:
    """Resize and crop to the encoder's square.

    Args:
        frames: (n, H, W, 3) uint8 RGB, on the encoder's device.
        preprocess: the model's resize mode, interpolation and size S.

    Returns:
        (n, 3, S, S) uint8.
    """
    images = frames.permute(0, 3, 1, 2)
    height, width = images.shape[-2:]
    size = preprocess.image_size
    if preprocess.resize_mode == "squash":
        return _resize(images, size, size, preprocess.interpolation)
    if preprocess.resize_mode == "longest":
        scale = size / max(height, width)
        resized = _resize(images, round(height * scale), round(width * scale), preprocess.interpolation)
        return _pad_to_square(resized, size, preprocess.fill_color)
    return _cut(resize_short_side(images, size, preprocess.interpolation), "centre", size)


def resize_short_side(images: Tensor, short_side: int, interpolation: str) -> Tensor:
    """Resize (n, 3, H, W) uint8 so that the short side is ``short_side`` pixels; the long side is rounded down."""
    height, width = images.shape[-2:]
    short = min(height, width)
    return _resize(images, short_side * height // short, short_side * width // short, interpolation)


def _resize(images: Tensor, height: int, width: int, interpolation: str) -> Tensor:
    if images.shape[-2:] == (height, width):
        return images
    if images.device.type == "cpu":
        return F.interpolate(images, (height, width), mode=interpolation, antialias=True)
    resized = F.interpolate(images.float(), (height, width), mode=interpolation, antialias=True)
    return resized.round_().clamp_(0, 255).to(torch.uint8)


def _pad_to_square(images: Tensor, size: int, fill: int) -> Tensor:
    top = (size - images.shape[-2]) // 2
    left = (size - images.shape[-1]) // 2
    square = images.new_full((*images.shape[:2], size, size), fill)
    square[..., top : top + images.shape[-2], left : left + images.shape[-1]] = images
    return square


def normalise(images: Tensor, preprocess: Preprocess, dtype: torch.dtype) -> Tensor:
    """Turn (n, 3, S, S) uint8 into ``dtype``: (x / 255 - mean) / std, in float32 until the last step."""
    mean = torch.tensor(preprocess.mean, device=images.device).view(3, 1, 1)
    std = torch.tensor(preprocess.std, device=images.device).view(3, 1, 1)
    return ((images.float() / 255 - mean) / std).to(dtype)
