"""What is written is what is read: values, rows and what is known of each video."""

import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlp.stores import arrays
from vlp.stores.errors import StoreMismatch, StoreMissing, VideoMissing
from vlp.stores.features import ExtractedVideo, FailedVideo, FeatureStore

MakeVideo = Callable[..., ExtractedVideo]
MakeStore = Callable[..., FeatureStore]
Write = Callable[..., None]
AssertSame = Callable[[FeatureStore, ExtractedVideo], None]


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=7),
    shape=st.tuples(st.integers(1, 3), st.integers(1, 9)),
    segment_bytes=st.sampled_from([1, 300, 2000, 1 << 20]),
    index=st.sampled_from(["kept", "deleted", "stale", "garbage", "cut"]),
    order=st.randoms(use_true_random=False),
)
def test_any_videos_in_any_segments_come_back(
    lengths: list[int],
    shape: tuple[int, int],
    segment_bytes: int,
    index: str,
    order: Any,
    make_video: MakeVideo,
    make_store: MakeStore,
    write: Write,
    assert_same: AssertSame,
) -> None:
    videos = [make_video(f"v/{number}", rows, shape=shape) for number, rows in enumerate(lengths)]
    order.shuffle(videos)
    half = len(videos) // 2
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.vlp"
        store = make_store(path, num_views=shape[0], embed_dim=shape[1])
        write(store, *videos[:half], segment_bytes=segment_bytes)
        shutil.copy(path / "index.parquet", path / "older")
        write(store, *videos[half:], segment_bytes=segment_bytes)
        spoil_index(path, index, order)
        reopened = FeatureStore.open(path)
        assert {*reopened.videos()} == {video.video_id for video in videos}
        for video in videos:
            assert_same(reopened, video)
            assert_same(store, video)


def spoil_index(path: Path, how: str, order: Any) -> None:
    index = path / "index.parquet"
    data = bytearray(index.read_bytes())
    if how == "deleted":
        index.unlink()
    elif how == "stale":
        (path / "older").replace(index)
    elif how == "garbage":
        data[order.randrange(len(data))] ^= 1 << order.randrange(8)
        index.write_bytes(data)
    elif how == "cut":
        index.write_bytes(data[: order.randrange(len(data))])


def test_zarr_itself_opens_the_store_and_reads_equal_values(
    tmp_path: Path, make_video: MakeVideo, make_store: MakeStore, write: Write
) -> None:
    videos = [make_video(f"v{number}", 400, shape=(2, 512)) for number in range(3)]
    store = make_store(tmp_path / "a.vlp", embed_dim=512)
    write(store, *videos)
    root = zarr.open_group(store.path, mode="r")
    assert root.attrs["fingerprint"] == store.fingerprint
    (name,) = [name for name, _ in root["segments"].groups()]
    segment: Any = root["segments"][name]
    assert segment["features"].dtype == np.float16
    np.testing.assert_array_equal(segment["features"][:], np.concatenate([v.features for v in videos]))
    np.testing.assert_array_equal(
        segment["rows/pts_seconds"][:], np.concatenate([v.pts_seconds for v in videos])
    )
    np.testing.assert_array_equal(
        segment["rows/frame_index"][:], np.concatenate([v.frame_index for v in videos])
    )
    assert segment["rows/offsets"][:].tolist() == [0, 400, 800, 1200]


def test_the_features_of_a_segment_are_the_first_bytes_of_one_file_in_chunks_of_half_to_one_mib(
    tmp_path: Path, make_video: MakeVideo, make_store: MakeStore, write: Write
) -> None:
    videos = [make_video(f"v{number}", 701, shape=(2, 512)) for number in range(3)]
    store = make_store(tmp_path / "a.vlp", embed_dim=512)
    write(store, *videos)
    (folder,) = (store.path / "segments").glob("part-*")
    assert [path.name for path in (folder / "features").rglob("*") if path.is_file()].count("0") == 1
    mapped = np.memmap(folder / "features/c/0/0/0", dtype="<f2", mode="r", shape=(2103, 2, 512))
    np.testing.assert_array_equal(mapped, np.concatenate([video.features for video in videos]))
    array: Any = zarr.open_array(folder / "features", mode="r")
    assert 1 << 19 <= math.prod(array.chunks) * 2 <= 1 << 20
    assert array.compressors == ()


@given(num_rows=st.integers(1, 200_000), row_bytes=st.integers(2, 1 << 21))
def test_chunks_hold_half_to_one_mib_where_rows_allow_and_pad_little(num_rows: int, row_bytes: int) -> None:
    rows = arrays.chunk_rows(num_rows, row_bytes)
    chunks = math.ceil(num_rows / rows)
    assert 1 <= rows <= num_rows
    assert rows * row_bytes <= 1 << 20 or rows == 1
    assert rows * chunks - num_rows < chunks
    if num_rows * row_bytes >= 1 << 20 and row_bytes <= 1 << 12:
        assert rows * row_bytes >= 1 << 19


def test_a_segment_closes_when_it_is_full(
    tmp_path: Path, make_video: MakeVideo, make_store: MakeStore, assert_same: AssertSame
) -> None:
    videos = [make_video(f"v{number}", 10) for number in range(7)]  # 10 x (2 x 8 x 2 + 12) = 440 bytes each
    store = make_store(tmp_path / "a.vlp")
    with store.writer(device="cpu", precision="fp32", segment_bytes=1000) as writer:
        for video in videos:
            writer.add(video)
        assert writer.num_commits == 3
        assert len(FeatureStore.open(store.path).videos()) == 6
    assert writer.num_commits == 4
    sizes = [path.stat().st_size for path in (store.path / "segments").glob("part-*/**/*") if path.is_file()]
    assert writer.bytes_written == sum(sizes)
    for video in videos:
        assert_same(store, video)


def test_a_segment_closes_when_its_first_video_has_waited(
    tmp_path: Path, make_video: MakeVideo, make_store: MakeStore
) -> None:
    with make_store(tmp_path / "a.vlp").writer(device="cpu", precision="fp32", segment_seconds=0.0) as writer:
        for number in range(3):
            writer.add(make_video(f"v{number}"))
            assert writer.num_commits == number + 1


def test_a_video_larger_than_a_segment_has_one_of_its_own(
    tmp_path: Path, make_video: MakeVideo, make_store: MakeStore, write: Write, assert_same: AssertSame
) -> None:
    videos = [make_video("small", 1), make_video("large", 500), make_video("last", 1)]
    store = make_store(tmp_path / "a.vlp")
    write(store, *videos, segment_bytes=1000)
    assert store.read("large").entry.start == 0
    for video in videos:
        assert_same(store, video)


def test_the_writer_copies_what_it_takes(
    tmp_path: Path, make_video: MakeVideo, make_store: MakeStore, assert_same: AssertSame
) -> None:
    video, buffer = make_video("a"), make_video("a")
    with make_store(tmp_path / "a.vlp").writer(device="cpu", precision="fp32") as writer:
        writer.add(buffer)
        buffer.features[:] = 0
        buffer.frame_index[:] = 0
    assert_same(FeatureStore.open(tmp_path / "a.vlp"), video)


def test_an_exception_in_the_body_keeps_every_whole_video(
    tmp_path: Path, make_video: MakeVideo, make_store: MakeStore, assert_same: AssertSame
) -> None:
    store = make_store(tmp_path / "a.vlp")

    def interrupted() -> None:
        with store.writer(device="cpu", precision="fp32") as writer:
            writer.add(make_video("a"))
            writer.fail(FailedVideo("b", "missing", "", 1))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert_same(FeatureStore.open(store.path), make_video("a"))
    assert [*store.failures()] == ["b"]
    store.writer(device="cpu", precision="fp32").close()  # the part is free


def test_a_reopened_store_says_what_it_was_made_with(tmp_path: Path, make_store: MakeStore) -> None:
    made = make_store(tmp_path / "a.vlp", batch_size=16, precision="bf16")
    again = make_store(tmp_path / "a.vlp", batch_size=64, precision="fp32")  # its own batch shape stays
    for store in (made, again, FeatureStore.open(tmp_path / "a.vlp")):
        assert (store.dataset, store.model, store.pretrained) == ("toy", "ViT-B-16", "openai")
        assert (store.num_views, store.embed_dim, store.batch_size, store.precision) == (2, 8, 16, "bf16")
        assert store.meaning["preprocess"] == {"size": 224, "mean": [0.5, 0.25]}
        assert store.description.created == made.description.created


def test_a_smaller_batch_is_recorded(tmp_path: Path, make_video: MakeVideo, make_store: MakeStore) -> None:
    store = make_store(tmp_path / "a.vlp")
    with store.writer(device="cuda:1", precision="bf16") as writer:
        writer.add(make_video("a"))
        writer.flush()
        writer.record_batch_size(16)
        writer.add(make_video("b"))
    entries = store.videos()
    assert [entries[name].batch_size for name in "ab"] == [32, 16]
    assert (entries["a"].device, entries["a"].precision) == ("cuda:1", "bf16")


def test_another_meaning_or_name_is_refused_with_the_differences(
    tmp_path: Path, make_store: MakeStore
) -> None:
    make_store(tmp_path / "a.vlp", meaning={"size": 224})
    with pytest.raises(StoreMismatch, match="size: 224 here, 336 asked") as caught:
        make_store(tmp_path / "a.vlp", meaning={"size": 336})
    assert caught.value.differences == ("size: 224 here, 336 asked",)
    with pytest.raises(StoreMismatch, match='dataset: "toy" here, "ucf101" asked'):
        make_store(tmp_path / "a.vlp", meaning={"size": 224}, dataset="ucf101")


def test_what_is_not_there_is_named(
    tmp_path: Path, make_video: MakeVideo, make_store: MakeStore, write: Write
) -> None:
    with pytest.raises(StoreMissing, match="no store at"):
        FeatureStore.open(tmp_path / "none.vlp")
    store = make_store(tmp_path / "a.vlp")
    assert dict(store.videos()) == {}
    write(store, make_video("a"))
    with pytest.raises(VideoMissing, match="no features of 'b' \\(it holds 1 videos\\)"):
        store.read("b")


def test_reading_loads_no_zarr_and_opening_no_pyarrow(
    tmp_path: Path, make_video: MakeVideo, make_store: MakeStore, write: Write
) -> None:
    write(make_store(tmp_path / "a.vlp"), make_video("a"))
    script = (
        "import sys; from pathlib import Path; from vlp.stores.features import FeatureStore\n"
        "store = FeatureStore.open(Path(sys.argv[1])); assert 'pyarrow' not in sys.modules\n"
        "assert store.read('a').features.shape == (5, 2, 8); assert 'zarr' not in sys.modules\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.vlp")], check=True, timeout=120)
