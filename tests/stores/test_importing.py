"""A folder of foreign files becomes a store: what can be taken is, the rest is refused by name and harms nothing."""

import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlp.stores import importing
from vlp.stores.errors import NothingToImport, StoreImported
from vlp.stores.features import FeatureStore
from vlp.stores.importing import ImportReport, Statement, import_features, require_extracted
from vlp.stores.maintenance import verify

SAID = Statement("thumos14", "I3D", "kinetics", "fps:4", 4.0)


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("exploded"),)


def save(path: Path, array: np.ndarray[Any, Any], **how: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array, **how)


def rows(num_rows: int, *shape: int, dtype: str = "<f4", seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal((num_rows, *shape)).astype(dtype)


def imported(folder: Path, said: Statement = SAID, **more: Any) -> ImportReport:
    return import_features(folder, said, cache=folder.parent / "cache", tool_versions={}, **more)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "features"
    save(made / "val" / "a.npy", rows(3, 8))
    save(made / "b.npy", rows(5, 8, dtype=">f8", seed=1))
    save(made / "c.v2.npy", np.asfortranarray(rows(4, 1, 8, dtype="<f2", seed=2)))
    return made


def test_every_file_becomes_a_video_of_float16_rows(folder: Path) -> None:
    report = imported(folder)
    assert (report.num_files, report.num_imported, report.num_rows, report.refused) == (3, 3, 12, {})
    store = FeatureStore.open(report.store)
    assert {*store.videos()} == {"val/a", "b", "c.v2"}
    for video_id in store.videos():
        video = store.read(video_id)
        expected = np.load(folder / f"{video_id}.npy").reshape(-1, 1, 8).astype(np.float16)
        assert video.features.tobytes() == expected.tobytes()
        assert video.pts_seconds.tolist() == [row / 4 for row in range(len(expected))]
        assert video.entry.duration_seconds == len(expected) / 4
        digest = hashlib.sha256((folder / f"{video_id}.npy").read_bytes()).hexdigest()
        assert (video.entry.source_sha256, video.entry.decoder) == (digest, "imported")
        assert (video.entry.device, video.entry.precision) == ("unknown", "unknown")
    assert verify(store).damages == ()


def test_what_nobody_stated_is_unknown_and_the_store_never_passes_for_one_of_ours(folder: Path) -> None:
    report = imported(folder, Statement("thumos14", "ViT-B-16"))
    store = FeatureStore.open(report.store)
    unknown = {"weights", "activation", "preprocess", "timeline"}
    assert {name for name in unknown if store.meaning[name] == "unknown"} == unknown
    assert store.meaning["imported"] == {"model": "ViT-B-16", "pretrained": "unknown"}
    assert store.read("b").pts_seconds.tolist() == [0, 1, 2, 3, 4]  # row numbers, where times are not known
    assert store.read("b").entry.duration_seconds == 0
    with pytest.raises(StoreImported, match="were imported"):
        require_extracted(store)
    assert imported(folder).fingerprint != report.fingerprint  # another statement, another store


def test_a_second_import_passes_over_what_is_there_and_takes_what_is_new(folder: Path) -> None:
    first = imported(folder)
    save(folder / "new.npy", rows(2, 8))
    seen: list[tuple[int, int]] = []
    again = imported(folder, on_progress=lambda *done: seen.append(done))
    assert (again.store, again.num_imported, again.num_skipped) == (first.store, 1, 3)
    assert seen == [(1, 1)]
    assert len(FeatureStore.open(again.store).videos()) == 4


def truncated(path: Path) -> None:
    save(path, rows(9, 8))
    path.write_bytes(path.read_bytes()[:-7])


def bomb(path: Path) -> None:
    save(path, np.array([[Bomb()]], dtype=object), allow_pickle=True)


def huge(path: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 8), }\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64))


def sparse(path: Path) -> None:
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (40000000000, 8), }\n"
    start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    path.write_bytes(start)
    os.truncate(path, len(start) + 40_000_000_000 * 32)  # as long as it promises, and all holes


def not_finite(path: Path) -> None:
    array = rows(4, 8)
    array[2, 3], array[0, 0] = np.nan, -np.inf
    save(path, array)


def outside(path: Path) -> None:
    save(path.parent.parent / "secret.npy", rows(2, 8))
    path.symlink_to(path.parent.parent / "secret.npy")


def itself(path: Path) -> None:
    path.symlink_to(path)


BAD: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "pickle": (lambda path: path.write_bytes(pickle.dumps(Bomb())), "not-npy", "does not begin"),
    "object array": (bomb, "objects", "never loaded"),
    "header bomb": (huge, "length", "promises"),
    "holes": (sparse, "too-large", "at most 1073741824 are read"),
    "truncated": (truncated, "length", "promises"),
    "not finite": (not_finite, "non-finite", "2 feature values are NaN or infinite"),
    "beyond float16": (lambda path: save(path, np.full((2, 8), 70000.0)), "range", "65504"),
    "wrong width": (
        lambda path: save(path, rows(2, 9)),
        "width",
        r"is \(1, 9\), the other files' is \(1, 8\)",
    ),
    "more views": (lambda path: save(path, rows(2, 2, 8)), "width", r"is \(2, 8\)"),
    "integers": (lambda path: save(path, np.zeros((2, 8), np.int32)), "dtype", "not floats"),
    "a vector": (lambda path: save(path, rows(8)), "shape", r"its shape is \(8,\)"),
    "no rows": (lambda path: save(path, rows(0, 8)), "shape", r"its shape is \(0, 8\)"),
    "empty": (lambda path: path.touch(), "not-npy", "does not begin"),
    "a folder": (lambda path: path.mkdir(), "", ""),
    "a pipe": (os.mkfifo, "unreadable", "is no plain file"),
    "a link out": (outside, "unreadable", "leads out"),
    "a link to itself": (itself, "unreadable", "cannot be read"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_file_that_cannot_be_taken_is_refused_by_name_and_its_neighbours_are_imported(
    what: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make, reason, words = BAD[what]
    make(folder / "bad.npy")
    report = imported(folder)
    store = FeatureStore.open(report.store)
    assert {*store.videos()} == {"val/a", "b", "c.v2"}
    assert not (tmp_path / "exploded").exists()
    if reason:
        assert [*report.refused] == ["bad.npy"]
        assert words.replace("\\", "") in report.refused["bad.npy"]
        assert store.failures()["bad"].reason == reason
    else:
        assert report.refused == {}


def test_a_refused_file_is_looked_at_again_and_counts_once_it_is_mended(folder: Path) -> None:
    truncated(folder / "bad.npy")
    imported(folder)
    report = imported(folder)
    assert FeatureStore.open(report.store).failures()["bad"].attempts == 2
    save(folder / "bad.npy", rows(2, 8))
    assert imported(folder).refused == {}
    store = FeatureStore.open(report.store)
    assert ("bad" in store.videos(), dict(store.failures())) == (True, {})


def test_names_that_cannot_be_ids_are_refused(folder: Path) -> None:
    save(folder / "line\nbreak.npy", rows(2, 8))
    (folder / os.fsdecode(b"caf\xe9.npy")).write_bytes((folder / "b.npy").read_bytes())
    report = imported(folder)
    assert {*report.refused} == {"line\\nbreak.npy", "caf\\udce9.npy"}
    assert {*report.refused.values()} == {"its name cannot be a video's id"}
    assert dict(FeatureStore.open(report.store).failures()) == {}


def test_hidden_files_and_linked_folders_are_passed_over(folder: Path, tmp_path: Path) -> None:
    save(tmp_path / "elsewhere" / "z.npy", rows(2, 8))
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (folder / "round").symlink_to(folder)
    save(folder / ".hidden" / "y.npy", rows(2, 8))
    (folder / "._a.npy").write_text("not an array")
    assert imported(folder).num_files == 3


def test_the_width_is_that_of_most_files(folder: Path) -> None:
    save(folder / "0.npy", rows(2, 16))
    report = imported(folder)
    assert [*report.refused] == ["0.npy"]
    assert FeatureStore.open(report.store).embed_dim == 8


def test_a_folder_without_one_good_file_makes_no_store(tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    truncated(tmp_path / "features" / "bad.npy")
    with pytest.raises(NothingToImport, match=r"1 \.npy files, all refused: bad\.npy: its header") as caught:
        imported(tmp_path / "features")
    assert [*caught.value.refused] == ["bad.npy"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingToImport, match=r"it holds no \.npy file"):
        imported(tmp_path / "empty")
    with pytest.raises(NothingToImport, match="there is no such folder"):
        imported(tmp_path / "none")
    assert not (tmp_path / "cache").exists()


def test_a_file_larger_than_the_limit_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "_LIMIT_BYTES", 250)
    assert [*imported(folder).refused] == ["b.npy"]  # 128 of header, 5 * 8 * 8 of values
