import csv
import signal
import subprocess
import sys
import time
from collections import Counter
from fractions import Fraction
from pathlib import Path

import av
import pytest

from vlp.pipeline.toy.actions import ACTIONS
from vlp.pipeline.toy.videos import (
    FORMATS,
    PlannedVideo,
    ToySet,
    ToySetInTheWay,
    plan_toy_set,
    render_toy_set,
    write_lists,
)
from vlp.pipeline.toy.world import COLOURS, HELD_OUT, SHAPES


def contents(root: Path) -> dict[str, bytes]:
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_equal_seeds_give_equal_bytes_and_other_seeds_other_videos(tmp_path: Path) -> None:
    first, again, other = (
        contents(render_toy_set(tmp_path / name, seed=seed, videos_per_class=3).root)
        for name, seed in (("first", 5), ("again", 5), ("other", 6))
    )
    assert first == again
    assert len(first) == 3 * len(ACTIONS) + 3
    videos = [path for path in first if path in other and path.startswith("videos")]
    assert all(first[path] != other[path] for path in videos)


def test_a_complete_set_is_left_as_it_is(small_set: ToySet) -> None:
    before = {file: file.stat().st_mtime_ns for file in small_set.root.rglob("*")}
    assert render_toy_set(small_set.root, seed=71, videos_per_class=6) == small_set
    assert {file: file.stat().st_mtime_ns for file in small_set.root.rglob("*")} == before


def test_decoded_videos_are_as_planned(small_set: ToySet) -> None:
    kinds = {"mp4": "h264", "avi": "mpeg4"}
    for plan in plan_toy_set(seed=71, videos_per_class=6):
        with av.open(str(small_set.root / plan.path)) as container:
            stream = container.streams.video[0]
            frames = list(container.decode(stream))
            assert stream.codec_context.name == kinds[plan.path[-3:]]
            assert stream.average_rate == Fraction(plan.rate_fps)
        assert {(frame.width, frame.height) for frame in frames} == {(plan.width, plan.height)}
        times = [frame.time for frame in frames]
        assert times == pytest.approx([index / plan.rate_fps for index in range(plan.num_frames)], abs=1e-3)
        assert 1.4 <= plan.num_frames / plan.rate_fps <= 3.1


def test_both_containers_several_rates_and_b_frames_occur(small_set: ToySet) -> None:
    plans = plan_toy_set(seed=71, videos_per_class=6)
    assert {(p.path[-3:], p.width, p.height, p.rate_fps) for p in plans} == set(FORMATS)
    assert len({rate for *_, rate in FORMATS}) >= 5
    mp4 = next(plan.path for plan in plans if plan.path.endswith("mp4"))
    with av.open(str(small_set.root / mp4)) as container:
        types = {frame.pict_type for frame in container.decode(video=0)}
    assert av.video.frame.PictureType.B in types


def test_lists_name_every_video_once_and_agree(small_set: ToySet) -> None:
    manifest, objects = rows(small_set.manifest), rows(small_set.objects)
    videos = sorted(str(file.relative_to(small_set.root)) for file in small_set.root.rglob("videos/*/*"))
    assert sorted(row["path"] for row in manifest) == videos
    assert [row["path"] for row in objects] == [row["path"] for row in manifest]
    assert len(videos) == small_set.num_videos
    for row, thing in zip(manifest, objects, strict=True):
        assert row["path"].split("/")[1] == row["label"].replace(" ", "-")
        assert row["caption"].split(" ", 1)[1] == f"{thing['label']} {row['label']}"
        colour, shape = thing["label"].split()
        assert colour in COLOURS
        assert shape in SHAPES
        assert thing["combination"] == ("held_out" if (colour, shape) in HELD_OUT else "seen")


def test_the_default_set_has_eight_test_videos_a_class_and_enough_held_out_objects() -> None:
    plans = plan_toy_set()
    assert len(plans) <= 400
    assert Counter(p.action for p in plans if p.split == "test") == dict.fromkeys(ACTIONS, 8)
    assert Counter(p.action for p in plans if p.split == "train") == dict.fromkeys(ACTIONS, 16)
    for part in (plans, [p for p in plans if p.split == "test"]):
        assert 0.2 <= sum(p.held_out for p in part) / len(part) <= 0.4


def test_a_killed_rendering_is_done_again(tmp_path: Path) -> None:
    root = tmp_path / "set"
    code = "import sys, pathlib; from vlp.pipeline.toy.videos import render_toy_set as r; r(pathlib.Path(sys.argv[1]))"
    child = subprocess.Popen([sys.executable, "-c", code, str(root)])
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".set-*/videos/*/*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert not root.exists()
    render_toy_set(root, videos_per_class=3)
    assert contents(root) == contents(render_toy_set(tmp_path / "fresh", videos_per_class=3).root)


def test_a_failed_rendering_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vlp.pipeline.toy.videos.write_lists", fail)
    with pytest.raises(OSError, match="No space left"):
        render_toy_set(tmp_path / "set", videos_per_class=3)
    assert not list(tmp_path.iterdir())


def test_the_first_of_two_renderings_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "set"

    def write_after_another(aside: Path, plans: list[PlannedVideo]) -> None:
        monkeypatch.undo()
        render_toy_set(root, videos_per_class=3)
        write_lists(aside, plans)

    monkeypatch.setattr("vlp.pipeline.toy.videos.write_lists", write_after_another)
    assert render_toy_set(root, videos_per_class=3).manifest.is_file()
    assert list(tmp_path.iterdir()) == [root]


def test_other_contents_are_never_replaced(small_set: ToySet, tmp_path: Path) -> None:
    with pytest.raises(ToySetInTheWay, match="holds the toy set"):
        render_toy_set(small_set.root, seed=72, videos_per_class=6)
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ToySetInTheWay, match="holds files that are no toy set"):
        render_toy_set(tmp_path, videos_per_class=3)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    assert render_toy_set(tmp_path, videos_per_class=3).manifest.is_file()


def test_too_few_videos_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"videos_per_class \(2\) must be at least 3"):
        render_toy_set(tmp_path / "set", videos_per_class=2)
