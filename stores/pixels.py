"""Reading a store of pixels: frames that were decoded once, for methods that work inside the image encoder.

    store = PixelStore.open(path)
    store.read_frames("v_Archery_g01_c01").decode([0, 8, 16])    # (3, H, W, 3) uint8, short side 256

Each frame is a picture of its own, JPEG or lossless WebP, so that any of them is decoded without the others.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlp.stores.commits import VideoEntry
from vlp.stores.errors import LevelMismatch, StoreDamaged
from vlp.stores.features import FeatureStore
from vlp.stores.places import Place

_FORMATS = ("JPEG", "WEBP")


@dataclass(frozen=True)
class VideoPixels:
    """The frames of one video.

    Attributes:
        path: the store.
        data: (m,) uint8, all encoded frames one behind another; a read-only memory map.
        sizes: (n,) int64, bytes of each frame.
        pts_seconds: (n,) float64.
        frame_index: (n,) int32.
        entry: what the commit says of the video.
    """

    path: Place
    data: NDArray[np.uint8]
    sizes: NDArray[np.int64]
    pts_seconds: NDArray[np.float64]
    frame_index: NDArray[np.int32]
    entry: VideoEntry

    def decode(self, rows: Sequence[int] | NDArray[np.int64] | None = None) -> NDArray[np.uint8]:
        """Decode frames.

        Args:
            rows: T places in the video's n stored frames, in any order; all of them if None.

        Returns:
            (T, H, W, 3) uint8 RGB, upright.

        Raises:
            IndexError: if a row is not there, or none is asked for.
            StoreDamaged: if a frame is no picture, or not of its neighbours' size.
        """
        asked = np.arange(len(self.sizes)) if rows is None else np.asarray(rows, dtype=np.int64)
        if not asked.size or not 0 <= asked.min() <= asked.max() < len(self.sizes):
            raise IndexError(f"rows of {self.entry.video_id!r} go from 0 to {len(self.sizes) - 1}")
        ends = np.cumsum(self.sizes)
        begins = ends - self.sizes
        try:
            return np.stack([decode_picture(self.data[begins[row] : ends[row]].tobytes()) for row in asked])
        except (OSError, ValueError) as error:
            ids = (self.entry.video_id,)
            raise StoreDamaged(self.path, f"a frame cannot be read: {error}", video_ids=ids) from error


class PixelStore(FeatureStore):
    """A store of level `pixels`; written, verified and repaired as every other."""

    def read_frames(self, video_id: str) -> VideoPixels:
        """Map the encoded frames of a video; compared with their checksums on first touch.

        Raises:
            LevelMismatch: if the store holds embeddings.
            VideoMissing, StoreDamaged: as `FeatureStore.read`.
        """
        if not self.layout.has_sizes:
            raise LevelMismatch(self.path, "embedding", "pixels")
        rows, entry = self.read_rows(video_id)
        of_frames = rows.of_frames
        return VideoPixels(
            self.path,
            rows.items,
            of_frames["sizes"],
            of_frames["pts_seconds"],
            of_frames["frame_index"],
            entry,
        )


def decode_picture(data: bytes) -> NDArray[np.uint8]:
    """Decode one frame: (H, W, 3) uint8."""
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        return np.asarray(image.convert("RGB"))
