"""`vlp` as it is typed, in this process or in one of its own; real videos; an encoder of toy size."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from vlp.cli.__main__ import run
from vlp.pipeline.open_clip_port import open_clip

TINY_CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
PREPROCESS = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}


@dataclass(frozen=True)
class Typed:
    """What a command left behind."""

    status: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        result: dict[str, Any] = json.loads(self.stdout)
        return result


Type = Callable[..., Typed]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Type:
    """Run `vlp ARGUMENTS` in this process, error lines and exit status included."""

    def run_typed(*arguments: object) -> Typed:
        monkeypatch.setattr(sys, "argv", ["vlp", *map(str, arguments)])
        capsys.readouterr()
        try:
            run()
            status = 0
        except SystemExit as ended:
            status = int(ended.code or 0)
        captured = capsys.readouterr()
        return Typed(status, captured.out, captured.err)

    return run_typed


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A CLIP with seeded random weights, by the name that `--model` takes."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tiny")
    config = {"model_cfg": TINY_CONFIG, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    state = open_clip.CLIP(**TINY_CONFIG).state_dict()
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    save_file(tensors, folder / "open_clip_model.safetensors")
    return f"local-dir:{folder}"


def write_video(
    path: Path, *, num_frames: int, fps: int, size: tuple[int, int], codec: str, seed: int
) -> None:
    """Write a real video of a bright square that wanders over a coloured ground."""
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    ground = generator.integers(0, 120, 3)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for number in range(num_frames):
            frame = np.broadcast_to(ground.astype(np.uint8), (size[1], size[0], 3)).copy()
            left = number * 3 % (size[0] - 12)
            frame[8:20, left : left + 12] = generator.integers(150, 256, 3)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two classes: three MP4 and three AVI files of several rates and sizes."""
    root = tmp_path_factory.mktemp("videos")
    shapes = [(24, 30, (64, 48)), (37, 25, (96, 64)), (50, 60, (64, 64))]
    for number, (num_frames, fps, size) in enumerate(shapes):
        settings = {"num_frames": num_frames, "fps": fps, "size": size}
        write_video(root / "walk" / f"{number}.mp4", codec="libx264", seed=number, **settings)
        write_video(root / "run" / f"{number}.avi", codec="mpeg4", seed=10 + number, **settings)
    return root


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Textured videos of 7 frames, no two squares of a frame alike; the AVI files are without loss."""
    root = tmp_path_factory.mktemp("shapes")
    sizes = {  # landscape, portrait, odd, smaller than any encoder's input
        "walk/wide.mp4": (160, 96),
        "walk/tall.mp4": (64, 144),
        "run/odd.avi": (117, 83),
        "run/small.avi": (24, 18),
    }
    for seed, (name, (width, height)) in enumerate(sizes.items()):
        rng = np.random.default_rng(seed)
        (root / name).parent.mkdir(exist_ok=True)
        with av.open(str(root / name), "w") as container:
            stream = container.add_stream("libx264" if name.endswith("mp4") else "ffv1", rate=10)
            stream.width, stream.height = width, height
            stream.pix_fmt = "yuv420p" if name.endswith("mp4") else "bgr0"
            for _ in range(7):
                coarse = rng.integers(0, 256, (height // 6, width // 6, 3), dtype=np.uint8)
                image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.asarray(image), format="rgb24")))
            container.mux(stream.encode())
    return root


@pytest.fixture
def extract_arguments(videos: Path, tiny_model: str, tmp_path: Path) -> list[object]:
    """What makes `vlp extract` store the six videos below ``tmp_path / "cache"``."""
    place = ["--root", videos, "--cache", tmp_path / "cache"]
    return ["extract", "--dataset", "folder", "--model", tiny_model, "--device", "cpu", *place]
