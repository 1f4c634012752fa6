"""The feature store: raw embeddings of every distinct frame of every video, by one frozen encoder.

    store = FeatureStore.open_or_create(path, meaning=..., dataset="ucf101", ...)
    with store.writer(part=(0, 1), device="cpu", precision="bf16") as writer:
        writer.add(video)            # an ExtractedVideo; segments close by themselves
    store.read("v_Archery_g01_c01").features     # (n, V, D), a memory map

The layout is DESIGN.md §3. Readers see what is committed, while writers write. Any number of writers
work at once, each on its own part, or as workers of the run that holds one.
"""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from vlp.stores.catalog import Catalog, Videos, load_catalog
from vlp.stores.commits import FailedVideo, VideoEntry
from vlp.stores.errors import (
    LevelMismatch,
    PartLocked,
    StoreDamaged,
    StoreMismatch,
    StoreMissing,
    VideoMissing,
)
from vlp.stores.fingerprint import JSON, differences, fingerprint
from vlp.stores.locate import find_stores, store_path
from vlp.stores.locks import UnitLock
from vlp.stores.places import ObjectPath, Place
from vlp.stores.root import Description, describe, read_root, write_root
from vlp.stores.segments import SegmentReader, VideoRows
from vlp.stores.videos import ExtractedVideo, VideoFeatures

if TYPE_CHECKING:
    from vlp.stores.writer import StoreWriter

__all__ = [
    "ExtractedVideo",
    "FailedVideo",
    "FeatureStore",
    "VideoEntry",
    "VideoFeatures",
    "find_stores",
    "store_path",
]

_CREATE_SECONDS = 10.0


class FeatureStore:
    """One store, on a disk or in a bucket; `open` and `open_or_create` make one.

    Attributes:
        path: its folder.
        description: what it says of itself; its fields are attributes of the store too.
    """

    def __init__(self, path: Place, description: Description) -> None:
        self.path = path
        self.description = description
        self.fingerprint = description.fingerprint
        self.meaning = description.meaning
        self.dataset = description.dataset
        self.model = description.model
        self.pretrained = description.pretrained
        self.num_views = description.num_views
        self.embed_dim = description.embed_dim
        self.batch_size = description.batch_size
        self.precision = description.precision
        self.layout = description.layout
        self._catalog: Catalog | None = None
        self._segments: dict[str, SegmentReader] = {}

    @classmethod
    def open(cls, path: Place) -> Self:
        """Open a store; reads its zarr.json and nothing else.

        Raises:
            StoreMissing, StoreVersion, StoreDamaged: as `read_root`.
        """
        return cls(path, read_root(path))

    @classmethod
    def open_or_create(
        cls,
        path: Place,
        *,
        meaning: Mapping[str, JSON],
        dataset: str,
        model: str,
        pretrained: str,
        num_views: int,
        embed_dim: int,
        batch_size: int,
        precision: str,
        tool_versions: Mapping[str, str],
    ) -> Self:
        """Open the store at ``path``, or make it.

        An existing store keeps its batch size, precision and versions: ask the result for them.

        Raises:
            StoreMismatch: if it exists and its meaning or names are others.
            PartLocked: if another process has been making it for 10 s.
            StoreVersion, StoreDamaged: if it exists and cannot be read.
            StoreFull, StoreUnwritable: from the disk.
            ValueError: if a field is not as `Description` wants it.
        """
        asked = describe(
            meaning=meaning,
            dataset=dataset,
            model=model,
            pretrained=pretrained,
            num_views=num_views,
            embed_dim=embed_dim,
            batch_size=batch_size,
            precision=precision,
            tool_versions=tool_versions,
        )
        return cls.begin(path, asked)

    @classmethod
    def begin(cls, path: Place, description: Description) -> Self:
        """Open the store at ``path``, or make it with this very description.

        Raises:
            StoreMismatch, PartLocked, StoreVersion, StoreDamaged, StoreFull, StoreUnwritable: as `open_or_create`.
        """
        try:
            store = cls.open(path)
        except StoreMissing:
            store = cls(path, _create(path, description))
        store._check_names(description)
        store.check_meaning(description.meaning)
        return store

    def check_meaning(self, meaning: Mapping[str, JSON]) -> None:
        """Make sure that the store's features mean this.

        Raises:
            StoreMismatch: naming every difference.
        """
        if fingerprint(meaning) != self.fingerprint:
            raise StoreMismatch(self.path, differences(self.meaning, meaning))

    def catalog(self) -> Catalog:
        """See what is committed now (`load_catalog`)."""
        self._catalog = load_catalog(self.path, self.fingerprint, previous=self._catalog)
        return self._catalog

    def videos(self) -> Mapping[str, VideoEntry]:
        """The videos committed now; which entry counts when there are several: `catalog.py`."""
        return Videos(self.catalog())

    def failures(self) -> Mapping[str, FailedVideo]:
        """The videos that failed and are not committed now."""
        catalog = self.catalog()
        return {video_id: catalog.failure(row) for video_id, row in catalog.failed.items()}

    def read(self, video_id: str) -> VideoFeatures:
        """Map the features of a video; compared with their checksums on first touch.

        Where a repair and `compact` have put it elsewhere since the store was looked at, it is found there.

        Raises:
            LevelMismatch: if the store holds pixels.
            VideoMissing: if it is not committed.
            StoreDamaged: if what lies on disk is not what was committed.
        """
        if self.layout.has_sizes:
            raise LevelMismatch(self.path, "pixels", "embedding")
        rows, entry = self.read_rows(video_id)
        return VideoFeatures(rows.items, rows.of_frames["pts_seconds"], rows.of_frames["frame_index"], entry)

    def read_rows(self, video_id: str) -> tuple[VideoRows, VideoEntry]:
        """Map what a store of any level holds of a video, and say what its commit says.

        Raises:
            VideoMissing, StoreDamaged: as `read`.
        """
        try:
            return self._read_rows(video_id)
        except StoreDamaged:
            before = self._catalog
            if self.catalog() is before:
                raise
            return self._read_rows(video_id)

    def _read_rows(self, video_id: str) -> tuple[VideoRows, VideoEntry]:
        catalog = self._catalog or self.catalog()
        if video_id not in catalog.winners:
            catalog = self.catalog()
        row = catalog.winners.get(video_id)
        if row is None:
            raise self._missing(catalog, video_id)
        entry = catalog.entry(row)
        return self._segment(catalog, entry.segment).rows(entry), entry

    def writer(
        self,
        *,
        part: tuple[int, int] | None = (0, 1),
        device: str,
        precision: str,
        segment_bytes: int = 64 << 20,
        segment_seconds: float = 300.0,
        superseding: frozenset[str] = frozenset(),
    ) -> "StoreWriter":
        """Start to write a part; `StoreWriter` says how.

        Args:
            part: (i, n), the part that is locked. None is a worker of a run that holds a part and hands out its videos:
                it writes beside any number of others, and leaves the index to that run.
            device: recorded in every commit.
            precision: recorded in every commit.
            segment_bytes: a segment is closed when it holds this much,
            segment_seconds: or when its first video has waited this long.
            superseding: videos whose present entries are replaced by what is written now (a repair).

        Raises:
            PartLocked: naming the process that writes this part.
            StoreUnwritable: if the folder cannot be written.
        """
        from vlp.stores.writer import StoreWriter

        return StoreWriter(
            self,
            part=part,
            device=device,
            precision=precision,
            segment_bytes=segment_bytes,
            segment_seconds=segment_seconds,
            superseding=superseding,
        )

    def _segment(self, catalog: Catalog, name: str) -> SegmentReader:
        if name not in self._segments:
            if isinstance(self.path, ObjectPath):
                self._segments.clear()  # each is held in memory whole
            crc32c = catalog.index.segments[name].crc32c
            try:
                self._segments[name] = SegmentReader(self.path, name, self.layout, crc32c)
            except StoreDamaged as error:
                ids = [catalog.index.columns["video_id"][row] for row in catalog.by_segment[name]]
                raise StoreDamaged(self.path, error.what, segment=name, video_ids=ids) from error
        return self._segments[name]

    def _missing(self, catalog: Catalog, video_id: str) -> VideoMissing | StoreDamaged:
        if video_id in catalog.lost:
            segment = catalog.lost[video_id]
            return StoreDamaged(self.path, "commit.json is missing", segment=segment, video_ids=[video_id])
        for segment, what in catalog.unreadable.items():
            return StoreDamaged(self.path, f"{what}; it may hold {video_id!r}", segment=segment)
        return VideoMissing(self.path, video_id, len(catalog.winners))

    def _check_names(self, asked: Description) -> None:
        names = ("dataset", "model", "pretrained", "num_views", "embed_dim")
        here: dict[str, Any] = {name: getattr(self.description, name) for name in names}
        if found := differences(here, {name: getattr(asked, name) for name in names}):
            raise StoreMismatch(self.path, found)


def _create(path: Place, description: Description) -> Description:
    deadline_seconds = time.monotonic() + _CREATE_SECONDS
    while True:
        try:
            with UnitLock(path, "create") as lock:
                return _read_or_write(path, description, writer=lock.writer)
        except PartLocked:  # another worker of the same job makes it; that takes milliseconds
            if time.monotonic() > deadline_seconds:
                raise
            time.sleep(0.02)


def _read_or_write(path: Place, description: Description, *, writer: str) -> Description:
    try:
        return read_root(path)
    except StoreMissing:
        write_root(path, description, writer=writer)
        return read_root(path)
