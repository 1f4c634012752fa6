"""Which frames come out of whole files: read from the pixels, and equal to the `ffmpeg` command's."""

import hashlib
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlp.pipeline.decoding.probe import open_video
from vlp.pipeline.decoding.sources import Disagreement, decord_frames, pyav_frames

ROOT = Path(__file__).parents[3]
GOLDEN = json.loads((ROOT / "tests" / "golden" / "decoding.json").read_text())
CLIPS = ROOT / ".." / "shared" / "videos" / "benchmark_clips"
DATA = Path(__file__).parent / "data"

Decode = Callable[..., Any]

NUMBERS = {path.name: list(range(40)) for path in DATA.iterdir()} | {
    "one_frame.mp4": [0],
    "cut_open_gop.ts": list(range(20, 40)),  # it begins with a B-frame whose reference was cut off
    "edit_list.mp4": list(range(8, 40)),  # the list starts at 0.32 s
    "packed_xvid.avi": [*range(37), 39],  # libxvid lost two frames when the file was made
} | {f"rotated_{degrees}.mp4": list(range(12)) for degrees in (90, 180, 270)}  # fmt: skip
DECORD = {
    "av1.mkv", "h264_30fps.mkv", "h264_60fps.mp4", "h264_bframes.mp4", "h264_ntsc.mkv", "hevc.mp4", "hevc_10bit.mp4",
    "odd_444.mp4", "one_frame.mp4", "open_gop.mp4", "rotated_90.mp4", "rotated_180.mp4", "rotated_270.mp4",
    "vfr.mp4", "vp9_odd.webm",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(set(NUMBERS) - {"static.mp4"}))
def test_every_frame_that_a_file_shows_is_delivered_in_order_and_once(
    name: str, decode: Decode, read_number: Callable[..., int]
) -> None:
    video = decode(DATA / name)
    turns = {"rotated_90.mp4": 3, "rotated_180.mp4": 2, "rotated_270.mp4": 1}.get(
        name, 0
    )  # back, anticlockwise
    numbers = [read_number(np.rot90(frame, turns)) for frame in video.frames]
    assert numbers == NUMBERS[name]
    assert video.frame_index == list(range(len(numbers)))
    assert (video.outcome.status, video.outcome.reason) == ("ok", None)
    assert video.outcome.num_expected == video.outcome.num_decoded == len(numbers)
    assert video.outcome.decoder == ("decord" if name in DECORD else "pyav")
    assert video.outcome.source_sha256 == hashlib.sha256((DATA / name).read_bytes()).hexdigest()


def _digest(frames: list[Any]) -> dict[str, int | str]:
    hashes = [hashlib.sha256(np.ascontiguousarray(frame)).hexdigest() for frame in frames]
    return {"num_frames": len(hashes), "sha256": hashlib.sha256("\n".join(hashes).encode()).hexdigest()}


@pytest.mark.parametrize("name", sorted(GOLDEN["data"]))
def test_pixels_are_those_of_ffmpeg(name: str, decode: Decode) -> None:
    assert _digest(decode(DATA / name).frames) == GOLDEN["data"][name]


@pytest.mark.parametrize("name", [name for name in GOLDEN["benchmark_clips"] if (CLIPS / name).exists()])
def test_pixels_of_real_clips_are_those_of_ffmpeg(name: str, decode: Decode) -> None:
    video = decode(CLIPS / name)
    assert _digest(video.frames) == GOLDEN["benchmark_clips"][name]
    assert video.outcome.status == "ok"


def test_the_samples_and_the_golden_file_cover_each_other() -> None:
    assert sorted(GOLDEN["data"]) == sorted(path.name for path in DATA.iterdir())


@pytest.mark.parametrize("name", sorted(DECORD))
def test_both_decoders_give_the_same_pixels_and_times(name: str) -> None:
    with open_video(DATA / name, max_frame_bytes=1 << 27, alive=lambda: None) as video:
        ours = [(frame.start, frame.end, frame.pixels().copy()) for frame in decord_frames(video)]
        theirs = [(frame.start, frame.end, frame.pixels().copy()) for frame in pyav_frames(video)]
    assert [frame[:2] for frame in ours] == [frame[:2] for frame in theirs]
    assert all(np.array_equal(a[2], b[2]) for a, b in zip(ours, theirs, strict=True))


def test_a_repeated_last_frame_is_not_taken_from_decord(decode: Decode) -> None:
    with (
        open_video(DATA / "static.mp4", max_frame_bytes=1 << 27, alive=lambda: None) as video,
        pytest.raises(Disagreement, match="repeats"),
    ):
        list(decord_frames(video))
    outcome = decode(DATA / "static.mp4").outcome  # PyAV confirms that this one really stands still
    assert (outcome.decoder, outcome.attempt, outcome.num_decoded) == ("pyav", 2, 20)


# -- timelines on real files


@pytest.mark.parametrize(
    ("name", "fps"),
    [
        ("h264_30fps.mkv", "30"),
        ("vp9_odd.webm", "30"),
        ("wmv2.wmv", "30"),
        ("flv1.flv", "30"),
        ("h264_ntsc.mkv", "30000/1001"),
        ("h264_60fps.mp4", "60"),
        ("av1.mkv", "24"),
        ("mpeg2_bframes.mpg", "24"),
        ("h264_bframes.ts", "25"),
        ("asp_bframes.avi", "25"),
        ("edit_list.mp4", "25"),
    ],
)
def test_at_the_videos_own_rate_no_frame_is_lost_to_rounded_timestamps(
    name: str, fps: str, decode: Decode
) -> None:
    video = decode(DATA / name, f"fps:{fps}")
    assert video.numbers == NUMBERS[name]
    assert video.pts_seconds == [float(index / Fraction(fps)) for index in range(len(video.numbers))]
    assert video.outcome.native_fps == float(Fraction(fps))


@pytest.mark.parametrize(("fps", "every"), [("30", 2), ("20", 3), ("15", 4), ("1", 60)])
def test_a_lower_rate_keeps_the_frames_shown_at_its_instants(fps: str, every: int, decode: Decode) -> None:
    video = decode(DATA / "h264_60fps.mp4", f"fps:{fps}")
    assert video.numbers == video.frame_index == list(range(0, 40, every))
    assert video.outcome.num_decoded == 40


def test_a_higher_rate_keeps_each_frame_once(decode: Decode) -> None:
    assert decode(DATA / "h264_bframes.mp4", "fps:120").numbers == list(range(40))


def test_variable_rate_frames_are_chosen_by_their_own_times(
    render: Callable[..., Path], decode: Decode
) -> None:
    pts = [0, 7, 9, 30, 31, 33, 61, 90, 91, 140]  # in 1/90 s; the last is shown until 146/90, so at 16/10 too
    path = render("vfr.mp4", num_frames=10, pts=pts, time_base=Fraction(1, 90), fps=Fraction(15))
    video = decode(path, "fps:10")
    shown = sorted({max(i for i, time in enumerate(pts) if time <= 9 * k) for k in range(17)})
    assert video.numbers == video.frame_index == shown
    assert video.outcome.duration_seconds == pytest.approx(146 / 90, abs=1e-4)
    assert video.pts_seconds == pytest.approx([pts[index] / 90 for index in shown], abs=1e-4)


@pytest.mark.parametrize("count", [1, 3, 8, 40, 100])
def test_uniform_frames(count: int, decode: Decode) -> None:
    expected = sorted({(2 * i + 1) * 40 // (2 * count) for i in range(count)})
    assert decode(DATA / "asp_bframes.avi", f"frames:{count}").numbers == expected
    assert decode(DATA / "hevc.mp4", f"frames:{count}").numbers == expected


def test_uniform_frames_are_computed_from_the_frames_that_are_there(decode: Decode, tmp_path: Path) -> None:
    video = decode(DATA / "cut_open_gop.ts", "frames:5")  # 21 packets, 20 frames
    assert video.frame_index == [2, 6, 10, 14, 18]
    assert video.outcome.attempt == 2


@pytest.mark.parametrize(
    ("codec", "name", "options"),
    [
        ("libx264", "a.mp4", {"bf": "2"}),
        ("libx264", "a.mkv", {"bf": "3"}),
        ("libx265", "b.mp4", {"x265-params": "log-level=none"}),
        ("libvpx-vp9", "a.webm", {}),
        ("mpeg4", "a.avi", {"bf": "2"}),
        ("wmv2", "a.wmv", {}),
        ("libx264", "a.ts", {"bf": "2"}),
    ],
)
def test_long_videos_rendered_here_come_out_whole(
    codec: str, name: str, options: dict[str, str], render: Callable[..., Path], decode: Decode
) -> None:
    path = render(name, num_frames=240, codec=codec, fps=Fraction(30), options=options)
    video = decode(path, "fps:30")
    assert video.numbers == list(range(240))
    assert video.outcome.status == "ok"
    assert video.outcome.duration_seconds == pytest.approx(8.0)
