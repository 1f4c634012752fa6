"""compact removes what no reader needs and nothing else; repair replaces what is damaged."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vlp.stores.errors import PartLocked
from vlp.stores.features import ExtractedVideo, FailedVideo, FeatureStore
from vlp.stores.index import read_index
from vlp.stores.locks import UnitLock
from vlp.stores.maintenance import UNFINISHED, compact, verify

MakeVideo = Callable[..., ExtractedVideo]
MakeStore = Callable[..., FeatureStore]
Write = Callable[..., None]
AssertSame = Callable[[FeatureStore, ExtractedVideo], None]

KILLED_BEFORE_COMMIT = """
import os, signal, sys
from pathlib import Path
import numpy as np
from vlp.stores.features import ExtractedVideo, FeatureStore
video = ExtractedVideo("killed", np.ones((3, 2, 8), "f2"), np.arange(3) / 30, np.arange(3, dtype="i4"),
    3, 3, 30.0, 0.1, "ok", None, "pyav", "0" * 64)
writer = FeatureStore.open(Path(sys.argv[1])).writer(part=(0, 2), device="cpu", precision="fp32")
writer.add(video)
call = getattr(os, sys.argv[2])
def stop(*arguments):
    if sys.argv[2] == "replace" or ".partial" in str(arguments[0]):
        os.kill(os.getpid(), signal.SIGSTOP if sys.argv[3:] else signal.SIGKILL)
    return call(*arguments)
setattr(os, sys.argv[2], stop)
writer.flush()
"""


def killed_writer(store: FeatureStore, primitive: str) -> None:
    command = [sys.executable, "-c", KILLED_BEFORE_COMMIT, str(store.path), primitive]
    assert subprocess.run(command, check=False, timeout=120).returncode == -signal.SIGKILL


def damage(store: FeatureStore, video_id: str) -> None:
    entry = store.videos()[video_id]
    shard = store.path / "segments" / entry.segment / "features/c/0/0/0"
    data = bytearray(shard.read_bytes())
    data[entry.start * 32] ^= 1
    shard.write_bytes(data)


@pytest.mark.parametrize("primitive", ["rename", "replace"])
def test_what_a_killed_writer_left_is_no_damage_and_is_removed(
    primitive: str,
    tmp_path: Path,
    make_store: MakeStore,
    make_video: MakeVideo,
    write: Write,
    assert_same: AssertSame,
) -> None:
    store = make_store(tmp_path / "a.vlp")
    write(store, make_video("a"))
    killed_writer(store, primitive)
    report = verify(store)
    assert report.damages == ()
    (name,) = report.leftovers
    assert name.endswith(".partial") == (primitive == "rename")
    size = sum(path.stat().st_size for path in (store.path / name).rglob("*") if path.is_file())
    would = compact(store, dry_run=True)
    assert [(item.name, item.why, item.num_bytes) for item in would.removed] == [(name, UNFINISHED, size)]
    assert (store.path / name).exists()
    assert compact(store).removed == would.removed
    assert would.num_bytes == size
    assert not (store.path / name).exists()
    assert compact(store).removed == verify(store).leftovers == ()
    assert_same(FeatureStore.open(store.path), make_video("a"))


def test_what_a_living_writer_is_writing_is_left_alone(tmp_path: Path, make_store: MakeStore) -> None:
    store = make_store(tmp_path / "a.vlp")
    command = [sys.executable, "-c", KILLED_BEFORE_COMMIT, str(store.path), "replace", "stop"]
    with subprocess.Popen(command) as process:
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        (name,) = verify(store).leftovers
        for dry_run in (True, False):
            report = compact(store, dry_run=dry_run)
            assert (report.removed, report.in_use) == ((), (name,))
        assert (store.path / name).exists()
        process.kill()


def test_partial_files_of_dead_writers_go_and_those_of_strangers_stay(
    tmp_path: Path, make_store: MakeStore, make_video: MakeVideo, write: Write
) -> None:
    store = make_store(tmp_path / "a.vlp")
    write(store, make_video("a"))
    attempt = "0123456789abcdef"
    ours = [
        f"index.parquet.part-0of1-{attempt}.partial",
        f"index.parquet.compact-{attempt}.partial",
        f"zarr.json.create-{attempt}.partial",
        f"failures/part-0of1-{attempt}.json.part-0of1-{attempt}.partial",
    ]
    for name in (*ours, "download.partial"):
        (store.path / name).write_text("half")
    assert {*verify(store).leftovers} == {*ours}
    assert {item.name for item in compact(store).removed} == {*ours}
    assert (store.path / "download.partial").exists()


def test_a_repair_clears_the_damage_and_compact_the_segment(
    tmp_path: Path, make_store: MakeStore, make_video: MakeVideo, write: Write, assert_same: AssertSame
) -> None:
    store = make_store(tmp_path / "a.vlp")
    write(store, make_video("a"), make_video("b"), make_video("c"))
    damage(store, "b")
    assert verify(store).video_ids == ("b",)
    write(store, make_video("b"), superseding=frozenset({"b"}))
    reader = FeatureStore.open(store.path)
    assert verify(reader).video_ids == ()
    assert compact(reader).removed == ()  # a and c still count there
    old, new = (reader.videos()[video_id].segment for video_id in "ab")
    write(reader, make_video("a"), make_video("c"), superseding=frozenset("ac"))
    assert [item.name for item in compact(reader).removed] == [f"segments/{old}"]
    for video_id in "abc":
        assert_same(FeatureStore.open(store.path), make_video(video_id))
    assert (store.path / "segments" / new).exists()
    assert verify(FeatureStore.open(store.path)).damages == ()


def test_a_superseding_segment_stays_while_what_it_supersedes_is_there(
    tmp_path: Path, make_store: MakeStore, make_video: MakeVideo, write: Write, assert_same: AssertSame
) -> None:
    """Without it the superseded (damaged) entry would count again."""
    store = make_store(tmp_path / "a.vlp")
    write(store, make_video("a", 3), make_video("stays"))
    write(store, make_video("a", 4, status="short", reason="truncated"), superseding=frozenset("a"))
    write(store, make_video("a", 5), part=(1, 2))  # a whole one by a writer that repairs nothing: it counts
    assert compact(store).removed == ()
    assert_same(FeatureStore.open(store.path), make_video("a", 5))
    write(store, make_video("stays"), part=(1, 2), superseding=frozenset({"stays"}))
    assert len(compact(store).removed) == 2
    assert_same(FeatureStore.open(store.path), make_video("a", 5))
    assert_same(FeatureStore.open(store.path), make_video("stays"))


def test_duplicates_go_and_what_counts_stays(
    tmp_path: Path, make_store: MakeStore, make_video: MakeVideo, write: Write, assert_same: AssertSame
) -> None:
    store = make_store(tmp_path / "a.vlp")
    for part in range(3):
        write(store, make_video("a", 3 + part), part=(part, 3))
    assert len(compact(store).removed) == 2
    (left,) = (store.path / "segments").glob("part-*")
    assert left.name == store.videos()["a"].segment
    assert_same(FeatureStore.open(store.path), make_video("a", 3))


def test_failures_that_count_no_more_go(tmp_path: Path, make_store: MakeStore, make_video: MakeVideo) -> None:
    store = make_store(tmp_path / "a.vlp")
    for attempts, names in ((1, "ab"), (2, "b"), (1, "c")):
        with store.writer(device="cpu", precision="fp32") as writer:
            for name in names:
                writer.fail(FailedVideo(name, "stalled", "", attempts))
    with store.writer(device="cpu", precision="fp32") as writer:
        writer.add(make_video("a"))
    before = dict(store.failures())
    assert {name: failure.attempts for name, failure in before.items()} == {"b": 2, "c": 1}
    (removed,) = compact(store).removed
    assert removed.name.startswith("failures/")
    assert dict(FeatureStore.open(store.path).failures()) == before
    assert verify(store).damages == ()


def test_an_unreadable_commit_goes_and_its_videos_are_to_be_extracted_anew(
    tmp_path: Path, make_store: MakeStore, make_video: MakeVideo, write: Write
) -> None:
    store = make_store(tmp_path / "a.vlp")
    write(store, make_video("a"))
    write(store, make_video("b"), part=(1, 2))
    segment = f"segments/{store.videos()['a'].segment}"
    (store.path / segment / "commit.json").write_text("{}")
    assert [item.name for item in compact(store).removed] == [segment]
    reader = FeatureStore.open(store.path)
    assert {*reader.videos()} == {"b"}
    assert verify(reader).damages == ()


def test_the_index_is_written_anew_from_the_commits(
    tmp_path: Path, make_store: MakeStore, make_video: MakeVideo, write: Write
) -> None:
    store = make_store(tmp_path / "a.vlp")
    write(store, make_video("a"), make_video("b"))
    expected = dict(store.videos())
    (store.path / "index.parquet").write_text("garbage")
    compact(store, dry_run=True)
    assert (store.path / "index.parquet").read_text() == "garbage"
    compact(store)
    assert len(read_index(store.path, store.fingerprint).columns) == 2
    assert dict(FeatureStore.open(store.path).videos()) == expected


def test_a_segment_that_was_moved_away_is_forgotten_when_the_index_is_made_anew(
    tmp_path: Path, make_store: MakeStore, make_video: MakeVideo, write: Write
) -> None:
    store = make_store(tmp_path / "a.vlp")
    write(store, make_video("a"))
    shutil.rmtree(store.path / "segments" / store.videos()["a"].segment)
    assert verify(store).video_ids == ("a",)
    compact(store)
    assert verify(FeatureStore.open(store.path)).video_ids == ()


def test_two_do_not_compact_at_once(tmp_path: Path, make_store: MakeStore) -> None:
    store = make_store(tmp_path / "a.vlp")
    with (
        UnitLock(store.path, "compact"),
        pytest.raises(PartLocked, match="compact is being written by process"),
    ):
        compact(store)
    with pytest.raises(ValueError, match="is no unit"):
        UnitLock(store.path, "../x")
