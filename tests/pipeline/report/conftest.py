"""Videos whose frames are known."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from vlp.stores.runs import RunDirectory

WriteVideo = Callable[..., Path]


@pytest.fixture
def write_video(tmp_path: Path) -> WriteVideo:
    """Give a function that writes a video of plain frames, one grey level each."""

    def write(name: str, levels: list[int], size: tuple[int, int] = (64, 48)) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height = size
            stream.pix_fmt = "yuv420p"
            for level in levels:
                frame = np.full((size[1], size[0], 3), level, dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
        return path

    return write


HOSTILE = "<b onmouseover=alert(1)>bold</b><script>alert(1)</script>"
RECIPE = {"sampling": "segments", "num_frames": 16, "optimizer": "adamw", "num_epochs": 20}


@pytest.fixture
def hostile() -> str:
    """A class name that would be markup if it were not escaped."""
    return HOSTILE


@pytest.fixture
def make_split() -> Callable[..., dict[str, Any]]:
    """Give a function that makes one split of a result as `vlp eval` saves it."""

    def make(names: list[str], *, video_ids: Sequence[str] = (), name: str = "default") -> dict[str, Any]:
        """Every class has four videos, the first class none; the last is taken for the one before once."""
        num_classes = len(names)
        confusion = 4 * np.eye(num_classes, dtype=int)
        confusion[0, 0] = 0
        confusion[-1, -1], confusion[-1, -2] = 3, 1
        rows = zip(names, confusion.sum(axis=1).tolist(), np.diag(confusion).tolist(), strict=True)
        return {
            "split": name,
            "role": "test",
            "num_expected": 4 * num_classes,
            "num_found": int(confusion.sum()),
            "top1": 0.75,
            "top1_interval": [0.5, 0.9],
            "top5": None,
            "mean_class": 0.7,
            "per_class": [
                {"name": name, "num_videos": total, "top1": right / total if total else None}
                for name, total, right in rows
            ],
            "confusion": confusion.tolist(),
            "videos": [
                {
                    "video_id": video_id,
                    "label": names[1],
                    "predicted": names[1 - place % 2],
                    "probability": 0.5,
                }
                for place, video_id in enumerate(video_ids)
            ],
        }

    return make


@pytest.fixture
def make_run(tmp_path: Path) -> Callable[..., Path]:
    """Give a function that writes a run as `vlp train` and `vlp eval` do."""

    def make(
        name: str,
        names: list[str],
        *,
        num_epochs: int = 20,
        is_finished: bool = True,
        results: Mapping[str, Mapping[str, Any]] | None = None,
        root: Path | None = None,
        dataset: str = "folder",
    ) -> Path:
        run = RunDirectory.create(
            tmp_path / "runs" / name,
            {
                "dataset": dataset,
                "split": "default",
                "shots": 16,
                "seed": 7,
                "num_videos": 123,
                "method": {"name": "ju2022", "config": {"num_layers": 2}, "recipe": RECIPE},
                "init_from": None,
                "model": "toy",
                "pretrained": "embedded",
                "weights_sha256": "cd" * 32,
                "features": {"timeline": "fps:30"},
                "class_names": names,
                "places": {"root": str(root or tmp_path / "gone"), "manifest": None, "store": "cache/x.vlp"},
            },
        )
        run.write_env(
            {"python": "3.11", "torch": "2.13", "device": "cpu", "code": {"version": "0.1", "commit": "f00d"}}
        )
        for epoch in range(1, num_epochs + 1):
            row = {"loss": 3 / epoch, "learning_rate": 1e-3, "held_out_top1": 1 - 1 / (epoch + 1)}
            run.append_metrics({"epoch": epoch, "step": 8 * epoch, **row})
        for result_name, result in (results or {}).items():
            run.write_result(result_name, result)
        if is_finished:
            run.write_summary(
                {"num_parameters": 6_300_000, "held_out_top1": 0.93, "seconds": 31.5, "best_epoch": 17}
            )
        return run.path

    return make
