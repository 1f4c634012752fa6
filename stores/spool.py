"""Rows on their way to a segment, of a video or of several: in memory while they are few, on disk beyond that.

Two hours at 30 frames a second are 221 MB of a ViT-B's embeddings, or 6 GB of pixels: whoever holds them whole runs out
of memory with a few such videos at once.
"""

import math
import mmap
import os
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlp.stores import local_disk

_MEMORY_BYTES = 1 << 20
_READ_BYTES = 1 << 20


class Spool:
    """Takes rows as they are made and gives them back in blocks, as often as asked.

    Beyond 1 MiB the rows lie in a file without a name: however its process ends, nothing of it is left.
    No row is on the heap, where pieces that are kept for minutes between an encoder's passing buffers leave holes that
    are never filled again: pages of their own take memory as far as they are used, and give it back whole.

    Args:
        dtype: of the rows.
        item_shape: of one of them, such as (V, D); () for bytes or plain values.
        folder: on the disk that has room for them; None is the system's folder for temporary files.

    Attributes:
        dtype: of the rows.
    """

    def __init__(self, dtype: str, item_shape: tuple[int, ...], folder: Path | None = None) -> None:
        self.dtype = np.dtype(dtype)
        self._item_shape = item_shape
        self._folder = folder or Path(tempfile.gettempdir())
        self._held = np.empty(0, np.uint8)
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
            StoreFull, StoreUnwritable: from the disk; some of the values may have been taken.
        """
        if values.dtype != self.dtype:
            raise ValueError(f"rows are {values.dtype}, not {self.dtype}")
        data = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
        if len(data) and not len(self._held):
            self._held = _pages(_MEMORY_BYTES)
        while len(data):
            if self._held_bytes == len(self._held):
                self._file()
            taken = data[: len(self._held) - self._held_bytes]
            self._held[self._held_bytes : self._held_bytes + len(taken)] = taken
            self._held_bytes += len(taken)
            data = data[len(taken) :]

    def cut(self, num_rows: int) -> None:
        """Forget all rows but the first ``num_rows``; there are as many."""
        num_bytes = num_rows * self._item_bytes
        self._filed_bytes = min(self._filed_bytes, num_bytes)  # what lies behind is written over
        self._held_bytes = num_bytes - self._filed_bytes

    def blocks(self) -> Iterator[NDArray[Any]]:
        """Yield all rows in order, (k, ...) at a time: a MiB where they lie on disk.

        A block is good until rows are appended or cut.

        Raises:
            StoreFull, StoreUnwritable: from the disk.
        """
        if self._filed_bytes == 0:
            yield self._rows(self._held[: self._held_bytes])
            return
        self._file()
        most = max(1, _READ_BYTES // self._item_bytes) * self._item_bytes
        for start in range(0, self._filed_bytes, most):
            read = _pages(min(most, self._filed_bytes - start))
            with local_disk.reported(self._folder):
                os.preadv(self._descriptor, [read.data], start)
            yield self._rows(read)

    @property
    def _item_bytes(self) -> int:
        return math.prod(self._item_shape) * self.dtype.itemsize

    def _rows(self, data: NDArray[np.uint8]) -> NDArray[Any]:
        return data.view(self.dtype).reshape(-1, *self._item_shape)

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
            local_disk.write_all(self._descriptor, self._held[: self._held_bytes].data)
        self._filed_bytes += self._held_bytes
        self._held_bytes = 0


def _pages(num_bytes: int) -> NDArray[np.uint8]:
    return np.frombuffer(mmap.mmap(-1, num_bytes, flags=mmap.MAP_PRIVATE), dtype=np.uint8)


Rows = NDArray[Any] | Spool


def row_blocks(rows: Rows) -> Iterator[NDArray[Any]]:
    """Yield rows in order, a contiguous block at a time."""
    if isinstance(rows, Spool):
        yield from rows.blocks()
    else:
        yield np.ascontiguousarray(rows)
