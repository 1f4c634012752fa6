"""The videos of a segment that is not closed yet: their arrays on disk beyond a MiB each, the rest in memory."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlp.stores import sealed
from vlp.stores.commits import VideoEntry
from vlp.stores.layout import Layout
from vlp.stores.segments import frames_crc32c
from vlp.stores.spool import Spool, row_blocks
from vlp.stores.videos import ExtractedVideo

_STATED: tuple[str, ...] = (
    "video_id",
    "num_expected",
    "num_decoded",
    "native_fps",
    "duration_seconds",
    "status",
    "reason",
    "decoder",
    "source_sha256",
    "attempts",
)


class PendingSegment:
    """Takes whole videos, one behind another.

    Args:
        layout: of the store.
        folder: on the disk that has room for the rows; None is the system's folder for temporary files.

    Attributes:
        rows: of all videos.
    """

    def __init__(self, layout: Layout, folder: Path | None) -> None:
        self.rows = Spool(layout.dtype, layout.item_shape, folder)
        self._of_frames = {name: Spool(dtype, (), folder) for name, dtype in layout.of_frames.items()}
        self._stated: dict[str, dict[str, Any]] = {}

    @property
    def num_bytes(self) -> int:
        """Bytes of all arrays."""
        return sum(spool.nbytes for spool in self._spools)

    def __len__(self) -> int:
        return len(self._stated)

    def __contains__(self, video_id: object) -> bool:
        return video_id in self._stated

    def __iter__(self) -> Iterator[str]:
        return iter(self._stated)

    def add(self, video: ExtractedVideo) -> None:
        """Copy a video's arrays.

        Raises:
            StoreFull, StoreUnwritable: from the disk; the video is not taken.
        """
        items_crc32c = 0
        of_frames = {name: np.ascontiguousarray(getattr(video, name)) for name in self._of_frames}
        lengths = [len(spool) for spool in self._spools]
        try:
            for block in row_blocks(video.features):
                self.rows.append(block)
                items_crc32c = sealed.crc32c(block, items_crc32c)
            for name, values in of_frames.items():
                self._of_frames[name].append(values)
        except BaseException:
            for spool, length in zip(self._spools, lengths, strict=True):
                spool.cut(length)
            raise
        self._stated[video.video_id] = {
            **{name: getattr(video, name) for name in _STATED},
            "num_rows": len(video.pts_seconds),
            "features_crc32c": items_crc32c,
            "rows_crc32c": frames_crc32c(of_frames),
        }

    def of_frames(self) -> dict[str, NDArray[Any]]:
        """Join the arrays of one value a frame: (n,) each."""
        return {name: np.concatenate(list(spool.blocks())) for name, spool in self._of_frames.items()}

    def entries(
        self, *, superseded: Mapping[str, list[str]], shared: Mapping[str, Any]
    ) -> Iterator[VideoEntry]:
        """Make what the commit says of each video.

        Args:
            superseded: segments whose entries a video's new one replaces, by video.
            shared: segment, created, precision, device and batch size.
        """
        start = 0
        for video_id, stated in self._stated.items():
            older = tuple(sorted(superseded.get(video_id, ())))
            yield VideoEntry(start=start, supersedes=older, **stated, **shared)
            start += stated["num_rows"]

    @property
    def _spools(self) -> list[Spool]:
        return [self.rows, *self._of_frames.values()]


def bytes_of(video: ExtractedVideo) -> int:
    """Bytes of a video's arrays."""
    arrays = (video.features, video.pts_seconds, video.frame_index, video.sizes)
    return sum(array.nbytes for array in arrays if array is not None)
