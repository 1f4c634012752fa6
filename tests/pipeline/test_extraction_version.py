"""What features mean is pinned: whoever changes decoding or preprocessing must raise `EXTRACTION_VERSION`."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vlp.pipeline.encoder_spec import Preprocess
from vlp.pipeline.framing import CENTRE, Framing
from vlp.pipeline.pixel_format import PixelFormat
from vlp.pipeline.pixels import PixelCoder
from vlp.pipeline.planning import EXTRACTION_VERSION
from vlp.pipeline.preprocess import cut_views, normalise, resize_and_crop

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "preprocess.json").read_text())


def ramp(height: int, width: int) -> torch.Tensor:
    """A frame of gradients and edges, in whole numbers, the same everywhere."""
    rows, columns = np.mgrid[:height, :width]
    frame = (
        np.stack([rows * 5 + columns, rows * columns // 7, (rows // 8 + columns // 8) * 100], axis=-1) % 256
    )
    return torch.from_numpy(frame.astype(np.uint8))[None]


@pytest.mark.parametrize(
    "case", GOLDEN["cases"], ids=lambda case: f"{case['mode']}-{case['height']}x{case['width']}"
)
def test_the_bits_of_preprocessing_belong_to_this_version(case: dict[str, object]) -> None:
    """Decoding has its own golden hashes, made by ffmpeg, in tests/golden/decoding.json."""
    assert GOLDEN["extraction_version"] == EXTRACTION_VERSION
    preprocess = Preprocess(48, (0.5,) * 3, (0.25,) * 3, str(case["interpolation"]), str(case["mode"]))
    images = resize_and_crop(ramp(int(str(case["height"])), int(str(case["width"]))), preprocess)
    assert hashlib.sha256(images.contiguous().numpy().tobytes()).hexdigest() == case["sha256"]
    assert normalise(images, preprocess, torch.float32).mean().item() == pytest.approx(case["mean"], abs=1e-6)


@pytest.mark.parametrize("case", GOLDEN["views"], ids=lambda case: f"{case['views']}-{case['preprocess']}")
def test_the_bits_of_views_belong_to_this_version(case: dict[str, str]) -> None:
    preprocess = Preprocess(48, (0.5,) * 3, (0.25,) * 3, "bicubic", "shortest")
    framing = Framing.parse(case["views"], case["preprocess"])
    views = [cut_views(ramp(height, width), preprocess, framing) for height, width in ((60, 80), (97, 61))]
    digest = hashlib.sha256(b"".join(view.contiguous().numpy().tobytes() for view in views))
    assert digest.hexdigest() == case["sha256"]


def test_the_bits_of_pixels_belong_to_this_version() -> None:
    """Before the codec; what a codec does to them is its library's affair, and the store names its version."""
    coder = PixelCoder(PixelFormat())
    frames = [coder.prepare(ramp(height, width), CENTRE) for height, width in ((60, 80), (97, 61))]
    digest = hashlib.sha256(b"".join(frame.contiguous().numpy().tobytes() for frame in frames))
    assert digest.hexdigest() == GOLDEN["pixels"]["sha256"]
