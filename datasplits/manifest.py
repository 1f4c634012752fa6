"""What a dataset is to everything else: videos with labels, captions, segments and splits.

Labels and splits live here and not in the store, so that mending a label touches no feature. A manifest is built
without looking at a single video file: 650,000 rows are planned in seconds.
"""

import copy
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from vlp.datasplits.errors import DatasetError, OutsideRoot, SplitLeak, VideoCollision

VIDEO_SUFFIXES = (
    ".3g2",
    ".3gp",
    ".asf",
    ".avi",
    ".flv",
    ".m2ts",
    ".m4v",
    ".mkv",
    ".mov",
    ".mp4",
    ".mpeg",
    ".mpg",
    ".mts",
    ".ogv",
    ".ts",
    ".vob",
    ".webm",
    ".wmv",
)
DEFAULT_SPLIT = "default"


@dataclass(frozen=True)
class Segment:
    """A labelled part of a video, in seconds from its start."""

    start_seconds: float
    end_seconds: float
    label: str

    def __post_init__(self) -> None:
        if not 0 <= self.start_seconds < self.end_seconds < float("inf"):
            raise DatasetError(f"segment {self.start_seconds} to {self.end_seconds} s is empty or negative")


@dataclass(frozen=True, slots=True)
class Video:
    """One video of a dataset.

    Args:
        video_id: the dataset's own id: the path relative to the root, without its extension.
        path: relative to the root, with slashes.
        labels: class names as the dataset spells them.
        captions: sentences.
        segments: labelled parts.
        splits: (split, role) pairs, such as ("split1", "train").
        duration_seconds: as the annotations state it; None when they do not.
        fps: as the annotations state it.
    """

    video_id: str
    path: str
    labels: tuple[str, ...] = ()
    captions: tuple[str, ...] = ()
    segments: tuple[Segment, ...] = ()
    splits: tuple[tuple[str, str], ...] = ()
    duration_seconds: float | None = None
    fps: float | None = None


@dataclass(frozen=True)
class Manifest:
    """A dataset as its lists describe it, whether or not its files are there.

    Args:
        dataset: its name.
        root: folder that all paths are relative to.
        videos: in the order of the lists.
        classes: in the dataset's own order.
        notes: what was counted and differs from the published numbers, one line each.
        test_role: whose numbers papers report: "val" where the test lists carry no labels.
        default_split: the split meant where none is named; None for all of them.
        annotations: where the user said that the official lists are.
        options: what the user chose about the dataset, by name.

    Raises:
        DatasetError: if a path is not valid Unicode, or holds control characters.
        OutsideRoot: if an id is that of a folder, as of a file called ``...mp4``.
        VideoCollision: if two videos share an id.
        SplitLeak: if a video has two roles in one split.
    """

    dataset: str
    root: Path
    videos: tuple[Video, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())
    test_role: str = "test"
    default_split: str | None = None
    annotations: Path | None = None
    options: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        leaks: dict[str, list[str]] = {}
        for video in self.videos:
            if video.video_id in seen:
                raise VideoCollision(video.video_id, seen[video.video_id], video.path)
            seen[video.video_id] = video.path
            if video.video_id.endswith(".") and video.video_id.rpartition("/")[2] in {".", ".."}:
                raise OutsideRoot(video.path, self.root)
            if not video.path.isprintable():
                _check_name(video.path)
            if len(video.splits) > 1:
                for split, count in Counter(split for split, _ in video.splits).items():
                    if count > 1:
                        leaks.setdefault(split, []).append(video.video_id)
        for split, video_ids in leaks.items():
            raise SplitLeak(split, video_ids)

    @cached_property
    def class_index(self) -> Mapping[str, int]:
        """Class name to its position."""
        return {name: position for position, name in enumerate(self.classes)}

    @cached_property
    def split_names(self) -> tuple[str, ...]:
        """Names of the splits, in order of appearance, sorted where official lists number them."""
        names = dict.fromkeys(split for video in self.videos for split, _ in video.splits)
        return tuple(sorted(names))

    @property
    def first_split(self) -> str | None:
        """The one split that is meant where a single one is needed; None for a dataset without splits."""
        return self.default_split or next(iter(self.split_names), None)

    def with_source(self, annotations: Path | None, options: Mapping[str, str]) -> "Manifest":
        """Say what the user chose; the videos, checked already, are not checked again."""
        twin = copy.copy(self)
        object.__setattr__(twin, "annotations", annotations)
        object.__setattr__(twin, "options", dict(options))
        return twin

    def videos_in(self, split: str, role: str) -> tuple[Video, ...]:
        """Return the videos that have this role in this split."""
        return tuple(video for video in self.videos if (split, role) in video.splits)

    def absolute(self, video: Video) -> Path:
        """Return where a video lies.

        Raises:
            OutsideRoot: if a link on the way leads out of the root.
        """
        path = self.root / video.path
        if not is_inside(path, self._real_root):
            raise OutsideRoot(video.path, self.root)
        return path

    @cached_property
    def _real_root(self) -> Path:
        return real_path(self.root)


def _check_name(path: str) -> None:
    """Refuse names that no store, list or terminal can hold safely."""
    kinds = {unicodedata.category(character) for character in path}
    if "Cs" in kinds:
        raise DatasetError(f"the name of {path!r} is not valid UTF-8. Rename the file.")
    if "Cc" in kinds:
        raise DatasetError(f"the name of {path!r} holds a control character. Rename the file.")


def real_path(path: Path) -> Path:
    """Follow all links; unlike `Path.resolve`, without an error for those that lead to themselves."""
    return Path(os.path.realpath(path))


def is_inside(path: Path, real_root: Path) -> bool:
    """Tell whether a path lies below a folder once all links are followed.

    Args:
        path: it need not exist.
        real_root: a `real_path`.
    """
    return real_path(path).is_relative_to(real_root)


def video_id_of(path: str) -> str:
    """Drop the extension of a relative path.

    Example:
        >>> video_id_of("walk/ira.v2.avi"), video_id_of("clips/noext")
        ('walk/ira.v2', 'clips/noext')
    """
    folder, slash, name = path.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    return folder + slash + (stem if dot and stem else name)


def inside(path: str, root: Path) -> str:
    """Normalise a listed path to one relative to the root, with slashes.

    Raises:
        OutsideRoot: if it is absolute and not below the root, climbs out with ``..``, or names the root itself.
        DatasetError: if it holds control characters or is not valid Unicode.

    Example:
        >>> inside("./walk/ira.avi", Path("videos"))
        'walk/ira.avi'
    """
    usual = path.isprintable() and not ("/." in path or "//" in path or "\\" in path)
    if usual and path and path[0] not in "/." and path[-1] not in "/.":
        return path  # without a Path object a row
    _check_name(path)
    text = path.replace("\\", "/")  # lists written on Windows
    if text.startswith("/"):
        top = f"{root.absolute()}/"
        if not text.startswith(top):
            raise OutsideRoot(path, root)
        text = text.removeprefix(top).lstrip("/")
    parts: list[str] = []
    for part in PurePosixPath(text).parts:
        if part != "..":
            parts.append(part)
        elif parts:
            parts.pop()
        else:
            raise OutsideRoot(path, root)
    if not parts:
        raise OutsideRoot(path, root)
    return "/".join(parts)


def classes_of(videos: Iterable[Video]) -> tuple[str, ...]:
    """Return all labels of videos and segments, sorted."""
    names = {label for video in videos for label in video.labels}
    names |= {segment.label for video in videos for segment in video.segments}
    return tuple(sorted(names))
