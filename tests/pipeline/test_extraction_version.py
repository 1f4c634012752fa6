"""What features mean is pinned: whoever changes decoding or preprocessing must raise `EXTRACTION_VERSION`."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vlp.pipeline.encoder_spec import Preprocess
from vlp.pipeline.planning import EXTRACTION_VERSION
from vlp.pipeline.preprocess import normalise, resize_and_crop

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
