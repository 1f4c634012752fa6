"""Charades: 9,848 videos of people at home, each with several of 157 actions, and when they happen.

Source: Sigurdsson et al., ECCV 2016, arXiv:1604.01753; Charades.zip, and its README for the counts.
Traps: ``actions`` holds ``c092 11.90 21.20;c147 0.00 12.60``, and 223 rows have none; about a third of the instances
end after their video does, by up to 1.54 seconds: they are clipped to its length; seven of the training list end before
they start: they are dropped as segments, while the video keeps their class, since to classify it needs no times.
Class names hold ``/`` and follow in the order of their numbers, from ``Charades_v1_classes.txt``. The caption is the
``script`` that people acted; ``captions=descriptions`` takes what others saw in the video instead, one to four
texts, with semicolons between them.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from vlp.datasplits.cells import label_of, sentence_of
from vlp.datasplits.counts import count_notes
from vlp.datasplits.errors import ManifestUnreadable, SplitLeak
from vlp.datasplits.manifest import DEFAULT_SPLIT, Manifest, Segment, Video
from vlp.datasplits.official import VideosOnDisk, csv_rows, find_lists, list_lines
from vlp.datasplits.options import Option

SOURCE = (
    "https://prior.allenai.org/projects/charades: Charades_v1_480.zip (or Charades_v1.zip) and Charades.zip"
)
LAYOUT = (
    "ROOT/<id>.mp4, in any folder such as Charades_v1_480/; Charades_v1_train.csv, Charades_v1_test.csv and"
    " Charades_v1_classes.txt in ROOT, in ROOT/Charades or as --annotations"
)
PUBLISHED = {"videos": 9848, "classes": 157, "default train": 7985, "default test": 1863}
OPTIONS = {
    "captions": Option(
        "script: what people were asked to act; descriptions: what others saw",
        "script",
        ("script", "descriptions"),
    )
}
_FOLDERS = ("Charades", "annotations")
_ROLES = ("train", "test")
_COLUMNS = ("id", "script", "descriptions", "actions", "length")
_CLASS = re.compile(r"c(?P<number>[0-9]{3})\s+(?P<name>.+)")
_ID = re.compile(r"[A-Za-z0-9]{1,64}")
_TIME = r"(-?[0-9]{1,9}(?:\.[0-9]+)?)"
_ACTION = re.compile(rf"c([0-9]{{3}})\s+{_TIME}\s+{_TIME}")


def load(root: Path, annotations: Path | None = None, *, captions: str = "script") -> Manifest:
    """Read the official lists.

    Args:
        root: folder of the videos.
        annotations: folder of the lists, where they are not below the root.
        captions: "script" or "descriptions", the column that they are taken from.

    Raises:
        RootMissing: if the root is not there.
        AnnotationsMissing: if the lists are not found.
        ManifestUnreadable: if one of them is missing, or has a row that is none of its kind.
        SplitLeak: if both lists hold one video.
        OutsideRoot: if a link on disk leads out of the root.
    """
    lists = find_lists(
        "charades",
        root,
        annotations,
        folders=_FOLDERS,
        pattern="Charades_v1_*.csv",
        needs="Charades_v1_train.csv, Charades_v1_test.csv and Charades_v1_classes.txt",
        layout=LAYOUT,
    )
    classes = _classes(lists / "Charades_v1_classes.txt")
    on_disk = VideosOnDisk(root, ())
    ends = _Ends()
    videos: dict[str, Video] = {}
    leaks: list[str] = []
    for role in _ROLES:
        listed = _of_list(lists / f"Charades_v1_{role}.csv", classes, captions, ends)
        leaks += [video_id for video_id in listed if video_id in videos]
        for video_id, video in listed.items():
            path = on_disk.path_of("", f"{video_id}.mp4")
            videos[video_id] = replace(video, path=path, splits=((DEFAULT_SPLIT, role),))
    if leaks:
        raise SplitLeak(DEFAULT_SPLIT, leaks)
    manifest = Manifest(
        "charades", root, tuple(videos.values()), tuple(classes.values()), default_split=DEFAULT_SPLIT
    )
    unlisted = on_disk.unlisted_notes(video.path for video in manifest.videos)
    notes = (*count_notes(manifest, PUBLISHED), *_unlabelled(manifest), *ends.notes(), *unlisted)
    return replace(manifest, notes=notes)


def _unlabelled(manifest: Manifest) -> Iterator[str]:
    without = [video.video_id for video in manifest.videos if not video.labels]
    if without:
        yield f"videos without any action: {len(without):,}, such as {without[0]}"


def _classes(path: Path) -> dict[str, str]:
    """Map numbers as they are written ("000") to names."""
    classes: dict[str, str] = {}
    for line, text in list_lines(path):
        match = _CLASS.fullmatch(text)
        if match is None or int(match["number"]) != len(classes):
            raise ManifestUnreadable(
                path, [f"line {line}: {text!r} is not class c{len(classes):03d} and its name"]
            )
        classes[match["number"]] = label_of(path, f"line {line}", match["name"])
    return classes


@dataclass
class _Ends:
    """Videos with instances that end after them or are of no time, each as often as it has one.

    Attributes:
        clipped: of instances that were cut to the video's length.
        dropped: of instances that nothing is left of.
    """

    clipped: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    def segment(
        self, video_id: str, label: str, start: float, end: float, length: float
    ) -> tuple[Segment, ...]:
        """Return the part of an instance that lies in the video, if there is any; times in seconds."""
        if start < 0 or start >= min(end, length):
            self.dropped.append(video_id)
            return ()
        if end > length:
            self.clipped.append(video_id)
        return (Segment(start, min(end, length), label),)

    def notes(self) -> Iterator[str]:
        """Say how many there were."""
        if self.clipped:
            yield f"instances clipped to their video's length: {len(self.clipped):,}, such as in {self.clipped[0]}"
        if self.dropped:
            yield (
                f"instances dropped, as they end before they start or lie outside the video: {len(self.dropped):,},"
                f" such as in {self.dropped[0]}"
            )


def _of_list(path: Path, classes: Mapping[str, str], captions: str, ends: _Ends) -> dict[str, Video]:
    """Map the ids of a list to videos, whose paths and splits are not known here."""
    videos: dict[str, Video] = {}
    for line, row in csv_rows(path, _COLUMNS):
        try:
            video = _video(row, classes, ends)
            if video.video_id in videos:
                raise ValueError(f"video {video.video_id} is listed twice")
        except ValueError as error:
            raise ManifestUnreadable(path, [f"line {line}: {error}"]) from None
        texts = row["descriptions"].split(";") if captions == "descriptions" else [row["script"]]
        sentences = filter(None, (sentence_of(path, f"line {line}", text) for text in texts))
        videos[video.video_id] = replace(video, captions=tuple(sentences))
    return videos


def _video(row: Mapping[str, str], classes: Mapping[str, str], ends: _Ends) -> Video:
    video_id = row["id"].strip()
    if not _ID.fullmatch(video_id):
        raise ValueError(f"{video_id[:40]!r} is no video id")
    if not re.fullmatch(_TIME, row["length"].strip()) or (length := float(row["length"])) <= 0:
        raise ValueError(f"{row['length'][:40]!r} is no length in seconds")
    instances = list(_instances(row["actions"], classes))
    segments = (ends.segment(video_id, *instance, length) for instance in instances)
    return Video(
        video_id=video_id,
        path="",
        labels=tuple(dict.fromkeys(label for label, _, _ in instances)),
        segments=tuple(segment for found in segments for segment in found),
        duration_seconds=length,
    )


def _instances(actions: str, classes: Mapping[str, str]) -> Iterator[tuple[str, float, float]]:
    """Yield (class, start, end) of ``c092 11.90 21.20;…``, in seconds."""
    for text in filter(None, map(str.strip, actions.split(";"))):
        match = _ACTION.fullmatch(text)
        if match is None or match[1] not in classes:
            raise ValueError(f"{text[:40]!r} is not a class, a start and an end")
        yield classes[match[1]], float(match[2]), float(match[3])
