"""What a dataset is to everything else: videos with labels, captions, segments and splits.

Labels and splits live here and not in the store, so that mending a label touches no feature. A manifest is built
without looking at a single video file: 650,000 rows are planned in seconds.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from vlp.datasplits.errors import DatasetError, OutsideRoot, SplitLeak, VideoCollision

VIDEO_SUFFIXES = (
    ".avi",
    ".flv",
    ".m4v",
    ".mkv",
    ".mov",
    ".mp4",
    ".mpeg",
    ".mpg",
    ".ts",
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

    Raises:
        DatasetError: if a path is not valid Unicode.
        VideoCollision: if two videos share an id.
        SplitLeak: if a video has two roles in one split.
    """

    dataset: str
    root: Path
    videos: tuple[Video, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        leaks: dict[str, list[str]] = {}
        for video in self.videos:
            if video.video_id in seen:
                raise VideoCollision(video.video_id, seen[video.video_id], video.path)
            seen[video.video_id] = video.path
            if not video.path.isascii():
                _check_unicode(video.path)
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

    def videos_in(self, split: str, role: str) -> tuple[Video, ...]:
        """Return the videos that have this role in this split."""
        return tuple(video for video in self.videos if (split, role) in video.splits)

    def absolute(self, video: Video) -> Path:
        """Return where a video lies.

        Raises:
            OutsideRoot: if a link on the way leads out of the root.
        """
        path = self.root / video.path
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise OutsideRoot(video.path, self.root)
        return path


def _check_unicode(path: str) -> None:
    """Refuse names that are no Unicode: neither a store nor a result could name the video."""
    try:
        path.encode()
    except UnicodeEncodeError:
        raise DatasetError(f"the name of {path!r} is not valid UTF-8. Rename the file.") from None


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
        OutsideRoot: if it is absolute and not below the root, or climbs out with ``..``.

    Example:
        >>> inside("./walk/ira.avi", Path("videos"))
        'walk/ira.avi'
    """
    if "\0" in path:
        raise OutsideRoot(path, root)
    text = path.replace("\\", "/")
    if text.startswith("/"):
        try:
            text = Path(text).relative_to(root.absolute()).as_posix()
        except ValueError:
            raise OutsideRoot(path, root) from None
    if not (".." in text or "//" in text or text.startswith("./") or "/./" in text or text.endswith("/")):
        return text  # the usual case, without a Path object a row
    parts: list[str] = []
    for part in PurePosixPath(text).parts:
        if part == "..":
            if not parts:
                raise OutsideRoot(path, root)
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def classes_of(videos: Iterable[Video]) -> tuple[str, ...]:
    """Return all labels of videos and segments, sorted."""
    names = {label for video in videos for label in video.labels}
    names |= {segment.label for video in videos for segment in video.segments}
    return tuple(sorted(names))
