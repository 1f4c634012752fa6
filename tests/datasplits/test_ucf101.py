"""UCF101 as users really download it: each trap in a fixture of our own."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from vlp.datasplits import load_dataset
from vlp.datasplits.errors import (
    AnnotationsMissing,
    ManifestUnreadable,
    NoVideos,
    OutsideRoot,
    VideoCollision,
)

Touch = Callable[..., Path]
WriteLists = Callable[[Path, Mapping[str, str]], Path]

LISTS = {
    "classInd.txt": "\ufeff1 Archery\n2 HandstandPushups\n",
    "trainlist01.txt": "Archery/v_Archery_g08_c01.avi 1\r\nHandstandPushups/v_HandStandPushups_g08_c01.avi 2\n",
    "testlist01.txt": "Archery/v_Archery_g01_c01.avi\nHandStandPushups/v_HandStandPushups_g01_c01.avi\n",
    "trainlist02.txt": "Archery/v_Archery_g01_c01.avi 1\nHandstandPushups/v_HandStandPushups_g01_c01.avi 2\n",
    "testlist02.txt": "Archery/v_Archery_g08_c01.avi\nArchery/v_Archery_g08_c01.avi\n\n",
    "trainlist03.txt": "Archery/v_Archery_g01_c01.avi 1\nArchery/v_Archery_g08_c01.avi 1\n",
    "testlist03.txt": "",
}
FILES = (
    "Archery/v_Archery_g01_c01.avi",
    "Archery/v_Archery_g08_c01.avi",
    "HandstandPushups/v_HandstandPushups_g01_c01.avi",
    "HandstandPushups/v_HandstandPushups_g08_c01.avi",
)


@pytest.mark.parametrize("place", ["ucfTrainTestlist", ".", "annotations", "../ucfTrainTestlist", "named"])
@pytest.mark.parametrize("layout", ["folders", "flat", "below", "converted"])
def test_videos_and_lists_are_found_wherever_they_lie(
    tmp_path: Path, place: str, layout: str, touch: Touch, write_lists: WriteLists
) -> None:
    spelt = {
        "folders": FILES,
        "flat": [file.rpartition("/")[2] for file in FILES],
        "below": [f"UCF-101/{file}" for file in FILES],
        "converted": [file.replace(".avi", ".mp4") for file in FILES],
    }
    root = touch(tmp_path / "UCF-101", *spelt[layout])
    lists = write_lists(tmp_path / "elsewhere" if place == "named" else root / place, LISTS)
    manifest = load_dataset("ucf101", root=root, annotations=lists if place == "named" else None)
    assert manifest.classes == ("Archery", "HandstandPushups")
    archery_1, archery_8, handstand_1, handstand_8 = manifest.videos
    assert [video.labels[0] for video in manifest.videos] == ["Archery"] * 2 + ["HandstandPushups"] * 2
    assert manifest.videos_in("split1", "train") == (archery_8, handstand_8)
    assert manifest.videos_in("split1", "test") == (archery_1, handstand_1)
    assert manifest.videos_in("split3", "train") == (archery_1, archery_8)
    assert manifest.videos_in("split3", "test") == ()
    assert archery_1.video_id == "Archery/v_Archery_g01_c01"  # whatever the layout
    assert all((root / video.path).is_file() for video in manifest.videos)
    assert "videos: 4 listed, 13,320 published" in manifest.notes
    assert not any("in no list" in note for note in manifest.notes)


def test_a_listed_video_that_is_not_on_disk_stays_listed(
    tmp_path: Path, touch: Touch, write_lists: WriteLists
) -> None:
    write_lists(touch(tmp_path, *FILES[1:]), LISTS)
    video = load_dataset("ucf101", root=tmp_path).videos[0]
    assert (video.video_id, video.path) == ("Archery/v_Archery_g01_c01", "Archery/v_Archery_g01_c01.avi")


def test_videos_in_no_list_are_counted(tmp_path: Path, touch: Touch, write_lists: WriteLists) -> None:
    write_lists(touch(tmp_path, *FILES, "Archery/v_Archery_g99_c01.avi"), LISTS)
    notes = load_dataset("ucf101", root=tmp_path).notes
    assert "videos on disk that are in no list: 1, such as Archery/v_Archery_g99_c01.avi" in notes


@pytest.mark.parametrize(("split", "tested"), [(1, range(1, 8)), (2, range(8, 15)), (3, range(15, 22))])
def test_without_lists_the_splits_are_made_from_the_groups(
    tmp_path: Path, split: int, tested: range, touch: Touch
) -> None:
    root = touch(
        tmp_path,
        *(f"Archery/v_Archery_g{group:02d}_c01.avi" for group in range(1, 26)),
        *(f"HandstandPushups/v_HandStandPushups_g{group:02d}_c01.avi" for group in range(1, 26)),
        "holiday.mp4",
    )
    manifest = load_dataset("ucf101", root=root)
    found = {video.video_id.split("_g")[1][:2] for video in manifest.videos_in(f"split{split}", "test")}
    assert found == {f"{group:02d}" for group in tested}
    assert len(manifest.videos_in(f"split{split}", "train")) == 2 * (25 - 7)
    assert manifest.classes == ("Archery", "HandstandPushups")
    assert any("no ucfTrainTestlist was found" in note for note in manifest.notes)
    assert any("left out" in note and "1, such as holiday.mp4" in note for note in manifest.notes)


def test_classes_without_lists_are_in_the_official_order(tmp_path: Path, touch: Touch) -> None:
    """classInd.txt numbers Hammering before HammerThrow: case does not count."""
    touch(tmp_path, *(f"v_{name}_g01_c01.avi" for name in ("HammerThrow", "Hammering", "HandStandPushups")))
    classes = load_dataset("ucf101", root=tmp_path).classes
    assert classes == ("Hammering", "HammerThrow", "HandstandPushups")


def test_two_copies_of_a_video_without_lists_are_both_named(tmp_path: Path, touch: Touch) -> None:
    touch(tmp_path, "a/v_Archery_g01_c01.avi", "b/v_Archery_g01_c01.avi")
    with pytest.raises(VideoCollision) as caught:
        load_dataset("ucf101", root=tmp_path)
    assert caught.value.paths == ("a/v_Archery_g01_c01.avi", "b/v_Archery_g01_c01.avi")


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("classInd.txt", "Archery\n", "line 1: 'Archery' is not a number and a class"),
        ("classInd.txt", "0 Archery\n1 HandstandPushups\n", "not numbered 1, 2, 3"),
        ("classInd.txt", "1 Archery\n3 HandstandPushups\n", "not numbered 1, 2, 3"),
        ("trainlist01.txt", "Unknown/v_Unknown_g01_c01.avi 1\n", "line 1: .* has no class of classInd.txt"),
        ("trainlist01.txt", "\nv_Archery_g01_c01.avi 1\n", "line 2: .* has no class of classInd.txt"),
        (
            "trainlist01.txt",
            "Archery/v_Archery_g01_c01.avi 0\n",
            "contradicts classInd.txt, where Archery is 1",
        ),
        ("testlist03.txt", None, "there is no such file"),
    ],
)
def test_lists_that_are_wrong_are_named(
    tmp_path: Path, name: str, text: str | None, problem: str, write_lists: WriteLists
) -> None:
    lists = write_lists(tmp_path / "ucfTrainTestlist", LISTS)
    (lists / name).unlink() if text is None else (lists / name).write_text(text)
    with pytest.raises(ManifestUnreadable, match=problem) as caught:
        load_dataset("ucf101", root=tmp_path)
    assert caught.value.path == lists / name


def test_a_list_that_is_no_text_or_a_folder_is_named(tmp_path: Path, write_lists: WriteLists) -> None:
    lists = write_lists(tmp_path, LISTS)
    (lists / "testlist01.txt").write_bytes(b"Archery/v_\xff.avi\n")
    with pytest.raises(ManifestUnreadable, match="not UTF-8"):
        load_dataset("ucf101", root=tmp_path)
    (lists / "testlist01.txt").unlink()
    (lists / "testlist01.txt").mkdir()
    with pytest.raises(ManifestUnreadable, match="directory"):
        load_dataset("ucf101", root=tmp_path)


def test_a_list_cannot_lead_out_of_the_root(tmp_path: Path, write_lists: WriteLists) -> None:
    write_lists(tmp_path, LISTS | {"testlist03.txt": "Archery/../../secret.avi\n"})
    with pytest.raises(OutsideRoot):
        load_dataset("ucf101", root=tmp_path)


def test_lists_that_were_promised_and_are_not_there_are_not_made_up(tmp_path: Path, touch: Touch) -> None:
    touch(tmp_path / "root", *FILES)
    with pytest.raises(AnnotationsMissing) as caught:
        load_dataset("ucf101", root=tmp_path / "root", annotations=tmp_path / "lists")
    assert tmp_path / "lists" in caught.value.looked_in
    assert tmp_path / "root" not in caught.value.looked_in


def test_a_folder_of_other_videos_is_no_ucf101(tmp_path: Path, touch: Touch) -> None:
    touch(tmp_path, "walk/a.mp4")
    with pytest.raises(NoVideos):
        load_dataset("ucf101", root=tmp_path)
