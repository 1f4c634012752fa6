"""MSR-VTT as users really download it: a fixture a trap; the official lists where they are present."""

import csv
import json
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from vlp.datasplits import load_dataset
from vlp.datasplits.counts import counts_of
from vlp.datasplits.errors import AnnotationsMissing, ManifestUnreadable, OutsideRoot, SplitLeak
from vlp.datasplits.manifest import Manifest

Touch = Callable[..., Path]
WriteLists = Callable[[Path, Mapping[str, str]], Path]

OFFICIAL = [
    folder
    for folder in [Path(__file__).parents[2].parent / "shared" / "annotations" / "msrvtt"]
    if folder.is_dir()
]
CSV = {
    "MSRVTT_train.9k.csv": "video_id\nvideo0\nvideo1\n",
    "MSRVTT_JSFUSION_test.csv": "key,vid_key,video_id,sentence\n"
    'ret0,msr2,video2,"a man, and a dog"\nret1,msr3,video3,a cat\nret2,msr4,video4,a cat\n',
}
USES = {"video0": "train", "video1": "validate", "video2": "test", "video3": "train", "video4": "test"}
SENTENCES = [
    ("video2", "first of two"),
    ("video0", "zero"),
    ("video2", "second\n of  two"),
    ("video1", "one"),
    ("video1", "one"),
]


def data_json(**changes: Any) -> str:
    return json.dumps(
        {
            "videos": [{"video_id": name, "split": use} for name, use in USES.items()],
            "sentences": [{"video_id": name, "caption": text, "sen_id": 1} for name, text in SENTENCES],
        }
        | changes
    )


def load(root: Path, *options: str, annotations: Path | None = None) -> Manifest:
    return load_dataset("msrvtt", root=root, annotations=annotations, options=options)


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_a_test_clip_of_1k_a_has_the_sentence_of_its_pair(
    tmp_path: Path, delimiter: str, touch: Touch, write_lists: WriteLists
) -> None:
    table = CSV["MSRVTT_JSFUSION_test.csv"]
    if delimiter == ";":
        table = table.replace("man, and", "man; and").replace(",", ";")
    lists = CSV | {"MSRVTT_JSFUSION_test.csv": table, "MSRVTT_data.json": data_json()}
    manifest = load(write_lists(touch(tmp_path, "video0.mp4", "TestVideo/video2.mp4"), lists))
    assert manifest.default_split == "1k-A"
    assert [video.captions for video in manifest.videos_in("1k-A", "train")] == [("zero",), ("one", "one")]
    assert [video.captions for video in manifest.videos_in("1k-A", "test")] == [
        (f"a man{delimiter} and a dog",),
        ("a cat",),
        ("a cat",),
    ]
    assert [video.path for video in manifest.videos][:3] == [
        "video0.mp4",
        "video1.mp4",
        "TestVideo/video2.mp4",
    ]
    assert "sentences of several test videos: 1, such as 'a cat'" in manifest.notes
    assert "1k-A train: 2 listed, 9,000 published" in manifest.notes


def test_the_full_split_has_all_sentences_of_its_test_clips(tmp_path: Path, write_lists: WriteLists) -> None:
    write_lists(tmp_path, CSV | {"MSRVTT_data.json": data_json()})
    manifest = load(tmp_path, "protocol=full")
    assert manifest.split_names == ("full",)
    assert manifest.default_split == "full"
    two, four = manifest.videos_in("full", "test")
    assert (two.captions, four.captions) == (("first of two", "second of two"), ())
    assert [video.video_id for video in manifest.videos_in("full", "val")] == ["video1"]
    assert "full test captions: 2 listed, 59,800 published" in manifest.notes


def test_the_other_json_has_the_same_captions(tmp_path: Path, write_lists: WriteLists) -> None:
    rows = [{"image_id": name, "caption": text, "id": 0} for name, text in SENTENCES]
    write_lists(tmp_path, CSV | {"MSR_VTT.json": json.dumps({"images": [], "annotations": rows})})
    other = load(tmp_path)
    write_lists(tmp_path, {"MSRVTT_data.json": data_json()})
    assert other.videos == load(tmp_path).videos


def test_without_a_json_the_training_clips_have_no_captions(tmp_path: Path, write_lists: WriteLists) -> None:
    manifest = load(write_lists(tmp_path, CSV))
    assert any("videos to train on have no captions" in note for note in manifest.notes)
    assert all(not video.captions for video in manifest.videos_in("1k-A", "train"))


@pytest.mark.parametrize("name", list(CSV))
def test_a_list_that_is_missing_is_named(tmp_path: Path, name: str, write_lists: WriteLists) -> None:
    write_lists(tmp_path, {other: text for other, text in CSV.items() if other != name})
    with pytest.raises(AnnotationsMissing, match=name):
        load(tmp_path)
    with pytest.raises(AnnotationsMissing, match="MSRVTT_data"):
        load(tmp_path, "protocol=full")


def test_a_clip_to_train_and_to_test_on_is_refused(tmp_path: Path, write_lists: WriteLists) -> None:
    write_lists(tmp_path, CSV | {"MSRVTT_train.9k.csv": "video_id\nvideo2\n"})
    with pytest.raises(SplitLeak):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("MSRVTT_train.9k.csv", "name\nvideo0\n", "line 1: no column is called video_id"),
        ("MSRVTT_JSFUSION_test.csv", "key,video_id,sentence\nret0,video2\n", "line 2: 2 cells, and not 3"),
        ("MSRVTT_data.json", "[]", "holds no object"),
        ("MSRVTT_data.json", "{}", "no 'annotations' of kind list"),
        ("MSRVTT_data.json", data_json(sentences=[{"video_id": 3, "caption": ""}]), "entry 0: no 'video_id'"),
        ("MSRVTT_data.json", data_json(sentences=[{"video_id": "a"}]), "entry 0: None is no sentence"),
        ("MSRVTT_data.json", data_json(sentences=[{"video_id": "a", "caption": "\ud800"}]), "no sentence"),
    ],
)
def test_a_wrong_list_is_named(
    tmp_path: Path, name: str, text: str, problem: str, write_lists: WriteLists
) -> None:
    with pytest.raises(ManifestUnreadable, match=problem) as caught:
        load(write_lists(tmp_path, CSV | {name: text}))
    assert caught.value.path == tmp_path / name


@pytest.mark.parametrize(
    ("videos", "problem"),
    [
        ({}, "no 'videos' of kind list"),
        ([{"video_id": "a", "split": "dev"}], "entry 0: the split 'dev'"),
        (["a"], "entry 0: no 'split'"),
    ],
)
def test_a_wrong_full_split_is_named(
    tmp_path: Path, videos: object, problem: str, write_lists: WriteLists
) -> None:
    write_lists(tmp_path, {"MSRVTT_data.json": data_json(videos=videos)})
    with pytest.raises(ManifestUnreadable, match=problem):
        load(tmp_path, "protocol=full")


def test_an_id_cannot_lead_out_of_the_root(tmp_path: Path, write_lists: WriteLists) -> None:
    with pytest.raises(OutsideRoot):
        load(write_lists(tmp_path, CSV | {"MSRVTT_train.9k.csv": "video_id\n../video0\n"}))


@pytest.mark.parametrize("folder", OFFICIAL)
def test_the_official_lists_give_9000_clips_and_1000_pairs(folder: Path, tmp_path: Path) -> None:
    manifest = load(tmp_path, annotations=folder)
    counts = counts_of(manifest)
    assert (counts["videos"], counts["1k-A train"], counts["1k-A test"]) == (10000, 9000, 1000)
    assert counts["1k-A test captions"] == 1000
    with (folder / "MSRVTT_JSFUSION_test.csv").open(newline="") as file:
        pairs = {row["video_id"]: row["sentence"] for row in csv.DictReader(file)}
    assert {video.video_id: video.captions[0] for video in manifest.videos_in("1k-A", "test")} == pairs
    num_repeated = sum(count > 1 for count in Counter(pairs.values()).values())
    assert any(f"sentences of several test videos: {num_repeated}," in note for note in manifest.notes)
