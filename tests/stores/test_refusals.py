"""What the writer does not take, and the name of what is wrong with it."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlp.stores.errors import NonFiniteFeatures
from vlp.stores.features import ExtractedVideo, FailedVideo, FeatureStore

MakeVideo = Callable[..., ExtractedVideo]
MakeStore = Callable[..., FeatureStore]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_no_numbers_are_refused_by_video(
    value: float, tmp_path: Path, make_video: MakeVideo, make_store: MakeStore
) -> None:
    bad = make_video("bad")
    bad.features[3, 1, 2:4] = value
    store = make_store(tmp_path / "a.vlp")
    with store.writer(device="cpu", precision="fp32") as writer:
        writer.add(make_video("good"))
        with pytest.raises(NonFiniteFeatures, match="'bad': 2 feature values") as caught:
            writer.add(bad)
        assert isinstance(caught.value, ValueError)
        assert (caught.value.video_id, caught.value.num_values) == ("bad", 2)
    assert {*store.videos()} == {"good"}


REFUSED = {
    "features": np.zeros((5, 2, 8), np.float32),
    "pts_seconds": np.full(5, np.nan),
    "frame_index": np.array([0, 1, 1, 2, 3], np.int32),
    "num_expected": -1,
    "num_decoded": 1.5,
    "native_fps": math.nan,
    "duration_seconds": -1.0,
    "status": "failed",
    "reason": "",
    "decoder": "",
    "source_sha256": "0" * 63,
    "attempts": 0,
    "video_id": "caf\udce9",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_video_that_cannot_be_is_refused_by_the_name_of_the_field(name: str, make_video: MakeVideo) -> None:
    with pytest.raises(ValueError, match=name):
        make_video(**{"video_id": "a", name: REFUSED[name]})


def test_arrays_of_other_lengths_and_no_rows_at_all_are_refused(make_video: MakeVideo) -> None:
    with pytest.raises(ValueError, match="'a': pts_seconds is float64 \\(4,\\), not f8 of 5 rows"):
        make_video("a", pts_seconds=np.zeros(4))
    empty = {"features": np.zeros((0, 2, 8), np.float16), "pts_seconds": np.zeros(0)}
    with pytest.raises(ValueError, match="'a': a video without rows is a failed video"):
        make_video("a", **empty, frame_index=np.zeros(0, np.int32))
    with pytest.raises(ValueError, match="'a': frame_index is not strictly increasing from 0 up"):
        make_video("a", frame_index=np.arange(-1, 4, dtype=np.int32))


def test_other_views_a_second_time_and_a_closed_writer_are_refused(
    tmp_path: Path, make_video: MakeVideo, make_store: MakeStore
) -> None:
    with make_store(tmp_path / "a.vlp").writer(device="cpu", precision="fp32") as writer:
        with pytest.raises(ValueError, match=r"\(V, D\) is \(1, 8\), not \(2, 8\)"):
            writer.add(make_video("a", shape=(1, 8)))
        writer.add(make_video("a"))
        with pytest.raises(ValueError, match="'a' was added twice"):
            writer.add(make_video("a"))
    with pytest.raises(ValueError, match="closed"):
        writer.add(make_video("b"))


@pytest.mark.parametrize(("name", "value"), [("video_id", ""), ("reason", ""), ("attempts", 0)])
def test_a_failure_that_cannot_be_is_refused(name: str, value: object) -> None:
    fields: dict[str, Any] = {"video_id": "a", "reason": "missing", "detail": "", "attempts": 1}
    with pytest.raises(ValueError, match=name):
        FailedVideo(**{**fields, name: value})
