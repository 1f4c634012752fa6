"""DiDeMo as users really download it: a fixture a trap; the official test list where it is present."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from vlp.datasplits import load_dataset
from vlp.datasplits.counts import counts_of
from vlp.datasplits.errors import AnnotationsMissing, ManifestUnreadable, OutsideRoot, SplitLeak

Touch = Callable[..., Path]
WriteLists = Callable[[Path, Mapping[str, str]], Path]

OFFICIAL = [
    folder
    for folder in [Path(__file__).parents[2].parent / "shared" / "annotations" / "didemo"]
    if folder.is_dir()
]


def data(*rows: tuple[str, str]) -> str:
    return json.dumps(
        [{"video": name, "description": text, "times": [[0, 1]], "num_segments": 6} for name, text in rows]
    )


TEST = data(
    ("1@N04_2_a.m4v", "the bug is kicked.\n"),
    ("3@N00_4_b.mov", "a cat"),
    ("1@N04_2_a.m4v", "a man  stomps"),
    ("3@N00_4_b.mp4", "a dog"),
    ("5@N01_6_c.", "a bird"),
    ("7@N01_8_d.3g2", "a fish"),
)


def test_the_sentences_of_a_video_are_one_paragraph_in_the_order_of_the_file(
    tmp_path: Path, write_lists: WriteLists
) -> None:
    manifest = load_dataset("didemo", root=write_lists(tmp_path, {"test_data.json": TEST}))
    assert [(video.video_id, video.captions) for video in manifest.videos] == [
        ("1@N04_2_a", ("the bug is kicked. a man stomps",)),
        ("3@N00_4_b", ("a cat a dog",)),  # two suffixes, one video
        ("5@N01_6_c", ("a bird",)),
        ("7@N01_8_d", ("a fish",)),
    ]
    assert manifest.videos_in("default", "test") == manifest.videos
    assert "test_data.json: 5 names are 4 videos, some with two suffixes" in manifest.notes
    assert "default test: 4 listed, 1,004 published" in manifest.notes
    assert "no train_data.json was found" in manifest.notes


def test_files_whose_suffix_is_another_are_found(
    tmp_path: Path, touch: Touch, write_lists: WriteLists
) -> None:
    files = ["1@N04_2_a.mp4", "videos/3@N00_4_b.MP4", "5@N01_6_c.mp4", "videos/7@N01_8_d.3g2"]
    manifest = load_dataset("didemo", root=write_lists(touch(tmp_path, *files), {"test_data.json": TEST}))
    assert [video.path for video in manifest.videos] == files


def test_a_list_restricts_its_role(tmp_path: Path, write_lists: WriteLists) -> None:
    lists = {
        "test_data.json": TEST,
        "test_list.txt": "1@N04_2_a\n3@N00_4_b.mp4\nnowhere.mp4\n",
        "train_data.json": data(("9_x.mov", "a tree")),
        "val_data.json": data(("9_y.mov", "a bush")),
    }
    manifest = load_dataset("didemo", root=write_lists(tmp_path, lists))
    assert [video.video_id for video in manifest.videos] == ["9_x", "9_y", "1@N04_2_a", "3@N00_4_b"]
    assert [len(manifest.videos_in("default", role)) for role in ("train", "val", "test")] == [1, 1, 2]
    assert "videos that test_list.txt lacks, left out: 2" in manifest.notes
    assert "videos of test_list.txt without a sentence, left out: 1" in manifest.notes


def test_the_test_file_is_needed(tmp_path: Path, write_lists: WriteLists) -> None:
    write_lists(tmp_path, {"train_data.json": TEST})
    with pytest.raises(AnnotationsMissing, match=r"test_data\.json"):
        load_dataset("didemo", root=tmp_path)


def test_a_video_in_two_files_is_refused_under_any_suffix(tmp_path: Path, write_lists: WriteLists) -> None:
    write_lists(tmp_path, {"test_data.json": TEST, "train_data.json": data(("3@N00_4_b.avi", "a cat"))})
    with pytest.raises(SplitLeak):
        load_dataset("didemo", root=tmp_path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{}", "holds no list"),
        ("[3]", "entry 0: no 'video' of kind str"),
        ('[{"video": 3}]', "entry 0: no 'video' of kind str"),
        ('[{"video": "a.mp4"}]', "entry 0: None is no sentence"),
        ('[{"video": "a.mp4", "description": ["a"]}]', "is no sentence"),
    ],
)
def test_a_wrong_file_is_named(tmp_path: Path, text: str, problem: str, write_lists: WriteLists) -> None:
    with pytest.raises(ManifestUnreadable, match=problem):
        load_dataset("didemo", root=write_lists(tmp_path, {"test_data.json": text}))


def test_a_name_cannot_lead_out_of_the_root(tmp_path: Path, write_lists: WriteLists) -> None:
    with pytest.raises(OutsideRoot):
        load_dataset("didemo", root=write_lists(tmp_path, {"test_data.json": data(("../a.mp4", "x"))}))


@pytest.mark.parametrize("folder", OFFICIAL)
def test_the_1037_official_names_are_the_1004_published_videos(folder: Path, tmp_path: Path) -> None:
    rows = json.loads((folder / "test_data.json").read_text())
    assert len({row["video"] for row in rows}) == 1037
    manifest = load_dataset("didemo", root=tmp_path, annotations=folder)
    assert counts_of(manifest)["default test"] == counts_of(manifest)["default test captions"] == 1004
    assert "test_data.json: 1,037 names are 1,004 videos, some with two suffixes" in manifest.notes
    words = " ".join(row["description"] for row in rows).split()
    assert sorted(word for video in manifest.videos for word in video.captions[0].split()) == sorted(words)
