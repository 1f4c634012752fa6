"""ActivityNet 1.3: some 20,000 untrimmed videos of 200 activities with temporal annotations.

Source: Caba Heilbron et al., CVPR 2015; activity_net.v1-3.min.json. Besides, the lists of BMN (Lin et al., ICCV 2019):
anet_anno_action.json, video_info_new.csv and action_name.csv, a subset of which everybody has the features.
Traps: the ids of the official file lack the ``v_`` that file names and BMN's ids begin with; the test videos have no
annotations, so papers report on validation; instances without a length and instances listed twice are dropped, those
past the end of their video are clipped, all of them counted in notes; misspelt names ("Playing guitarra") are the
dataset's own and stay. The two lists differ: 10,024 / 4,926 videos against 9,649 / 4,728. A note names the one read.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from vlp.datasplits.cells import label_of, member, seconds_of
from vlp.datasplits.counts import count_notes
from vlp.datasplits.errors import AnnotationsMissing, ManifestUnreadable
from vlp.datasplits.manifest import DEFAULT_SPLIT, Manifest, Segment, Video, classes_of, inside, video_id_of
from vlp.datasplits.official import (
    VideosOnDisk,
    csv_rows,
    find_file,
    list_lines,
    read_json,
    search_places,
)
from vlp.datasplits.options import Option

SOURCE = "http://activity-net.org/download.html: activity_net.v1-3.min.json"
LAYOUT = (
    "ROOT/v_<id>.mp4, .mkv or .webm, in any folders; activity_net.v1-3.min.json, or anet_anno_action.json with "
    "video_info_new.csv, and action_name.csv if at all, in ROOT or in --annotations"
)
PUBLISHED = {
    "videos": 19994,
    "classes": 200,
    "default train": 10024,
    "default val": 4926,
    "default test": 5044,
}
_PUBLISHED_BMN = {"videos": 19228, "classes": 200, "default train": 9649, "default val": 4728}
OPTIONS = {
    "lists": Option(
        "official, bmn (the subset that features are shared of), or found: official if it is there, else bmn",
        "found",
        ("found", "official", "bmn"),
    )
}
_FILES = {
    "official": ("activity_net.v1-3.min.json", "activity_net.v1-3.json"),
    "bmn": ("anet_anno_action.json",),
}
_FOLDERS = ("annotations", "activitynet_annotations", "Evaluation/data")
_ROLES = {"training": "train", "validation": "val", "testing": "test"}


def load(root: Path, annotations: Path | None = None, *, lists: str = "found") -> Manifest:
    """Read one of the two lists.

    Args:
        root: folder of the videos.
        annotations: folder of the lists, where they are not below the root.
        lists: "official", "bmn", or "found" for the first of them that is there.

    Raises:
        RootMissing: if the root is not there.
        AnnotationsMissing: if the list is not found.
        ManifestUnreadable: if a file is none of its kind.
        OutsideRoot: if an id, or a link on disk, leads out of the root.
    """
    places = search_places("activitynet", root, annotations, folders=_FOLDERS, layout=LAYOUT)
    asked = tuple(_FILES) if lists == "found" else (lists,)
    found = [(name, path) for name in asked if (path := find_file(places, *_FILES[name]))]
    if not found:
        needs = " or ".join(_FILES[name][0] for name in asked)
        raise AnnotationsMissing("activitynet", places, needs)
    name, path = found[0]
    entries = _official(path) if name == "official" else _bmn(path)
    on_disk, counts = VideosOnDisk(root, ()), _Counts()
    videos = tuple(_video(path, root, on_disk, entry, counts) for entry in entries)
    classes, class_notes = _classes(find_file(places, "action_name.csv"), classes_of(videos))
    manifest = Manifest("activitynet", root, videos, classes, test_role="val")
    notes = [
        f"lists: {name} ({path.name})",
        *count_notes(manifest, PUBLISHED if name == "official" else _PUBLISHED_BMN),
        *counts.notes(),
        *class_notes,
        *on_disk.unlisted_notes(video.path for video in videos),
    ]
    return replace(manifest, notes=tuple(notes))


@dataclass(frozen=True)
class _Entry:
    """A video as either list has it."""

    name: str
    role: str
    duration_seconds: float
    annotations: list[Any]
    fps: float | None = None


def _official(path: Path) -> Iterator[_Entry]:
    database = member(path, "top", read_json(path, dict), "database", dict)
    for name, row in database.items():
        yield _Entry(
            name=f"v_{name}",
            role=_role(path, name, member(path, name, row, "subset", str)),
            duration_seconds=_not_negative(path, name, row.get("duration")),
            annotations=member(path, name, row, "annotations", list),
        )


def _bmn(path: Path) -> Iterator[_Entry]:
    """Join BMN's two files: annotations in one, subsets and frame rates in the other."""
    info = path.parent / "video_info_new.csv"
    rows = {row["video"]: row for _, row in csv_rows(info, ["video", "subset", "fps"])}
    for name, row in read_json(path, dict).items():
        if name not in rows:
            raise ManifestUnreadable(info, [f"it lacks the video {name!r:.80}"])
        held = member(path, name, row, "annotations", list)
        yield _Entry(
            name=name,
            role=_role(info, name, rows[name]["subset"]),
            duration_seconds=_not_negative(path, name, row.get("duration_second")),
            annotations=held,
            fps=_not_negative(info, name, rows[name]["fps"]) or None,
        )


def _role(path: Path, name: str, subset: str) -> str:
    if subset not in _ROLES:
        raise ManifestUnreadable(
            path, [f"{name!r:.80}: the subset {subset!r:.80} is none of {', '.join(_ROLES)}"]
        )
    return _ROLES[subset]


def _not_negative(path: Path, name: str, value: object) -> float:
    number = seconds_of(path, repr(name)[:80], value)
    if number < 0:
        raise ManifestUnreadable(path, [f"{name!r:.80}: {number} is negative"])
    return number


@dataclass
class _Counts:
    """Instances that are not as they should be."""

    empty: int = 0
    twice: int = 0
    clipped: int = 0

    def notes(self) -> Iterator[str]:
        """Say how many there are of each kind."""
        kinds = {
            "empty": "instances without a length, left out",
            "twice": "instances listed twice, left out",
            "clipped": "instances past an end of their video, clipped",
        }
        for field in fields(self):
            if count := getattr(self, field.name):
                yield f"{kinds[field.name]}: {count}"


def _video(path: Path, root: Path, on_disk: VideosOnDisk, entry: _Entry, counts: _Counts) -> Video:
    """Make a video; a label whose instances are all left out stays a label: the video does show it."""
    listed = [_listed(path, entry.name, row) for row in entry.annotations]
    file = inside(f"{entry.name}.mp4", root)
    return Video(
        video_id=video_id_of(file),
        path=on_disk.path_of_listed(file),
        labels=tuple(dict.fromkeys(label for _, _, label in listed)),
        segments=tuple(_segments(listed, entry.duration_seconds, counts)),
        splits=((DEFAULT_SPLIT, entry.role),),
        duration_seconds=entry.duration_seconds or None,
        fps=entry.fps,
    )


def _listed(path: Path, name: str, row: object) -> tuple[float, float, str]:
    where = repr(name)[:80]
    times = member(path, where, row, "segment", list)
    if len(times) != 2:
        raise ManifestUnreadable(path, [f"{where}: a segment of {len(times)} times"])
    label = label_of(path, where, member(path, where, row, "label", str))
    start, end = (seconds_of(path, where, time) for time in times)
    return start, end, label


def _segments(
    listed: list[tuple[float, float, str]], duration_seconds: float, counts: _Counts
) -> list[Segment]:
    """Leave out what has no length or stands twice, and clip the rest to the video where its duration is known."""
    last = duration_seconds or float("inf")
    segments: dict[Segment, None] = {}
    for instance, times in ((instance, _clipped(instance, last)) for instance in listed):
        if times is None:
            counts.empty += 1
            continue
        segment = Segment(*times, instance[2])
        if segment in segments:
            counts.twice += 1
            continue
        counts.clipped += times != instance[:2]
        segments[segment] = None
    return sorted(segments, key=lambda part: (part.start_seconds, part.end_seconds, part.label))


def _clipped(instance: tuple[float, float, str], last: float) -> tuple[float, float] | None:
    start, end = max(instance[0], 0.0), min(instance[1], last)
    return (start, end) if start < end else None


def _classes(listing: Path | None, labels: tuple[str, ...]) -> tuple[tuple[str, ...], list[str]]:
    """Order the classes as ``action_name.csv`` does, where it is there and has them all, or by the alphabet."""
    if listing is None:
        return labels, []
    names = [label_of(listing, f"line {line}", text) for line, text in list_lines(listing)]
    named = tuple(dict.fromkeys(name for name in names if name != "action"))  # the header
    absent = sorted(set(labels).difference(named))
    if absent:
        return labels, [
            f"classes in alphabetical order: {listing.name} lacks {len(absent)}, such as {absent[0]}"
        ]
    return named, []
