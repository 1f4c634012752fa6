"""UCF101: 13,320 videos of 101 actions, three official splits.

Source: Soomro et al., "UCF101", CRCV-TR-12-01; UCF101TrainTestSplits-RecognitionTask.zip (``ucfTrainTestlist``).
Traps: ``classInd.txt`` counts from 1; test lists carry no label; the class ``HandstandPushups`` names its files
``v_HandStandPushups_*``, and the lists spell the folder either way. Without the lists, split 1, 2 or 3 tests the
groups 01-07, 08-14 or 15-21 of each class, which is how the official splits were made.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from vlp.datasplits.counts import count_notes
from vlp.datasplits.errors import AnnotationsMissing, ManifestUnreadable, NoVideos, RootMissing
from vlp.datasplits.manifest import VIDEO_SUFFIXES, Manifest, Video, inside, video_id_of
from vlp.datasplits.official import VideosOnDisk, annotation_places, find_annotations, list_lines

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
_FOLDERS = ("ucfTrainTestlist", "annotations")
_MISSPELT = {"HandStandPushups": "HandstandPushups"}  # files as they spell their class, and classInd.txt


def load(root: Path, annotations: Path | None = None) -> Manifest:
    """Read the official lists, or make the splits from the groups where there are none.

    Raises:
        RootMissing: if the root is not there.
        AnnotationsMissing: if ``annotations`` is given and holds no lists.
        NoVideos: without lists, if no file is named as UCF101's are.
        ManifestUnreadable: if a list is missing, or has a line that is none of its kind.
        OutsideRoot: if a listed name, or a link on disk, leads out of the root.
    """
    if not root.is_dir():
        raise RootMissing("ucf101", root, LAYOUT)
    places = annotation_places(root, annotations, _FOLDERS)
    lists = find_annotations(places, "classInd.txt")
    if lists is None and annotations is not None:
        raise AnnotationsMissing("ucf101", places, "classInd.txt and the six lists beside it")
    manifest = _from_groups(root) if lists is None else _from_lists(root, lists)
    return replace(manifest, notes=(*manifest.notes, *count_notes(manifest, PUBLISHED)))


def _from_lists(root: Path, lists: Path) -> Manifest:
    classes = _classes(lists / "classInd.txt")
    splits: dict[tuple[str, str], dict[tuple[str, str], None]] = {}
    for number in _SPLITS:
        for role in ("train", "test"):
            for listed in _listed(lists / f"{role}list{number:02d}.txt", classes):
                splits.setdefault(listed, {})[f"split{number}", role] = None
    on_disk = VideosOnDisk(root, classes)
    videos = tuple(
        Video(
            video_id=video_id_of(inside(f"{label}/{name}", root)),
            path=on_disk.path_of(label, name),
            labels=(label,),
            splits=tuple(found),
        )
        for (label, name), found in sorted(splits.items())
    )
    unlisted = on_disk.unlisted_notes(video.path for video in videos)
    return Manifest("ucf101", root, videos, classes, tuple(unlisted))


def _classes(path: Path) -> tuple[str, ...]:
    """Read "1 ApplyEyeMakeup" lines, in the order of their numbers."""
    numbered: dict[int, str] = {}
    for line, text in list_lines(path):
        number, _, name = text.partition(" ")
        if not number.isdecimal() or not name:
            raise ManifestUnreadable(path, [f"line {line}: {text!r} is not a number and a class"])
        numbered[int(number)] = name.strip()
    if sorted(numbered) != list(range(1, len(numbered) + 1)):
        raise ManifestUnreadable(path, ["the classes are not numbered 1, 2, 3 and so on"])
    return tuple(numbered[number] for number in sorted(numbered))


def _listed(path: Path, classes: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield (class, file name) of lines "Folder/name.avi" with or, in test lists, without the class's number."""
    numbers = {name.lower(): number for number, name in enumerate(classes, 1)}
    for line, text in list_lines(path):
        listed, *rest = text.split()
        folder, _, name = listed.partition("/")
        number = numbers.get(folder.lower())
        if number is None or not name:
            raise ManifestUnreadable(path, [f"line {line}: {listed!r} has no class of classInd.txt"])
        if rest and rest != [str(number)]:
            raise ManifestUnreadable(
                path, [f"line {line}: {text!r} contradicts classInd.txt, where {folder} is {number}"]
            )
        yield classes[number - 1], name


def _from_groups(root: Path) -> Manifest:
    paths = VideosOnDisk(root, ()).paths
    named = {
        path: match for path in paths if (match := _NAME.fullmatch(video_id_of(path).rpartition("/")[2]))
    }
    if not named:
        raise NoVideos(root, VIDEO_SUFFIXES)
    videos = tuple(_grouped_video(path, match) for path, match in named.items())
    classes = sorted({video.labels[0] for video in videos}, key=str.lower)  # classInd.txt's order
    notes = ["no ucfTrainTestlist was found: the splits are made from the groups, as the official ones are"]
    others = sorted(set(paths).difference(named))
    if others:
        notes.append(f"videos left out, not named as UCF101's are: {len(others):,}, such as {others[0]}")
    return Manifest("ucf101", root, videos, tuple(classes), tuple(notes))


def _grouped_video(path: str, match: re.Match[str]) -> Video:
    tested = (int(match["group"]) - 1) // _GROUPS_TESTED + 1
    splits = tuple((f"split{number}", "test" if number == tested else "train") for number in _SPLITS)
    label = _MISSPELT.get(match["label"], match["label"])
    return Video(video_id_of(f"{label}/{path.rpartition('/')[2]}"), path, labels=(label,), splits=splits)
