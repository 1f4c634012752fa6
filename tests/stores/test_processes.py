"""Processes that write, repair, compact and read one store at once."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vlp.stores.errors import StoreDamaged
from vlp.stores.features import ExtractedVideo, FeatureStore
from vlp.stores.maintenance import compact, verify

DRIVER = Path(__file__).with_name("process_driver.py")
MakeVideo = Callable[..., ExtractedVideo]
MakeStore = Callable[..., FeatureStore]
Write = Callable[..., None]
AssertSame = Callable[[FeatureStore, ExtractedVideo], None]


def start(*arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(DRIVER), *map(str, arguments)])


def test_a_reader_sees_whole_videos_while_others_write_repair_and_compact(
    tmp_path: Path, make_store: MakeStore, make_video: MakeVideo, assert_same: AssertSame
) -> None:
    """Writers of two parts, one that repairs what they wrote, one that compacts without a pause."""
    store = make_store(tmp_path / "a.vlp")
    videos = {f"v{number:02}": make_video(f"v{number:02}", 3 + number % 5) for number in range(10)}
    busy = [
        start("write", store.path, 0, 10),
        start("write", store.path, 1, 10),
        start("repair", store.path, 10),
        start("compact", store.path, 40),
    ]
    seen: set[str] = set()
    while any(process.poll() is None for process in busy):
        present = {*store.videos()}
        assert seen <= present  # what was committed stays, wherever it lies
        for video_id in present:
            assert_same(store, videos[video_id])
        seen = present
    assert [process.returncode for process in busy] == [0, 0, 0, 0]
    assert {*FeatureStore.open(store.path).videos()} == {*videos}
    compact(store)
    assert verify(store).damages == verify(store).leftovers == ()


def test_a_reader_that_looked_before_a_repair_finds_the_video_where_it_is_now(
    tmp_path: Path, make_store: MakeStore, make_video: MakeVideo, write: Write, assert_same: AssertSame
) -> None:
    store = make_store(tmp_path / "a.vlp")
    write(store, make_video("v00", 3), make_video("v01", 4))
    reader = FeatureStore.open(store.path)
    mapped = reader.read("v00")
    before = mapped.features.tobytes()
    reader.videos()
    for arguments in (("repair", store.path, 2), ("compact", store.path, 1)):
        assert start(*arguments).wait(120) == 0
    old = store.path / "segments" / mapped.entry.segment
    assert not old.exists()
    assert_same(reader, make_video("v01", 4))
    assert mapped.features.tobytes() == before  # the map outlives the file's name


def test_damage_is_told_as_damage_though_others_commit_meanwhile(
    tmp_path: Path, make_store: MakeStore, make_video: MakeVideo, write: Write
) -> None:
    store = make_store(tmp_path / "a.vlp")
    write(store, make_video("v00"))
    reader = FeatureStore.open(store.path)
    entry = reader.videos()["v00"]
    write(store, make_video("other"), part=(1, 2))
    (store.path / "segments" / entry.segment / "features/c/0/0/0").unlink()
    with pytest.raises(StoreDamaged, match="features/c/0/0/0 is missing"):
        reader.read("v00")
