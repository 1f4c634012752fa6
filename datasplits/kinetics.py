"""What Kinetics-400, -600 and -700 have in common: their lists, and the names of their clips.

Source: Kay et al., arXiv:1705.06950 (400); Carreira et al., arXiv:1808.01340 (600) and arXiv:1907.06987 (700); lists at
https://github.com/cvdfoundation/kinetics-dataset, CSV files of ``label,youtube_id,time_start,time_end,split[,is_cc]``.
Traps: people's lists have many names; the test list may have no labels; ids begin with ``-`` (a spreadsheet turns those
into ``#NAME?``, which is refused); times may look like ``417.0``; one YouTube video may give several clips. Clips lie
flat or in folders of any spelling, as ``<id>_<start>_<end>`` with six digits each, or as ``<id>``, which is taken where
the lists have a single clip of that video. A clip listed twice is one; with two labels, it keeps the first. Many videos
are gone: they stay listed.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from vlp.datasplits.cells import label_of
from vlp.datasplits.counts import differences
from vlp.datasplits.errors import AnnotationsMissing, ManifestUnreadable, RootMissing
from vlp.datasplits.manifest import DEFAULT_SPLIT, Manifest, Video, video_id_of
from vlp.datasplits.manifest_file import no_garbage_collection
from vlp.datasplits.official import VideosOnDisk, annotation_places, csv_rows
from vlp.datasplits.options import Option

LAYOUT = (
    "ROOT/**/<youtube id>_<start>_<end>.mp4, six digits each, in any folders; train.csv, val.csv and test.csv, with or"
    " without the dataset's name before them, in ROOT or as --annotations"
)
OPTIONS = {
    "leaks": Option(
        "drop: a clip that two lists hold stays where it is evaluated, and leaves training",
        "refuse",
        ("refuse", "drop"),
    )
}
_NAME = re.compile(
    r"(?:k(?:inetics)?[-_ ]?(?P<number>\d{3})(?P<edition>[-_]?2020)?[-_ ])?"
    r"(?P<use>train|training|val|valid|validate|validation|test)\.csv",
    re.IGNORECASE,
)
_USES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "test": "test",
}
_COLUMNS = ("youtube_id", "time_start", "time_end")
_YOUTUBE_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MOST_SECONDS = 10**6  # names have six digits
_TIMES = len("_000000_000010")
_ROLES = ("train", "val", "test")
_KEPT_FIRST = ("val", "test", "train")  # of a clip that two lists hold


def load_kinetics(
    dataset: str, root: Path, annotations: Path | None, *, published: Mapping[str, int], leaks: str
) -> Manifest:
    """Read the lists that are there of one of the datasets.

    Args:
        dataset: "kinetics400", "kinetics600" or "kinetics700".
        root: folder of the videos.
        annotations: folder of the lists, where they are not below the root.
        published: counts.
        leaks: "refuse" or "drop", what becomes of a clip that two lists hold.

    Raises:
        RootMissing: if the root is not there.
        AnnotationsMissing: if no list is found.
        ManifestUnreadable: if a list has a row that names no clip, no class, or another list's role.
        SplitLeak: if two lists hold one clip, unless these are dropped.
        OutsideRoot: if a link on disk leads out of the root.
    """
    with no_garbage_collection():
        return _manifest(dataset, root, _find_lists(dataset, root, annotations), published, leaks)


def _manifest(
    dataset: str, root: Path, lists: Mapping[str, Sequence[Path]], published: Mapping[str, int], leaks: str
) -> Manifest:
    clips = _Clips()
    for role, paths in lists.items():
        for clip, label in _rows(paths[0], role):
            clips.add(clip, label, role)
    notes = [*_list_notes(lists), *clips.notes()]
    if leaks == "drop":
        notes += clips.drop_leaks()
    on_disk = VideosOnDisk(root, ())
    videos = tuple(clips.videos(on_disk.paths))
    notes += on_disk.unlisted_notes(video.path for video in videos)
    classes = tuple(sorted({*clips.labels.values()} - {""}))
    counts = clips.counts() | {"classes": len(classes)}
    if len(lists) == len(_ROLES):
        counts["videos"] = len(videos)
    notes += differences(counts, {name: published[name] for name in published if name in counts})
    return Manifest(
        dataset, root, videos, classes, tuple(notes), test_role="val", default_split=DEFAULT_SPLIT
    )


def _find_lists(dataset: str, root: Path, annotations: Path | None) -> dict[str, list[Path]]:
    """Map roles to their lists in the first folder with any, the likeliest first."""
    if not root.is_dir():
        raise RootMissing(dataset, root, LAYOUT)
    number = dataset.removeprefix("kinetics")
    names = [f"{name}{number}" for name in ("kinetics", "kinetics-", "kinetics_", "k")]
    places = annotation_places(
        root, annotations, ("annotations", "lists", *names, *(f"{name}_2020" for name in names))
    )
    found = next(filter(None, (_lists_in(place, number) for place in places)), None)
    if found is None:
        raise AnnotationsMissing(dataset, places, "one or more of train.csv, val.csv and test.csv")
    return found


def _lists_in(place: Path, number: str) -> dict[str, list[Path]]:
    """Map roles to lists; those that name the dataset go before those that may be another's."""
    matches = [(match, path) for path in place.glob("*.csv") if (match := _NAME.fullmatch(path.name))]
    own = [(match, path) for match, path in matches if match["number"] in {number, None}]
    own.sort(key=lambda found: (not found[0]["number"], bool(found[0]["edition"]), found[1].name))
    roles = [(_USES[match["use"].lower()], path) for match, path in own]
    return {role: paths for role in _ROLES if (paths := [path for listed, path in roles if listed == role])}


def _list_notes(lists: Mapping[str, Sequence[Path]]) -> Iterator[str]:
    absent = [role for role in _ROLES if role not in lists]
    others = [path.name for paths in lists.values() for path in paths[1:]]
    if absent or others:
        yield f"lists read: {', '.join(paths[0].name for paths in lists.values())}"
    if absent:
        yield f"no list was found for {', '.join(absent)}"
    if others:
        yield f"lists passed over: {', '.join(others)}"


class _Times(dict[str, str]):
    """Seconds as lists spell them, and their six digits in names; what is after a point does not count."""

    def __missing__(self, text: str) -> str:
        try:
            seconds = float(text)
        except ValueError:
            seconds = math.nan
        if not 0 <= seconds < _MOST_SECONDS:
            raise ValueError(f"{text[:40]!r} is no time in seconds")
        self[text] = f"{int(seconds):06d}"
        return self[text]


def _rows(path: Path, role: str) -> Iterator[tuple[str, str]]:
    """Yield (clip, label or "") of a list."""
    labels, times = {"": ""}, _Times()  # one text a class, and not one a row
    for line, row in csv_rows(path, _COLUMNS):
        listed = row.get("label", "").strip()
        if listed not in labels:
            labels[listed] = label_of(path, f"line {line}", listed)
        try:
            clip = _clip(row, role, times)
            if not listed and role != "test":
                raise ValueError(f"{clip} has no label")
        except ValueError as error:
            raise ManifestUnreadable(path, [f"line {line}: {error}"]) from None
        yield clip, labels[listed]


def _clip(row: Mapping[str, str], role: str, times: _Times) -> str:
    youtube_id = row["youtube_id"].strip()
    if not _YOUTUBE_ID.fullmatch(youtube_id):
        raise ValueError(f"{youtube_id[:40]!r} is no YouTube id")
    if _USES.get(row.get("split", ""), role) != role:
        raise ValueError(f"{youtube_id} is of split {row['split']}, and the list is named as of {role}")
    return f"{youtube_id}_{times[row['time_start']]}_{times[row['time_end']]}"


@dataclass
class _Clips:
    """The clips of all lists, each once.

    Attributes:
        labels: clip to label, "" where no list has one.
        roles: clip to the roles of the lists that hold it.
        repeated: clips that a list holds again, as often as it does.
        relabelled: clips that are listed with another label too.
    """

    labels: dict[str, str] = field(default_factory=dict)
    roles: dict[str, tuple[str, ...]] = field(default_factory=dict)
    repeated: list[str] = field(default_factory=list)
    relabelled: dict[str, None] = field(default_factory=dict)

    def add(self, clip: str, label: str, role: str) -> None:
        """Take in one row."""
        if clip not in self.roles:
            self.labels[clip], self.roles[clip] = label, (role,)
            return
        if role in self.roles[clip]:
            self.repeated.append(clip)
        else:
            self.roles[clip] += (role,)
        known = self.labels[clip]
        if label and not known:
            self.labels[clip] = label
        elif label not in {"", known}:
            self.relabelled[clip] = None

    def notes(self) -> Iterator[str]:
        """Say what was listed twice."""
        if self.repeated:
            yield f"rows that repeat a clip of their list: {len(self.repeated):,}, such as {self.repeated[0]}"
        if self.relabelled:
            yield (
                f"clips listed with two labels, of which the first counts: {len(self.relabelled):,},"
                f" such as {next(iter(self.relabelled))}"
            )

    def drop_leaks(self) -> Iterator[str]:
        """Leave each clip in one list, and say how many were in two."""
        leaks = [clip for clip, roles in self.roles.items() if len(roles) > 1]
        for clip in leaks:
            self.roles[clip] = (next(role for role in _KEPT_FIRST if role in self.roles[clip]),)
        if leaks:
            yield f"clips of two lists, taken out of training: {len(leaks):,}, such as {leaks[0]}"

    def counts(self) -> dict[str, int]:
        """Count the clips of each role that has any, as `counts_of` would."""
        counts: dict[str, int] = {}
        for roles, count in Counter(self.roles.values()).items():
            for role in roles:
                counts[f"{DEFAULT_SPLIT} {role}"] = counts.get(f"{DEFAULT_SPLIT} {role}", 0) + count
        return counts

    def videos(self, paths: Sequence[str]) -> Iterator[Video]:
        """Yield the clips with the files they have.

        Args:
            paths: of all videos on disk, relative to the root.
        """
        files = self._files(paths)
        splits = {roles: tuple((DEFAULT_SPLIT, role) for role in roles) for roles in {*self.roles.values()}}
        labels = {label: (label,) if label else () for label in {*self.labels.values()}}
        for clip, roles in self.roles.items():
            path = files.get(clip) or f"{clip}.mp4"
            yield Video(clip, path, labels=labels[self.labels[clip]], splits=splits[roles])

    def _files(self, paths: Sequence[str]) -> dict[str, str]:
        """Map the stems of all files to their paths, and clips that have none to the whole video, if it is theirs."""
        files: dict[str, str] = {}
        for path in paths:
            files.setdefault(video_id_of(path[path.rfind("/") + 1 :]), path)
        whole = [clip for clip in self.roles if clip not in files and clip[:-_TIMES] in files]
        num_clips = Counter(clip[:-_TIMES] for clip in self.roles) if whole else Counter()
        files |= {clip: files[clip[:-_TIMES]] for clip in whole if num_clips[clip[:-_TIMES]] == 1}
        return files
