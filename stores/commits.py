"""What a commit and a failure file say, and their strict reading.

``segments/<unit>-<attempt>/commit.json`` names the videos of a segment in the order of their rows, which
tile the segment without a gap, and the checksum of every small file of the segment; the large files
are covered by two checksums a video. ``failures/<unit>-<attempt>.json`` names videos that gave nothing.
Both are written once and never changed.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from vlp.stores import sealed
from vlp.stores.errors import StoreVersion
from vlp.stores.fingerprint import JSON
from vlp.stores.places import Place

SCHEMA = 1
COMMIT_LIMIT_BYTES = 64 << 20
STATUSES = ("ok", "short")
_NAME = re.compile(r"(?P<unit>[a-z]{1,20}(-[0-9]{1,9}(of[0-9]{1,9})?)?)-(?P<attempt>[0-9a-f]{16})")
_CREATED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class VideoEntry:
    """One video of one committed segment.

    Attributes:
        video_id: the dataset's own id.
        segment: the folder under ``segments/``.
        start, num_rows: its rows in the segment's arrays.
        num_expected, num_decoded: source frames.
        native_fps, duration_seconds: of the source; 0.0 when unknown.
        status: "ok" or "short".
        reason: why it is short; None when ok.
        decoder: which library decoded it.
        source_sha256: of the file's bytes.
        attempts: how often decoding was tried.
        features_crc32c: over its rows of ``features``, or its bytes of ``pixels``.
        rows_crc32c: over its rows of ``pts_seconds``, then of ``frame_index``, then of any ``sizes``.
        supersedes: segments whose entry of this video this one replaces (after a repair).
        precision, device, batch_size, created: of the segment; created is UTC with microseconds.
    """

    video_id: str
    segment: str
    start: int
    num_rows: int
    num_expected: int
    num_decoded: int
    native_fps: float
    duration_seconds: float
    status: str
    reason: str | None
    decoder: str
    source_sha256: str
    attempts: int
    features_crc32c: int
    rows_crc32c: int
    supersedes: tuple[str, ...]
    precision: str
    device: str
    batch_size: int
    created: str


@dataclass(frozen=True, slots=True)
class FailedVideo:
    """A video that gave no features: why, in a short code and a line, after how many attempts."""

    video_id: str
    reason: str
    detail: str
    attempts: int

    def __post_init__(self) -> None:
        fields = asdict(self)
        sealed.text(fields, "video_id")
        sealed.text(fields, "reason")
        sealed.count(fields, "attempts", least=1)


_OF_SEGMENT = ("segment", "precision", "device", "batch_size", "created")
_OF_VIDEO = tuple(name for name in VideoEntry.__dataclass_fields__ if name not in _OF_SEGMENT)


@dataclass(frozen=True)
class Commit:
    """A committed segment: its videos in row order and the CRC-32C of its small files by path."""

    segment: str
    created: str
    num_rows: int
    entries: tuple[VideoEntry, ...]
    files: Mapping[str, int]

    def to_bytes(self) -> bytes:
        """Write it as the bytes of commit.json."""
        videos: list[JSON] = [{name: getattr(entry, name) for name in _OF_VIDEO} for entry in self.entries]
        shared = {name: getattr(self.entries[0], name) for name in _OF_SEGMENT}
        body: dict[str, JSON] = {
            "schema": SCHEMA,
            "num_rows": self.num_rows,
            "files": dict(self.files),
            "videos": videos,
        }
        return sealed.seal({**body, **shared})


def read_commit(path: Place, segment: str, data: bytes) -> Commit:
    """Read the bytes of a commit.json.

    Args:
        path: the store, for errors.
        segment: the folder in which the bytes were found.
        data: the bytes.

    Raises:
        ValueError: if anything about it is not as it must be; the message says what.
        StoreVersion: if a later version wrote it.
    """
    body = sealed.unseal(data)
    _check_schema(path, body)
    if body.get("segment") != segment:
        raise ValueError(f"belongs to another segment ({body.get('segment')!r})")
    created = _matching(body, "created", _CREATED)
    num_rows = sealed.count(body, "num_rows", least=1)
    entries = tuple(_read_entry(fields, body) for fields in sealed.objects(body, "videos"))
    _check_tiling(entries, num_rows)
    files = sealed.mapping(body, "files")
    checksums = {name: sealed.count(files, name, most=2**32 - 1) for name in files}
    return Commit(segment, created, num_rows, entries, checksums)


def failures_to_bytes(failures: list[FailedVideo], created: str) -> bytes:
    """Write videos that failed as the bytes of a failure file."""
    videos = [{**asdict(item), "detail": item.detail[: sealed.TEXT_LIMIT]} for item in failures]
    return sealed.seal({"schema": SCHEMA, "created": created, "videos": videos})


def read_failures(path: Place, data: bytes) -> tuple[str, tuple[FailedVideo, ...]]:
    """Read the bytes of a failure file: when it was written, and its videos.

    Raises:
        ValueError, StoreVersion: as `read_commit`.
    """
    body = sealed.unseal(data)
    _check_schema(path, body)
    videos = tuple(
        FailedVideo(
            sealed.text(fields, "video_id"),
            sealed.text(fields, "reason"),
            "" if fields.get("detail") == "" else sealed.text(fields, "detail"),
            sealed.count(fields, "attempts", least=1),
        )
        for fields in sealed.objects(body, "videos")
    )
    return _matching(body, "created", _CREATED), videos


def record_unit(name: str) -> str | None:
    """Which unit wrote a segment, a failure file or a partial one; None for a name that is not ours.

    Example:
        >>> record_unit("part-0of4-0123456789abcdef")
        'part-0of4'
    """
    match = _NAME.fullmatch(name)
    return match["unit"] if match else None


def now() -> str:
    """Write the present instant, UTC, in a fixed width with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def check_sha256(value: str) -> None:
    """Refuse what is not 64 lower-case hexadecimal digits.

    Raises:
        ValueError: naming the member.
    """
    if not _SHA256.fullmatch(value):
        raise ValueError(f"source_sha256 is {value[:80]!r}, not 64 hexadecimal digits")


def _read_entry(fields: sealed.Fields, shared: sealed.Fields) -> VideoEntry:
    status = sealed.text(fields, "status")
    if status not in STATUSES:
        raise ValueError(f"status is {status!r}, not one of {STATUSES}")
    check_sha256(sealed.text(fields, "source_sha256"))
    return VideoEntry(
        video_id=sealed.text(fields, "video_id"),
        segment=sealed.text(shared, "segment"),
        start=sealed.count(fields, "start"),
        num_rows=sealed.count(fields, "num_rows", least=1),
        num_expected=sealed.count(fields, "num_expected"),
        num_decoded=sealed.count(fields, "num_decoded"),
        native_fps=sealed.number(fields, "native_fps"),
        duration_seconds=sealed.number(fields, "duration_seconds"),
        status=status,
        reason=sealed.text_or_none(fields, "reason"),
        decoder=sealed.text(fields, "decoder"),
        source_sha256=sealed.text(fields, "source_sha256"),
        attempts=sealed.count(fields, "attempts", least=1),
        features_crc32c=sealed.count(fields, "features_crc32c", most=2**32 - 1),
        rows_crc32c=sealed.count(fields, "rows_crc32c", most=2**32 - 1),
        supersedes=_segments(fields, "supersedes"),
        precision=sealed.text(shared, "precision"),
        device=sealed.text(shared, "device"),
        batch_size=sealed.count(shared, "batch_size", least=1),
        created=sealed.text(shared, "created"),
    )


def _segments(fields: sealed.Fields, name: str) -> tuple[str, ...]:
    value: Any = fields.get(name)
    if not isinstance(value, list) or not all(isinstance(item, str) and record_unit(item) for item in value):
        raise ValueError(f"{name} is not a list of segments")
    return tuple(value)


def _check_schema(path: Place, body: sealed.Fields) -> None:
    schema = sealed.count(body, "schema", least=1)
    if schema != SCHEMA:
        raise StoreVersion(path, schema, SCHEMA)


def _check_tiling(entries: tuple[VideoEntry, ...], num_rows: int) -> None:
    end = 0
    for entry in entries:
        if entry.start != end:
            raise ValueError(f"{entry.video_id!r} starts at row {entry.start}, not at {end}")
        end += entry.num_rows
    if end != num_rows or not entries:
        raise ValueError(f"its videos end at row {end}, the segment at {num_rows}")
    if len({entry.video_id for entry in entries}) != len(entries):
        raise ValueError("it names a video twice")


def _matching(body: sealed.Fields, name: str, pattern: re.Pattern[str]) -> str:
    value = sealed.text(body, name)
    if not pattern.fullmatch(value):
        raise ValueError(f"{name} is {value[:60]!r}")
    return value
