"""Rows of manifests as users' tools really write them: ragged, quoted, numbered, empty, or wrong in many places."""

import gc
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlp.datasplits.errors import DatasetError, ManifestUnreadable
from vlp.datasplits.manifest import Manifest, Segment, Video
from vlp.datasplits.manifest_file import read_manifest_file


def read(tmp_path: Path, text: str, name: str = "list.csv") -> Manifest:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read_manifest_file(tmp_path / name, dataset="mine")


def read_json(tmp_path: Path, *rows: dict[str, Any]) -> Manifest:
    return read(tmp_path, "".join(json.dumps(row) + "\n" for row in rows), "list.jsonl")


def problems(tmp_path: Path, text: str, name: str = "list.csv") -> list[str]:
    with pytest.raises(ManifestUnreadable) as caught:
        read(tmp_path, text, name)
    assert caught.value.path == tmp_path / name
    return list(caught.value.problems)


def test_a_caption_with_a_comma_must_be_quoted(tmp_path: Path) -> None:
    assert problems(tmp_path, "path,caption\nx.mp4,he walks, then runs\n") == [
        "line 2: 3 cells under 2 columns; is one not quoted?"
    ]
    [video] = read(tmp_path, 'path,caption\nx.mp4,"he walks, then ""runs"""\n').videos
    assert video.captions == ('he walks, then "runs"',)


def test_empty_cells_at_the_end_of_a_row_may_be_left_out_or_doubled(tmp_path: Path) -> None:
    text = "path,label,split\nx.mp4\ny.mp4,walk,test,,\n\n,,\n"
    assert [(video.video_id, video.labels) for video in read(tmp_path, text).videos] == [
        ("x", ()),
        ("y", ("walk",)),
    ]


def test_columns_may_stand_in_any_order(tmp_path: Path) -> None:
    text = "end,caption,path,split,label,start\n2,hello,x.mp4,val,walk,1\n"
    assert read(tmp_path, text).videos == (
        Video("x", "x.mp4", (), ("hello",), (Segment(1.0, 2.0, "walk"),), (("default", "val"),)),
    )


def test_a_line_number_is_that_of_the_first_line_of_a_row(tmp_path: Path) -> None:
    text = 'path,caption\nx.mp4,"two\nlines"\n../y.mp4,"and\nmore"\nz.mp4,\n/w.mp4,\n'
    assert [problem.split(":")[0] for problem in problems(tmp_path, text)] == ["line 4", "line 7"]


def test_all_wrong_rows_of_a_json_file_are_collected(tmp_path: Path) -> None:
    text = '{"path": "x.mp4"}\n{oops\n\n[1]\n{"path": "../y"}\n{"path": "z", "start": true, "end": 2}\n'
    assert [problem.split(":")[0] for problem in problems(tmp_path, text, "list.jsonl")] == [
        "line 2",
        "line 4",
        "line 5",
        "line 6",
    ]


def test_wrong_rows_of_a_parquet_file_are_counted_from_one(tmp_path: Path) -> None:
    pq.write_table(pa.table({"path": ["x.mp4", None, "../y.mp4"]}), tmp_path / "list.parquet")
    with pytest.raises(ManifestUnreadable) as caught:
        read_manifest_file(tmp_path / "list.parquet", dataset="mine")
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["row 2", "row 3"]


def test_the_number_of_wrong_rows_is_kept_beyond_those_shown(tmp_path: Path) -> None:
    with pytest.raises(ManifestUnreadable) as caught:
        read(tmp_path, "path\n" + "/x.mp4\n" * 50)
    assert caught.value.num_problems == 50
    assert len(caught.value.problems) == 20


def test_class_numbers_are_labels_and_zero_is_one_of_them(tmp_path: Path) -> None:
    manifest = read_json(tmp_path, {"path": "x.mp4", "label": 0}, {"path": "y.mp4", "label": 1})
    assert [video.labels for video in manifest.videos] == [("0",), ("1",)]


def test_a_segment_may_start_at_zero(tmp_path: Path) -> None:
    manifest = read_json(tmp_path, {"path": "x.mp4", "label": "walk", "start": 0, "end": 2})
    assert manifest.videos[0].segments == (Segment(0.0, 2.0, "walk"),)
    assert manifest.videos[0].labels == ()
    assert manifest.classes == ("walk",)


def test_null_and_nan_are_empty_cells(tmp_path: Path) -> None:
    nan = float("nan")
    table = {"path": ["x.mp4", "y.mp4"], "label": ["walk", None], "start": [nan, nan], "end": [None, nan]}
    pq.write_table(pa.table(table), tmp_path / "list.parquet")
    for manifest in (
        read_manifest_file(tmp_path / "list.parquet", dataset="mine"),
        read_json(
            tmp_path, {"path": "x.mp4", "label": "walk", "split": None}, {"path": "y.mp4", "label": nan}
        ),
    ):
        assert [(video.labels, video.segments) for video in manifest.videos] == [(("walk",), ()), ((), ())]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"label": True}, "label True is no text"),
        ({"label": 1.5}, "label 1.5 is no text"),
        ({"caption": ["a"]}, r"caption \['a'\] is no text"),
        ({"split": {}}, r"split \{\} is no text"),
        ({"label": "a\x1b[2J"}, r"label 'a\\x1b\[2J' holds the character '\\x1b'"),
        ({"label": "\ud800"}, r"label '\\ud800' holds the character '\\ud800'"),
        ({"caption": "a\x00b"}, r"holds the character '\\x00'"),
        ({"split": "s1:"}, "'s1:' is none of"),
        ({"split": ":train"}, "':train' is none of"),
        ({"label": "a", "start": 0, "end": 0}, "is empty or negative"),
        ({"label": "a", "start": 0, "end": 10**400}, "is no number of seconds"),
    ],
)
def test_cells_that_are_wrong_are_named(tmp_path: Path, row: dict[str, Any], problem: str) -> None:
    with pytest.raises(ManifestUnreadable, match=f"line 2: .*{problem}"):
        read_json(tmp_path, {"path": "ok.mp4"}, {"path": "x.mp4", **row})


@pytest.mark.parametrize("path", ["a\0b.mp4", "a\nb.mp4", "\ud800.mp4", "\x1b[2J.mp4"])
def test_paths_that_nothing_could_hold_are_named_harmlessly(tmp_path: Path, path: str) -> None:
    with pytest.raises(ManifestUnreadable, match="line 2: the name of") as caught:
        read_json(tmp_path, {"path": "ok.mp4"}, {"path": path})
    assert path not in str(caught.value)


@pytest.mark.parametrize(
    "path", [".", "./", "a/..", "a/../.", "..", "../x.mp4", "a/../../x.mp4", "~/../../x", "/x"]
)
def test_paths_that_are_not_below_the_root_are_named(tmp_path: Path, path: str) -> None:
    with pytest.raises(ManifestUnreadable, match=r"line 2: .* leads out of"):
        read_json(tmp_path, {"path": "ok.mp4"}, {"path": path})


def test_spellings_of_one_path_are_one_video(tmp_path: Path) -> None:
    rows = [{"path": path} for path in ("a/x.mp4", "./a/x.mp4", "a//x.mp4", "a\\x.mp4", "b/../a/x.mp4")]
    assert [video.path for video in read_json(tmp_path, *rows).videos] == ["a/x.mp4"]


def test_columns_that_mean_nothing_are_named_wherever_they_first_appear(tmp_path: Path) -> None:
    manifest = read_json(tmp_path, {"path": "x.mp4", "fps": 1}, {"path": "y.mp4", "weather": 2})
    assert manifest.notes == ("columns of list.jsonl that mean nothing here: fps, weather",)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    assert problems(tmp_path, "path,label,label\nx.mp4,a,b\n") == ["line 1: two columns are called label"]


def test_a_cell_too_long_for_a_csv_reader_is_an_error_of_the_file(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, "path,caption\nx.mp4," + "a" * 200_000 + "\n")
    assert "field limit" in problem


@pytest.mark.parametrize("bad", [False, True])
def test_the_garbage_collector_is_left_as_it_was(tmp_path: Path, bad: bool) -> None:
    text = "path\n../x.mp4\n" if bad else "path\nx.mp4\n"
    for was_enabled in (False, True):
        (gc.enable if was_enabled else gc.disable)()
        try:
            read(tmp_path, text)
        except DatasetError:
            assert bad
        left = gc.isenabled()
        gc.enable()
        assert left == was_enabled


@given(content=st.binary(max_size=300), suffix=st.sampled_from([".csv", ".tsv", ".jsonl", ".parquet"]))
def test_any_bytes_are_a_manifest_or_a_dataset_error(
    content: bytes, suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / f"fuzzed{suffix}"
    path.write_bytes((b"path,label\n" if suffix == ".csv" else b"") + content)
    try:
        manifest = read_manifest_file(path, dataset="mine")
    except DatasetError:
        return
    for video in manifest.videos:
        assert not video.path.startswith("/")
        assert ".." not in video.path.split("/")
