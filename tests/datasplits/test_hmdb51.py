"""HMDB51 as users really download it: each trap in a fixture of our own."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from vlp.datasplits import load_dataset
from vlp.datasplits.errors import AnnotationsMissing, ManifestUnreadable, OutsideRoot

Touch = Callable[..., Path]
WriteLists = Callable[[Path, Mapping[str, str]], Path]

NAMES = ("#20_Rhythm_clap_u_nm_np1_fr_goo_0.avi", "a (b) [c] & d;e clap 1.avi", "plain_clap_0.avi")
USES = {"1": "120", "2": "211", "3": "012"}  # of each name in each split: 1 train, 2 test, 0 unused
LISTS = {
    f"clap_test_split{split}.txt": "".join(f"{name} {use} \n" for name, use in zip(NAMES, uses, strict=True))
    for split, uses in USES.items()
}


@pytest.mark.parametrize("layout", ["folders", "flat", "below", "converted"])
def test_names_with_every_odd_character_are_found(
    tmp_path: Path, layout: str, touch: Touch, write_lists: WriteLists
) -> None:
    spelt = {
        "folders": [f"clap/{name}" for name in NAMES],
        "flat": list(NAMES),
        "below": [f"hmdb51_org/clap/{name}" for name in NAMES],
        "converted": [f"clap/{name[:-4]}.mp4" for name in NAMES],
    }
    root = touch(tmp_path / "hmdb51", *spelt[layout])
    write_lists(root / "testTrainMulti_7030_splits", LISTS)
    manifest = load_dataset("hmdb51", root=root)
    assert [video.video_id for video in manifest.videos] == [f"clap/{name[:-4]}" for name in NAMES]
    assert all((root / video.path).is_file() for video in manifest.videos)
    first, second, third = manifest.videos
    assert manifest.videos_in("split1", "train") == (first,)
    assert manifest.videos_in("split1", "test") == (second,)
    assert manifest.videos_in("split2", "train") == (second, third)
    assert manifest.videos_in("split3", "test") == (third,)
    assert dict(third.splits) == {"split2": "train", "split3": "test"}  # unused in split 1, and listed
    assert not any("in no list" in note for note in manifest.notes)


@pytest.mark.parametrize("place", ["testTrainMulti_7030_splits", "splits", ".", "../annotations", "named"])
def test_the_lists_are_found_wherever_they_lie(
    tmp_path: Path, place: str, touch: Touch, write_lists: WriteLists
) -> None:
    root = touch(tmp_path / "hmdb51", *(f"clap/{name}" for name in NAMES))
    lists = write_lists(tmp_path / "elsewhere" if place == "named" else root / place, LISTS)
    manifest = load_dataset("hmdb51", root=root, annotations=lists if place == "named" else None)
    assert len(manifest.videos) == 3


def test_one_file_name_in_two_classes_is_two_videos(
    tmp_path: Path, touch: Touch, write_lists: WriteLists
) -> None:
    """Only the one in its own class's folder is there: another class's file is not taken for it."""
    root = touch(tmp_path, *(f"clap/{name}" for name in NAMES))
    write_lists(root / "splits", LISTS | {"brush_hair_test_split1.txt": f"{NAMES[2]} 1 \n"})
    manifest = load_dataset("hmdb51", root=root)
    assert manifest.classes == ("brush_hair", "clap")
    brushed, *_, clapped = manifest.videos
    assert (brushed.path, brushed.labels) == (f"brush_hair/{NAMES[2]}", ("brush_hair",))
    assert (clapped.path, clapped.labels) == (f"clap/{NAMES[2]}", ("clap",))


def test_a_line_that_stands_twice_counts_once(tmp_path: Path, write_lists: WriteLists) -> None:
    write_lists(tmp_path, {"clap_test_split1.txt": "x.avi 1 \nx.avi 1\n"})
    assert load_dataset("hmdb51", root=tmp_path).videos[0].splits == (("split1", "train"),)


def test_what_differs_from_the_published_counts_is_noted(
    tmp_path: Path, touch: Touch, write_lists: WriteLists
) -> None:
    write_lists(touch(tmp_path, "clap/extra.avi"), LISTS)
    notes = load_dataset("hmdb51", root=tmp_path).notes
    assert "videos: 3 listed, 6,766 published" in notes
    assert "classes: 1 listed, 51 published" in notes
    assert "split1 train: 1 listed, 3,570 published" in notes
    assert "videos on disk that are in no list: 1, such as clap/extra.avi" in notes


def test_without_lists_it_says_which_are_needed_and_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(AnnotationsMissing, match="testTrainMulti_7030_splits") as caught:
        load_dataset("hmdb51", root=tmp_path)
    assert {tmp_path, tmp_path / "testTrainMulti_7030_splits", tmp_path.parent} <= set(caught.value.looked_in)
    with pytest.raises(AnnotationsMissing, match="nowhere"):
        load_dataset("hmdb51", root=tmp_path, annotations=tmp_path / "nowhere")


@pytest.mark.parametrize("line", ["x.avi 3", "x.avi", "1", "x.avi1"])
def test_a_wrong_line_is_named(tmp_path: Path, line: str, write_lists: WriteLists) -> None:
    write_lists(tmp_path / "splits", {"clap_test_split1.txt": f"ok.avi 1 \n\n{line} \n"})
    with pytest.raises(ManifestUnreadable, match="line 3") as caught:
        load_dataset("hmdb51", root=tmp_path)
    assert caught.value.path == tmp_path / "splits" / "clap_test_split1.txt"


def test_a_list_cannot_lead_out_of_the_root(tmp_path: Path, write_lists: WriteLists) -> None:
    write_lists(tmp_path, {"clap_test_split1.txt": "../../secret.avi 1\n"})
    with pytest.raises(OutsideRoot):
        load_dataset("hmdb51", root=tmp_path)


def test_published_code_exchanges_the_names_of_two_pairs(tmp_path: Path) -> None:
    """ViFi-CLIP's label file has kick ball before kick and sword exercise before sword; its lists do not."""
    lists = tmp_path / "testTrainMulti_7030_splits"
    lists.mkdir()
    for name in ("kick", "kick_ball", "kiss", "sword", "sword_exercise"):
        for number in (1, 2, 3):
            (lists / f"{name}_test_split{number}.txt").write_text(f"{name}_clip.avi 1 \n")
    right = load_dataset("hmdb51", root=tmp_path)
    assert right.classes == ("kick", "kick_ball", "kiss", "sword", "sword_exercise")
    assert all(video.video_id.startswith(f"{video.labels[0]}/") for video in right.videos)
    exchanged = load_dataset("hmdb51", root=tmp_path, options=["compat=true"])
    assert exchanged.classes == ("kick_ball", "kick", "kiss", "sword_exercise", "sword")
    # A video keeps its place among the classes, and is compared with the other's text.
    place = {video.video_id: right.class_index[video.labels[0]] for video in right.videos}
    assert {video.video_id: exchanged.class_index[video.labels[0]] for video in exchanged.videos} == place
    assert exchanged.options == {"compat": "true"}
    label = {video.video_id: video.labels[0] for video in exchanged.videos}
    assert (label["kick/kick_clip"], label["kiss/kiss_clip"]) == ("kick_ball", "kiss")
