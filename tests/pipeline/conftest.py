"""A CLIP of toy size with random weights, for tests of loading and encoding."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from vlp.pipeline.open_clip_port import open_clip

TINY_CONFIG = {
    "embed_dim": 16,
    "quick_gelu": False,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
PREPROCESS = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


@pytest.fixture(scope="session")
def tiny_clip() -> torch.nn.Module:
    """A two-block ViT CLIP with seeded random weights."""
    torch.manual_seed(0)
    model: torch.nn.Module = open_clip.CLIP(**TINY_CONFIG).eval()
    return model


@pytest.fixture(scope="session")
def tiny_folder(tiny_clip: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny CLIP as a folder in open_clip's layout."""
    folder = tmp_path_factory.mktemp("tiny-clip")
    (folder / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": TINY_CONFIG, "preprocess_cfg": PREPROCESS})
    )
    state = {name: tensor.contiguous() for name, tensor in tiny_clip.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    return folder
