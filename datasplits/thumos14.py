"""THUMOS14, temporal detection: 200 validation and 213 test videos, 20 classes of sports.

Source: Jiang et al., THUMOS Challenge 2014; TH14_Temporal_annotations_validation.zip and _test.zip. Everybody trains on
the validation videos, since those of the training set are trimmed: they have the role "train".
Traps: a file a class, whose lines are ``video_test_0000131  19.3 23.0`` with any run of spaces; ``Ambiguous_*.txt`` is
no class, and one test video (1292) is in it alone. Every CliffDiving is listed under Diving as well, with the same
times: both segments are kept, as the official evaluation has them. 26 test and 4 validation instances begin after the
end of their video by the published durations; most of them are in test video 270, whose file is shorter than what was
annotated. The two ``*_avoid_videos.txt`` beside the lists are no part of the official evaluation, and not read.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vlp.datasplits.cells import label_of, seconds_of
from vlp.datasplits.counts import count_notes
from vlp.datasplits.errors import AnnotationsMissing, BadOption, DatasetError, ManifestUnreadable
from vlp.datasplits.manifest import DEFAULT_SPLIT, Manifest, Segment, Video
from vlp.datasplits.official import (
    VideosOnDisk,
    find_annotations,
    find_file,
    list_lines,
    search_places,
)
from vlp.datasplits.options import Option

SOURCE = "https://www.crcv.ucf.edu/THUMOS14/download.html: validation and test videos, temporal annotations"
LAYOUT = (
    "ROOT/video_validation_*.mp4 and ROOT/video_test_*.mp4, or in folders; temporal_annotations_validation/ and "
    "temporal_annotations_test/ in ROOT or in --annotations; *_durations.txt beside them if at all"
)
PUBLISHED = {
    "videos": 413,
    "classes": 20,
    "default train": 200,
    "default train segments": 3007,
    "default test": 213,
    "default test segments": 3358,
}
OPTIONS = {
    "exclude": Option("numbers of test videos that are not tested, with commas between; or none", "270,1292"),
    "past_end": Option(
        "instances beyond the end of their video: clip (and drop those that begin there), or keep as listed",
        "clip",
        ("clip", "keep"),
    ),
}
_LINE = re.compile(r"(?P<video>video_(?:validation|test)_[0-9]{7})\s+(?P<start>\S+)\s+(?P<end>\S+)")
_PARTS = {"train": ("val", "validation"), "test": ("test", "test")}  # role to the names in files and folders
_AMBIGUOUS = "Ambiguous"
_DURATIONS = tuple(f"{name}_durations.txt" for name in ("validation", "test", "th14_val", "th14_test"))

_Instances = dict[str, list[Segment]]


def load(
    root: Path, annotations: Path | None = None, *, exclude: str = "270,1292", past_end: str = "clip"
) -> Manifest:
    """Read the lists of both parts.

    Args:
        root: folder of the videos.
        annotations: folder that holds the lists or their folders, where these are not below the root.
        exclude: numbers of test videos to list without a role, such as "270,1292"; "none" for none.
        past_end: "clip" ends instances with their video, where its duration is known; "keep" leaves them.

    Raises:
        RootMissing: if the root is not there.
        AnnotationsMissing: if the lists of a part are not found.
        ManifestUnreadable: if a list has a line that is none of its kind, or a class that ``detclasslist.txt`` lacks.
        BadOption: if ``exclude`` names no listed test video.
        OutsideRoot: if a link on disk leads out of the root.
    """
    places = search_places("thumos14", root, annotations, folders=_folders(), layout=LAYOUT)
    instances = {role: _instances(_part(places, role), _PARTS[role][0]) for role in _PARTS}
    on_disk = VideosOnDisk(root, ())
    videos = [
        Video(
            video_id=name,
            path=on_disk.path_of("", f"{name}.mp4"),
            labels=tuple(dict.fromkeys(segment.label for segment in segments)),
            segments=tuple(segments),
            splits=((DEFAULT_SPLIT, role),),
        )
        for role, found in instances.items()
        for name, segments in found.items()
    ]
    listed = Manifest("thumos14", root, tuple(videos), _classes(places))
    left_out = _excluded(exclude, instances["test"])
    clip = _Clip(_durations(places), keep=past_end == "keep")
    clipped = tuple(_without_role(clip.video(video), left_out) for video in videos)
    notes = [
        *count_notes(listed, PUBLISHED),
        *_exclude_notes(left_out, instances["test"]),
        *clip.notes(),
        *on_disk.unlisted_notes(video.path for video in videos),
    ]
    return replace(listed, videos=clipped, notes=tuple(notes))


def _folders() -> tuple[str, ...]:
    tops = [
        f"{prefix}_{part}"
        for prefix in ("temporal_annotations", "TH14_Temporal_annotations", "TH14_Temporal_Annotations")
        for part in ("validation", "test", "Test")
    ]
    below = [f"{top}/{name}" for top in tops for name in ("annotation", "annotations")]
    return (*tops, *below, "annotations", "annotation")


def _part(places: Sequence[Path], role: str) -> Path:
    suffix, name = _PARTS[role]
    found = find_annotations(places, f"{_AMBIGUOUS}_{suffix}.txt")
    found = found or find_annotations(places, f"CliffDiving_{suffix}.txt")
    if found is None:
        raise AnnotationsMissing("thumos14", places, f"the {name} lists, <Class>_{suffix}.txt")
    return found


def _instances(folder: Path, suffix: str) -> _Instances:
    """Map each video of a part to its segments, sorted by time; one that is only ambiguous has none."""
    found: _Instances = {}
    for path in sorted(folder.glob(f"*_{suffix}.txt")):
        label = path.name.removesuffix(f"_{suffix}.txt")
        for line, text in list_lines(path):
            video, segment = _instance(path, line, text, label)
            segments = found.setdefault(video, [])
            if label != _AMBIGUOUS:
                segments.append(segment)
    return {
        video: sorted(found[video], key=lambda part: (part.start_seconds, part.end_seconds, part.label))
        for video in sorted(found)
    }


def _instance(path: Path, line: int, text: str, label: str) -> tuple[str, Segment]:
    match = _LINE.fullmatch(text)
    if match is None:
        raise ManifestUnreadable(path, [f"line {line}: {text!r:.80} is not a video, a start and an end"])
    start, end = (seconds_of(path, f"line {line}", match[name]) for name in ("start", "end"))
    try:
        return match["video"], Segment(start, end, label)
    except DatasetError as error:
        raise ManifestUnreadable(path, [f"line {line}: {error}"]) from None


def _classes(places: Sequence[Path]) -> tuple[str, ...]:
    """Name the classes in the order of ``detclasslist.txt``, which is that of the alphabet, used without it."""
    files: set[str] = set()
    for role, (suffix, _) in _PARTS.items():
        place = _part(places, role)
        files |= {path.name.removesuffix(f"_{suffix}.txt") for path in place.glob(f"*_{suffix}.txt")}
    named = [label_of(place, "a file", name) for name in sorted(files - {_AMBIGUOUS})]
    order = find_file(places, "detclasslist.txt")
    if order is None:
        return tuple(named)
    listed = [label_of(order, f"line {line}", text.split()[-1]) for line, text in list_lines(order)]
    absent = [name for name in named if name not in listed]
    if absent:
        raise ManifestUnreadable(order, [f"it lacks the class {absent[0]}"])
    return tuple(dict.fromkeys(listed))


def _excluded(exclude: str, test: _Instances) -> frozenset[str]:
    if exclude == "none":
        return frozenset()
    default = exclude == OPTIONS["exclude"].default
    names = [text.strip() for text in exclude.split(",")]
    if not all(name.isascii() and name.isdecimal() for name in names):
        raise BadOption("thumos14", f"exclude cannot be {exclude!r}: write numbers as in 270,1292, or none")
    videos = [f"video_test_{name.zfill(7)}" for name in names]
    unknown = [] if default else [name for name in videos if name not in test]
    if unknown:
        raise BadOption("thumos14", f"exclude names {unknown[0]}, which no list has")
    return frozenset(videos)


def _exclude_notes(left_out: Iterable[str], test: _Instances) -> Iterator[str]:
    for name in sorted(set(left_out) & test.keys()):
        yield f"not tested, by the option exclude: {name} ({len(test[name])} instances)"


def _without_role(video: Video, left_out: frozenset[str]) -> Video:
    return replace(video, splits=()) if video.video_id in left_out else video


def _durations(places: Sequence[Path]) -> dict[str, float]:
    """Read pairs of lines, a file name and its seconds, of all lists of durations that are there."""
    durations: dict[str, float] = {}
    for listing in filter(None, (find_file(places, name) for name in _DURATIONS)):
        lines = list(list_lines(listing))
        if len(lines) % 2:
            raise ManifestUnreadable(listing, [f"line {lines[-1][0]}: a video without its seconds"])
        for (_, video), (line, seconds) in zip(lines[::2], lines[1::2], strict=True):
            name = video.replace("\\", "/").rpartition("/")[2].partition(".")[0]  # one copy has whole paths
            duration = seconds_of(listing, f"line {line}", seconds)
            if duration <= 0:
                raise ManifestUnreadable(listing, [f"line {line}: a video of {duration} s"])
            durations.setdefault(name, duration)
    return durations


@dataclass
class _Clip:
    """Ends segments where their videos end, and counts."""

    durations: Mapping[str, float]
    keep: bool
    num_clipped: int = 0
    num_dropped: int = 0
    num_unknown: int = 0

    def video(self, video: Video) -> Video:
        """Return a video with its duration, and with what of its segments lies in it."""
        duration = self.durations.get(video.video_id)
        if duration is None:
            self.num_unknown += 1
            return video
        past = [segment for segment in video.segments if segment.end_seconds > duration]
        if not past or self.keep:
            self.num_clipped += len(past)
            return replace(video, duration_seconds=duration)
        inside = [segment for segment in video.segments if segment.start_seconds < duration]
        self.num_dropped += len(video.segments) - len(inside)
        self.num_clipped += len(past) - len(video.segments) + len(inside)
        ended = tuple(replace(segment, end_seconds=min(segment.end_seconds, duration)) for segment in inside)
        return replace(video, segments=ended, duration_seconds=duration)

    def notes(self) -> Iterator[str]:
        """Say what was clipped, dropped, kept or could not be known."""
        if self.num_unknown:
            yield f"videos of unknown duration, whose instances are as listed: {self.num_unknown}"
        if self.keep and self.num_clipped:
            yield f"instances that end after their video, kept: {self.num_clipped}"
        elif self.num_clipped:
            yield f"instances that end after their video, clipped: {self.num_clipped}"
        if self.num_dropped:
            yield f"instances that begin after the end of their video, left out: {self.num_dropped}"
