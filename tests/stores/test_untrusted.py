"""A store made to do harm: it is refused; nothing is executed, allocated or read outside of its folder."""

import json
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlp.stores import sealed
from vlp.stores.errors import StoreDamaged, StoreError, StoreVersion
from vlp.stores.features import ExtractedVideo, FeatureStore
from vlp.stores.maintenance import compact, verify

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def store(
    tmp_path: Path,
    make_store: Callable[..., FeatureStore],
    make_video: Callable[..., ExtractedVideo],
    write: Callable[..., None],
) -> FeatureStore:
    found = make_store(tmp_path / "a.vlp")
    write(found, make_video("a"), make_video("b"))
    (found.path / "index.parquet").unlink()
    return FeatureStore.open(found.path)


def segment_of(store: FeatureStore) -> Path:
    (segment,) = (store.path / "segments").glob("part-*")
    return segment


def forge_commit(segment: Path, change: Change) -> None:
    """Change a commit and give it the checksum that fits."""
    body = sealed.unseal((segment / "commit.json").read_bytes())
    change(body)
    (segment / "commit.json").write_bytes(sealed.seal(body))


def forge_file(segment: Path, name: str, data: bytes) -> None:
    """Change a file of a segment and the commit with it."""
    (segment / name).write_bytes(data)
    forge_commit(segment, lambda body: body["files"].update({name: sealed.crc32c(data)}))


def forge_metadata(segment: Path, name: str, change: Change) -> None:
    metadata = json.loads((segment / name).read_text())
    change(metadata)
    forge_file(segment, name, json.dumps(metadata).encode())


def first(body: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = body["videos"][0]
    return entry


def every_video(**changes: Any) -> Change:
    return lambda body: first(body).update(changes)


COMMITS: dict[str, Change] = {
    "start": every_video(start=1),
    "num_rows": every_video(num_rows=-5),
    "its videos end": lambda body: body.update(num_rows=10**9),
    "num_rows is 10": lambda body: body.update(num_rows=10**30),
    "starts at row": every_video(num_rows=4),
    "status": every_video(status="fine"),
    "video_id": every_video(video_id=["a"]),
    "twice": every_video(video_id="b"),
    "source_sha256": every_video(source_sha256="../../etc/passwd"),
    "features_crc32c": every_video(features_crc32c=1 << 32),
    "native_fps": every_video(native_fps="30"),
    "supersedes": every_video(supersedes=["../../a"]),
    "supersedes is": every_video(supersedes=None),
    "attempts": every_video(attempts=True),
    "another segment": lambda body: body.update(segment="part-0of1-0123456789abcdef"),
    "created": lambda body: body.update(created="yesterday"),
    "files is": lambda body: body.update(files=[]),
    "videos is": lambda body: body.update(videos="none"),
    "its videos": lambda body: body.update(videos=[]),
}


@pytest.mark.parametrize("what", COMMITS)
def test_a_commit_that_cannot_be_is_refused_with_what_is_wrong(what: str, store: FeatureStore) -> None:
    forge_commit(segment_of(store), COMMITS[what])
    assert dict(store.videos()) == {}
    with pytest.raises(StoreDamaged, match=what):
        store.read("a")
    assert what in verify(store).damages[0].what


ARRAYS: dict[str, tuple[str, Change]] = {
    "objects": ("features/zarr.json", lambda data: data.update(data_type="object")),
    "another dtype": ("features/zarr.json", lambda data: data.update(data_type="float64")),
    "an absurd shape": ("features/zarr.json", lambda data: data.update(shape=[10**15, 2, 8])),
    "a codec": (
        "features/zarr.json",
        lambda data: data["codecs"][0]["configuration"]["codecs"].append(
            {"name": "gzip", "configuration": {}}
        ),
    ),
    "an unknown codec": ("rows/offsets/zarr.json", lambda data: data.update(codecs=[{"name": "pickle"}])),
    "another chunk": (
        "features/zarr.json",
        lambda data: data["codecs"][0]["configuration"].update(chunk_shape=[1, 2, 8]),
    ),
    "a transformer": ("features/zarr.json", lambda data: data.update(storage_transformers=[{"name": "x"}])),
    "a key": ("rows/pts_seconds/zarr.json", lambda data: data.update(must_understand="x")),
    "another order of bytes": (
        "rows/frame_index/zarr.json",
        lambda data: data["codecs"][0]["configuration"].update(endian="big"),
    ),
}


@pytest.mark.parametrize("what", ARRAYS)
def test_an_array_of_another_kind_is_refused_and_nothing_allocated(what: str, store: FeatureStore) -> None:
    name, change = ARRAYS[what]
    forge_metadata(segment_of(store), name, change)
    tracemalloc.start()
    with pytest.raises(StoreDamaged, match=name):
        store.read("a")
    assert tracemalloc.get_traced_memory()[1] < 50 << 20
    tracemalloc.stop()


def test_offsets_that_are_not_the_commits_are_refused(store: FeatureStore) -> None:
    name = "rows/offsets/c/0"
    forge_file(segment_of(store), name, (segment_of(store) / name).read_bytes()[::-1])
    with pytest.raises(StoreDamaged, match="rows/offsets are not the commit's"):
        store.read("a")


@pytest.mark.parametrize(
    ("places", "what"),
    [([[0, 0], [0, 0]], "missing or of another size"), ([[320, 320], [0, 320]], "not in order")],
)
def test_a_shard_with_chunks_elsewhere_is_refused(
    places: list[list[int]],
    what: str,
    tmp_path: Path,
    make_store: Callable[..., FeatureStore],
    make_video: Callable[..., ExtractedVideo],
    write: Callable[..., None],
) -> None:
    store = make_store(tmp_path / "b.vlp", embed_dim=1 << 17)
    write(store, make_video("a", 4, shape=(2, 1 << 17)))
    shard = segment_of(store) / "features/c/0/0/0"
    index = np.array(places, dtype="<u8")
    index[index == 320] = 2 << 19
    data = bytearray(shard.read_bytes())
    assert len(data) == 4 * (2 << 18) + 2 * 16 + 4
    data[-36:-4] = index.tobytes()
    data[-4:] = sealed.crc32c(index.tobytes()).to_bytes(4, "little")
    shard.write_bytes(data)
    with pytest.raises(StoreDamaged, match=what):
        FeatureStore.open(store.path).read("a")


def test_a_link_out_of_the_store_is_not_followed(store: FeatureStore, tmp_path: Path) -> None:
    segment = segment_of(store)
    outside = tmp_path / "secret"
    (segment / "features/c/0/0/0").rename(outside)
    (segment / "features/c/0/0/0").symlink_to(outside)
    with pytest.raises(StoreDamaged, match=r"features/c/0/0/0.*leads out of the store"):
        store.read("a")
    (segment / "commit.json").rename(outside)
    (segment / "commit.json").symlink_to(outside)
    assert "leads out of the store" in verify(FeatureStore.open(store.path)).damages[0].what
    assert dict(FeatureStore.open(store.path).videos()) == {}


def test_a_link_to_itself_is_damage(store: FeatureStore) -> None:
    shard = segment_of(store) / "features/c/0/0/0"
    shard.unlink()
    shard.symlink_to(shard)
    with pytest.raises(StoreDamaged, match=r"features/c/0/0/0 is unusable: Too many levels"):
        store.read("a")


def test_a_pipe_in_the_place_of_a_file_does_not_hang(store: FeatureStore) -> None:
    name = segment_of(store) / "rows/offsets/c/0"
    name.unlink()
    os.mkfifo(name)
    with pytest.raises(StoreDamaged, match="is no plain file"):
        store.read("a")
    (store.path / "zarr.json").unlink()
    os.mkfifo(store.path / "zarr.json")
    with pytest.raises(StoreDamaged, match="is no plain file"):
        FeatureStore.open(store.path)


def test_names_that_are_not_ours_are_left_alone(store: FeatureStore) -> None:
    for name in ("segments/notes.txt", "segments/..x", "failures/part-0of1-zz.json", "README"):
        (store.path / name).write_text("mine")
    (store.path / "segments" / "backup").mkdir()
    (store.path / "segments" / "backup" / "commit.json").write_text("{}")
    assert {*store.videos()} == {"a", "b"}
    report = compact(store)
    assert (report.removed, report.in_use) == ((), ())
    assert (store.path / "segments" / "backup" / "commit.json").exists()


ROOTS: dict[str, Change] = {
    "num_views": lambda data: data.update(num_views=10**12),
    "embed_dim": lambda data: data.update(embed_dim=-1),
    "batch_size": lambda data: data.update(batch_size=0.5),
    "dataset": lambda data: data.update(dataset=""),
    "fingerprint": lambda data: data.update(fingerprint="0" * 64),
    "unexpected keyword": lambda data: data.update(surprise=1),
    "schema is": lambda data: data.update(schema="one"),
}


def forge_root(path: Path, change: Change) -> None:
    root = json.loads((path / "zarr.json").read_text())
    attributes = root["attributes"]
    del attributes["crc32c"]
    change(attributes)
    attributes["crc32c"] = sealed.checksum(attributes)
    (path / "zarr.json").write_text(json.dumps(root))


@pytest.mark.parametrize("what", ROOTS)
def test_a_root_that_cannot_be_is_refused(what: str, store: FeatureStore) -> None:
    forge_root(store.path, ROOTS[what])
    with pytest.raises(StoreDamaged, match=what):
        FeatureStore.open(store.path)


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", "[" * 100_000, '{"a": NaN}', '{"zarr_format": 3}', '"\ud800"', "1" * 5000]
)
def test_a_root_that_is_something_else_is_refused(text: str, store: FeatureStore) -> None:
    (store.path / "zarr.json").write_text(text, errors="surrogatepass")
    with pytest.raises(StoreDamaged, match=r"zarr\.json"):
        FeatureStore.open(store.path)


def test_a_later_schema_is_named(store: FeatureStore) -> None:
    forge_root(store.path, lambda data: data.update(schema=2))
    with pytest.raises(StoreVersion, match="schema 2; this version of vlp reads schema 1") as caught:
        FeatureStore.open(store.path)
    assert (caught.value.found, caught.value.known) == (2, 1)
    forge_commit(segment_of(store), lambda body: body.update(schema=2))
    with pytest.raises(StoreVersion, match="schema 2"):
        store.videos()


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 100_000, b'{"schema":1}', b"\xff\xfe", b'{"a":1,"a":2}'])
def test_a_commit_that_is_something_else_is_no_commit(data: bytes, store: FeatureStore) -> None:
    (segment_of(store) / "commit.json").write_bytes(data)
    assert dict(store.videos()) == {}
    with pytest.raises(StoreError, match=r"commit\.json"):
        store.read("a")
