"""Frames as pictures: what a codec keeps, and what it is told."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin

from vlp.pipeline.framing import CENTRE
from vlp.pipeline.pixel_format import BadCodec, PixelFormat
from vlp.pipeline.pixels import PixelCoder


def smooth_frames(num_frames: int, height: int, width: int) -> np.ndarray:
    rng = np.random.default_rng(height * 1000 + width)
    coarse = rng.integers(0, 256, (num_frames, max(height // 8, 2), max(width // 8, 2), 3), dtype=np.uint8)
    images = [Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR) for frame in coarse]
    return np.stack([np.asarray(image) for image in images])


def opened(picture: bytes) -> Image.Image:
    return Image.open(io.BytesIO(picture))


@given(height=st.integers(20, 400), width=st.integers(20, 400))
def test_frames_keep_their_proportion_and_are_within_three_grey_levels_of_pil(
    height: int, width: int
) -> None:
    frames = smooth_frames(1, height, width)
    images = PixelCoder(PixelFormat()).prepare(torch.from_numpy(frames), CENTRE)
    wide, tall = (256 * side // min(height, width) for side in (width, height))
    assert images.shape == (1, 1, 3, tall, wide)
    expected = np.asarray(Image.fromarray(frames[0]).resize((wide, tall), Image.Resampling.BICUBIC))
    assert np.abs(images[0, 0].permute(1, 2, 0).numpy().astype(int) - expected).max() <= 3


def test_lossless_keeps_every_bit_and_jpeg_nearly() -> None:
    images = PixelCoder(PixelFormat()).prepare(torch.from_numpy(smooth_frames(3, 120, 160)), CENTRE)[:, 0]
    expected = images.permute(0, 2, 3, 1).numpy()
    for codec, most in (("lossless", 0), ("jpeg", 12)):
        pictures = PixelCoder(PixelFormat(codec)).encode_images(images)
        assert pictures.shape == (3, 1)
        decoded = np.stack([np.asarray(opened(picture)) for picture in pictures[:, 0]])
        assert np.abs(decoded.astype(int) - expected).max() <= most


def test_jpeg_is_of_quality_95_with_full_colour() -> None:
    coder = PixelCoder(PixelFormat("jpeg"))
    [[picture]] = coder.encode_images(torch.zeros(1, 3, 32, 48, dtype=torch.uint8))
    image = opened(picture)
    assert (image.format, JpegImagePlugin.get_sampling(image)) == ("JPEG", 0)  # 4:4:4
    # Tables of the standard's Annex K, scaled by the library's rule: 2 * (100 - 95) percent, at least 1.
    assert image.quantization[0][:4] == [max(1, (value * 10 + 50) // 100) for value in (16, 11, 10, 16)]


@pytest.mark.parametrize("codec", ["jpeg", "lossless"])
def test_a_picture_does_not_depend_on_what_shares_its_batch(codec: str) -> None:
    coder = PixelCoder(PixelFormat(codec))
    frames = torch.from_numpy(smooth_frames(3, 90, 70))
    together = coder.encode_images(coder.prepare(frames, CENTRE).flatten(0, 1))
    for row, frame in enumerate(frames):
        alone = coder.encode_images(coder.prepare(frame[None], CENTRE).flatten(0, 1))
        assert alone[0, 0] == together[row, 0]


def test_an_unknown_codec_is_refused_and_the_known_are_named() -> None:
    with pytest.raises(BadCodec, match=r"no codec 'png'\. Known: jpeg, lossless"):
        PixelFormat("png")
