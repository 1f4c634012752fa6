"""`mirror`: a store of a bucket on the local disk, bit by bit, whatever happens on the way."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlp.stores import mirroring, object_store, storage
from vlp.stores.errors import StoreFull, StoreMismatch
from vlp.stores.features import ExtractedVideo, FailedVideo, FeatureStore
from vlp.stores.index import read_index
from vlp.stores.maintenance import compact, verify
from vlp.stores.mirroring import mirror
from vlp.stores.places import ObjectPath

DRIVER = Path(__file__).with_name("bucket_driver.py")
SHARD = "features/c/0/0/0"
MakeVideo = Callable[..., ExtractedVideo]
MakeStore = Callable[..., FeatureStore]
Write = Callable[..., None]
AssertSame = Callable[[FeatureStore, ExtractedVideo], None]


@pytest.fixture
def videos(make_video: MakeVideo) -> list[ExtractedVideo]:
    return [make_video(f"v/{number}", 4 + number) for number in range(3)]


@pytest.fixture
def source(bucket: ObjectPath, make_store: MakeStore, videos: list[ExtractedVideo]) -> FeatureStore:
    """Three videos in three segments, and one that failed."""
    store = make_store(bucket / "a.vlp")
    with store.writer(device="cpu", precision="fp32", segment_bytes=1) as writer:
        writer.fail(FailedVideo("broken", "damaged", "no frame", 1))
        for video in videos:
            writer.add(video)
    return store


def segments(store: FeatureStore) -> set[str]:
    return {*store.catalog().index.segments}


def test_a_mirror_is_the_store_and_a_second_call_copies_nothing(
    source: FeatureStore, videos: list[ExtractedVideo], tmp_path: Path, assert_same: AssertSame
) -> None:
    seen: list[tuple[int, int]] = []
    report = mirror(source, tmp_path / "a.vlp", lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert (report.num_copied, report.num_present, report.num_failures, report.damages) == (3, 0, 1, ())
    copy = FeatureStore.open(tmp_path / "a.vlp")
    assert copy.description == source.description
    assert segments(copy) == segments(source) == {*read_index(copy.path, copy.fingerprint).segments}
    assert dict(copy.failures()) == dict(source.failures())
    assert dict(copy.videos()) == dict(source.videos())
    for video in videos:
        assert_same(copy, video)
    assert (verify(copy).damages, verify(copy).leftovers) == ((), ())
    again = mirror(source, tmp_path / "a.vlp")
    assert (again.num_copied, again.num_present, again.num_failures, again.num_bytes) == (0, 3, 0, 0)


def test_only_what_is_new_is_copied_and_what_was_compacted_away_counts_no_more(
    source: FeatureStore, tmp_path: Path, make_video: MakeVideo, write: Write, assert_same: AssertSame
) -> None:
    mirror(source, tmp_path / "a.vlp")
    old = source.videos()["v/1"].segment
    write(source, make_video("v/1", 9), make_video("new"), superseding=frozenset({"v/1"}))
    compact(source)
    report = mirror(source, tmp_path / "a.vlp")
    assert (report.num_copied, report.num_present) == (1, 3)
    copy = FeatureStore.open(tmp_path / "a.vlp")
    assert_same(copy, make_video("v/1", 9))
    assert_same(copy, make_video("new"))
    assert segments(copy) == segments(source) | {old}
    assert [removal.name for removal in compact(copy).removed] == [f"segments/{old}"]
    assert dict(copy.videos()) == dict(source.videos())


@pytest.mark.parametrize("number", [pytest.param(1, marks=pytest.mark.full), 3])
def test_a_killed_pull_is_gone_on_with(
    number: int, source: FeatureStore, videos: list[ExtractedVideo], tmp_path: Path, assert_same: AssertSame
) -> None:
    path = tmp_path / "a.vlp"
    command = [sys.executable, str(DRIVER), "pull", str(source.path), str(path), str(number)]
    reader = {**os.environ, "AWS_ACCESS_KEY_ID": "reader"}  # who pulls needs no more rights than to read
    assert subprocess.run(command, check=False, timeout=240, env=reader).returncode == -signal.SIGKILL
    half = FeatureStore.open(path)
    assert len(half.videos()) < number  # the commits before it had begun, in threads of their own
    for video_id in half.videos():
        assert_same(half, next(video for video in videos if video.video_id == video_id))
    num_present = len(half.videos())
    report = mirror(source, path)
    assert (report.num_copied, report.num_present) == (3 - num_present, num_present)
    for video in videos:
        assert_same(FeatureStore.open(path), video)
    compact(FeatureStore.open(path))
    assert verify(FeatureStore.open(path)).leftovers == ()


def test_answers_that_are_cut_short_are_asked_for_again(
    source: FeatureStore,
    videos: list[ExtractedVideo],
    tmp_path: Path,
    bucket_server: Any,
    cutting: Callable[..., Any],
    assert_same: AssertSame,
) -> None:
    cuts = [
        (rf"GET \S*{SHARD}", 1, "half"),
        (r"GET \S*commit.json", 2, "answer"),
        (r"GET \S*list-type", 2, "half"),
    ]
    proxy = cutting(bucket_server.host, cuts, lasting=False)
    command = [sys.executable, str(DRIVER), "pull", str(source.path), str(tmp_path / "a.vlp")]
    through = {**os.environ, "AWS_ENDPOINT_URL": proxy.url}
    pulled = subprocess.run(command, check=False, timeout=240, env=through, capture_output=True, text=True)
    assert (pulled.returncode, pulled.stderr) == (0, "")
    assert proxy.has_cut
    for video in videos:
        assert_same(FeatureStore.open(tmp_path / "a.vlp"), video)


def test_what_is_damaged_in_the_bucket_is_named_and_the_rest_is_copied(
    source: FeatureStore, tmp_path: Path, make_video: MakeVideo, assert_same: AssertSame
) -> None:
    by_video = {video_id: entry.segment for video_id, entry in source.videos().items()}
    flipped = f"segments/{by_video['v/0']}/{SHARD}"
    data = bytearray(storage.read_bytes(source.path, flipped, limit=1 << 20))
    data[3] ^= 1
    object_store.put(source.path, flipped, bytes(data))
    storage.remove(source.path, f"segments/{by_video['v/1']}/rows/offsets/c/0")
    report = mirror(source, tmp_path / "a.vlp")
    found = {damage.segment: (damage.video_ids, damage.what) for damage in report.damages}
    assert found == {
        by_video["v/0"]: (("v/0",), "features do not match their checksum"),
        by_video["v/1"]: (("v/1",), "rows/offsets/c/0 is missing"),
    }
    assert report.num_copied == 1
    copy = FeatureStore.open(tmp_path / "a.vlp")
    assert [*copy.videos()] == ["v/2"]
    assert (verify(copy).damages, verify(copy).leftovers) == ((), ())
    data[3] ^= 1
    object_store.put(source.path, flipped, bytes(data))
    assert mirror(source, tmp_path / "a.vlp").num_copied == 1
    assert_same(FeatureStore.open(tmp_path / "a.vlp"), make_video("v/0", 4))


def test_a_commit_that_cannot_be_read_is_named(source: FeatureStore, tmp_path: Path) -> None:
    name = source.videos()["v/0"].segment
    object_store.put(source.path, f"segments/{name}/commit.json", b"{}")
    report = mirror(FeatureStore.open(source.path), tmp_path / "a.vlp")
    assert [damage.segment for damage in report.damages] == [name]
    assert report.num_copied == 2


def test_a_damaged_commit_of_the_mirror_is_copied_anew(source: FeatureStore, tmp_path: Path) -> None:
    mirror(source, tmp_path / "a.vlp")
    name = source.videos()["v/0"].segment
    (tmp_path / "a.vlp/segments" / name / "commit.json").write_text("{}")
    assert mirror(source, tmp_path / "a.vlp").num_copied == 1
    assert dict(FeatureStore.open(tmp_path / "a.vlp").videos()) == dict(source.videos())


def test_a_segment_that_is_compacted_away_during_the_pull_is_no_damage(
    source: FeatureStore,
    tmp_path: Path,
    make_video: MakeVideo,
    write: Write,
    assert_same: AssertSame,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copy_all = mirroring._Copying._copy_all

    def compacted_first(*arguments: Any) -> Any:
        monkeypatch.undo()
        write(source, make_video("v/1", 9), superseding=frozenset({"v/1"}))
        compact(FeatureStore.open(source.path))
        return copy_all(*arguments)

    monkeypatch.setattr(mirroring._Copying, "_copy_all", compacted_first)
    report = mirror(source, tmp_path / "a.vlp")
    assert (report.num_copied, report.damages) == (3, ())
    assert_same(FeatureStore.open(tmp_path / "a.vlp"), make_video("v/1", 9))


def test_a_store_of_other_features_is_refused(
    source: FeatureStore, tmp_path: Path, make_store: MakeStore
) -> None:
    other = make_store(tmp_path / "a.vlp", meaning={"size": 336})
    with pytest.raises(StoreMismatch, match="holds other features than asked for"):
        mirror(source, tmp_path / "a.vlp")
    assert dict(other.videos()) == {}


def test_a_disk_that_is_too_small_is_said_to_be_before_anything_is_copied(
    source: FeatureStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "free_bytes", lambda _: 100)
    with pytest.raises(StoreFull):
        mirror(source, tmp_path / "a.vlp")
    assert dict(FeatureStore.open(tmp_path / "a.vlp").videos()) == {}


@settings(max_examples=10)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    segment_bytes=st.sampled_from([1, 700, 1 << 20]),
    name=st.uuids(),
)
def test_any_store_of_any_driver_is_mirrored(
    lengths: list[int],
    segment_bytes: int,
    name: object,
    tmp_path_factory: pytest.TempPathFactory,
    make_video: MakeVideo,
    make_store: MakeStore,
    write: Write,
    assert_same: AssertSame,
) -> None:
    videos = [make_video(f"v/{number}", rows) for number, rows in enumerate(lengths)]
    store = make_store(ObjectPath(f"memory://bucket/{name}/{tmp_path_factory.mktemp('m').name}.vlp"))
    write(store, *videos[:2], segment_bytes=segment_bytes)
    write(store, *videos[2:], segment_bytes=segment_bytes)
    path = tmp_path_factory.mktemp("mirror") / "a.vlp"
    mirror(store, path)
    for video in videos:
        assert_same(store, video)
        assert_same(FeatureStore.open(path), video)
    storage.remove(store.path, "index.parquet")
    assert {*FeatureStore.open(store.path).videos()} == {video.video_id for video in videos}
    assert verify(store).damages == ()
