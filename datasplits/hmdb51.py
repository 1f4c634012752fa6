"""HMDB51: 6,766 videos of 51 actions, three official splits of 70 / 30 videos a class.

Source: Kuehne et al., ICCV 2011; test_train_splits.rar (``testTrainMulti_7030_splits``).
Traps: each class and split has its own file, whose lines are ``name.avi 0|1|2``: 1 train, 2 test, 0 unused; names hold
``#``, spaces, brackets, ``&`` and ``;``, and lines end in a space. Classes are in alphabetical order, as their folders.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from vlp.datasplits.counts import count_notes
from vlp.datasplits.errors import AnnotationsMissing, ManifestUnreadable, RootMissing
from vlp.datasplits.manifest import Manifest, Video, inside, video_id_of
from vlp.datasplits.official import VideosOnDisk, annotation_places, find_annotations, list_lines

SOURCE = (
    "https://serre-lab.clps.brown.edu/resource/hmdb-a-large-human-motion-database: hmdb51_org.rar and splits"
)
LAYOUT = (
    "ROOT/<class>/<video>.avi or all videos in ROOT; testTrainMulti_7030_splits/ in ROOT or as --annotations"
)
PUBLISHED = {
    "videos": 6766,
    "classes": 51,
    **{
        f"split{number} {role}": count
        for number in (1, 2, 3)
        for role, count in (("train", 3570), ("test", 1530))
    },
}
_LIST = re.compile(r"(?P<label>.+)_test_split(?P<split>[123])\.txt")
_LINE = re.compile(r"(?P<name>.+\S)\s+(?P<use>[012])")
_ROLES = {"1": "train", "2": "test"}
_FOLDERS = ("testTrainMulti_7030_splits", "splits", "annotations")


def load(root: Path, annotations: Path | None = None) -> Manifest:
    """Read the official lists.

    Raises:
        RootMissing: if the root is not there.
        AnnotationsMissing: if the lists are not found: they cannot be made from the files' names.
        ManifestUnreadable: if a list has a line that is not a name and 0, 1 or 2.
        OutsideRoot: if a listed name, or a link on disk, leads out of the root.
    """
    if not root.is_dir():
        raise RootMissing("hmdb51", root, LAYOUT)
    places = annotation_places(root, annotations, _FOLDERS)
    lists = find_annotations(places, "*_test_split1.txt")
    if lists is None:
        raise AnnotationsMissing("hmdb51", places, "the folder testTrainMulti_7030_splits")
    splits = _splits(lists)
    classes = tuple(sorted({label for label, _ in splits}))
    on_disk = VideosOnDisk(root, classes)
    videos = tuple(
        Video(
            video_id=video_id_of(inside(f"{label}/{name}", root)),
            path=on_disk.path_of(label, name),
            labels=(label,),
            splits=tuple(found),
        )
        for (label, name), found in splits.items()
    )
    manifest = Manifest("hmdb51", root, videos, classes)
    unlisted = on_disk.unlisted_notes(video.path for video in videos)
    return replace(manifest, notes=(*count_notes(manifest, PUBLISHED), *unlisted))


def _splits(lists: Path) -> dict[tuple[str, str], dict[tuple[str, str], None]]:
    """Map (class, file name) to its (split, role) pairs."""
    splits: dict[tuple[str, str], dict[tuple[str, str], None]] = {}
    for path in sorted(lists.glob("*_test_split?.txt")):
        if match := _LIST.fullmatch(path.name):
            for name, use in _uses(path):
                found = splits.setdefault((match["label"], name), {})
                if use in _ROLES:
                    found[f"split{match['split']}", _ROLES[use]] = None
    return splits


def _uses(path: Path) -> Iterator[tuple[str, str]]:
    """Yield (file name, "0", "1" or "2")."""
    for line, text in list_lines(path):
        match = _LINE.fullmatch(text)
        if match is None:
            raise ManifestUnreadable(path, [f"line {line}: {text!r} is not a name and 0, 1 or 2"])
        yield match["name"], match["use"]
