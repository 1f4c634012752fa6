"""index.parquet saves time and changes no answer."""

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlp.stores import catalog, index
from vlp.stores.features import ExtractedVideo, FailedVideo, FeatureStore
from vlp.stores.index import NO_INDEX, read_index

MakeVideo = Callable[..., ExtractedVideo]
MakeStore = Callable[..., FeatureStore]
Write = Callable[..., None]


def fill(store: FeatureStore, make_video: MakeVideo) -> None:
    with store.writer(device="cpu", precision="fp32", segment_bytes=600) as writer:
        for number in range(5):
            writer.add(make_video(f"v{number}", 2 + number, status="short", reason="truncated"))
        writer.fail(FailedVideo("bad", "missing", "no such file", 3))
    with store.writer(part=(1, 2), device="cpu", precision="fp32") as writer:
        writer.add(make_video("v3", 9))


def answers(path: Path) -> dict[str, Any]:
    store = FeatureStore.open(path)
    videos = {video_id: asdict(entry) for video_id, entry in store.videos().items()}
    rows = {video_id: store.read(video_id).features.tobytes() for video_id in videos}
    return {"videos": videos, "rows": rows, "failures": dict(store.failures())}


@pytest.fixture(scope="module")
def template(
    tmp_path_factory: pytest.TempPathFactory, make_store: MakeStore, make_video: MakeVideo
) -> tuple[Path, dict[str, Any]]:
    path = tmp_path_factory.mktemp("template") / "a.vlp"
    fill(make_store(path), make_video)
    (path / "index.parquet").rename(path / "kept")
    expected = answers(path)
    shutil.move(path / "kept", path / "index.parquet")
    assert len(expected["videos"]) == 5
    return path, expected


def test_the_index_gives_what_the_commits_give_without_reading_them(
    template: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, expected = template
    store = FeatureStore.open(path)
    with monkeypatch.context() as patched:
        patched.delattr(catalog, "read_commit")
        patched.delattr(catalog, "read_failures")
        found = {video_id: asdict(entry) for video_id, entry in store.videos().items()}
        failures = dict(store.failures())
    assert (found, failures) == (expected["videos"], expected["failures"])


def test_any_parquet_reader_understands_the_index(template: tuple[Path, dict[str, Any]]) -> None:
    path, expected = template
    rows = pq.read_table(path / "index.parquet").to_pylist()
    assert sorted(row["video_id"] for row in rows) == sorted([*expected["videos"], "v3", "bad"])
    (failed,) = [row for row in rows if row["status"] == "failed"]
    assert (failed["reason"], failed["detail"], failed["attempts"]) == ("missing", "no such file", 3)
    for row in rows:
        entry = expected["videos"].get(row["video_id"])
        if entry and entry["segment"] == row["segment"]:
            names = (
                "start",
                "num_rows",
                "native_fps",
                "duration_seconds",
                "source_sha256",
                "features_crc32c",
            )
            assert {name: row[name] for name in names} == {name: entry[name] for name in names}


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_flipped_bit_or_cut_of_the_index_changes_an_answer(
    data: st.DataObject, template: tuple[Path, dict[str, Any]]
) -> None:
    path, expected = template
    good = (path / "index.parquet").read_bytes()
    spoilt = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        spoilt[data.draw(st.integers(0, len(good) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    spoilt = spoilt[: data.draw(st.one_of(st.just(len(good)), st.integers(0, len(good))))]
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "a.vlp"
        shutil.copytree(path, copy, copy_function=os.link)
        (copy / "index.parquet").unlink()
        (copy / "index.parquet").write_bytes(spoilt)
        assert answers(copy) == expected


def test_an_index_of_another_store_is_not_believed(
    template: tuple[Path, dict[str, Any]], tmp_path: Path, make_store: MakeStore, make_video: MakeVideo
) -> None:
    path, expected = template
    other = make_store(tmp_path / "b.vlp", meaning={"weights": "other"})
    fill(other, make_video)
    assert read_index(path, other.fingerprint) is NO_INDEX
    shutil.copytree(path, tmp_path / "a.vlp")
    shutil.copy(other.path / "index.parquet", tmp_path / "a.vlp" / "index.parquet")
    assert answers(tmp_path / "a.vlp") == expected


def test_a_folder_in_the_place_of_the_index_is_no_index(
    template: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    path, expected = template
    shutil.copytree(path, tmp_path / "a.vlp")
    (tmp_path / "a.vlp" / "index.parquet").unlink()
    (tmp_path / "a.vlp" / "index.parquet").mkdir()
    assert answers(tmp_path / "a.vlp") == expected


def test_a_closed_writer_leaves_an_index_of_all_commits(
    tmp_path: Path, make_store: MakeStore, make_video: MakeVideo, write: Write
) -> None:
    store = make_store(tmp_path / "a.vlp")
    for number in range(3):
        write(store, make_video(f"v{number}"), part=(number, 3))
        index = read_index(store.path, store.fingerprint)
        assert {*index.segments} == {path.name for path in (store.path / "segments").glob("part-*")}
        assert len(index.columns) == number + 1


def test_a_store_looked_at_after_every_commit_stays_right(
    tmp_path: Path, make_store: MakeStore, make_video: MakeVideo
) -> None:
    store = make_store(tmp_path / "a.vlp")
    with store.writer(device="cpu", precision="fp32", segment_bytes=1) as writer:
        for number in range(15):
            writer.add(make_video(f"v{number}", 1))
            assert len(store.videos()) == number + 1
    assert store.videos()["v7"] == FeatureStore.open(store.path).videos()["v7"]
    assert "v15" not in store.videos()


def test_the_checksum_of_the_index_does_not_depend_on_how_rows_are_chunked() -> None:
    rows = {"text": ["", "a", "é" * 5, "", "last"], "count": [1, 2, 3, 4, 5]}
    whole = pa.table(rows)
    chunked = pa.concat_tables([whole.slice(0, 1), whole.slice(1, 0), whole.slice(1, 3), whole.slice(4)])
    expected = index._rows_crc32c(whole)
    assert index._rows_crc32c(chunked) == expected
    shifted = {"text": ["a", "", "é" * 5, "", "last"], "count": rows["count"]}
    assert index._rows_crc32c(pa.table(shifted)) != expected
