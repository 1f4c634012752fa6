"""Which listed videos are on disk, and which videos on disk are in no list."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlp.datasplits.errors import OutsideRoot
from vlp.datasplits.manifest import Manifest, Segment, Video, video_id_of
from vlp.datasplits.presence import Count, Presence, find_videos

Touch = Callable[..., Path]


def listed(root: Path, *paths: str) -> Manifest:
    videos = tuple(Video(video_id_of(path), path) for path in paths)
    return Manifest("mine", root, videos, ())


def test_listed_and_found_are_compared_both_ways(tmp_path: Path, touch: Touch) -> None:
    touch(
        tmp_path, "walk/a.mp4", "walk/extra.AVI", "walk/.hidden.mp4", "walk/notes.txt", "b.webm", "loose.mp4"
    )
    presence = find_videos(listed(tmp_path, "walk/a.mp4", "walk/gone.mp4", "b.webm", "nowhere/c.mp4"))
    assert [video.path for video in presence.missing] == ["walk/gone.mp4", "nowhere/c.mp4"]
    assert presence.unlisted == ("loose.mp4", "walk/extra.AVI")


def test_a_listed_file_is_found_whatever_its_suffix_and_a_folder_is_no_file(
    tmp_path: Path, touch: Touch
) -> None:
    touch(tmp_path, "walk/a.mxf", "walk/.b.mp4", "run.mp4/c.txt")
    presence = find_videos(listed(tmp_path, "walk/a.mxf", "walk/.b.mp4", "run.mp4", "walk/a.mxf/d.mp4"))
    assert [video.path for video in presence.missing] == ["run.mp4", "walk/a.mxf/d.mp4"]


def test_links_are_followed_inside_the_root_only(tmp_path: Path, touch: Touch) -> None:
    root = touch(tmp_path / "root", "a.mp4")
    (root / "b.mp4").symlink_to(root / "a.mp4")
    (root / "broken.mp4").symlink_to(root / "nothing.mp4")
    presence = find_videos(listed(root, "a.mp4", "b.mp4", "broken.mp4"))
    assert [video.path for video in presence.missing] == ["broken.mp4"]
    (root / "c.mp4").symlink_to(touch(tmp_path, "secret.mp4") / "secret.mp4")
    with pytest.raises(OutsideRoot, match=r"c\.mp4"):
        find_videos(listed(root, "c.mp4"))


def test_counts_by_split_and_by_class() -> None:
    here = Video("a", "a.mp4", labels=("walk", "run"), splits=(("s1", "train"), ("s2", "test")))
    gone = Video("b", "b.mp4", labels=("walk",), splits=(("s1", "test"),))
    partly = Video("c", "c.mp4", segments=(Segment(0, 1, "run"), Segment(2, 3, "run")))
    manifest = Manifest("mine", Path(), (here, gone, partly), ("walk", "run", "sit"))
    presence = Presence(manifest, missing=(gone, partly), unlisted=())
    assert presence.by_split() == [
        Count("all", 3, 2),
        Count("s1 test", 1, 1),
        Count("s1 train", 1, 0),
        Count("s2 test", 1, 0),
    ]
    assert presence.by_class() == [Count("walk", 2, 1), Count("run", 2, 1), Count("sit", 0, 0)]


@given(data=st.data())
def test_every_video_is_found_or_missing_and_every_file_listed_or_not(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory, touch: Touch
) -> None:
    names = st.sets(
        st.sampled_from([f"{folder}/{name}.mp4" for folder in "xy" for name in "abc"]), min_size=1
    )
    wanted, there = data.draw(names), data.draw(names)
    root = touch(tmp_path_factory.mktemp("root"), *there)
    presence = find_videos(listed(root, *sorted(wanted)))
    folders = {path[0] for path in wanted}
    assert {video.path for video in presence.missing} == wanted - there
    assert set(presence.unlisted) == {path for path in there - wanted if path[0] in folders}
