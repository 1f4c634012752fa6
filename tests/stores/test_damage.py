"""A flipped bit, a missing or a truncated file: found by `verify` and by the first read, never read as zeros."""

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlp.stores.errors import StoreDamaged, VideoMissing
from vlp.stores.features import ExtractedVideo, FeatureStore
from vlp.stores.maintenance import verify

MakeVideo = Callable[..., ExtractedVideo]
AssertSame = Callable[[FeatureStore, ExtractedVideo], None]

FILES = [
    "zarr.json",
    "commit.json",
    "features/zarr.json",
    "features/c/0/0/0",
    "rows/zarr.json",
    "rows/pts_seconds/zarr.json",
    "rows/pts_seconds/c/0",
    "rows/frame_index/zarr.json",
    "rows/frame_index/c/0",
    "rows/offsets/zarr.json",
    "rows/offsets/c/0",
]
VIDEOS = {"a": 1100, "b": 1200, "c": 1001}  # 3301 rows of 1 KiB: 4 chunks of 826, 3 rows of padding


@pytest.fixture(scope="module")
def template(
    tmp_path_factory: pytest.TempPathFactory,
    make_store: Callable[..., FeatureStore],
    make_video: MakeVideo,
    write: Callable[..., None],
) -> Path:
    path = tmp_path_factory.mktemp("template") / "a.vlp"
    store = make_store(path, embed_dim=256)
    write(store, *(make_video(name, rows, shape=(2, 256)) for name, rows in VIDEOS.items()))
    write(store, make_video("other", 3, shape=(2, 256)), part=(1, 2))
    return path


@pytest.fixture
def store(template: Path, tmp_path: Path) -> FeatureStore:
    shutil.copytree(template, tmp_path / "a.vlp")
    return FeatureStore.open(tmp_path / "a.vlp")


def segment_of(store: FeatureStore, video_id: str = "a") -> Path:
    return store.path / "segments" / FeatureStore.open(store.path).videos()[video_id].segment


def test_the_files_that_are_damaged_here_are_all_there_are(store: FeatureStore) -> None:
    segment = segment_of(store)
    assert sorted(FILES) == sorted(
        str(path.relative_to(segment)) for path in segment.rglob("*") if path.is_file()
    )
    report = verify(store)
    assert (report.damages, report.leftovers, report.num_segments, report.num_videos) == ((), (), 2, 4)
    assert report.num_bytes == 3304 * (1024 + 12)


def flip(path: Path, position: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1 << bit
    path.write_bytes(data)


def first_damage(store: FeatureStore, video_id: str) -> StoreDamaged | None:
    try:
        store.read(video_id)
    except StoreDamaged as error:
        return error
    return None


DAMAGES: dict[str, Callable[[Path], None]] = {
    "flipped": lambda path: flip(path, path.stat().st_size // 2),
    "missing": lambda path: path.unlink(),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "emptied": lambda path: path.write_bytes(b""),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"\n"),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_damage_is_found_by_verify_and_by_the_first_read(
    name: str, damage: str, store: FeatureStore, make_video: MakeVideo, assert_same: AssertSame
) -> None:
    store.videos()
    segment = segment_of(store)
    DAMAGES[damage](segment / name)
    hit = set()
    for reader in (store, FeatureStore.open(store.path)):
        for video_id in VIDEOS:
            error = first_damage(reader, video_id)
            if error:
                assert (error.path, error.segment) == (store.path, segment.name)
                hit.add(video_id)
    in_rows = name in {"features/c/0/0/0", "rows/pts_seconds/c/0", "rows/frame_index/c/0"}
    assert hit == ({"b"} if damage == "flipped" and in_rows else {*VIDEOS})
    report = verify(store)
    assert {damaged.segment for damaged in report.damages} == {segment.name}
    assert {*report.video_ids} == hit
    assert_same(FeatureStore.open(store.path), make_video("other", 3, shape=(2, 256)))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_commit_is_no_commit_without_the_index(damage: str, store: FeatureStore) -> None:
    segment = segment_of(store)
    DAMAGES[damage](segment / "commit.json")
    (store.path / "index.parquet").unlink()
    reader = FeatureStore.open(store.path)
    assert {*reader.videos()} == {"other"}
    expected = VideoMissing if damage == "missing" else StoreDamaged
    with pytest.raises(expected, match="'a'"):
        reader.read("a")
    report = verify(reader)
    if damage == "missing":  # nothing is left that says that there was a commit
        assert report.leftovers == (f"segments/{segment.name}",)
    else:
        assert [damaged.segment for damaged in report.damages] == [segment.name]
        assert "commit.json" in report.damages[0].what


def test_a_segment_that_vanished_is_known_from_the_index(store: FeatureStore) -> None:
    segment = segment_of(store)
    shutil.rmtree(segment)
    report = verify(store)
    assert [(damaged.segment, damaged.video_ids) for damaged in report.damages] == [
        (segment.name, (*VIDEOS,))
    ]
    with pytest.raises(StoreDamaged, match=r"commit\.json is missing \(videos b\)"):
        FeatureStore.open(store.path).read("b")


def test_a_folder_of_chunks_that_vanished_reads_as_damage_not_as_zeros(store: FeatureStore) -> None:
    shutil.rmtree(segment_of(store) / "features" / "c")
    with pytest.raises(StoreDamaged, match=r"features/c is missing \(videos a, b, c\)"):
        store.read("b")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_bit_of_any_file_is_found_and_named(data: st.DataObject, template: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.vlp"
        shutil.copytree(template, path)
        segment = segment_of(FeatureStore.open(path))
        name = data.draw(st.sampled_from(FILES))
        position = data.draw(st.integers(0, (segment / name).stat().st_size - 1))
        flip(segment / name, position, data.draw(st.integers(0, 7)))
        report = verify(FeatureStore.open(path))
        assert report.damages != ()
        assert {damaged.segment for damaged in report.damages} == {segment.name}
        if name == "features/c/0/0/0" and position < 3301 * 1024:
            row = position // 1024
            assert report.video_ids == ("a" if row < 1100 else "b" if row < 2300 else "c",)
        hit = {video_id for video_id in VIDEOS if first_damage(FeatureStore.open(path), video_id)}
        assert hit == {*report.video_ids}


def test_a_file_cut_short_after_it_was_opened_is_found_before_it_is_touched(store: FeatureStore) -> None:
    store.read("a")
    shard = segment_of(store) / "features/c/0/0/0"
    with shard.open("r+b") as file:
        file.truncate(1024)
    with pytest.raises(StoreDamaged, match="features/c/0/0/0 has 1024 bytes, not ") as caught:
        store.read("c")
    assert caught.value.video_ids == ("c",)


def test_a_video_is_checked_once(store: FeatureStore) -> None:
    first = store.read("a")
    flip(segment_of(store) / "rows/pts_seconds/c/0", 0)
    store.read("a")
    with pytest.raises(StoreDamaged, match="pts_seconds or frame_index do not match"):
        FeatureStore.open(store.path).read("a")
    assert first.features.shape == (1100, 2, 256)


@pytest.mark.parametrize("damage", ["flipped", "truncated", "emptied"])
def test_a_damaged_root_is_refused(damage: str, store: FeatureStore) -> None:
    DAMAGES[damage](store.path / "zarr.json")
    with pytest.raises(StoreDamaged, match=r"zarr\.json ") as caught:
        FeatureStore.open(store.path)
    assert caught.value.segment is None


def test_a_changed_root_is_refused_though_it_is_json(store: FeatureStore) -> None:
    root = json.loads((store.path / "zarr.json").read_text())
    root["attributes"]["embed_dim"] = 128
    (store.path / "zarr.json").write_text(json.dumps(root))
    with pytest.raises(StoreDamaged, match="does not match its checksum"):
        FeatureStore.open(store.path)


def test_a_failure_file_that_is_damaged_only_means_one_more_attempt(store: FeatureStore) -> None:
    (store.path / "failures" / "part-0of1-0123456789abcdef.json").write_text("{")
    assert dict(store.failures()) == {}
    assert len(store.videos()) == 4


def test_progress_is_told_by_segment(store: FeatureStore) -> None:
    told: list[tuple[int, int]] = []
    verify(store, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 2), (1, 2), (2, 2)]
