"""Charades as users download it: each trap in lists of our own, and the official lists where they are present."""

import csv
import io
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlp.datasplits import load_dataset
from vlp.datasplits.charades import PUBLISHED
from vlp.datasplits.counts import counts_of
from vlp.datasplits.errors import AnnotationsMissing, DatasetError, ManifestUnreadable, OutsideRoot, SplitLeak
from vlp.datasplits.manifest import Manifest, Segment, inside

Touch = Callable[..., Path]

OFFICIAL = Path(__file__).parents[2].parent / "shared" / "annotations" / "charades"
needs_official = pytest.mark.skipif(not OFFICIAL.is_dir(), reason="no official lists here")
CLASSES = (
    "c000 Holding some clothes\r\nc001 Watching/Reading/Looking at a book\r\nc002 Someone is sneezing\r\n"
)
COLUMNS = "id,subject,scene,quality,relevance,verified,script,objects,descriptions,actions,length\n"


def row(video_id: str, actions: str, length: str = "20.50", script: str = "He sits, then sneezes.") -> str:
    return f'{video_id},HR43,Kitchen,6,7,Yes,"{script}",book,He reads.;A man sneezes,{actions},{length}\n'


def read(root: Path, train: str = "", test: str = "", classes: str = CLASSES, **options: str) -> Manifest:
    (root / "Charades_v1_train.csv").write_text(COLUMNS + train, encoding="utf-8", newline="")
    (root / "Charades_v1_test.csv").write_text(COLUMNS + test, encoding="utf-8", newline="")
    (root / "Charades_v1_classes.txt").write_text(classes, encoding="utf-8", newline="")
    return load_dataset("charades", root=root, options=[f"{name}={value}" for name, value in options.items()])


def test_a_video_has_its_distinct_classes_instances_caption_and_length(tmp_path: Path) -> None:
    manifest = read(
        tmp_path,
        row("46GP8", "c002 11.90 20.20;c001 0.00 12.60;c002 1.00 2.00"),
        row("0IH69", "", length="30"),
    )
    first, second = manifest.videos
    assert (first.video_id, first.path) == ("46GP8", "46GP8.mp4")
    assert first.labels == ("Someone is sneezing", "Watching/Reading/Looking at a book")
    assert first.segments == (
        Segment(11.9, 20.2, "Someone is sneezing"),
        Segment(0.0, 12.6, "Watching/Reading/Looking at a book"),
        Segment(1.0, 2.0, "Someone is sneezing"),
    )
    assert first.captions == ("He sits, then sneezes.",)
    assert (first.duration_seconds, first.splits) == (20.5, (("default", "train"),))
    assert (second.labels, second.segments, second.splits) == ((), (), (("default", "test"),))
    assert manifest.classes == (
        "Holding some clothes",
        "Watching/Reading/Looking at a book",
        "Someone is sneezing",
    )
    assert manifest.default_split == "default"
    assert "videos without any action: 1, such as 0IH69" in manifest.notes


def test_an_instance_that_ends_after_its_video_is_clipped_and_counted(tmp_path: Path) -> None:
    manifest = read(tmp_path, row("AAAAA", "c000 19.00 21.20;c001 0.00 20.50"))
    assert [segment.end_seconds for segment in manifest.videos[0].segments] == [20.5, 20.5]
    assert "instances clipped to their video's length: 1, such as in AAAAA" in manifest.notes


@pytest.mark.parametrize("times", ["12.00 11.00", "5.00 5.00", "20.50 25.00", "30.00 31.00", "-1.00 3.00"])
def test_an_instance_of_no_time_is_dropped_and_counted_and_its_class_stays(
    tmp_path: Path, times: str
) -> None:
    manifest = read(tmp_path, row("AAAAA", f"c000 {times};c001 0.00 1.00"))
    assert [segment.label for segment in manifest.videos[0].segments] == [
        "Watching/Reading/Looking at a book"
    ]
    assert manifest.videos[0].labels == ("Holding some clothes", "Watching/Reading/Looking at a book")
    assert any("lie outside the video: 1, such as in AAAAA" in note for note in manifest.notes)


def test_a_caption_that_would_steer_a_terminal_is_cleaned(tmp_path: Path) -> None:
    assert read(tmp_path, row("AAAAA", "", script="He \x1b sits.")).videos[0].captions == ("He sits.",)


def test_descriptions_may_be_the_captions(tmp_path: Path) -> None:
    manifest = read(tmp_path, row("AAAAA", ""), captions="descriptions")
    assert manifest.videos[0].captions == ("He reads.", "A man sneezes")


@pytest.mark.parametrize("path", ["AAAAA.mp4", "Charades_v1_480/AAAAA.mp4", "x/AAAAA.avi"])
def test_a_video_is_found_in_any_folder_and_container(tmp_path: Path, path: str, touch: Touch) -> None:
    touch(tmp_path, path, "ZZZZZ.mp4")
    manifest = read(tmp_path, row("AAAAA", ""))
    assert manifest.videos[0].path == path
    assert "videos on disk that are in no list: 1, such as ZZZZZ.mp4" in manifest.notes


@pytest.mark.parametrize("place", [".", "Charades", "annotations", "../Charades"])
def test_the_lists_are_found_wherever_they_lie(
    tmp_path: Path, place: str, write_lists: Callable[[Path, Mapping[str, str]], Path]
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    csvs = {f"Charades_v1_{role}.csv": COLUMNS + row(role, "") for role in ("train", "test")}
    write_lists(root / place, csvs | {"Charades_v1_classes.txt": CLASSES})
    assert [video.video_id for video in load_dataset("charades", root=root).videos] == ["train", "test"]


def test_without_lists_or_with_some_it_says_which_are_needed(tmp_path: Path) -> None:
    with pytest.raises(AnnotationsMissing, match=r"Charades_v1_classes\.txt"):
        load_dataset("charades", root=tmp_path)
    read(tmp_path)
    (tmp_path / "Charades_v1_test.csv").unlink()
    with pytest.raises(ManifestUnreadable, match="there is no such file") as caught:
        load_dataset("charades", root=tmp_path)
    assert caught.value.path == tmp_path / "Charades_v1_test.csv"


def test_a_video_of_both_lists_is_a_leak_that_is_named(tmp_path: Path) -> None:
    with pytest.raises(SplitLeak, match="AAAAA"):
        read(tmp_path, row("AAAAA", ""), row("BBBBB", "") + row("AAAAA", ""))


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (row("../AA", ""), "'../AA' is no video id"),
        (row("", ""), "'' is no video id"),
        (row("A\x1b[2J", ""), "is no video id"),
        (row("AAAAA", ""), "video AAAAA is listed twice"),
        (row("BBBBB", "c000 1.00"), "'c000 1.00' is not a class"),
        (row("BBBBB", "c003 1.00 2.00"), "'c003 1.00 2.00' is not a class"),
        (row("BBBBB", "c000 nan 2.00"), "is not a class"),
        (row("BBBBB", "c000 1.00 1e999"), "is not a class"),
        (row("BBBBB", f"c000 1.00 {'9' * 5000}"), "is not a class"),
        (row("BBBBB", "", length="nan"), "'nan' is no length"),
        (row("BBBBB", "", length="0"), "'0' is no length"),
        (row("BBBBB", "", length="-2.5"), "'-2.5' is no length"),
        (row("BBBBB", "", length=""), "'' is no length"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, wrong: str, problem: str) -> None:
    with pytest.raises(ManifestUnreadable, match=f"line 3: .*{problem}") as caught:
        read(tmp_path, row("AAAAA", "") + wrong)
    assert caught.value.path == tmp_path / "Charades_v1_train.csv"
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "classes", ["c001 Holding\n", "c000\n", "holding clothes\n", "c000 A\nc000 B\n", "c000 A\x1b\n"]
)
def test_wrong_classes_are_refused(tmp_path: Path, classes: str) -> None:
    with pytest.raises(ManifestUnreadable, match=r"line [12]: ") as caught:
        read(tmp_path, classes=classes)
    assert caught.value.path == tmp_path / "Charades_v1_classes.txt"
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"id,length\n", b"\xff\xfe", COLUMNS.encode() + b"caf\xe9"])
def test_what_is_no_list_is_refused(tmp_path: Path, content: bytes) -> None:
    read(tmp_path)
    (tmp_path / "Charades_v1_train.csv").write_bytes(content)
    with pytest.raises(ManifestUnreadable):
        load_dataset("charades", root=tmp_path)


def test_a_link_out_of_the_root_is_refused(tmp_path: Path, touch: Touch) -> None:
    touch(tmp_path, "outside/a.mp4", "root/b.mp4")
    (tmp_path / "root" / "a.mp4").symlink_to(tmp_path / "outside" / "a.mp4")
    with pytest.raises(OutsideRoot):
        read(tmp_path / "root")


CELLS = st.text(max_size=12) | st.sampled_from(
    ["AAAAA", "20.5", "nan", "-1", "c000 1 2", "c001 9e9 2;", "..", "c0"]
)


@given(
    rows=st.lists(st.lists(CELLS, min_size=5, max_size=5), max_size=4),
    classes=st.text(max_size=8) | st.just(CLASSES),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_any_table_is_read_or_refused(tmp_path: Path, rows: list[list[str]], classes: str) -> None:
    read(tmp_path)
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["id", "actions", "length", "script", "descriptions"], *rows])
    (tmp_path / "Charades_v1_train.csv").write_bytes(text.getvalue().encode("utf-8", "replace"))
    (tmp_path / "Charades_v1_classes.txt").write_bytes(classes.encode("utf-8", "replace"))
    try:
        manifest = load_dataset("charades", root=tmp_path)
    except DatasetError:
        return
    for video in manifest.videos:
        assert inside(video.video_id, tmp_path) == video.video_id
        assert all(label in manifest.class_index for label in video.labels)


@needs_official
def test_the_official_lists_give_the_published_counts(tmp_path: Path) -> None:
    """66,500 instances are published: 49,809 and 16,691 rows' worth, of which seven end before they start."""
    manifest = load_dataset("charades", root=tmp_path, annotations=OFFICIAL)
    counts = counts_of(manifest)
    assert {name: counts[name] for name in PUBLISHED} == PUBLISHED
    assert counts["default train segments"] + counts["default test segments"] == 66_500 - 7
    for role, without in (("train", 174), ("test", 49)):
        assert sum(not video.labels for video in manifest.videos_in("default", role)) == without
    assert len(manifest.notes) == 3
    assert manifest.classes[32] == "Watching/Reading/Looking at a book"
    assert {label for video in manifest.videos for label in video.labels} == set(manifest.classes)


@needs_official
def test_official_times_are_kept_where_they_lie_in_the_video(tmp_path: Path) -> None:
    """Every instance of the official rows, read here by itself, is a segment of the same class and clipped end."""
    videos = {
        video.video_id: video
        for video in load_dataset("charades", root=tmp_path, annotations=OFFICIAL).videos
    }
    names = [
        line.split(" ", 1)[1].strip()
        for line in (OFFICIAL / "Charades_v1_classes.txt").read_text().splitlines()
    ]
    for role in ("train", "test"):
        with (OFFICIAL / f"Charades_v1_{role}.csv").open(newline="") as file:
            for cells in csv.DictReader(file):
                expected = []
                for text in filter(None, cells["actions"].split(";")):
                    action, start, end = text.split(" ")
                    times = float(start), min(float(end), float(cells["length"]))
                    if times[0] < times[1]:
                        expected.append(Segment(*times, names[int(action[1:])]))
                assert videos[cells["id"]].segments == tuple(expected)
                assert videos[cells["id"]].captions == (" ".join(cells["script"].split()),)
