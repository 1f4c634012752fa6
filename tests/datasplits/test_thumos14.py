"""THUMOS14 as users really download it: a fixture a trap; the official lists where they are present."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from vlp.datasplits import load_dataset
from vlp.datasplits.counts import counts_of
from vlp.datasplits.errors import AnnotationsMissing, BadOption, ManifestUnreadable
from vlp.datasplits.manifest import Manifest, Segment

Touch = Callable[..., Path]
WriteLists = Callable[[Path, Mapping[str, str]], Path]

OFFICIAL = [
    folder
    for folder in [Path(__file__).parents[2].parent / "shared" / "annotations" / "thumos14"]
    if folder.is_dir()
]
VAL = {
    "Ambiguous_val.txt": "video_validation_0000160  155.2 160.6\n",
    "CliffDiving_val.txt": "video_validation_0000160  11.3 14.1\n",
    "Diving_val.txt": "video_validation_0000160  21.0\t  23.9 \r\nvideo_validation_0000160 11.3 14.1\n\n",
    "Billiards_val.txt": "video_validation_0000051    67.5   75.9\n",
}
TEST = {
    "Ambiguous_test.txt": "video_test_0001292  39.9 47.4\n",
    "CliffDiving_test.txt": "video_test_0000131  19.3 23.0\nvideo_test_0000270 1.0 2.0\n",
    "Diving_test.txt": "video_test_0000131  19.3 23.0\nvideo_test_0000131  30.0 33.8\n",
}


@pytest.fixture
def lists(tmp_path: Path, write_lists: WriteLists) -> Path:
    write_lists(tmp_path / "temporal_annotations_validation", VAL)
    write_lists(tmp_path / "temporal_annotations_test", TEST)
    return tmp_path


def load(root: Path, *options: str, annotations: Path | None = None) -> Manifest:
    return load_dataset("thumos14", root=root, annotations=annotations, options=options)


def test_videos_have_segments_sorted_by_time_and_labels_in_that_order(lists: Path) -> None:
    manifest = load(lists)
    assert manifest.classes == ("Billiards", "CliffDiving", "Diving")
    billiards, diving = manifest.videos_in("default", "train")
    assert (billiards.video_id, billiards.path) == (
        "video_validation_0000051",
        "video_validation_0000051.mp4",
    )
    assert diving.segments == (
        Segment(11.3, 14.1, "CliffDiving"),  # and a Diving as well
        Segment(11.3, 14.1, "Diving"),
        Segment(21.0, 23.9, "Diving"),
    )
    assert diving.labels == ("CliffDiving", "Diving")
    assert "default train segments: 4 listed, 3,007 published" in manifest.notes


def test_the_default_exclusions_are_listed_and_not_tested(lists: Path) -> None:
    manifest = load(lists)
    assert [video.video_id for video in manifest.videos_in("default", "test")] == ["video_test_0000131"]
    rest = [video for video in manifest.videos if not video.splits]
    assert [(video.video_id, len(video.segments)) for video in rest] == [
        ("video_test_0000270", 1),
        ("video_test_0001292", 0),  # in Ambiguous_test.txt alone
    ]
    assert "not tested, by the option exclude: video_test_0000270 (1 instances)" in manifest.notes


@pytest.mark.parametrize(
    ("exclude", "num_tested"), [("none", 3), ("1292", 2), ("0000270, 1292", 1), ("131,270,1292", 0)]
)
def test_the_exclusions_are_an_option(lists: Path, exclude: str, num_tested: int) -> None:
    assert len(load(lists, f"exclude={exclude}").videos_in("default", "test")) == num_tested


@pytest.mark.parametrize("exclude", ["", "270;1292", "video_test_0000270", "7", "none,270", "²"])
def test_an_exclusion_that_names_no_test_video_is_refused(lists: Path, exclude: str) -> None:
    with pytest.raises(BadOption, match="exclude"):
        load(lists, f"exclude={exclude}")


@pytest.mark.parametrize(
    "durations",
    [
        "video_test_0000131.mp4\n31.5\nvideo_validation_0000160.mp4\n14.0\n",
        "/home/a/TH14/video_test_0000131.mp4\n31.5\n\nC:\\TH14\\video_validation_0000160.mp4\n14.0\n",
    ],
)
def test_instances_past_the_end_are_clipped_and_counted(
    lists: Path, durations: str, write_lists: WriteLists
) -> None:
    write_lists(lists, {"th14_test_durations.txt": durations})
    manifest = load(lists)
    by_id = {video.video_id: video for video in manifest.videos}
    diving = by_id["video_validation_0000160"]
    assert diving.duration_seconds == 14.0
    assert diving.segments == (Segment(11.3, 14.0, "CliffDiving"), Segment(11.3, 14.0, "Diving"))
    assert by_id["video_test_0000131"].segments[-1] == Segment(30.0, 31.5, "Diving")
    assert by_id["video_validation_0000051"].duration_seconds is None
    assert "instances that end after their video, clipped: 3" in manifest.notes
    assert "instances that begin after the end of their video, left out: 1" in manifest.notes
    assert "videos of unknown duration, whose instances are as listed: 3" in manifest.notes


def test_instances_past_the_end_may_be_kept(lists: Path, write_lists: WriteLists) -> None:
    write_lists(lists, {"test_durations.txt": "video_test_0000131.mp4\n31.5\n"})
    manifest = load(lists, "past_end=keep")
    [video] = manifest.videos_in("default", "test")
    assert (video.segments[-1], video.duration_seconds) == (Segment(30.0, 33.8, "Diving"), 31.5)
    assert "instances that end after their video, kept: 1" in manifest.notes


@pytest.mark.parametrize("place", ["flat", "test", "named"])
def test_videos_and_lists_are_found_wherever_they_lie(
    tmp_path: Path, place: str, touch: Touch, write_lists: WriteLists
) -> None:
    folder = {"flat": ".", "test": "test", "named": "TH14_test_set_mp4"}[place]
    root = touch(tmp_path / "thumos", f"{folder}/video_test_0000131.mp4", f"{folder}/video_test_0000999.mp4")
    above = tmp_path / "lists" if place == "named" else tmp_path
    write_lists(above / "TH14_Temporal_annotations_validation" / "annotation", VAL)
    write_lists(above / "TH14_Temporal_annotations_test" / "annotations", TEST)
    manifest = load(root, annotations=above if place == "named" else None)
    [video] = manifest.videos_in("default", "test")
    assert (video.video_id, (root / video.path).is_file()) == ("video_test_0000131", True)
    assert any("in no list: 1, such as" in note and "0000999" in note for note in manifest.notes)


def test_the_official_class_list_gives_the_order(lists: Path, write_lists: WriteLists) -> None:
    write_lists(lists, {"detclasslist.txt": "12 Billiards\n23 Diving\n24 CliffDiving\n9 Archery\n"})
    assert load(lists).classes == ("Billiards", "Diving", "CliffDiving", "Archery")
    write_lists(lists, {"detclasslist.txt": "12 Billiards\n23 Diving\n"})
    with pytest.raises(ManifestUnreadable, match="lacks the class CliffDiving"):
        load(lists)


def test_both_parts_are_needed(tmp_path: Path, write_lists: WriteLists) -> None:
    write_lists(tmp_path / "temporal_annotations_test", TEST)
    with pytest.raises(AnnotationsMissing, match="the validation lists"):
        load(tmp_path)


@pytest.mark.parametrize(
    "line",
    [
        "video_test_0000131 19.3",
        "video_test_0000131 19.3 23.0 24.0",
        "video_test_0000131 23.0 19.3",
        "video_test_0000131 19.3 19.3",
        "video_test_0000131 -1 19.3",
        "video_test_0000131 nan 19.3",
        "video_test_0000131 1 inf",
        "video_test_0000131 1 x",
        "../../video_test_0000131 19.3 23.0",
        "video_test_131 19.3 23.0",
    ],
)
def test_a_wrong_line_is_named(lists: Path, line: str) -> None:
    path = lists / "temporal_annotations_test" / "Diving_test.txt"
    path.write_text(f"video_test_0000131  30.0 33.8\n\n{line}\n")
    with pytest.raises(ManifestUnreadable, match="line 3") as caught:
        load(lists)
    assert caught.value.path == path


@pytest.mark.parametrize("text", ["video_test_0000131.mp4\n", "a.mp4\nlong\n", "a.mp4\n0\n", "a.mp4\nnan\n"])
def test_a_wrong_list_of_durations_is_named(lists: Path, text: str, write_lists: WriteLists) -> None:
    write_lists(lists, {"test_durations.txt": text})
    with pytest.raises(ManifestUnreadable, match="test_durations"):
        load(lists)


@pytest.mark.parametrize("folder", OFFICIAL)
def test_the_official_lists_give_the_published_counts(folder: Path, tmp_path: Path) -> None:
    manifest = load(tmp_path, "exclude=none", "past_end=keep", annotations=folder)
    assert counts_of(manifest) == {
        "videos": 413,
        "classes": 20,
        "default train": 200,
        "default train segments": 3007,
        "default test": 213,
        "default test segments": 3358,
    }
    with_instances = [video for video in manifest.videos_in("default", "test") if video.segments]
    assert len(with_instances) == 212
    for video in manifest.videos:
        dives = {segment for segment in video.segments if segment.label == "CliffDiving"}
        assert dives <= {
            Segment(part.start_seconds, part.end_seconds, "CliffDiving")
            for part in video.segments
            if part.label == "Diving"
        }


@pytest.mark.parametrize("folder", OFFICIAL)
def test_211_official_test_videos_are_left_by_default_and_nothing_outlasts_its_video(
    folder: Path, tmp_path: Path
) -> None:
    manifest = load(tmp_path, annotations=folder)
    assert len(manifest.videos_in("default", "test")) == 211
    assert not any("published" in note for note in manifest.notes)  # the options leave out, not the lists
    durations = (folder / "test_durations.txt").read_text().split()
    lasts = dict(zip(durations[::2], map(float, durations[1::2]), strict=True))
    starts = [
        (f"{line.split()[0]}.mp4", float(line.split()[1]))
        for path in (folder / "temporal_annotations_test").glob("[!A]*_test.txt")  # not Ambiguous
        for line in path.read_text().splitlines()
    ]
    left = [start for name, start in starts if start < lasts[name] and name != "video_test_0000270.mp4"]
    assert counts_of(manifest)["default test segments"] == len(left)
    for video in manifest.videos:
        assert video.duration_seconds is not None
        assert all(segment.end_seconds <= video.duration_seconds for segment in video.segments)
