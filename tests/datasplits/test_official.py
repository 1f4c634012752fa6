"""What parsers of official lists share: where lists and videos are found."""

from collections.abc import Callable
from pathlib import Path

import pytest

from vlp.datasplits.errors import ManifestUnreadable, OutsideRoot, RootMissing
from vlp.datasplits.official import (
    VideosOnDisk,
    captioned_videos,
    csv_rows,
    find_file,
    search_places,
)

Touch = Callable[..., Path]


def test_an_earlier_name_counts_before_an_earlier_place(tmp_path: Path, touch: Touch) -> None:
    touch(tmp_path, "a/second.csv", "b/first.csv", "c/first.csv")
    (tmp_path / "a" / "first.csv").mkdir()  # a folder is no file
    places = [tmp_path / name for name in ("none", "a", "b", "c")]
    assert find_file(places, "first.csv", "second.csv") == tmp_path / "b" / "first.csv"
    assert find_file(places, "third.csv") is None


def test_places_to_search_are_the_named_one_alone_or_the_root_and_what_is_beside_it(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with pytest.raises(RootMissing, match="ROOT/x"):
        search_places("mine", root, None, folders=["lists"], layout="ROOT/x")
    root.mkdir()
    assert search_places("mine", root, None, folders=["lists"], layout="") == [
        root,
        root / "lists",
        tmp_path,
        tmp_path / "lists",
    ]
    named = tmp_path / "named"
    assert search_places("mine", root, named, folders=["lists"], layout="") == [named, named / "lists"]


@pytest.mark.parametrize(
    ("listed", "found"),
    [
        ("walk/a.mp4", "part1/walk/a.mp4"),
        ("run/a.mp4", "run/a.MKV"),  # its own folder's, though converted
        ("jump/b.mp4", "run/b.mp4"),  # anywhere
        ("c", "c.mp4"),
        ("walk/none.mp4", "walk/none.mp4"),
    ],
)
def test_a_listed_path_is_found_near_its_folder_first(
    tmp_path: Path, listed: str, found: str, touch: Touch
) -> None:
    touch(tmp_path, "part1/walk/a.mp4", "run/a.MKV", "run/b.mp4", "c.mp4")
    [video] = captioned_videos(tmp_path, VideosOnDisk(tmp_path, ()), {listed: []}, {listed: ["", "x"]})
    assert (video.path, video.video_id, video.captions) == (found, listed.removesuffix(".mp4"), ("x",))


def test_a_listed_path_cannot_lead_out_of_the_root(tmp_path: Path) -> None:
    with pytest.raises(OutsideRoot):
        captioned_videos(tmp_path, VideosOnDisk(tmp_path, ()), {"a/../../b.mp4": []}, {})


def test_a_row_without_a_cell_that_is_needed_is_named(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("key,id,other,text\n1,a,,b\n2,c\n")
    with pytest.raises(ManifestUnreadable, match="line 3: 2 cells, and not 4"):
        list(csv_rows(path, ["id", "text"]))
    assert [row["id"] for _, row in csv_rows(path, ["id"])] == ["a", "c"]
