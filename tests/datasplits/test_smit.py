"""S-MiT: a manifest with a column of another name, a file a role."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vlp.datasplits import load_dataset
from vlp.datasplits.errors import AnnotationsMissing, ManifestUnreadable, SplitLeak
from vlp.datasplits.manifest_file import read_manifest_file

Touch = Callable[..., Path]
WriteLists = Callable[[Path, Mapping[str, str]], Path]

LISTS = {
    "train.csv": 'video,caption\nclap/a.mp4,"hands, clapping"\nclap/a.mp4,applause\n',
    "S-MiT_val.json": json.dumps([{"video": "b.mp4", "caption": "a cat", "length": 3}]),
    "smit_test.jsonl": '{"video": "run/c", "caption": "a run"}\n',
}


def test_the_name_of_a_file_gives_the_role(tmp_path: Path, touch: Touch, write_lists: WriteLists) -> None:
    root = write_lists(touch(tmp_path, "training/clap/a.mp4", "b.webm", "run/c.mp4"), LISTS)
    manifest = load_dataset("smit", root=root)
    assert [(video.video_id, video.path, video.captions, video.splits) for video in manifest.videos] == [
        ("clap/a", "training/clap/a.mp4", ("hands, clapping", "applause"), (("default", "train"),)),
        ("b", "b.webm", ("a cat",), (("default", "val"),)),
        ("run/c", "run/c.mp4", ("a run",), (("default", "test"),)),
    ]
    assert manifest.test_role == "test"
    assert manifest.notes == ("columns of S-MiT_val.json that mean nothing here: length",)


def test_without_a_test_list_the_validation_videos_are_reported_on(
    tmp_path: Path, write_lists: WriteLists
) -> None:
    manifest = load_dataset("smit", root=write_lists(tmp_path, {"validation.csv": LISTS["train.csv"]}))
    assert manifest.test_role == "val"
    assert manifest.notes == ("no list of role train was found", "no list of role test was found")


def test_some_list_is_needed(tmp_path: Path) -> None:
    with pytest.raises(AnnotationsMissing, match="train, val or test lists"):
        load_dataset("smit", root=tmp_path)


def test_a_video_of_two_lists_is_refused(tmp_path: Path, write_lists: WriteLists) -> None:
    lists = {"train.csv": LISTS["train.csv"], "val.csv": LISTS["train.csv"]}
    with pytest.raises(SplitLeak):
        load_dataset("smit", root=write_lists(tmp_path, lists))


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("train.csv", "clip,caption\na.mp4,x\n", "no column is called path"),
        ("train.csv", "video,path,caption\na.mp4,b.mp4,x\n", "two columns are called path"),
        ("train.csv", "video,caption\na.mp4,x\n../b.mp4,y\n", "line 3: .*leads out"),
        ("train.csv", "video,caption\na.mp4,\x1b[2J\n", "line 2: caption"),
        ("train.json", "{}", "it holds no list"),
        ("train.json", "[[1]]", "entry 1: no JSON object"),
        ("train.json", "[", "no JSON"),
        ("train.json", "[" * 100_000, "no JSON"),
        ("train.json", '[{"video": "a.mp4", "caption": 1.5}]', "entry 1: caption 1.5 is no text"),
        ("train.json", '[{"video": 7}]', "entry 1: the path is empty"),
    ],
)
def test_a_wrong_list_is_named(
    tmp_path: Path, name: str, text: str, problem: str, write_lists: WriteLists
) -> None:
    with pytest.raises(ManifestUnreadable, match=problem):
        load_dataset("smit", root=write_lists(tmp_path, {name: text}))


def test_a_json_list_is_a_manifest_like_any_other(tmp_path: Path) -> None:
    rows = [{"path": "a.mp4", "label": "walk", "split": "test", "start": 1, "end": 2.5}]
    (tmp_path / "list.json").write_text(json.dumps(rows))
    (tmp_path / "list.jsonl").write_text(json.dumps(rows[0]))
    assert (
        read_manifest_file(tmp_path / "list.json", dataset="mine").videos
        == read_manifest_file(tmp_path / "list.jsonl", dataset="mine").videos
    )


def test_columns_of_a_parquet_file_may_have_other_names(tmp_path: Path) -> None:
    pq.write_table(pa.table({"video": ["a.mp4"], "caption": ["x"]}), tmp_path / "list.parquet")
    [video] = read_manifest_file(tmp_path / "list.parquet", dataset="mine", aliases={"video": "path"}).videos
    assert (video.path, video.captions) == ("a.mp4", ("x",))


def test_a_json_list_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_bytes(b'[{"path": "\xff"}]')
    with pytest.raises(ManifestUnreadable, match="not UTF-8"):
        read_manifest_file(tmp_path / "list.json", dataset="mine")
