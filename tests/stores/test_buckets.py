"""A store in a bucket of a real S3-compatible server is the same store as one on a disk."""

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlp.stores import arrays, object_store, storage
from vlp.stores.errors import StoreDamaged, StoreMissing
from vlp.stores.export import export_features
from vlp.stores.features import ExtractedVideo, FailedVideo, FeatureStore
from vlp.stores.importing import Statement, import_features
from vlp.stores.layout import layout_of
from vlp.stores.locate import find_stores
from vlp.stores.maintenance import compact, verify
from vlp.stores.mirroring import mirror
from vlp.stores.places import ObjectPath, Place

MakeVideo = Callable[..., ExtractedVideo]
MakeStore = Callable[..., FeatureStore]
Write = Callable[..., None]
AssertSame = Callable[[FeatureStore, ExtractedVideo], None]
SHARD = "features/c/0/0/0"


@pytest.fixture
def videos(make_video: MakeVideo) -> list[ExtractedVideo]:
    return [make_video(f"v/{number}", 4 + number) for number in range(3)]


@pytest.fixture
def store(
    bucket: ObjectPath, make_store: MakeStore, write: Write, videos: list[ExtractedVideo]
) -> FeatureStore:
    """Three videos in two segments, and one that failed."""
    made = make_store(bucket / "toy" / "a" / "a.vlp")
    with made.writer(device="cpu", precision="fp32", segment_bytes=450) as writer:
        writer.fail(FailedVideo("broken", "damaged", "no frame", 1))
        for video in videos:
            writer.add(video)
    return made


def segments(place: Place) -> list[str]:
    return [name for name in storage.list_names(place, "segments") if name.startswith("part-")]


def segment_files(place: Place) -> Iterator[list[tuple[str, bytes]]]:
    """The arrays of every segment."""
    for segment in segments(place):
        layout = layout_of({}, 2, 8)
        names = sorted({*layout.small_files, *arrays.large_file_sizes(layout, 1, 1)})
        yield [
            (name, storage.read_bytes(place, f"segments/{segment}/{name}", limit=1 << 20)) for name in names
        ]


def test_a_store_in_a_bucket_reads_as_it_was_written(
    store: FeatureStore, bucket: ObjectPath, videos: list[ExtractedVideo], assert_same: AssertSame
) -> None:
    for opened in (store, FeatureStore.open(store.path)):
        assert sorted(opened.videos()) == [video.video_id for video in videos]
        assert [*opened.failures()] == ["broken"]
        for video in videos:
            assert_same(opened, video)
    report = verify(store)
    assert (report.num_videos, report.damages, report.leftovers) == (3, (), ())
    [found] = find_stores(bucket)
    assert (found.path, str(found)) == (store.path, "toy (ViT-B-16/openai)")


def test_it_holds_the_objects_that_a_disk_has_files_and_the_same_bytes(
    store: FeatureStore,
    tmp_path: Path,
    make_store: MakeStore,
    write: Write,
    videos: list[ExtractedVideo],
) -> None:
    local = make_store(tmp_path / "a.vlp")
    write(local, *videos, segment_bytes=450)
    far, near = (sorted(map(tuple, segment_files(place))) for place in (store.path, local.path))
    assert far == near
    assert {"index.parquet", "zarr.json", "segments", "failures"} <= {*storage.list_names(store.path, "")}
    assert storage.list_names(store.path, "locks") == []


def test_a_reader_sees_whole_videos_while_another_writes(
    bucket: ObjectPath, make_store: MakeStore, write: Write, make_video: MakeVideo, assert_same: AssertSame
) -> None:
    made = {f"v{number}": make_video(f"v{number}", 3 + number) for number in range(5)}
    path = make_store(bucket / "a.vlp").path
    writing = threading.Thread(target=lambda: write(FeatureStore.open(path), *made.values(), segment_bytes=1))
    writing.start()
    reader, seen = FeatureStore.open(path), set[str]()
    while writing.is_alive() or len(seen) < len(made):
        present = {*reader.videos()}
        assert seen <= present
        for video_id in present - seen:
            assert_same(reader, made[video_id])
        seen = present
    writing.join()
    assert seen == {*made}


def test_verify_finds_a_flipped_byte_and_a_missing_object(store: FeatureStore) -> None:
    flipped, missing = segments(store.path)
    name = f"segments/{flipped}/{SHARD}"
    data = bytearray(storage.read_bytes(store.path, name, limit=1 << 20))
    data[7] ^= 1
    object_store.put(store.path, name, bytes(data))
    storage.remove(store.path, f"segments/{missing}/rows/pts_seconds/c/0")
    found = {damage.segment: damage.what for damage in verify(store).damages}
    assert found == {
        flipped: "features do not match their checksum",
        missing: "rows/pts_seconds/c/0 is missing",
    }
    hit = next(video_id for video_id, entry in store.videos().items() if entry.segment == missing)
    with pytest.raises(StoreDamaged, match="is missing") as caught:
        store.read(hit)
    assert caught.value.segment == missing


@pytest.mark.parametrize("damage", [b"", b"{}"])
def test_a_commit_that_is_damaged_is_not_committed(store: FeatureStore, damage: bytes) -> None:
    name = segments(store.path)[0]
    object_store.put(store.path, f"segments/{name}/commit.json", damage)
    opened = FeatureStore.open(store.path)
    assert len(opened.videos()) < 3
    assert [entry.segment for entry in verify(opened).damages] == [name]
    assert [removal.name for removal in compact(opened).removed] == [f"segments/{name}"]
    assert verify(opened).damages == ()


def test_compact_removes_what_a_killed_writer_left_and_no_more(
    store: FeatureStore, videos: list[ExtractedVideo], assert_same: AssertSame
) -> None:
    orphan = "segments/part-0of1-0123456789abcdef"
    object_store.put(store.path, f"{orphan}/{SHARD}", b"half")
    assert verify(store).leftovers == (orphan,)
    with store.writer(device="cpu", precision="fp32"):
        assert compact(store, dry_run=True).in_use == (orphan,)
    [removal] = compact(store, dry_run=True).removed
    assert (removal.name, removal.num_bytes) == (orphan, 4)
    assert storage.file_size(store.path, f"{orphan}/{SHARD}") == 4
    assert [removal.name for removal in compact(store).removed] == [orphan]
    assert storage.tree_bytes(store.path, orphan) == 0
    assert verify(store).leftovers == ()
    assert storage.file_sizes(store.path, "locks") == {}
    for video in videos:
        assert_same(FeatureStore.open(store.path), video)


def test_a_repair_supersedes_and_compact_removes_the_segment(
    store: FeatureStore, videos: list[ExtractedVideo], write: Write, assert_same: AssertSame
) -> None:
    old = store.videos()["v/2"].segment
    write(store, videos[2], superseding=frozenset({"v/2"}))
    assert store.videos()["v/2"].segment != old
    assert [removal.name for removal in compact(store).removed] == [f"segments/{old}"]
    assert_same(store, videos[2])


def test_features_are_exported_from_a_bucket_and_imported_into_one(
    store: FeatureStore, bucket: ObjectPath, videos: list[ExtractedVideo], tmp_path: Path
) -> None:
    report = export_features(store, tmp_path / "out")
    assert (report.num_videos, report.refused) == (3, ())
    for video in videos:
        np.testing.assert_array_equal(np.load(tmp_path / "out" / f"{video.video_id}.npy"), video.features)
    said = Statement("toy", "elsewhere")
    taken = import_features(tmp_path / "out", said, cache=bucket / "imported", tool_versions={})
    assert (taken.num_imported, taken.refused) == (3, {})
    again = FeatureStore.open(taken.store)
    for video in videos:
        assert again.read(video.video_id).features.tobytes() == video.features.tobytes()


def test_a_place_without_a_store_is_said_to_be_one(bucket: ObjectPath) -> None:
    with pytest.raises(StoreMissing, match=f"no store at {bucket}: it has no zarr.json"):
        FeatureStore.open(bucket)
    assert find_stores(bucket) == []


def test_reading_a_large_store_keeps_one_segment_in_memory(store: FeatureStore) -> None:
    for video_id in store.videos():
        store.read(video_id)
    held: dict[str, Any] = store._segments
    assert len(held) == 1


def test_seeing_what_is_committed_takes_as_many_requests_for_many_segments_as_for_few(
    make_store: MakeStore, make_video: MakeVideo, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ObjectPath(f"memory://bucket/{uuid.uuid4()}")
    calls: list[str] = []

    @contextmanager
    def counting(path: ObjectPath) -> Iterator[Any]:
        calls.append(str(path))
        with reported(path) as driver:
            yield driver

    reported = object_store._reported
    counts = []
    for num_videos in (2, 9):
        store = make_store(place / f"{num_videos}.vlp")
        write(store, *(make_video(f"v{number}") for number in range(num_videos)), segment_bytes=1)
        monkeypatch.setattr(object_store, "_reported", counting)
        calls.clear()
        assert len(FeatureStore.open(store.path).videos()) == num_videos
        counts.append(len(calls))
        monkeypatch.undo()
    assert counts[0] == counts[1] <= 4


def test_a_worker_writes_beside_the_holder_of_the_part(
    store: FeatureStore, make_video: MakeVideo, assert_same: AssertSame
) -> None:
    with (
        store.writer(device="cpu", precision="fp32"),
        store.writer(part=None, device="cpu", precision="fp32") as worker,
    ):
        worker.add(make_video("beside"))
    assert_same(FeatureStore.open(store.path), make_video("beside"))
    assert storage.list_names(store.path, "locks") == []


def test_a_long_video_is_sent_in_parts_and_comes_back_whole(
    bucket: ObjectPath,
    tmp_path: Path,
    make_video: MakeVideo,
    make_store: MakeStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """More than is sent, or what the mirror reads, at once."""
    monkeypatch.setattr(object_store, "_PART_BYTES", 6 << 20)
    num_rows = 10_000
    store = make_store(bucket / "a.vlp", num_views=1, embed_dim=1024)
    rows = (np.arange(num_rows * 1024) % 2039).astype(np.float16).reshape(num_rows, 1, 1024)
    with store.writer(device="cpu", precision="fp32") as writer:
        spool = writer.spool()
        spool.append(rows)
        video = make_video("long", num_rows, features=np.zeros((num_rows, 1, 1), np.float16))
        writer.add(ExtractedVideo(**{**vars(video), "features": spool}))
    mirror(FeatureStore.open(store.path), tmp_path / "mirror")
    assert (FeatureStore.open(tmp_path / "mirror").read("long").features == rows).all()
