"""Writing to a feature store: whole videos, in segments, one writer a part and its workers beside it.

A segment is closed at 64 MiB, 1,024 videos or 300 s, whichever comes first; what it holds waits on the store's disk
beyond 1 MiB. `flush` commits what has been added. Leaving the `with` body commits it too, by an exception as well:
every video that was added whole stays.
"""

import secrets
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from vlp.stores import storage
from vlp.stores.commits import Commit, FailedVideo, VideoEntry, failures_to_bytes, now
from vlp.stores.errors import NonFiniteFeatures, StoreError
from vlp.stores.index import write_index
from vlp.stores.locks import UnitLock, lock_free_worker, part_unit
from vlp.stores.pending import PendingSegment, bytes_of
from vlp.stores.segments import write_segment
from vlp.stores.spool import Spool, row_blocks
from vlp.stores.videos import ExtractedVideo

if TYPE_CHECKING:
    from vlp.stores.features import FeatureStore


# Of one segment, or one file of failures: with names as long as a path can be, what is written is still read back.
_MOST_VIDEOS = 1024


class StoreWriter:
    """Adds videos to one part of a store; `FeatureStore.writer` makes one and documents its settings.

    Attributes:
        num_commits: segments committed so far.
        bytes_written: their bytes.
    """

    def __init__(
        self,
        store: "FeatureStore",
        *,
        part: tuple[int, int] | None,
        device: str,
        precision: str,
        segment_bytes: int,
        segment_seconds: float,
        superseding: frozenset[str],
    ) -> None:
        import zarr  # noqa: F401  # what is wrong with it shows now, not after hours at the first commit

        self.num_commits = 0
        self.bytes_written = 0
        self._store = store
        self._shared: dict[str, Any] = {
            "precision": precision,
            "device": device,
            "batch_size": store.batch_size,
        }
        self._segment_bytes = segment_bytes
        self._segment_seconds = segment_seconds
        self._superseding = superseding
        self._pending = self._begin_segment()
        self._failed: list[FailedVideo] = []
        self._since_seconds = 0.0
        self._keeps_index = part is not None
        self._lock: UnitLock | None = (
            lock_free_worker(store.path) if part is None else UnitLock(store.path, part_unit(part))
        )

    def spool(self) -> Spool:
        """Make room for the rows of a video that is being extracted; a long one lies on the store's disk.

        On the way to a bucket it lies where this machine has its temporary files.
        """
        return Spool(self._store.layout.dtype, self._store.layout.item_shape, self._spool_folder)

    def add(self, video: ExtractedVideo) -> None:
        """Take a whole video; closes a segment when one is due.

        Args:
            video: its arrays are copied; a `Spool` is the writer's from now on.

        Raises:
            NonFiniteFeatures: if a feature is NaN or infinite; the video is not taken.
            ValueError: if the views, the dimension or the id are not possible here.
            StoreFull, StoreUnwritable: from the disk; what was committed before stays.
        """
        self._open_lock()
        self._check(video)
        if len(self._pending) and self._pending.num_bytes + bytes_of(video) > self._segment_bytes:
            self.flush()
        self._start_clock()
        self._pending.add(video)
        self._flush_when_due()

    def fail(self, video: FailedVideo) -> None:
        """Take note of a video that gave no features; written with the next segment.

        Raises:
            StoreFull, StoreUnwritable: from the disk.
        """
        self._open_lock()
        self._start_clock()
        self._failed.append(video)
        self._flush_when_due()

    def record_batch_size(self, batch_size: int) -> None:
        """Take note that memory forced a smaller batch; the commits from now on say so.

        Features of another batch shape may differ in their last bits.
        """
        self._shared["batch_size"] = batch_size

    def flush(self) -> Commit | None:
        """Commit what has been added.

        Returns:
            The commit; None when no video was waiting.

        Raises:
            StoreFull, StoreUnwritable, StoreUnreachable: from the disk or bucket; the videos stay with the writer.
            LockLost: if another writer has taken the part over.
        """
        lock = self._open_lock()
        lock.check()
        name = f"{lock.unit}-{secrets.token_hex(8)}"
        created = now()
        root = self._store.path
        if self._failed:
            data = failures_to_bytes(self._failed, created)
            storage.write_file(root, f"failures/{name}.json", data, writer=name)
            self._failed = []
        if not len(self._pending):
            return None
        entries = self._entries(name, created)
        layout, pending = self._store.layout, self._pending
        commit, num_bytes = write_segment(
            root, name, layout, pending.rows, pending.of_frames(), entries, check=lock.check
        )
        self._pending = self._begin_segment()
        self.num_commits += 1
        self.bytes_written += num_bytes
        return commit

    def close(self) -> None:
        """Commit what has been added, bring the index up to date unless this is a worker, let the part go.

        Raises:
            StoreFull, StoreUnwritable: from the disk; the part is let go all the same.
        """
        if self._lock is None:
            return
        try:
            self.flush()
            if self._keeps_index:
                with suppress(StoreError):  # the index is a cache: readers do without
                    index = self._store.catalog().index
                    write_index(self._store.path, self._store.fingerprint, index, writer=self._lock.writer)
        finally:
            self._lock.release()
            self._lock = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except StoreError as later:
            if error is None:
                raise
            error.add_note(f"and then: {later}")

    def _open_lock(self) -> UnitLock:
        if self._lock is None:
            raise ValueError("the writer is closed")
        return self._lock

    def _check(self, video: ExtractedVideo) -> None:
        layout = self._store.layout
        if video.features.shape[1:] != layout.item_shape or (video.sizes is not None) != layout.has_sizes:
            raise ValueError(
                f"{video.video_id!r}: (V, D) is {video.features.shape[1:]}, not {layout.item_shape}"
            )
        if video.video_id in self._pending:
            raise ValueError(f"{video.video_id!r} was added twice")
        if num_values := sum(int((~np.isfinite(block)).sum()) for block in row_blocks(video.features)):
            raise NonFiniteFeatures(video.video_id, num_values)

    def _start_clock(self) -> None:
        if not len(self._pending) and not self._failed:
            self._since_seconds = time.monotonic()

    def _flush_when_due(self) -> None:
        waited_seconds = time.monotonic() - self._since_seconds
        num_videos, num_bytes = len(self._pending) + len(self._failed), self._pending.num_bytes
        is_full = num_bytes >= self._segment_bytes or num_videos >= _MOST_VIDEOS
        if is_full or waited_seconds >= self._segment_seconds:
            self.flush()

    def _entries(self, name: str, created: str) -> list[VideoEntry]:
        replaced = self._superseding & {*self._pending}
        older = self._store.catalog().holding(replaced) if replaced else {}
        shared = {**self._shared, "segment": name, "created": created}
        return list(self._pending.entries(superseded=older, shared=shared))

    def _begin_segment(self) -> PendingSegment:
        return PendingSegment(self._store.layout, self._spool_folder)

    @property
    def _spool_folder(self) -> Path | None:
        path = self._store.path
        return path if isinstance(path, Path) else None
