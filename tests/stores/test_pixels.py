"""Stores of encoded frames: every byte comes back, every damage is found, each frame is decoded without the others."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vlp.stores.errors import LevelMismatch, StoreDamaged
from vlp.stores.features import ExtractedVideo, FeatureStore
from vlp.stores.maintenance import verify
from vlp.stores.mirroring import mirror
from vlp.stores.pixels import PixelStore
from vlp.stores.places import ObjectPath, Place

MEANING = {"level": "pixels", "codec": "lossless", "timeline": "fps:30"}
MakeStore = Callable[..., FeatureStore]


def video_of(video_id: str, pictures: list[bytes], **changes: Any) -> ExtractedVideo:
    sizes = np.array([len(picture) for picture in pictures], dtype=np.int64)
    fields: dict[str, Any] = {
        "video_id": video_id,
        "features": np.frombuffer(b"".join(pictures), dtype=np.uint8),
        "sizes": sizes,
        "pts_seconds": np.arange(len(sizes)) / 30,
        "frame_index": np.arange(len(sizes), dtype=np.int32),
        "num_expected": len(sizes),
        "num_decoded": len(sizes),
        "native_fps": 30.0,
        "duration_seconds": len(sizes) / 30,
        "status": "ok",
        "reason": None,
        "decoder": "pyav",
        "source_sha256": hashlib.sha256(video_id.encode()).hexdigest(),
    }
    return ExtractedVideo(**{**fields, **changes})


def store_at(path: Place, make_store: MakeStore, *videos: ExtractedVideo, **settings: Any) -> PixelStore:
    made = make_store(path, meaning=MEANING, num_views=1, embed_dim=3, precision="uint8")
    with made.writer(**{"device": "cpu", "precision": "uint8", **settings}) as writer:
        for video in videos:
            writer.add(video)
    return PixelStore.open(path)


def frames_of(seed: int, num_frames: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num_frames, height, width, 3), dtype=np.uint8)


def lossless(frame: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "WEBP", lossless=True, method=0)
    return buffer.getvalue()


@given(
    lengths=st.lists(st.lists(st.integers(1, 3000), min_size=1, max_size=6), min_size=1, max_size=5),
    segment_bytes=st.sampled_from([1, 4000, 1 << 20]),
)
def test_every_byte_of_every_frame_comes_back(
    lengths: list[list[int]],
    segment_bytes: int,
    make_store: MakeStore,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    rng = np.random.default_rng(0)
    pictures = {f"v{n}": [rng.bytes(size) for size in sizes] for n, sizes in enumerate(lengths)}
    videos = [video_of(video_id, held) for video_id, held in pictures.items()]
    path = tmp_path_factory.mktemp("store") / "a.vlp"
    store = store_at(path, make_store, *videos, segment_bytes=segment_bytes)
    for video_id, held in pictures.items():
        read = store.read_frames(video_id)
        assert read.sizes.tolist() == [len(picture) for picture in held]
        assert read.data.tobytes() == b"".join(held)
        assert read.entry.num_rows == len(held)
        assert not read.data.flags.writeable
    report = verify(store)
    total = sum(len(picture) + 8 + 4 + 8 for held in pictures.values() for picture in held)
    assert (report.damages, report.num_bytes) == ((), total)


@pytest.fixture
def frames() -> dict[str, np.ndarray]:
    return {"wide": frames_of(0, 5, 24, 40), "tall": frames_of(1, 3, 50, 24)}


@pytest.fixture
def store(tmp_path: Path, make_store: MakeStore, frames: dict[str, np.ndarray]) -> PixelStore:
    videos = [video_of(name, [lossless(frame) for frame in held]) for name, held in frames.items()]
    return store_at(tmp_path / "a.vlp", make_store, *videos)


def test_frames_are_decoded_in_any_order_and_without_the_others(
    store: PixelStore, frames: dict[str, np.ndarray]
) -> None:
    for name, held in frames.items():
        read = store.read_frames(name)
        assert np.array_equal(read.decode(), held)
        assert np.array_equal(read.decode([2, 0, 2]), held[[2, 0, 2]])
        for rows in ([len(held)], [-1], []):
            with pytest.raises(IndexError, match=f"rows of '{name}' go from 0 to {len(held) - 1}"):
                read.decode(rows)


def test_zarr_opens_a_segment(store: PixelStore, frames: dict[str, np.ndarray]) -> None:
    [segment] = (store.path / "segments").glob("part-*")
    group: Any = zarr.open_group(segment, mode="r")
    encoded = b"".join(lossless(frame) for held in frames.values() for frame in held)
    assert group["pixels"][:].tobytes() == encoded
    assert group["rows/offsets"][:].tolist() == [0, 5, 8]
    assert group["rows/sizes"][:].sum() == len(encoded)


@pytest.mark.parametrize("file", ["pixels/c/0", "rows/sizes/c/0", "rows/pts_seconds/c/0", "pixels/zarr.json"])
@pytest.mark.parametrize("place", [0, 0.5, 0.99])
def test_a_flipped_bit_anywhere_is_found_and_the_video_named(
    store: PixelStore, file: str, place: float
) -> None:
    [path] = (store.path / "segments").glob(f"part-*/{file}")
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1
    path.write_bytes(data)
    report = verify(PixelStore.open(store.path))
    assert report.damages
    assert {*report.video_ids} <= {"wide", "tall"}
    for video_id in report.video_ids:
        with pytest.raises(StoreDamaged):
            PixelStore.open(store.path).read_frames(video_id)


@pytest.mark.parametrize("file", ["pixels/c/0", "rows/sizes/c/0"])
def test_a_truncated_or_missing_file_is_found(store: PixelStore, file: str) -> None:
    [path] = (store.path / "segments").glob(f"part-*/{file}")
    path.write_bytes(path.read_bytes()[:-1])
    assert verify(PixelStore.open(store.path)).video_ids == ("tall", "wide")
    path.unlink()
    assert verify(PixelStore.open(store.path)).video_ids == ("tall", "wide")


def test_what_is_no_picture_is_damage_and_names_the_video(tmp_path: Path, make_store: MakeStore) -> None:
    mixed = [lossless(frames_of(0, 1, 24, 40)[0]), lossless(frames_of(0, 1, 24, 44)[0])]
    store = store_at(
        tmp_path / "a.vlp", make_store, video_of("text", [b"no picture"]), video_of("mixed", mixed)
    )
    for video_id in ("text", "mixed"):
        with pytest.raises(StoreDamaged, match=video_id) as caught:
            store.read_frames(video_id).decode()
        assert caught.value.video_ids == (video_id,)
    assert store.read_frames("mixed").decode([1]).shape == (1, 24, 44, 3)


def test_each_level_refuses_to_be_read_as_the_other(
    tmp_path: Path, make_store: MakeStore, make_video: Callable[..., ExtractedVideo], store: PixelStore
) -> None:
    with pytest.raises(LevelMismatch, match="is a store of level pixels, not embedding"):
        FeatureStore.open(store.path).read("wide")
    embeddings = make_store(tmp_path / "b.vlp")
    with embeddings.writer(device="cpu", precision="fp32") as writer:
        writer.add(make_video("a"))
        with pytest.raises(ValueError, match="'b': \\(V, D\\)"):
            writer.add(video_of("b", [b"x"]))
    with pytest.raises(LevelMismatch, match="level embedding, not pixels"):
        PixelStore.open(embeddings.path).read_frames("a")
    with (
        store.writer(device="cpu", precision="uint8") as writer,
        pytest.raises(ValueError, match="'a': \\(V, D\\)"),
    ):
        writer.add(make_video("a"))


def test_a_level_that_is_not_known_is_refused(tmp_path: Path, make_store: MakeStore) -> None:
    with pytest.raises(ValueError, match="level is 'sound'"):
        make_store(tmp_path / "a.vlp", meaning={**MEANING, "level": "sound"})


@pytest.mark.parametrize(
    "changes",
    [
        {"sizes": np.array([2, 2], dtype=np.int64)},
        {"sizes": np.array([3, 0], dtype=np.int64)},
        {"sizes": np.array([4, -1], dtype=np.int64)},
        {"sizes": np.array([1, 2], dtype=np.int32)},
        {"sizes": np.array([3], dtype=np.int64)},
        {"features": np.zeros((3, 1), dtype=np.uint8)},
        {"features": np.zeros(3, dtype=np.float16)},
    ],
)
def test_sizes_must_be_those_of_the_bytes(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="'a': "):
        video_of("a", [b"1", b"22"], **changes)


def test_frames_of_a_bucket_and_of_its_mirror_are_those_that_were_written(
    make_store: MakeStore, tmp_path: Path
) -> None:
    frames = {f"v{number}": frames_of(number, 2 + number, 9, 7) for number in range(3)}
    videos = [video_of(name, [lossless(frame) for frame in each]) for name, each in frames.items()]
    far = store_at(ObjectPath(f"memory://bucket/{tmp_path.name}.vlp"), make_store, *videos, segment_bytes=900)
    path = tmp_path / "a.vlp"
    assert mirror(far, path).damages == ()
    for store in (far, PixelStore.open(path)):
        for name, each in frames.items():
            np.testing.assert_array_equal(store.read_frames(name).decode(), each)
