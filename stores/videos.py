"""One video: as the writer takes it, as the reader gives its features."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlp.stores import sealed
from vlp.stores.commits import STATUSES, VideoEntry, check_sha256
from vlp.stores.spool import Rows


@dataclass(frozen=True)
class ExtractedVideo:
    """The features, or the encoded frames, of one video, as the writer takes them.

    Attributes:
        video_id: the dataset's own id; valid Unicode.
        features: (n, V, D) float16, raw projected embeddings, n >= 1; of a store of pixels (m,) uint8, the bytes of n
            encoded frames one behind another. An array, or a `Spool`, which is the writer's from then on.
        pts_seconds: (n,) float64, finite.
        frame_index: (n,) int32, strictly increasing from 0 up.
        num_expected, num_decoded: source frames.
        native_fps, duration_seconds: of the source; 0.0 when unknown.
        status: "ok" or "short".
        reason: why it is short.
        decoder, source_sha256, attempts: where the frames came from.
        sizes: (n,) int64, the bytes of each encoded frame; None for embeddings.

    Raises:
        ValueError: naming the field and the video.
    """

    video_id: str
    features: Rows
    pts_seconds: NDArray[np.float64]
    frame_index: NDArray[np.int32]
    num_expected: int
    num_decoded: int
    native_fps: float
    duration_seconds: float
    status: str
    reason: str | None
    decoder: str
    source_sha256: str
    attempts: int = 1
    sizes: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        sealed.text(vars(self), "video_id")
        try:
            self._check()
        except ValueError as error:
            raise ValueError(f"{self.video_id!r}: {error}") from None

    def _check(self) -> None:
        rows = "features" if self.sizes is None else "sizes"
        kinds = {
            "features": ("f2", 3),
            "sizes": ("i8", 1),
            "pts_seconds": ("f8", 1),
            "frame_index": ("i4", 1),
        }
        if self.sizes is not None:
            self._check_blob(self.sizes)
        num_rows = len(getattr(self, rows))
        for name in (rows, "pts_seconds", "frame_index"):
            dtype, ndim = kinds[name]
            array = getattr(self, name)
            if array.dtype != np.dtype(dtype) or array.ndim != ndim or len(array) != num_rows:
                raise ValueError(f"{name} is {array.dtype} {array.shape}, not {dtype} of {num_rows} rows")
        if num_rows == 0:
            raise ValueError("a video without rows is a failed video")
        if not np.isfinite(self.pts_seconds).all():
            raise ValueError("pts_seconds holds NaN or infinite times")
        if self.frame_index[0] < 0 or (np.diff(self.frame_index.astype(np.int64)) <= 0).any():
            raise ValueError("frame_index is not strictly increasing from 0 up")
        if self.status not in STATUSES:
            raise ValueError(f"status is {self.status!r}, not one of {STATUSES}")
        sealed.text_or_none(vars(self), "reason")
        sealed.text(vars(self), "decoder")
        check_sha256(self.source_sha256)
        for name in ("num_expected", "num_decoded"):
            sealed.count(vars(self), name)
        for name in ("native_fps", "duration_seconds"):
            sealed.number(vars(self), name)
        sealed.count(vars(self), "attempts", least=1)

    def _check_blob(self, sizes: NDArray[np.int64]) -> None:
        if self.features.dtype != np.uint8 or self.features.shape != (sizes.sum(),) or (sizes < 1).any():
            raise ValueError(
                f"features is {self.features.dtype} {self.features.shape}, not the bytes that sizes say"
            )


@dataclass(frozen=True)
class VideoFeatures:
    """The features of one video, as the reader gives them: read-only memory maps.

    Attributes:
        features: (n, V, D) float16.
        pts_seconds: (n,) float64.
        frame_index: (n,) int32.
        entry: what the commit says of the video.
    """

    features: NDArray[np.float16]
    pts_seconds: NDArray[np.float64]
    frame_index: NDArray[np.int32]
    entry: VideoEntry
