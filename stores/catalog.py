"""Which videos a store holds: all commits and failure files, and which entry of a video counts.

The truth is the listing of ``segments/*/commit.json`` and ``failures/*.json``; ``index.parquet`` saves
reading those that it covers. A covered file that is gone, or is of another size, is not believed.

When several segments hold a video, the entry that counts is found without regard to any order of
listing: an entry that a later commit supersedes (a repair) is out; of the others a whole video goes
before a short one, then the earlier commit (its ``created``, then its name). A failure counts while the video
is in no commit; of several, the latest.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any

from vlp.stores import sealed, storage
from vlp.stores.commits import (
    COMMIT_LIMIT_BYTES,
    FailedVideo,
    VideoEntry,
    read_commit,
    read_failures,
    record_unit,
)
from vlp.stores.errors import StoreDamaged
from vlp.stores.index import COLUMNS, NO_INDEX, FileMark, Index, read_index
from vlp.stores.places import Place

FAILED = "failed"
_ENTRY_FIELDS = tuple(item.name for item in fields(VideoEntry))
_FAILURE_FIELDS = tuple(item.name for item in fields(FailedVideo))
_EMPTY = {name: "" if kind == "string" else 0 for name, kind in COLUMNS.items()}


@dataclass(frozen=True)
class Catalog:
    """Everything committed at one instant.

    Attributes:
        index: the rows, and the files from which they came.
        unreadable: segments whose commit.json is damaged, and how; their videos are not committed.
        lost: videos of segments that the index knows but whose commit.json is gone or changed: id → segment.
    """

    index: Index = NO_INDEX
    unreadable: Mapping[str, str] = field(default_factory=dict)
    lost: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def winners(self) -> dict[str, int]:
        """Row of the entry that counts, by video."""
        columns = self.index.columns
        first: dict[str, int] = {}
        clashes: dict[str, list[int]] = {}
        for row, (video_id, status) in enumerate(zip(columns["video_id"], columns["status"], strict=True)):
            if status != FAILED and first.setdefault(video_id, row) != row:
                clashes.setdefault(video_id, [first[video_id]]).append(row)
        for video_id, rows in clashes.items():
            best = self._best(rows)
            if best is None:
                del first[video_id]
            else:
                first[video_id] = best
        return first

    @cached_property
    def failed(self) -> dict[str, int]:
        """Row of the failure that counts, by video that is not committed."""
        columns = self.index.columns
        latest: dict[str, int] = {}
        for row, status in enumerate(columns["status"]):
            video_id = columns["video_id"][row]
            if status == FAILED and video_id not in self.winners:
                other = latest.setdefault(video_id, row)
                latest[video_id] = max(other, row, key=self._age)
        return latest

    @cached_property
    def by_segment(self) -> dict[str, list[int]]:
        """Rows of the entries that count, by segment."""
        grouped: dict[str, list[int]] = {}
        for row in self.winners.values():
            grouped.setdefault(self.index.columns["segment"][row], []).append(row)
        return grouped

    def entry(self, row: int) -> VideoEntry:
        """Make the entry of a row."""
        values = {name: self.index.columns[name][row] for name in _ENTRY_FIELDS}
        supersedes = tuple(values["supersedes"].split())
        return VideoEntry(**{**values, "reason": values["reason"] or None, "supersedes": supersedes})

    def failure(self, row: int) -> FailedVideo:
        """Make the failure of a row."""
        return FailedVideo(**{name: self.index.columns[name][row] for name in _FAILURE_FIELDS})

    def holding(self, video_ids: frozenset[str]) -> dict[str, list[str]]:
        """All segments with an entry of these videos, whether it counts or not, by video."""
        columns = self.index.columns
        found: dict[str, list[str]] = {}
        for video_id, segment, status in zip(
            columns["video_id"], columns["segment"], columns["status"], strict=True
        ):
            if video_id in video_ids and status != FAILED:
                found.setdefault(video_id, []).append(segment)
        return found

    def _best(self, rows: list[int]) -> int | None:
        columns = self.index.columns
        superseded = {name for row in rows for name in columns["supersedes"][row].split()}
        left = [row for row in rows if columns["segment"][row] not in superseded]
        return min(left, key=lambda row: (columns["status"][row] != "ok", self._age(row)), default=None)

    def _age(self, row: int) -> tuple[str, str]:
        return self.index.columns["created"][row], self.index.columns["segment"][row]


class Videos(Mapping[str, VideoEntry]):
    """The committed videos of a catalogue; entries are made when asked for."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog

    def __getitem__(self, video_id: str) -> VideoEntry:
        return self._catalog.entry(self._catalog.winners[video_id])

    def __contains__(self, video_id: object) -> bool:
        return video_id in self._catalog.winners

    def __iter__(self) -> Iterator[str]:
        return iter(self._catalog.winners)

    def __len__(self) -> int:
        return len(self._catalog.winners)


def load_catalog(
    root: Place, fingerprint: str, *, previous: Catalog | None = None, use_index: bool = True
) -> Catalog:
    """See what is committed now.

    Args:
        root: the store.
        fingerprint: of the store.
        previous: what was seen before; returned as it is when nothing has changed.
        use_index: whether ``index.parquet`` may save reading commits.

    Raises:
        StoreDamaged: if a commit or failure file cannot be read at all (permissions, a broken disk).
        StoreVersion: if a later version wrote one.
    """
    segments, failures = _segments_on_disk(root), _failures_on_disk(root)
    known = previous.index if previous else NO_INDEX
    if not previous and use_index:
        known = read_index(root, fingerprint)
    kept, gone = _still_there(known, segments, failures)
    lost = {**(previous.lost if previous else {}), **gone}
    added = _Added()
    for name in sorted({*segments} - {*kept.segments}):
        added.read_segment(root, name)
    for name in sorted({*failures} - {*kept.failures}):
        added.read_failures(root, name)
    if previous and kept is known and not added.rows and added.unreadable == previous.unreadable:
        return previous
    index = Index(
        kept.columns.extended(added.rows) if added.rows else kept.columns,
        {**kept.segments, **added.segments},
        {**kept.failures, **added.failures},
    )
    return Catalog(index, added.unreadable, lost)


def _segments_on_disk(root: Place) -> dict[str, int]:
    sizes = storage.file_sizes(root, "segments", below="commit.json")
    return {name: size for name, size in sizes.items() if record_unit(name)}


def _failures_on_disk(root: Place) -> dict[str, int]:
    sizes = storage.file_sizes(root, "failures")
    records = {name.removesuffix(".json"): size for name, size in sizes.items() if name.endswith(".json")}
    return {name: size for name, size in records.items() if record_unit(name)}


def _still_there(
    known: Index, segments: Mapping[str, int], failures: Mapping[str, int]
) -> tuple[Index, dict[str, str]]:
    """Drop what is gone or changed; also give the videos of segments that have no commit any more."""
    kept_segments = _unchanged(known.segments, segments)
    kept_failures = _unchanged(known.failures, failures)
    if len(kept_segments) == len(known.segments) and len(kept_failures) == len(known.failures):
        return known, {}
    columns = known.columns
    rows: list[int] = []
    lost: dict[str, str] = {}
    for row, (name, status) in enumerate(zip(columns["segment"], columns["status"], strict=True)):
        if name in (kept_failures if status == FAILED else kept_segments):
            rows.append(row)
        elif status != FAILED:
            lost[columns["video_id"][row]] = name
    return Index(columns.take(rows), kept_segments, kept_failures), lost


def _unchanged(marks: Mapping[str, FileMark], sizes: Mapping[str, int]) -> dict[str, FileMark]:
    return {name: mark for name, mark in marks.items() if sizes.get(name) == mark.num_bytes}


class _Added:
    """What the files that no index covers say."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.segments: dict[str, FileMark] = {}
        self.failures: dict[str, FileMark] = {}
        self.unreadable: dict[str, str] = {}

    def read_segment(self, root: Place, name: str) -> None:
        try:
            data = _read(root, f"segments/{name}/commit.json", name)
            entries = read_commit(root, name, data).entries
        except FileNotFoundError:
            return  # removed since it was listed
        except ValueError as error:
            self.unreadable[name] = f"commit.json {error}"
            return
        self.segments[name] = FileMark(len(data), sealed.crc32c(data))
        self.rows += [_row(asdict(entry), supersedes=" ".join(entry.supersedes)) for entry in entries]

    def read_failures(self, root: Place, name: str) -> None:
        try:
            data = _read(root, f"failures/{name}.json", name)
            created, videos = read_failures(root, data)
        except (FileNotFoundError, ValueError):
            return  # such a video is tried once more: nothing is lost
        self.failures[name] = FileMark(len(data), sealed.crc32c(data))
        self.rows += [_row(asdict(video), segment=name, status=FAILED, created=created) for video in videos]


def _read(root: Place, path: str, name: str) -> bytes:
    try:
        return storage.read_bytes(root, path, limit=COMMIT_LIMIT_BYTES)
    except FileNotFoundError:
        raise
    except storage.NotInside as error:
        raise ValueError(f"is unusable: {error.strerror}") from error
    except OSError as error:
        raise StoreDamaged(root, f"{path} cannot be read: {error.strerror}", segment=name) from error


def _row(values: Mapping[str, Any], **more: str) -> dict[str, Any]:
    row = {**_EMPTY, **values, **more}
    return {**row, "reason": row["reason"] or ""}
