"""Frames become the pictures of a store of pixels: the part that an encoder has in a store of embeddings."""

import io

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vlp.pipeline.framing import Framing
from vlp.pipeline.pixel_format import SHORT_SIDE, PixelFormat
from vlp.pipeline.preprocess import resize_short_side


class PixelCoder:
    """Resizes frames and encodes each as a picture of its own, on the CPU: the bits are the same everywhere.

    Args:
        pixel_format: codec and its settings.
    """

    wants_full_batches = False

    def __init__(self, pixel_format: PixelFormat) -> None:
        self.device = torch.device("cpu")
        self._settings = pixel_format.settings

    def prepare(self, frames: Tensor, _framing: Framing) -> Tensor:
        """Resize (n, H, W, 3) uint8 frames to a short side of 256: (n, 1, 3, H', W'); nothing is cropped."""
        return resize_short_side(frames.permute(0, 3, 1, 2), SHORT_SIDE, "bicubic")[:, None]

    def encode_images(self, images: Tensor) -> NDArray[np.object_]:
        """Encode (B, 3, H', W') uint8: (B, 1) of bytes."""
        pictures = np.empty((len(images), 1), dtype=object)
        for row, image in enumerate(images.permute(0, 2, 3, 1).contiguous().numpy()):
            pictures[row, 0] = self._encode(image)
        return pictures

    def _encode(self, image: NDArray[np.uint8]) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, **self._settings)
        return buffer.getvalue()
