"""Workers that write beside the holder of a part, also the same video twice: one winner for every reader."""

from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from vlp.stores import catalog as catalogs
from vlp.stores.catalog import load_catalog
from vlp.stores.features import ExtractedVideo, FeatureStore
from vlp.stores.locks import UnitLock
from vlp.stores.maintenance import compact, verify

MakeStore = Callable[..., FeatureStore]
MakeVideo = Callable[..., ExtractedVideo]
WORKER = {"part": None, "device": "cpu", "precision": "fp32"}


@pytest.fixture
def store(tmp_path: Path, make_store: MakeStore) -> FeatureStore:
    return make_store(tmp_path / "a.vlp")


def units(store: FeatureStore) -> list[str]:
    return sorted(path.name.rpartition("-")[0] for path in (store.path / "segments").glob("*-*"))


def test_workers_write_at_once_beside_the_holder_of_the_part(
    store: FeatureStore, make_video: MakeVideo
) -> None:
    with store.writer(device="cpu", precision="fp32") as leader:
        with store.writer(**WORKER) as one, store.writer(**WORKER) as two:
            one.add(make_video("a"))
            two.add(make_video("b"))
            leader.add(make_video("c"))
        assert not (store.path / "index.parquet").exists()
        with store.writer(**WORKER) as again:  # the lowest number that is free
            again.add(make_video("d"))
    assert units(store) == ["part-0of1", "worker-0", "worker-0", "worker-1"]
    assert {*store.videos()} == {"a", "b", "c", "d"}
    assert (store.path / "index.parquet").exists()
    assert {path.name for path in (store.path / "locks").glob("worker-*")} == {
        "worker-0.lock",
        "worker-1.lock",
    }


def test_a_worker_that_hangs_keeps_its_lock_and_stands_in_nobodys_way(
    store: FeatureStore, make_video: MakeVideo
) -> None:
    with UnitLock(store.path, "worker-0"):
        with store.writer(**WORKER) as writer:
            writer.add(make_video("a"))
        assert units(store) == ["worker-1"]


def test_compact_leaves_alone_what_a_living_worker_is_writing(
    store: FeatureStore, make_video: MakeVideo
) -> None:
    unfinished = store.path / "segments" / "worker-0-0123456789abcdef"
    with store.writer(**WORKER) as writer:
        writer.add(make_video("a"))
        unfinished.mkdir(parents=True)
        assert compact(store).in_use == (f"segments/{unfinished.name}",)
    assert [removal.name for removal in compact(store).removed] == [f"segments/{unfinished.name}"]
    assert {*store.videos()} == {"a"}


def test_a_video_done_twice_counts_once_and_every_reader_sees_the_same_one(
    store: FeatureStore, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = store.writer(**WORKER)  # given up by the run, not by itself
    late.add(make_video("a", 5))
    with store.writer(**WORKER) as winner:
        winner.add(make_video("a", 7))
        winner.add(make_video("b", 3))
    late.close()
    assert FeatureStore.open(store.path).read("a").entry.num_rows == 7  # the earlier commit
    listed = catalogs._segments_on_disk(store.path)
    assert len(listed) == 2
    found: list[Any] = []
    for order in permutations(listed.items()):
        monkeypatch.setattr(catalogs, "_segments_on_disk", lambda _, order=order: dict(order))
        catalog = load_catalog(store.path, store.fingerprint, use_index=False)
        found.append({video_id: catalog.entry(row) for video_id, row in catalog.winners.items()})
    monkeypatch.undo()
    with store.writer(device="cpu", precision="fp32"):
        pass  # writes the index
    for reader in (FeatureStore.open(store.path), FeatureStore.open(store.path)):
        found.append(dict(reader.videos()))
        compact(reader)
    assert all(entries == found[0] for entries in found)
    assert {*found[0]} == {"a", "b"}
    assert verify(store).damages == ()
