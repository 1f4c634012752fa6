"""MSVD as users really download it: a fixture a trap. Hostile pickles are in test_plain_pickle.py."""

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from vlp.datasplits import load_dataset
from vlp.datasplits.errors import AnnotationsMissing, ManifestUnreadable, OutsideRoot, SplitLeak

Touch = Callable[..., Path]
WriteLists = Callable[[Path, Mapping[str, str]], Path]

LISTS = {
    "train_list.txt": "-4wsuPCjDBc_5_15\n",
    "val_list.txt": "a_0_4\n",
    "test_list.txt": "b_10_20\nc_1_2\n",
}
CAPTIONS = {
    "-4wsuPCjDBc_5_15": [["a", "squirrel", "eats"], ["an", "animal"]],
    "b_10_20": [["someone", "cooks"]],
    "unlisted_1_2": [["no", "one"]],
    "c_1_2": [[]],
}
TABLE_NAME = "MSR Video Description Corpus.csv"
TABLE = """VideoID,Start,End,WorkerID,Source,AnnotationTime,Language,Description
-4wsuPCjDBc,5,15,1,clean,55,English,a squirrel eats
-4wsuPCjDBc,5,15,2,clean,55,Slovene,veverica je
-4wsuPCjDBc,5,15,3,unverified,55,English,"an ""animal"", eating"
b,10,20,4,clean,55,English,
"""


def test_the_words_of_the_pickle_become_captions(
    tmp_path: Path, touch: Touch, write_lists: WriteLists
) -> None:
    root = write_lists(touch(tmp_path, "YouTubeClips/-4wsuPCjDBc_5_15.avi"), LISTS)
    (root / "raw-captions.pkl").write_bytes(pickle.dumps(CAPTIONS))
    manifest = load_dataset("msvd", root=root)
    assert [(video.video_id, video.captions) for video in manifest.videos] == [
        ("-4wsuPCjDBc_5_15", ("a squirrel eats", "an animal")),
        ("a_0_4", ()),
        ("b_10_20", ("someone cooks",)),
        ("c_1_2", ()),
    ]
    assert manifest.videos[0].path == "YouTubeClips/-4wsuPCjDBc_5_15.avi"
    assert [len(manifest.videos_in("default", role)) for role in ("train", "val", "test")] == [1, 1, 2]
    assert "captions: raw-captions.pkl" in manifest.notes
    assert "clips without a caption: 2, such as a_0_4" in manifest.notes
    assert "default test: 2 listed, 670 published" in manifest.notes


def test_the_original_table_gives_its_english_sentences(tmp_path: Path, write_lists: WriteLists) -> None:
    manifest = load_dataset("msvd", root=write_lists(tmp_path, LISTS | {TABLE_NAME: TABLE}))
    first, *rest = manifest.videos
    assert first.captions == ("a squirrel eats", 'an "animal", eating')
    assert all(not video.captions for video in rest)
    assert f"captions: {TABLE_NAME}" in manifest.notes


def test_the_pickle_counts_where_both_are_there(tmp_path: Path, write_lists: WriteLists) -> None:
    write_lists(tmp_path, LISTS | {TABLE_NAME: TABLE})
    (tmp_path / "raw-captions.pkl").write_bytes(pickle.dumps({}))
    assert not load_dataset("msvd", root=tmp_path).videos[0].captions


@pytest.mark.parametrize("name", [*LISTS, TABLE_NAME])
def test_what_is_missing_is_named(tmp_path: Path, name: str, write_lists: WriteLists) -> None:
    lists = LISTS | {TABLE_NAME: TABLE}
    write_lists(tmp_path, {other: text for other, text in lists.items() if other != name})
    with pytest.raises(AnnotationsMissing, match=name):
        load_dataset("msvd", root=tmp_path)


def test_a_clip_of_two_lists_is_refused(tmp_path: Path, write_lists: WriteLists) -> None:
    write_lists(tmp_path, LISTS | {TABLE_NAME: TABLE, "val_list.txt": "b_10_20\n"})
    with pytest.raises(SplitLeak):
        load_dataset("msvd", root=tmp_path)


def test_an_id_cannot_lead_out_of_the_root(tmp_path: Path, write_lists: WriteLists) -> None:
    write_lists(tmp_path, LISTS | {TABLE_NAME: TABLE, "val_list.txt": "../b_10_20\n"})
    with pytest.raises(OutsideRoot):
        load_dataset("msvd", root=tmp_path)


def test_a_wrong_table_is_named(tmp_path: Path, write_lists: WriteLists) -> None:
    write_lists(tmp_path, LISTS | {TABLE_NAME: "VideoID,Start\n"})
    with pytest.raises(ManifestUnreadable, match="no column is called End, Language, Description"):
        load_dataset("msvd", root=tmp_path)


def test_a_pickle_with_code_is_refused(tmp_path: Path, write_lists: WriteLists) -> None:
    write_lists(tmp_path, LISTS)
    (tmp_path / "raw-captions.pkl").write_bytes(pickle.dumps({"a": print}))
    with pytest.raises(ManifestUnreadable, match="GLOBAL"):
        load_dataset("msvd", root=tmp_path)
