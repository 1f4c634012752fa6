"""HMDB51: 6,766 videos of 51 actions, three official splits of 70 / 30 videos a class.

Source: Kuehne et al., ICCV 2011; test_train_splits.rar (``testTrainMulti_7030_splits``).
Traps: each class and split has its own file, whose lines are ``name.avi 0|1|2``: 1 train, 2 test, 0 unused; names hold
``#``, spaces, brackets, ``&`` and ``;``, and lines end in a space. Classes are in alphabetical order, as their folders.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from vlp.datasplits.counts import count_notes, find_annotations, found_on_disk
from vlp.datasplits.errors import AnnotationsMissing, ManifestUnreadable, RootMissing
from vlp.datasplits.manifest import Manifest, Video, inside, video_id_of

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
    """
    if not root.is_dir():
        raise RootMissing("hmdb51", root, LAYOUT)
    lists = find_annotations(root, annotations, "*_test_split1.txt", _FOLDERS)
    if lists is None:
        looked_in = [annotations] if annotations else [root, *(root / name for name in _FOLDERS)]
        raise AnnotationsMissing("hmdb51", looked_in, "the folder testTrainMulti_7030_splits")
    videos = _from_lists(root, lists, found_on_disk(root))
    manifest = Manifest("hmdb51", root, videos, tuple(sorted({video.labels[0] for video in videos})))
    notes = tuple(count_notes(manifest, PUBLISHED))
    return Manifest("hmdb51", root, videos, manifest.classes, notes)


def _from_lists(root: Path, lists: Path, on_disk: Mapping[str, str]) -> tuple[Video, ...]:
    splits: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for path in sorted(lists.glob("*_test_split?.txt")):
        if match := _LIST.fullmatch(path.name):
            for name, use in _lines(path):
                found = splits.setdefault((match["label"], name), [])
                if use in _ROLES:
                    found.append((f"split{match['split']}", _ROLES[use]))
    return tuple(
        Video(
            video_id=video_id_of(inside(f"{label}/{name}", root)),
            path=on_disk.get(f"{label}/{name}".lower(), on_disk.get(name.lower(), f"{label}/{name}")),
            labels=(label,),
            splits=tuple(found),
        )
        for (label, name), found in splits.items()
    )


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    for line, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not text.strip():
            continue
        match = _LINE.fullmatch(text.strip())
        if match is None:
            raise ManifestUnreadable(path, [f"line {line}: {text!r} is not a name and 0, 1 or 2"])
        yield match["name"], match["use"]
