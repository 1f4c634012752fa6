"""Exported features are the store's own bits, stay inside their folder, and are gone on with after a kill."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlp.stores import storage
from vlp.stores.errors import ExportInTheWay, PartLocked, StoreDamaged, StoreUnwritable
from vlp.stores.export import PARQUET, SIDECAR, can_name_a_file, export_features
from vlp.stores.features import ExtractedVideo, FeatureStore
from vlp.stores.importing import Statement, import_features
from vlp.stores.locks import UnitLock
from vlp.stores.maintenance import compact

MakeVideo = Callable[..., ExtractedVideo]
MakeStore = Callable[..., FeatureStore]
Write = Callable[..., None]


@pytest.fixture
def store(tmp_path: Path, make_store: MakeStore, make_video: MakeVideo, write: Write) -> FeatureStore:
    made = make_store(tmp_path / "a.vlp")
    write(made, make_video("walk/a"), make_video("walk/b", 9))
    write(made, make_video("run/c", 3, status="short", reason="truncated"), part=(1, 2))
    return FeatureStore.open(made.path)


def files(folder: Path) -> set[str]:
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return found - {"locks/export.lock"}


PARTS = st.text(
    st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="/"), min_size=1, max_size=8
)
IDS = (  # files whose names begin with a dot are passed over by an import
    st.lists(PARTS.filter(lambda part: not part.startswith(".")), min_size=1, max_size=3)
    .map("/".join)
    .filter(can_name_a_file)
)


@given(
    lengths=st.dictionaries(IDS, st.integers(1, 7), min_size=1, max_size=5),
    num_views=st.integers(1, 3),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=10)
def test_features_that_are_exported_and_imported_are_equal_to_the_bit(
    lengths: dict[str, int],
    num_views: int,
    seed: int,
    make_store: MakeStore,
    make_video: MakeVideo,
    write: Write,
) -> None:
    random = np.random.default_rng(seed)
    names = [name for name in lengths if not any(other.startswith(f"{name}.npy/") for other in lengths)]
    bits = {
        name: random.integers(0, 0x7C00, (lengths[name], num_views, 4), dtype=np.uint16).view(np.float16)
        for name in names
    }
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder, "a.vlp"), num_views=num_views, embed_dim=4)
        videos = [
            make_video(name, lengths[name], shape=(num_views, 4), features=bits[name]) for name in names
        ]
        write(store, *videos)
        report = export_features(store, Path(folder, "out"))
        assert (report.num_videos, report.refused) == (len(names), ())
        said = Statement("toy", "M", timeline="fps:30", rate_fps=30.0)
        imported = import_features(Path(folder, "out"), said, cache=Path(folder, "cache"), tool_versions={})
        assert (imported.num_imported, dict(imported.refused)) == (len(names), {})
        there = FeatureStore.open(imported.store)
        assert {*there.videos()} == {*names}
        for name in there.videos():
            assert there.read(name).features.tobytes() == bits[name].tobytes()


def test_one_view_is_a_matrix_and_the_sidecars_say_what_it_is(
    tmp_path: Path, make_store: MakeStore, make_video: MakeVideo, write: Write
) -> None:
    store = make_store(tmp_path / "a.vlp", num_views=1)
    video = make_video("walk/a", 6, shape=(1, 8))
    write(store, video)
    export_features(store, tmp_path / "out")
    read = np.load(tmp_path / "out/walk/a.npy", allow_pickle=False)
    assert (read.dtype, read.shape) == (np.float16, (6, 8))
    assert read.tobytes() == video.features.tobytes()
    times = json.loads((tmp_path / "out/walk/a.times.json").read_text())
    assert times["pts_seconds"] == video.pts_seconds.tolist()
    assert times["frame_index"] == video.frame_index.tolist()
    assert (times["video_id"], times["native_fps"], times["status"]) == ("walk/a", 29.97, "ok")
    about = json.loads((tmp_path / "out" / SIDECAR).read_text())
    assert (about["fps"], about["timeline"], about["fingerprint"]) == ("30", "fps:30", store.fingerprint)
    assert (about["complete"], about["num_videos"], about["axes"]) == (True, 1, ["frame", "dimension"])


def test_several_views_keep_their_axis(tmp_path: Path, store: FeatureStore) -> None:
    report = export_features(store, tmp_path / "out")
    assert (report.num_videos, report.num_rows) == (3, 17)
    assert np.load(tmp_path / "out/walk/b.npy").shape == (9, 2, 8)
    assert len(files(tmp_path / "out")) == 7


def test_a_second_export_writes_nothing_and_a_spoilt_file_is_written_anew(
    tmp_path: Path, store: FeatureStore
) -> None:
    first = export_features(store, tmp_path / "out")
    assert export_features(store, tmp_path / "out").num_files == 2  # the sidecar: not complete, then complete
    whole = (tmp_path / "out/walk/a.npy").read_bytes()
    (tmp_path / "out/walk/a.npy").write_bytes(whole[:-1])
    (tmp_path / "out/run/c.npy").unlink()
    assert export_features(store, tmp_path / "out").num_files == 4
    assert (tmp_path / "out/walk/a.npy").read_bytes() == whole
    assert first.num_files == 8


KILLED = """
import os, signal, sys
from pathlib import Path
from vlp.stores.export import export_features
from vlp.stores.features import FeatureStore
calls = [0]
replace = os.replace
def dying(*names):
    calls[0] += 1
    if calls[0] == int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)
    return replace(*names)
os.replace = dying
export_features(FeatureStore.open(Path(sys.argv[1])), Path(sys.argv[2]), file_format=sys.argv[3])
"""


@pytest.mark.parametrize(("file_format", "call"), [("npy", 1), ("npy", 4), ("npy", 8), ("parquet", 2)])
def test_a_killed_export_goes_on_and_ends_as_one_that_nobody_disturbed(
    file_format: str, call: int, tmp_path: Path, store: FeatureStore
) -> None:
    export_features(store, tmp_path / "whole", file_format=file_format)
    command = [sys.executable, "-c", KILLED, str(store.path), str(tmp_path / "out"), file_format, str(call)]
    assert subprocess.run(command, check=False, timeout=120).returncode == -signal.SIGKILL
    assert [*(tmp_path / "out").rglob("*.partial")]
    export_features(store, tmp_path / "out", file_format=file_format)
    assert files(tmp_path / "out") == files(tmp_path / "whole")
    for name in files(tmp_path / "whole"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


HOSTILE_IDS = [
    *("../outside", "/etc/outside", "a/../../outside", "..", ".", "a//b", "a/", "/", "tab\tid", "new\nline"),
    *("x.npy/y", "vlp-export.json/y", "locks/export", "n" * 300, "\x00"),
    *("good.npy.export.partial/x", "/".join(["n" * 100] * 11)),
]


def test_ids_that_lead_elsewhere_are_refused_and_the_rest_is_exported(
    tmp_path: Path, make_store: MakeStore, make_video: MakeVideo, write: Write
) -> None:
    store = make_store(tmp_path / "inner" / "a.vlp")
    write(store, make_video("good"), *(make_video(name) for name in HOSTILE_IDS))
    before = files(tmp_path)
    report = export_features(store, tmp_path / "inner" / "out")
    assert report.refused == tuple(sorted(HOSTILE_IDS))
    assert files(tmp_path / "inner" / "out") == {SIDECAR, "good.npy", "good.times.json"}
    new = files(tmp_path) - before
    assert {name for name in new if not name.startswith("inner/out/")} == set()
    assert json.loads((tmp_path / "inner/out" / SIDECAR).read_text())["refused"] == sorted(HOSTILE_IDS)


def test_a_planted_link_is_not_followed(tmp_path: Path, store: FeatureStore) -> None:
    export_features(store, tmp_path / "out")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.npy").write_text("mine")
    (tmp_path / "out/run/c.npy").unlink()
    (tmp_path / "out/run/c.npy").symlink_to(outside / "precious.npy")
    export_features(store, tmp_path / "out")
    assert not (tmp_path / "out/run/c.npy").is_symlink()
    for name in ("c.npy", "c.times.json"):
        (tmp_path / "out/run" / name).unlink()
    (tmp_path / "out/run").rmdir()
    (tmp_path / "out/run").symlink_to(outside)
    with pytest.raises(StoreUnwritable, match="leads out of the folder"):
        export_features(store, tmp_path / "out")
    assert [path.name for path in outside.iterdir()] == ["precious.npy"]
    assert (outside / "precious.npy").read_text() == "mine"


def claimed_by_another(folder: Path, **changes: Any) -> None:
    about = json.loads((folder / SIDECAR).read_text())
    (folder / SIDECAR).write_text(json.dumps({**about, **changes}))


@pytest.mark.parametrize(
    ("fill", "what"),
    [
        (lambda folder: (folder / SIDECAR).unlink(), f"and no {SIDECAR}"),
        (lambda folder: (folder / SIDECAR).write_text("[" * 100_000), "that is not ours"),
        (lambda folder: (folder / SIDECAR).write_text("[]"), "that is not ours"),
        (lambda folder: claimed_by_another(folder, fingerprint="f" * 64), "npy files of toy, f"),
        (lambda folder: claimed_by_another(folder, dataset="other"), "npy files of other"),
        (lambda folder: claimed_by_another(folder, format="parquet"), "parquet files of toy"),
        (lambda folder: (folder / SIDECAR).unlink() or os.mkfifo(folder / SIDECAR), "that is not ours"),
    ],
)
def test_a_folder_that_holds_anything_else_is_left_alone(
    fill: Callable[[Path], object], what: str, tmp_path: Path, store: FeatureStore
) -> None:
    export_features(store, tmp_path / "out")
    fill(tmp_path / "out")
    (tmp_path / "out/walk/a.npy").write_text("mine")
    with pytest.raises(ExportInTheWay, match=what):
        export_features(store, tmp_path / "out")
    assert (tmp_path / "out/walk/a.npy").read_text() == "mine"


def test_a_file_is_no_folder_and_a_format_must_be_known(tmp_path: Path, store: FeatureStore) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ExportInTheWay, match="being one itself"):
        export_features(store, tmp_path / "out")
    with pytest.raises(ValueError, match="'zip' is not one of"):
        export_features(store, tmp_path / "new", file_format="zip")


def test_one_export_at_a_time(tmp_path: Path, store: FeatureStore) -> None:
    export_features(store, tmp_path / "out")
    with UnitLock(tmp_path / "out", "export"), pytest.raises(PartLocked, match="export is being written"):
        export_features(store, tmp_path / "out")


def test_damage_ends_the_export_and_names_the_video(tmp_path: Path, store: FeatureStore) -> None:
    entry = store.videos()["walk/b"]
    shard = store.path / "segments" / entry.segment / "features/c/0/0/0"
    data = bytearray(shard.read_bytes())
    data[entry.start * 32] ^= 1
    shard.write_bytes(data)
    with pytest.raises(StoreDamaged, match="walk/b"):
        export_features(FeatureStore.open(store.path), tmp_path / "out")
    assert not (tmp_path / "out/walk/b.npy").exists()
    assert json.loads((tmp_path / "out" / SIDECAR).read_text())["complete"] is False


def test_parquet_has_a_row_a_frame_with_the_exact_values(tmp_path: Path, store: FeatureStore) -> None:
    seen: list[tuple[int, int]] = []
    report = export_features(
        store, tmp_path / "out", file_format=PARQUET, on_progress=lambda *done: seen.append(done)
    )
    assert (report.num_videos, report.num_rows, seen) == (3, 17, [(1, 2), (2, 2)])
    table = pq.read_table(sorted((tmp_path / "out").glob("*.parquet")))
    assert table.num_rows == 17
    for video_id in store.videos():
        read = store.read(video_id)
        rows = table.filter(np.array(table["video_id"].to_pylist()) == video_id)
        features = np.array(rows["features"].to_pylist(), dtype=np.float32)
        np.testing.assert_array_equal(features.reshape(-1, 2, 8), read.features.astype(np.float32))
        assert rows["pts_seconds"].to_pylist() == read.pts_seconds.tolist()
        assert rows["frame_index"].to_pylist() == read.frame_index.tolist()


def test_parquet_of_a_segment_that_counts_no_more_goes(
    tmp_path: Path, store: FeatureStore, make_video: MakeVideo, write: Write
) -> None:
    export_features(store, tmp_path / "out", file_format=PARQUET)
    (tmp_path / "out" / "mine.parquet").write_text("mine")
    write(store, make_video("run/c", 4), superseding=frozenset({"run/c"}))
    compact(store)
    after = FeatureStore.open(store.path)
    export_features(after, tmp_path / "out", file_format=PARQUET)
    names = {path.stem for path in (tmp_path / "out").glob("*.parquet")}
    assert names == {"mine", *after.catalog().by_segment}


def test_names_with_unusual_but_plain_letters_are_taken() -> None:
    assert storage.is_nameable("caf\u00e9\u3000\u30d3\u30c7\u30aa \U0001f600")
    assert not storage.is_nameable("a\x7f")
    assert not storage.is_nameable("a\udc80")
