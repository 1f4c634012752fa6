"""A store's features as files that other programs read: a ``.npy`` a video, or Parquet with a row a frame.

    DIR/vlp-export.json            what the features are; "complete" is true once every file is there
    DIR/<video id>.npy             float16, the store's own bits: (n, D) for one view, else (n, V, D)
    DIR/<video id>.times.json      of its rows: when each frame is shown, which frame of the source it is
    DIR/<segment>.parquet          instead: float32, a row a frame; one file a segment of the store

A file is written aside and renamed; one that is there already with the same bytes stays, so that the same call
goes on after any kill. Memory holds one video, or one encoded segment of 64 MiB.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vlp.stores import local_disk, storage
from vlp.stores.commits import VideoEntry, record_unit
from vlp.stores.errors import ExportInTheWay
from vlp.stores.features import FeatureStore, VideoFeatures
from vlp.stores.locks import UnitLock
from vlp.stores.npy_files import encode_npy

SIDECAR = "vlp-export.json"
NPY, PARQUET = "npy", "parquet"
FORMATS = (NPY, PARQUET)
_SCHEMA = 1
_WRITER = "export"
_OF_A_KILLED_EXPORT = {"locks", f"{SIDECAR}.{_WRITER}{storage.PARTIAL}"}
_FILES = (".npy", ".json", storage.PARTIAL)
_LONGEST_NAME_BYTES = 200  # file systems take 255; the suffixes need some
_LONGEST_ID_BYTES = 1000  # and 4096 for the whole path
_SIDECAR_LIMIT_BYTES = 1 << 30


@dataclass(frozen=True)
class ExportReport:
    """What an export did.

    Attributes:
        num_videos: videos whose features lie in the folder now.
        num_rows: their frames.
        num_files: files written by this call; the others were there.
        num_bytes: bytes of those.
        refused: video ids that cannot name a file, sorted.
    """

    num_videos: int
    num_rows: int
    num_files: int
    num_bytes: int
    refused: tuple[str, ...]


def export_features(
    store: FeatureStore,
    folder: Path,
    *,
    file_format: str = NPY,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> ExportReport:
    """Write the features of every committed video below a folder.

    Args:
        store: whose features.
        folder: new, empty, or of an earlier export of the same features.
        file_format: one of `FORMATS`.
        on_progress: called with videos (`NPY`) or segments (`PARQUET`) done, and their number.

    Raises:
        ExportInTheWay: if the folder holds anything else.
        StoreDamaged: if a video is not what was committed; what was written before stays.
        PartLocked: if another process exports to this folder.
        StoreFull, StoreUnwritable: from the disk.
        ValueError: for another format.
    """
    if file_format not in FORMATS:
        raise ValueError(f"format {file_format!r} is not one of {FORMATS}")
    export = _Export(store, folder, file_format)
    export.claim()
    with UnitLock(folder, _WRITER):
        export.claim()  # once more: another store's export may have come first
        export.write_sidecar(complete=False)
        work = export.npy_files() if file_format == NPY else export.parquet_files()
        for done in work:
            on_progress(*done)
        export.write_sidecar(complete=True)
    return export.report()


class _Export:
    """One export on its way."""

    def __init__(self, store: FeatureStore, folder: Path, file_format: str) -> None:
        self.store, self.folder, self.file_format = store, folder, file_format
        self.videos = store.videos()
        self.num_files = self.num_bytes = self.num_rows = self.num_videos = 0
        self.refused = [
            video_id for video_id in self.videos if file_format == NPY and not can_name_a_file(video_id)
        ]

    def claim(self) -> None:
        """Make sure that nothing of the user's is overwritten."""
        try:
            names = sorted({path.name for path in self.folder.iterdir()} - _OF_A_KILLED_EXPORT)
        except FileNotFoundError:
            return
        except NotADirectoryError:
            raise ExportInTheWay(self.folder, "no files, being one itself") from None
        if not names:
            return
        try:
            found = json.loads(storage.read_bytes(self.folder, SIDECAR, limit=_SIDECAR_LIMIT_BYTES))
            claimed = (found["fingerprint"], found["dataset"], found["format"])
        except FileNotFoundError:
            raise ExportInTheWay(self.folder, f"{names[0]}, and no {SIDECAR}") from None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            raise ExportInTheWay(self.folder, f"a {SIDECAR} that is not ours") from None
        if claimed != (self.store.fingerprint, self.store.dataset, self.file_format):
            raise ExportInTheWay(self.folder, f"{claimed[2]} files of {claimed[1]}, {claimed[0]}")

    def write_sidecar(self, *, complete: bool) -> None:
        """Say what the features are."""
        store, timeline = self.store, str(self.store.meaning.get("timeline"))
        kind, _, rate = timeline.partition(":")
        data = {
            "schema": _SCHEMA,
            "complete": complete,
            "format": self.file_format,
            "dtype": "float16" if self.file_format == NPY else "float32",
            "axes": ["frame", "dimension"] if store.num_views == 1 else ["frame", "view", "dimension"],
            "dataset": store.dataset,
            "model": store.model,
            "pretrained": store.pretrained,
            "timeline": timeline,
            "fps": rate if kind == "fps" else None,
            "fingerprint": store.fingerprint,
            "num_views": store.num_views,
            "embed_dim": store.embed_dim,
            "num_videos": len(self.videos) - len(self.refused),
            "refused": sorted(self.refused),
            "meaning": store.meaning,
        }
        self._put(SIDECAR, (json.dumps(data, indent=2) + "\n").encode())

    def npy_files(self) -> Iterator[tuple[int, int]]:
        """Write two files a video; yield how far it is."""
        refused = {*self.refused}
        wanted = [video_id for video_id in self.videos if video_id not in refused]
        made: set[str] = set()
        for done, video_id in enumerate(wanted, start=1):
            video = self.store.read(video_id)
            parent = video_id.rpartition("/")[0]
            if parent not in made:
                local_disk.make_folder_inside(self.folder, parent or ".")
                made.add(parent)
            features = video.features[:, 0] if self.store.num_views == 1 else video.features
            self._put(f"{video_id}.npy", encode_npy(features))
            self._put(f"{video_id}.times.json", self._times(video))
            self._count(1, video.entry.num_rows)
            yield done, len(wanted)

    def parquet_files(self) -> Iterator[tuple[int, int]]:
        """Write one file a segment, drop those of segments that count no more; yield how far it is."""
        catalog = self.store.catalog()
        segments = sorted(catalog.by_segment)
        for name in storage.list_names(self.folder, ""):
            segment = name.removesuffix(".parquet")
            if segment != name and record_unit(segment) and segment not in catalog.by_segment:
                storage.remove(self.folder, name)
        for done, segment in enumerate(segments, start=1):
            rows = sorted(catalog.by_segment[segment], key=catalog.index.columns["start"].__getitem__)
            entries = [catalog.entry(row) for row in rows]
            self._put(f"{segment}.parquet", self._parquet(entries))
            self._count(len(entries), sum(entry.num_rows for entry in entries))
            yield done, len(segments)

    def report(self) -> ExportReport:
        """Say what was done."""
        refused = tuple(sorted(self.refused))
        return ExportReport(self.num_videos, self.num_rows, self.num_files, self.num_bytes, refused)

    def _count(self, num_videos: int, num_rows: int) -> None:
        self.num_videos += num_videos
        self.num_rows += num_rows

    def _put(self, name: str, data: bytes | memoryview) -> None:
        try:
            if storage.read_bytes(self.folder, name, limit=len(data)) == data:
                return
        except OSError:  # missing, longer, or a link to elsewhere, which the rename below replaces
            pass
        storage.remove(self.folder, f"{name}.{_WRITER}{storage.PARTIAL}")  # of an export that was killed
        storage.write_file(self.folder, name, data, writer=_WRITER)
        self.num_files += 1
        self.num_bytes += len(data)

    def _times(self, video: VideoFeatures) -> bytes:
        entry = video.entry
        facts: dict[str, Any] = {
            "video_id": entry.video_id,
            "fingerprint": self.store.fingerprint,
            "timeline": self.store.meaning.get("timeline"),
            "native_fps": entry.native_fps,
            "duration_seconds": entry.duration_seconds,
            "status": entry.status,
            "source_sha256": entry.source_sha256,
            "pts_seconds": video.pts_seconds.tolist(),
            "frame_index": video.frame_index.tolist(),
        }
        return (json.dumps(facts) + "\n").encode()

    def _parquet(self, entries: list[VideoEntry]) -> memoryview:
        import pyarrow as pa
        import pyarrow.parquet as pq

        width = self.store.num_views * self.store.embed_dim
        schema = _parquet_schema(width).with_metadata({"vlp.fingerprint": self.store.fingerprint})
        sink = pa.BufferOutputStream()
        with pq.ParquetWriter(sink, schema, compression="zstd", use_dictionary=["video_id"]) as writer:
            for entry in entries:
                video = self.store.read(entry.video_id)
                flat = pa.array(video.features.astype(np.float32).reshape(-1))
                columns = [
                    pa.array([entry.video_id] * entry.num_rows),
                    pa.array(video.frame_index),
                    pa.array(video.pts_seconds),
                    pa.FixedSizeListArray.from_arrays(flat, width),
                ]
                writer.write_table(pa.table(columns, schema=schema))
        return memoryview(sink.getvalue())


def can_name_a_file(video_id: str) -> bool:
    """Tell whether an id, with its slashes as folders, is a path that stays inside its folder.

    Example:
        >>> [can_name_a_file(name) for name in ("walk/ira.v2", "../ira", "/etc/ira", "a//b", "x.npy/b")]
        [True, False, False, False, False]
    """
    parts = video_id.split("/")
    return (
        storage.is_nameable(video_id)
        and all(part not in {"", ".", ".."} for part in parts)
        and all(len(part.encode()) <= _LONGEST_NAME_BYTES for part in parts)
        and not any(part.endswith(_FILES) for part in parts[:-1])  # a folder where a file goes
        and len(video_id.encode()) <= _LONGEST_ID_BYTES
        and parts[0] != "locks"
    )


def _parquet_schema(width: int) -> Any:
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("video_id", pa.string(), nullable=False),
            pa.field("frame_index", pa.int32(), nullable=False),
            pa.field("pts_seconds", pa.float64(), nullable=False),
            pa.field("features", pa.list_(pa.float32(), width), nullable=False),
        ]
    )
