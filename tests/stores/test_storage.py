"""A full or refusing disk: one clear error, nothing torn, what was committed stays."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from vlp.stores import storage
from vlp.stores.errors import StoreError, StoreFull, StoreUnwritable
from vlp.stores.features import ExtractedVideo, FeatureStore
from vlp.stores.file_locks import FileLock
from vlp.stores.maintenance import compact, verify

MakeVideo = Callable[..., ExtractedVideo]
MakeStore = Callable[..., FeatureStore]
Write = Callable[..., None]
AssertSame = Callable[[FeatureStore, ExtractedVideo], None]


class FullDisk:
    """`os.write` on a disk that takes so many more calls, the last of them half."""

    def __init__(self, num_calls: int, number: int) -> None:
        self.num_calls, self.number = num_calls, number
        self.write = os.write

    def __call__(self, descriptor: int, data: memoryview) -> int:
        self.num_calls -= 1
        if self.num_calls > 0:
            return self.write(descriptor, data)
        if self.num_calls == 0 and len(data) > 1:
            return self.write(descriptor, data[: len(data) // 2])
        raise OSError(self.number, os.strerror(self.number))

    def beyond(self, *_: object) -> int:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("num_calls", [0, 1, 4, 11])
def test_a_full_disk_tears_nothing_and_the_writer_goes_on_once_there_is_space(
    num_calls: int,
    number: int,
    tmp_path: Path,
    make_video: MakeVideo,
    make_store: MakeStore,
    assert_same: AssertSame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = make_store(tmp_path / "a.vlp")
    with store.writer(device="cpu", precision="fp32") as writer:
        writer.add(make_video("before"))
        writer.flush()
        writer.add(make_video("after"))
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", FullDisk(num_calls, number))
            with pytest.raises(
                StoreFull, match=r"no space left on the disk of .*what was committed before is whole"
            ):
                writer.flush()
        assert not [*store.path.rglob("*.partial")]
        assert_same(FeatureStore.open(store.path), make_video("before"))
        assert {*store.videos()} == {"before"}
    for name in ("before", "after"):
        assert_same(FeatureStore.open(store.path), make_video(name))
    assert verify(store).damages == ()


def test_a_full_disk_at_the_end_of_a_failing_run_hides_no_error(
    tmp_path: Path, make_video: MakeVideo, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(tmp_path / "a.vlp")

    def failing() -> None:
        with store.writer(device="cpu", precision="fp32") as writer:
            writer.add(make_video("a"))
            monkeypatch.setattr(os, "write", FullDisk(0, errno.ENOSPC))
            raise RuntimeError("decoder")

    with pytest.raises(RuntimeError, match="decoder") as caught:
        failing()
    assert "no space left" in caught.value.__notes__[0]
    monkeypatch.undo()
    store.writer(device="cpu", precision="fp32").close()  # the part is free


def test_a_full_disk_is_reported_when_the_body_ends_well_and_the_index_is_not_needed(
    tmp_path: Path,
    make_video: MakeVideo,
    make_store: MakeStore,
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = make_store(tmp_path / "a.vlp")
    monkeypatch.setattr(os, "write", FullDisk(3, errno.ENOSPC))
    with pytest.raises(StoreFull):
        write(store, make_video("a"))
    monkeypatch.undo()
    monkeypatch.setattr(os, "write", FullDisk(13, errno.ENOSPC))  # 11 files, one in two parts; then the index
    write(store, make_video("a"))
    assert not (store.path / "index.parquet").exists()
    assert {*FeatureStore.open(store.path).videos()} == {"a"}


def test_compact_makes_room_on_a_full_disk(
    tmp_path: Path,
    make_video: MakeVideo,
    make_store: MakeStore,
    write: Write,
    assert_same: AssertSame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = make_store(tmp_path / "a.vlp")
    write(store, make_video("a"))
    write(store, make_video("a"), superseding=frozenset("a"))
    with monkeypatch.context() as full:
        full.setattr(os, "write", FullDisk(0, errno.ENOSPC))
        full.setattr(os, "pwrite", FullDisk(0, errno.ENOSPC).beyond)
        assert len(compact(store).removed) == 1
    assert not (store.path / "index.parquet").exists()
    assert_same(FeatureStore.open(store.path), make_video("a"))
    compact(store)
    assert (store.path / "index.parquet").exists()


LIMITED = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from vlp.stores.errors import StoreUnwritable
from vlp.stores.features import ExtractedVideo, FeatureStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
rows = 2000
video = ExtractedVideo("large", np.ones((rows, 2, 8), "f2"), np.arange(rows) / 30, np.arange(rows, dtype="i4"),
    rows, rows, 30.0, 1.0, "ok", None, "pyav", "0" * 64)
writer = FeatureStore.open(Path(sys.argv[1])).writer(device="cpu", precision="fp32")
writer.add(video)
try:
    writer.flush()
except StoreUnwritable as error:
    print(error.reason)
"""


def test_a_file_size_limit_of_the_system_is_reported_and_leaves_nothing_behind(
    tmp_path: Path, make_video: MakeVideo, make_store: MakeStore, write: Write, assert_same: AssertSame
) -> None:
    store = make_store(tmp_path / "a.vlp")
    write(store, make_video("before"))
    command = [sys.executable, "-c", LIMITED, str(store.path)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert run.stdout == "File too large\n"
    assert verify(store).leftovers == ()
    assert_same(FeatureStore.open(store.path), make_video("before"))


@pytest.mark.parametrize("make", [storage.make_folder, partial(FileLock, unit="create")])
def test_a_path_that_cannot_be_made_is_named(make: Callable[[Path, str], object], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnwritable, match=r"cannot write .*file/a/b: ") as caught:
        make(tmp_path, "file/a/b")
    assert isinstance(caught.value, StoreError)
    assert caught.value.path == tmp_path / "file/a/b"


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage.write_file(tmp_path, "a", b"old", writer="one")
    storage.write_file(tmp_path, "a", b"new", writer="two")
    assert (tmp_path / "a").read_bytes() == b"new"
    monkeypatch.setattr(os, "write", FullDisk(1, errno.ENOSPC))
    with pytest.raises(StoreFull):
        storage.write_file(tmp_path, "a", b"newest", writer="three")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]  # noqa: PTH208 (the names alone)


def test_every_file_and_folder_is_flushed_before_the_name_it_needs(
    tmp_path: Path,
    make_video: MakeVideo,
    make_store: MakeStore,
    write: Write,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A crash of the machine keeps only what was flushed: the order of the calls is the guarantee."""
    store = make_store(tmp_path / "a.vlp")
    calls: list[tuple[str, str]] = []

    def traced(name: str) -> Callable[..., object]:
        call = getattr(os, name)

        def wrapper(target: object, *rest: object) -> object:
            path = str(Path(f"/proc/self/fd/{target}").readlink()) if isinstance(target, int) else str(target)
            calls.append((name, path.removeprefix(f"{store.path}/")))
            return call(target, *rest)

        return wrapper

    for name in ("fsync", "rename", "replace"):
        monkeypatch.setattr(os, name, traced(name))
    write(store, make_video("a"))
    monkeypatch.undo()
    segment = f"segments/{store.videos()['a'].segment}"
    names = [name for name, _ in calls]
    renamed = names.index("rename")
    committed = names.index("replace")
    flushed = {path for name, path in calls[:renamed] if name == "fsync"}
    everything = [path for path in (store.path / segment).rglob("*") if path.name != "commit.json"]
    for path in everything:
        assert f"{segment}.partial/{path.relative_to(store.path / segment)}" in flushed
    assert f"{segment}.partial" in flushed
    assert calls[renamed] == ("rename", f"{segment}.partial")
    assert ("fsync", "segments") in calls[renamed:committed]
    assert calls[committed - 1][0] == "fsync"
    assert (
        calls[committed - 1][1]
        == calls[committed][1]
        == f"{segment}/commit.json.{Path(segment).name}.partial"
    )
    assert calls[committed + 1] == ("fsync", segment)


def test_reading_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    assert storage.read_bytes(tmp_path, "a", limit=5) == b"12345"
    with pytest.raises(OSError, match="5 bytes, at most 4 are read"):
        storage.read_bytes(tmp_path, "a", limit=4)
    (tmp_path / "below").mkdir()
    with pytest.raises(OSError, match="leads out of the store"):
        storage.read_bytes(tmp_path / "below", "../a", limit=9)
    assert storage.list_names(tmp_path, "none") == []
    assert storage.file_size(tmp_path, "none") is None
    assert storage.tree_bytes(tmp_path, ".") == 5
