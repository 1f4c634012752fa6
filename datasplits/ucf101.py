"""UCF101: 13,320 videos of 101 actions, three official splits.

Source: Soomro et al., "UCF101", CRCV-TR-12-01; UCF101TrainTestSplits-RecognitionTask.zip (``ucfTrainTestlist``).
Traps: ``classInd.txt`` counts from 1; test lists carry no label; the class ``HandstandPushups`` names its files
``v_HandStandPushups_*``, and the lists spell the folder either way. Without the lists, split 1, 2 or 3 tests the
groups 01-07, 08-14 or 15-21 of each class, which is how the official splits were made.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from vlp.datasplits.counts import count_notes, find_annotations, found_on_disk
from vlp.datasplits.errors import ManifestUnreadable, NoVideos, RootMissing
from vlp.datasplits.manifest import VIDEO_SUFFIXES, Manifest, Video, inside, video_id_of

SOURCE = "https://www.crcv.ucf.edu/data/UCF101.php: UCF101.rar and UCF101TrainTestSplits-RecognitionTask.zip"
LAYOUT = (
    "ROOT/<Class>/v_<Class>_gNN_cNN.avi or all videos in ROOT; ucfTrainTestlist/ in ROOT or as --annotations"
)
PUBLISHED = {
    "videos": 13320,
    "classes": 101,
    "split1 train": 9537,
    "split1 test": 3783,
    "split2 train": 9586,
    "split2 test": 3734,
    "split3 train": 9624,
    "split3 test": 3696,
}
_SPLITS = (1, 2, 3)
_NAME = re.compile(r"v_(?P<label>[A-Za-z]+)_g(?P<group>\d\d)_c\d\d")
_GROUPS_TESTED = 7


def load(root: Path, annotations: Path | None = None) -> Manifest:
    """Read the official lists, or make the splits from the groups where there are none.

    Raises:
        RootMissing: if the root is not there.
        NoVideos: without lists, if no file is named as UCF101's are.
        ManifestUnreadable: if a list has a line that is none of its kind.
    """
    if not root.is_dir():
        raise RootMissing("ucf101", root, LAYOUT)
    lists = find_annotations(root, annotations, "classInd.txt", ("ucfTrainTestlist", "annotations"))
    on_disk = found_on_disk(root)
    if lists is None:
        videos, classes = _from_groups(root, on_disk)
        note = (
            "no ucfTrainTestlist was found: the splits are made from the groups, as the official ones are",
        )
    else:
        classes = _classes(lists / "classInd.txt")
        videos = _from_lists(root, lists, classes, on_disk)
        note = ()
    manifest = Manifest("ucf101", root, videos, classes, note)
    return Manifest("ucf101", root, videos, classes, (*note, *count_notes(manifest, PUBLISHED)))


def _classes(path: Path) -> tuple[str, ...]:
    """Read "1 ApplyEyeMakeup" lines, in the order of their numbers."""
    numbered: dict[int, str] = {}
    for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        number, _, name = text.strip().partition(" ")
        if not text.strip():
            continue
        if not number.isdecimal() or not name:
            raise ManifestUnreadable(path, [f"line {line}: {text!r} is not a number and a class"])
        numbered[int(number)] = name.strip()
    return tuple(numbered[number] for number in sorted(numbered))


def _from_lists(
    root: Path, lists: Path, classes: tuple[str, ...], on_disk: Mapping[str, str]
) -> tuple[Video, ...]:
    by_lower = {name.lower(): name for name in classes}
    splits: dict[str, list[tuple[str, str]]] = {}
    labels: dict[str, str] = {}
    for number in _SPLITS:
        for role in ("train", "test"):
            path = lists / f"{role}list{number:02d}.txt"
            for line, listed in _lines(path):
                label = by_lower.get(listed.partition("/")[0].lower())
                if label is None:
                    raise ManifestUnreadable(path, [f"line {line}: {listed!r} has no class of classInd.txt"])
                splits.setdefault(listed, []).append((f"split{number}", role))
                labels[listed] = label
    return tuple(
        _listed_video(root, listed, labels[listed], splits[listed], on_disk) for listed in sorted(splits)
    )


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, path); the label that train lists append is the folder's name again."""
    if not path.is_file():
        raise ManifestUnreadable(path, ["there is no such file; the three splits need all six lists"])
    for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        fields = text.split()
        if fields:
            yield line, fields[0]


def _listed_video(
    root: Path, listed: str, label: str, splits: list[tuple[str, str]], on_disk: Mapping[str, str]
) -> Video:
    listed = inside(listed, root)
    name = listed.rpartition("/")[2]
    path = on_disk.get(name.lower(), f"{label}/{name}")
    return Video(video_id_of(f"{label}/{name}"), path, labels=(label,), splits=tuple(splits))


def _from_groups(root: Path, on_disk: Mapping[str, str]) -> tuple[tuple[Video, ...], tuple[str, ...]]:
    named = {
        path: match
        for path in on_disk.values()
        if (match := _NAME.fullmatch(video_id_of(path).rpartition("/")[2]))
    }
    if not named:
        raise NoVideos(root, VIDEO_SUFFIXES)
    spelling = {name.lower(): name for name in (match["label"] for match in named.values())}
    spelling |= {path.split("/")[-2].lower(): path.split("/")[-2] for path in named if "/" in path}
    videos = tuple(
        _grouped_video(path, spelling[match["label"].lower()], int(match["group"]))
        for path, match in sorted(named.items())
    )
    return videos, tuple(sorted({video.labels[0] for video in videos}))


def _grouped_video(path: str, label: str, group: int) -> Video:
    tested = (group - 1) // _GROUPS_TESTED + 1
    splits = tuple((f"split{number}", "test" if number == tested else "train") for number in _SPLITS)
    return Video(video_id_of(f"{label}/{path.rpartition('/')[2]}"), path, labels=(label,), splits=splits)
