"""Strips show evenly spread frames; broken videos cost a note, and bytes are bounded."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vlp.pipeline.decoding.results import DecodeRequest
from vlp.pipeline.report import thumbnails
from vlp.pipeline.report.thumbnails import HEIGHT, MOST_BYTES, film_strips

WriteVideo = Callable[..., Path]


def test_a_strip_shows_the_middles_of_three_thirds(write_video: WriteVideo) -> None:
    levels = [0] * 5 + [120] * 5 + [250] * 5
    (strip,) = film_strips([DecodeRequest("a", write_video("a.mp4", levels))]).values()
    assert strip.jpeg is not None
    picture = Image.open(io.BytesIO(strip.jpeg))
    assert (picture.format, picture.size) == ("JPEG", (strip.width, strip.height))
    assert strip.width == 3 * 64 * HEIGHT // 48
    assert strip.note == ""
    shown = np.asarray(picture.convert("L"))[HEIGHT // 2, [10, strip.width // 2, strip.width - 10]]
    assert np.abs(shown.astype(int) - [0, 120, 250]).max() < 20


def test_every_request_is_answered_and_failures_say_why(write_video: WriteVideo, tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").touch()
    os.mkfifo(tmp_path / "pipe.mp4")
    whole = write_video("whole.mp4", [9] * 4)
    paths = {"whole": whole, **{name: tmp_path / f"{name}.mp4" for name in ("text", "empty", "pipe", "gone")}}
    strips = film_strips([DecodeRequest(video_id, path) for video_id, path in paths.items()])
    assert strips.keys() == paths.keys()
    assert strips["whole"].jpeg
    reasons = {"text": "not-a-video", "empty": "empty", "pipe": "not-a-file", "gone": "missing"}
    for video_id, reason in reasons.items():
        assert strips[video_id].jpeg is None
        assert strips[video_id].note.startswith(reason)


def test_a_video_cut_short_shows_what_there_is_and_says_so(write_video: WriteVideo, tmp_path: Path) -> None:
    whole = write_video("whole.mkv", list(range(0, 250, 2)))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size * 2 // 3])
    (strip,) = film_strips([DecodeRequest("cut", cut)]).values()
    assert strip.jpeg is not None
    assert "part" in strip.note


@pytest.mark.parametrize("size", [(640, 16), (16, 640)])
def test_extreme_shapes_stay_small(write_video: WriteVideo, size: tuple[int, int]) -> None:
    (strip,) = film_strips([DecodeRequest("a", write_video("a.mp4", [50, 100, 200], size))]).values()
    assert strip.jpeg is not None
    assert strip.height == HEIGHT
    assert 3 <= strip.width <= 9 * HEIGHT


def test_the_lowest_quality_fits_even_noise() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (HEIGHT, 9 * HEIGHT, 3), dtype=np.uint8)
    assert len(thumbnails._jpeg(Image.fromarray(noise))) <= MOST_BYTES


def test_nothing_asked_starts_no_child() -> None:
    assert film_strips([]) == {}
