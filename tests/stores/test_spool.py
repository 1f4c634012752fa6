"""A long video's rows leave memory on their way to the segment, and come back as they were."""

import errno
import gc
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlp.stores import spool as spool_module
from vlp.stores.errors import NonFiniteFeatures, StoreFull
from vlp.stores.features import ExtractedVideo, FeatureStore
from vlp.stores.maintenance import verify
from vlp.stores.spool import Spool

MakeVideo = Callable[..., ExtractedVideo]
MakeStore = Callable[..., FeatureStore]


def num_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def full_disk(*_: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    num_rows=st.integers(1, 300),
    cuts=st.lists(st.integers(0, 6 * 300), max_size=8),
    memory_bytes=st.sampled_from([1, 40, 1000, 1 << 20]),
    read_bytes=st.sampled_from([1, 12, 100, 1 << 20]),
)
def test_rows_come_back_as_they_were_wherever_they_lay(
    tmp_path: Path, num_rows: int, cuts: list[int], memory_bytes: int, read_bytes: int
) -> None:
    rows = np.arange(num_rows * 6).astype(np.float16).reshape(num_rows, 2, 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool_module, "_MEMORY_BYTES", memory_bytes)
        patch.setattr(spool_module, "_READ_BYTES", read_bytes)
        spool = Spool("float16", (2, 3), tmp_path)
        values = rows.reshape(-1)
        for piece in np.split(values, sorted(min(cut, len(values)) for cut in cuts)):
            spool.append(piece)
        assert (spool.shape, spool.ndim, len(spool), spool.nbytes) == (rows.shape, 3, num_rows, rows.nbytes)
        for _ in range(2):  # checks, checksums and writing each want all of them
            np.testing.assert_array_equal(np.concatenate(list(spool.blocks())), rows)
    assert not list(tmp_path.iterdir())


@given(
    pieces=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    kept=st.integers(0, 6),
    memory_bytes=st.sampled_from([1, 100, 1 << 20]),
)
def test_rows_that_are_cut_off_are_gone_and_others_can_follow(
    pieces: list[int], kept: int, memory_bytes: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(spool_module, "_MEMORY_BYTES", memory_bytes)
        spool = Spool("float16", (2,))
        rows = np.arange(2 * sum(pieces)).astype(np.float16).reshape(-1, 2)
        for piece in np.split(rows, np.cumsum(pieces)[:-1]):
            spool.append(piece)
        num_kept = sum(pieces[:kept])
        spool.cut(num_kept)
        spool.append(np.full((3, 2), -1, np.float16))
        expected = np.concatenate([rows[:num_kept], np.full((3, 2), -1, np.float16)])
        np.testing.assert_array_equal(np.concatenate(list(spool.blocks())), expected)


def test_rows_that_a_full_disk_did_not_take_are_written_once_there_is_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "_MEMORY_BYTES", 8)
    spool, rows = Spool("uint8", (), tmp_path), np.arange(30, dtype=np.uint8)
    spool.append(rows[:10])
    write, calls = os.write, iter([1, 2])

    def filling(descriptor: int, data: memoryview) -> int:
        return write(descriptor, data[:3]) if next(calls, None) else full_disk()

    with monkeypatch.context() as full:
        full.setattr(os, "write", filling)
        with pytest.raises(StoreFull):
            spool.append(rows[10:20])
    assert 10 <= len(spool) < 20
    spool.append(rows[len(spool) :])
    assert np.concatenate(list(spool.blocks())).tolist() == rows.tolist()


def test_a_video_for_which_there_is_no_space_is_not_taken_and_the_others_stay_whole(
    tmp_path: Path, make_video: MakeVideo, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_module, "_MEMORY_BYTES", 100)
    store = make_store(tmp_path / "a.vlp")
    with store.writer(device="cpu", precision="fp32") as writer:
        writer.add(make_video("before", 5))
        with monkeypatch.context() as full:
            full.setattr(os, "write", full_disk)
            with pytest.raises(StoreFull):
                writer.add(make_video("lost", 50))
        writer.add(make_video("after", 7))
    found = FeatureStore.open(store.path)
    assert {*found.videos()} == {"before", "after"}
    for name, num_rows in (("before", 5), ("after", 7)):
        np.testing.assert_array_equal(found.read(name).features, make_video(name, num_rows).features)


def test_the_file_is_closed_with_the_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "_MEMORY_BYTES", 2)
    before = num_descriptors()
    spools = [Spool("uint8", (), tmp_path) for _ in range(5)]
    for spool in spools:
        spool.append(np.ones(3, np.uint8))
    assert num_descriptors() == before + 5
    del spool, spools
    gc.collect()
    assert num_descriptors() == before


def test_rows_of_another_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="rows are float32, not float16"):
        Spool("float16", (2,)).append(np.ones(2, np.float32))


def test_a_full_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "_MEMORY_BYTES", 2)
    monkeypatch.setattr(os, "write", full_disk)
    with pytest.raises(StoreFull, match="no space left"):
        Spool("uint8", (), tmp_path).append(np.ones(3, np.uint8))


def spooled(video: ExtractedVideo, spool: Spool, **changes: Any) -> ExtractedVideo:
    for row in video.features if isinstance(video.features, np.ndarray) else ():
        spool.append(row)
    return ExtractedVideo(**{**vars(video), "features": spool, **changes})


@pytest.mark.parametrize("memory_bytes", [100, 1 << 20], ids=["on disk", "in memory"])
def test_a_segment_of_spooled_videos_is_that_of_arrays_byte_for_byte(
    memory_bytes: int,
    tmp_path: Path,
    make_video: MakeVideo,
    make_store: MakeStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spool_module, "_MEMORY_BYTES", memory_bytes)
    contents = []
    for name in ("arrays", "spools"):
        store = make_store(tmp_path / name)
        with store.writer(device="cpu", precision="fp32") as writer:
            for video in (make_video("a", 5), make_video("b", 70_000), make_video("c", 3)):
                writer.add(video if name == "arrays" else spooled(video, writer.spool()))
        segments = sorted((tmp_path / name / "segments").glob("part-*"))
        assert len(segments) == 1
        files = [path for path in segments[0].rglob("*") if path.is_file() and path.name != "commit.json"]
        contents.append({str(path.relative_to(segments[0])): path.read_bytes() for path in files})
        assert not verify(FeatureStore.open(store.path)).damages
    assert contents[0] == contents[1]


def test_a_spooled_video_with_nan_is_not_taken(
    tmp_path: Path, make_video: MakeVideo, make_store: MakeStore
) -> None:
    features = np.ones((9, 2, 8), np.float16)
    features[4, 1, 3] = np.nan
    features[8, 0, 0] = np.inf
    with make_store(tmp_path / "a.vlp").writer(device="cpu", precision="fp32") as writer:
        video = make_video("a", 9, features=features)
        with pytest.raises(NonFiniteFeatures, match="2 feature values"):
            writer.add(spooled(video, writer.spool()))


def test_no_array_of_a_waiting_video_is_on_the_heap(
    tmp_path: Path, make_video: MakeVideo, make_store: MakeStore
) -> None:
    """There each would pin the hole that an encoder's buffers leave around it, until the commit."""
    store = make_store(tmp_path / "a.vlp")
    with store.writer(device="cpu", precision="fp32") as writer:
        writer.add(make_video("first", 5))
        tracemalloc.start()
        try:
            for number in range(200):
                writer.add(make_video(f"{number}", 5))
            taken = tracemalloc.take_snapshot()
        finally:
            tracemalloc.stop()
    of_arrays = tracemalloc.DomainFilter(inclusive=True, domain=np.lib.tracemalloc_domain)
    num_bytes = sum(trace.size for trace in taken.filter_traces([of_arrays]).traces)
    assert num_bytes < 200 * 5 * 8  # times alone would take as much
    assert len(store.videos()) == 201


def test_a_video_larger_than_memory_should_hold_is_written_in_flat_memory(
    tmp_path: Path, make_video: MakeVideo, make_store: MakeStore
) -> None:
    """40 minutes of a ViT-B's embeddings at 30 frames/s: 72,000 rows of 1 KiB, here and in the segment on disk."""
    num_rows, shape = 72_000, (1, 512)
    store = make_store(tmp_path / "a.vlp", num_views=1, embed_dim=512)
    few = make_video("long", num_rows, features=np.zeros((num_rows, 1, 1), np.float16))
    with store.writer(device="cpu", precision="fp32") as writer:
        writer.add(make_video("before", 3, shape=shape))
        tracemalloc.start()
        try:
            spool = writer.spool()
            for start in range(0, num_rows, 16):
                spool.append(np.full((16, *shape), start % 2048, np.float16))
            writer.add(ExtractedVideo(**{**vars(few), "features": spool}))
            peak_bytes = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak_bytes < 32 << 20
    stored = store.read("long").features
    assert stored.shape == (num_rows, *shape)
    assert (stored[:, 0, 0] == np.arange(num_rows) // 16 * 16 % 2048).all()
    assert not verify(store).damages
