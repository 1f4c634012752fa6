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
    short = min(height, width)
    resized = _resize(images, size * height // short, size * width // short, preprocess.interpolation)
    return _crop_centre(resized, size)


def _resize(images: Tensor, height: int, width: int, interpolation: str) -> Tensor:
    if images.shape[-2:] == (height, width):
        return images
    if images.device.type == "cpu":
        return F.interpolate(images, (height, width), mode=interpolation, antialias=True)
    resized = F.interpolate(images.float(), (height, width), mode=interpolation, antialias=True)
    return resized.round_().clamp_(0, 255).to(torch.uint8)


def _crop_centre(images: Tensor, size: int) -> Tensor:
    """Crop as torchvision does: half-way offsets round to even."""
    top = round((images.shape[-2] - size) / 2)
    left = round((images.shape[-1] - size) / 2)
    return images[..., top : top + size, left : left + size]


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
