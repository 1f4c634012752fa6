"""Rows on their way to a segment, of a video or of several: in memory while they are few, on disk beyond that.

Two hours at 30 frames a second are 221 MB of a ViT-B's embeddings, or 6 GB of pixels: whoever holds them whole runs out
of memory with a few such videos at once.
"""

import math
import os
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlp.stores import local_disk

_MEMORY_BYTES = 4 << 20
_FIRST_BLOCK_BYTES = 16 << 10
_LARGEST_BLOCK_BYTES = 1 << 20
_READ_BYTES = 4 << 20


class Spool:
    """Takes rows as they are made and gives them back in blocks, as often as asked.

    Beyond 4 MiB the rows lie in a file without a name: however its process ends, nothing of it is left.

    Args:
        dtype: of the rows.
        item_shape: of one of them, such as (V, D); () for bytes.
        folder: on the disk that has room for them; None is the system's folder for temporary files.

    Attributes:
        dtype: of the rows.
    """

    def __init__(self, dtype: str, item_shape: tuple[int, ...], folder: Path | None = None) -> None:
        self.dtype = np.dtype(dtype)
        self._item_shape = item_shape
        self._folder = folder or Path(tempfile.gettempdir())
        self._blocks: list[NDArray[np.uint8]] = []
        self._room = 0  # bytes of the last block that are not used yet
        self._held_bytes = 0
        self._filed_bytes = 0
        self._descriptor = -1

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return self._filed_bytes + self._held_bytes

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, ...), as of an array; n counts whole rows."""
        return (self.nbytes // self._item_bytes, *self._item_shape)

    @property
    def ndim(self) -> int:
        """Number of axes, as of an array."""
        return 1 + len(self._item_shape)

    def __len__(self) -> int:
        return self.shape[0]

    def append(self, values: NDArray[Any]) -> None:
        """Take values that follow the present ones; a row may come in several pieces.

        Args:
            values: of the spool's dtype; they are copied.

        Raises:
            ValueError: for another dtype.
            StoreFull, StoreUnwritable: from the disk.
        """
        if values.dtype != self.dtype:
            raise ValueError(f"rows are {values.dtype}, not {self.dtype}")
        self._hold(np.ascontiguousarray(values).reshape(-1).view(np.uint8))
        if self._held_bytes > _MEMORY_BYTES:
            self._file()

    def _hold(self, data: NDArray[np.uint8]) -> None:
        self._held_bytes += len(data)
        while len(data):
            block = self._block_with_room()
            taken = min(self._room, len(data))
            start = len(block) - self._room
            block[start : start + taken] = data[:taken]
            self._room -= taken
            data = data[taken:]

    def cut(self, num_rows: int) -> None:
        """Forget all rows but the first ``num_rows``; there are as many."""
        num_bytes = num_rows * self._item_bytes
        self._filed_bytes = min(self._filed_bytes, num_bytes)  # what lies behind is written over
        left = num_bytes - self._filed_bytes
        kept = np.concatenate([*self._filled(), np.empty(0, np.uint8)])[:left]
        self._blocks, self._room, self._held_bytes = [], 0, 0
        self._hold(kept)

    def blocks(self) -> Iterator[NDArray[Any]]:
        """Yield all rows in order, (k, ...) at a time: some 4 MiB where they lie on disk.

        Raises:
            StoreFull, StoreUnwritable: from the disk.
        """
        if self._descriptor < 0:
            yield from (block.view(self.dtype).reshape(-1, *self._item_shape) for block in self._filled())
            return
        self._file()
        most = max(1, _READ_BYTES // self._item_bytes) * self._item_bytes
        for start in range(0, self._filed_bytes, most):
            read = os.pread(self._descriptor, min(most, self._filed_bytes - start), start)
            yield np.frombuffer(read, dtype=self.dtype).reshape(-1, *self._item_shape)

    @property
    def _item_bytes(self) -> int:
        return math.prod(self._item_shape) * self.dtype.itemsize

    def _file(self) -> None:
        if self._descriptor < 0:
            with (
                local_disk.reported(self._folder),
                tempfile.TemporaryFile(dir=self._folder, buffering=0) as file,
            ):
                self._descriptor = os.dup(file.fileno())
            weakref.finalize(self, os.close, self._descriptor)
        with local_disk.reported(self._folder):
            os.lseek(self._descriptor, self._filed_bytes, os.SEEK_SET)  # an earlier try may have got further
            for block in self._filled():
                local_disk.write_all(self._descriptor, block.data)
        self._filed_bytes += self._held_bytes
        self._blocks, self._room, self._held_bytes = [], 0, 0

    def _filled(self) -> Iterator[NDArray[np.uint8]]:
        for number, block in enumerate(self._blocks, 1):
            yield block[: len(block) - self._room] if number == len(self._blocks) else block

    def _block_with_room(self) -> NDArray[np.uint8]:
        """Give the last block, or a new one: each twice as large as the one before, as most videos are short."""
        if self._room == 0:
            wanted = min(
                _LARGEST_BLOCK_BYTES, 2 * len(self._blocks[-1]) if self._blocks else _FIRST_BLOCK_BYTES
            )
            self._room = max(1, wanted // self._item_bytes) * self._item_bytes
            self._blocks.append(np.empty(self._room, np.uint8))
        return self._blocks[-1]


Rows = NDArray[Any] | Spool


def row_blocks(rows: Rows) -> Iterator[NDArray[Any]]:
    """Yield rows in order, a contiguous block at a time."""
    if isinstance(rows, Spool):
        yield from rows.blocks()
    else:
        yield np.ascontiguousarray(rows)
