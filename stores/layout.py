"""What the large array of a segment holds, by the level of its store.

A store of embeddings holds a float16 row of (V, D) a frame. A store of pixels holds the bytes of encoded frames, one
behind another; a small array beside them says how many bytes each frame has.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

_OF_EVERY_FRAME = {"pts_seconds": "float64", "frame_index": "int32"}
LEVELS = ("embedding", "pixels")


@dataclass(frozen=True)
class Layout:
    """The arrays of a segment.

    Attributes:
        array: name of the large array.
        dtype: of its items.
        item_shape: (V, D) of an embedding, () of a byte.
        of_frames: dtype of each array of one value a frame, in the order in which they are checksummed.
    """

    array: str
    dtype: str
    item_shape: tuple[int, ...]
    of_frames: Mapping[str, str]

    @property
    def item_bytes(self) -> int:
        """Bytes of one item: of a frame's embeddings, or 1."""
        return math.prod(self.item_shape) * np.dtype(self.dtype).itemsize

    @property
    def has_sizes(self) -> bool:
        """Whether a frame is a number of items of its own, rather than one."""
        return "sizes" in self.of_frames

    @property
    def shard(self) -> str:
        """Path of the large array's only file in the segment."""
        return "/".join([self.array, "c", "0", *("0" for _ in self.item_shape)])

    @property
    def small_files(self) -> frozenset[str]:
        """Paths of the files that commit.json has checksums of."""
        metadata = (self.array, "rows", "rows/offsets", *(f"rows/{name}" for name in self.of_frames))
        return frozenset({"zarr.json", "rows/offsets/c/0", *(f"{path}/zarr.json" for path in metadata)})


PIXELS = Layout("pixels", "uint8", (), {**_OF_EVERY_FRAME, "sizes": "int64"})


def layout_of(meaning: Mapping[str, Any], num_views: int, embed_dim: int) -> Layout:
    """Give the layout of a store that says this of itself.

    Raises:
        ValueError: for a level that is not known.
    """
    level = meaning.get("level", LEVELS[0])
    if level not in LEVELS:
        raise ValueError(f"level is {level!r}, not one of {LEVELS}")
    if level == "pixels":
        return PIXELS
    return Layout("features", "float16", (num_views, embed_dim), _OF_EVERY_FRAME)
