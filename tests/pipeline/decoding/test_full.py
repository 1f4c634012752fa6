"""What needs the `ffmpeg` command or minutes."""

import hashlib
import importlib.util
import json
import random
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import psutil
import pytest

from vlp.pipeline.decoding.pool import DecodePool, DecodeRequest, FrameBlock, Limits
from vlp.pipeline.decoding.timeline import Timeline

pytestmark = pytest.mark.full

HERE = Path(__file__).parent
NATIVE = Timeline.parse("native")


@pytest.fixture(scope="module")
def make_golden() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_golden", HERE / "make_golden.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_golden_file_is_what_ffmpeg_decodes(make_golden: ModuleType) -> None:
    kept = json.loads(make_golden.GOLDEN.read_text())
    for folder, files in (("data", HERE / "data"), ("benchmark_clips", make_golden.CLIPS)):
        for name, expected in kept[folder].items():
            if (files / name).exists():
                assert make_golden.golden(files / name) == expected, name


@pytest.mark.parametrize(
    ("codec", "name", "size", "pix_fmt"),
    [
        ("libx264", "a.mp4", (318, 178), "yuv420p"),
        ("libx264", "b.mp4", (321, 179), "yuv444p"),
        ("libx264", "c.mkv", (320, 180), "yuv422p"),
        ("libx265", "d.mp4", (320, 180), "yuv420p10le"),
        ("libvpx-vp9", "e.webm", (321, 179), "yuv420p"),
        ("mpeg4", "f.avi", (321, 179), "yuv420p"),
        ("wmv2", "g.wmv", (320, 180), "yuv420p"),
        ("mpeg2video", "h.mpg", (320, 180), "yuv422p"),
        ("libx264", "i.ts", (320, 180), "yuvj420p"),
    ],
)
def test_frames_and_times_of_other_sizes_and_formats_equal_ffmpegs(
    codec: str,
    name: str,
    size: tuple[int, int],
    pix_fmt: str,
    tmp_path: Path,
    make_golden: ModuleType,
    decode: Callable[..., Any],
) -> None:
    path = tmp_path / name
    source = f"testsrc2=size={size[0]}x{size[1]}:rate=25:duration=2"
    arguments = ["-f", "lavfi", "-i", source, "-c:v", codec, "-pix_fmt", pix_fmt, "-g", "15", str(path)]
    subprocess.run(["ffmpeg", "-v", "error", *arguments], check=True)
    video = decode(path)
    assert [hashlib.sha256(frame.copy()).hexdigest() for frame in video.frames] == make_golden.frame_hashes(
        path
    )
    assert video.pts_seconds == pytest.approx([index / 25 for index in range(50)], abs=1e-9)


def test_five_hundred_videos_leave_nothing_behind(data: Path) -> None:
    process = psutil.Process()
    names = sorted(path.name for path in data.iterdir())
    marks = []
    with DecodePool(Timeline.parse("fps:30"), num_children=2, limits=Limits(recycle_after=200)) as pool:
        others = set(process.children())
        for event in pool.run(DecodeRequest(str(n), data / names[n % len(names)]) for n in range(500)):
            if isinstance(event, FrameBlock):
                event.release()
                continue
            assert event.status == "ok"
            if int(event.video_id) % 100 == 50:
                children = sum(child.memory_info().rss for child in process.children() if child not in others)
                marks.append((process.num_fds(), process.memory_info().rss, children))
    assert max(fds for fds, _, _ in marks) - marks[0][0] <= 4
    assert marks[-1][1] - marks[0][1] < 8 << 20
    assert marks[-1][2] - marks[0][2] < 64 << 20


def test_a_thousand_damaged_files_take_nothing_down(
    tmp_path: Path, data: Path, collect_from: Callable[..., Any]
) -> None:
    rng = random.Random(11)  # noqa: S311 - no secret
    samples = sorted(data.iterdir())
    requests = []
    for number in range(1000):
        sample = samples[number % len(samples)]
        content = bytearray(sample.read_bytes())
        for _ in range(rng.choice([1, 4, 20, 80])):
            content[rng.randrange(len(content))] = rng.randrange(256)
        path = tmp_path / f"{number}{sample.suffix}"
        path.write_bytes(content[: rng.choice([len(content), rng.randrange(1, len(content))])])
        requests.append(DecodeRequest(path.name, path))
    with DecodePool(NATIVE, num_children=2, limits=Limits(no_progress_seconds=20.0)) as pool:
        found = collect_from(pool, [*requests, DecodeRequest("sound", data / "hevc.mp4")])
    assert found["sound"].numbers == list(range(40))
    for video in found.values():
        if video.outcome.status != "failed":
            assert len(video.frames) == video.outcome.num_decoded <= video.outcome.num_expected
