"""HMDB51: 6,766 videos of 51 actions, three official splits of 70 / 30 videos a class.

Source: Kuehne et al., ICCV 2011; test_train_splits.rar (``testTrainMulti_7030_splits``).
Traps: each class and split has its own file, whose lines are ``name.avi 0|1|2``: 1 train, 2 test, 0 unused; names hold
``#``, spaces, brackets, ``&`` and ``;``, and lines end in a space. Classes are in alphabetical order, as their folders.
The label files of ViFi-CLIP, X-CLIP and ActionCLIP exchange two pairs of names beside that order, so that their videos
of ``kick`` are compared with the text of ``kick_ball``: 120 of the 1,530 test videos of split 1. ``compat=true`` does
the same, to set numbers beside theirs.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from vlp.datasplits.counts import count_notes
from vlp.datasplits.errors import ManifestUnreadable
from vlp.datasplits.manifest import Manifest, Video, inside, video_id_of
from vlp.datasplits.official import VideosOnDisk, find_lists, list_lines
from vlp.datasplits.options import Option

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
OPTIONS = {
    "compat": Option(
        "true: exchange the names of kick and kick_ball, sword and sword_exercise, as published code does",
        "false",
        ("false", "true"),
    )
}
_EXCHANGED = {"kick": "kick_ball", "kick_ball": "kick", "sword": "sword_exercise", "sword_exercise": "sword"}
_LIST = re.compile(r"(?P<label>.+)_test_split(?P<split>[123])\.txt")
_LINE = re.compile(r"(?P<name>.+\S)\s+(?P<use>[012])")
_ROLES = {"1": "train", "2": "test"}
_FOLDERS = ("testTrainMulti_7030_splits", "splits", "annotations")


def load(root: Path, annotations: Path | None = None, *, compat: str = "false") -> Manifest:
    """Read the official lists.

    Args:
        root: folder of the videos.
        annotations: folder of the lists, where they are not below the root.
        compat: "true" gives four classes each other's names, as the module says.

    Raises:
        RootMissing: if the root is not there.
        AnnotationsMissing: if the lists are not found: they cannot be made from the files' names.
        ManifestUnreadable: if a list has a line that is not a name and 0, 1 or 2.
        OutsideRoot: if a listed name, or a link on disk, leads out of the root.
    """
    lists = find_lists(
        "hmdb51",
        root,
        annotations,
        folders=_FOLDERS,
        pattern="*_test_split1.txt",
        needs="the folder testTrainMulti_7030_splits",
        layout=LAYOUT,
    )
    splits = _splits(lists)
    folders = sorted({label for label, _ in splits})
    on_disk = VideosOnDisk(root, folders)
    names = {folder: _EXCHANGED.get(folder, folder) if compat == "true" else folder for folder in folders}
    videos = tuple(
        Video(
            video_id=video_id_of(inside(f"{label}/{name}", root)),
            path=on_disk.path_of(label, name),
            labels=(names[label],),
            splits=tuple(found),
        )
        for (label, name), found in splits.items()
    )
    manifest = Manifest("hmdb51", root, videos, tuple(names.values()))
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
