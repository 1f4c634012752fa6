"""Shared memory that carries frames from a child to the pool.

A slot is a `memfd` that the parent makes, owns and sizes; it is sealed against shrinking, as a child that
shrank it would take the parent down. A block in a slot: n frames of (H, W, 3) bytes from byte 0 on; then, from
the next multiple of 8, n float64 times in seconds and n int32 frame indices.
"""

import fcntl
import mmap
import os

import numpy as np
from numpy.typing import NDArray

ROW_BYTES = 12  # a time and an index
_ALIGNMENT = 8

BlockArrays = tuple[NDArray[np.uint8], NDArray[np.float64], NDArray[np.int32]]


def frames_that_fit(slot_bytes: int, frame_bytes: int) -> int:
    """Count the frames of ``frame_bytes`` that one block can hold."""
    return max(0, (slot_bytes - _ALIGNMENT) // (frame_bytes + ROW_BYTES))


def block_bytes(num_frames: int, frame_bytes: int) -> int:
    """Size of a slot that holds a block of ``num_frames``."""
    return num_frames * (frame_bytes + ROW_BYTES) + _ALIGNMENT


def block_arrays(memory: mmap.mmap, num_frames: int, height: int, width: int) -> BlockArrays:
    """View a block: (n, H, W, 3) frames, (n,) seconds, (n,) indices; the caller has checked that it fits."""
    frame_bytes = height * width * 3
    times_at = -(-num_frames * frame_bytes // _ALIGNMENT) * _ALIGNMENT
    frames = np.frombuffer(memory, np.uint8, num_frames * frame_bytes)
    times = np.frombuffer(memory, np.float64, num_frames, times_at)
    indices = np.frombuffer(memory, np.int32, num_frames, times_at + 8 * num_frames)
    return frames.reshape(num_frames, height, width, 3), times, indices


class Slot:
    """The parent's end of a slot.

    Attributes:
        descriptor: to be inherited by the child.
        num_bytes: its size.
        is_free: whether the child may write to it.
    """

    def __init__(self, num_bytes: int) -> None:
        self.descriptor = os.memfd_create("vlp-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self.num_bytes = 0
        self.is_free = True
        self.resize(num_bytes)
        fcntl.fcntl(self.descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)

    def resize(self, num_bytes: int) -> None:
        """Make it larger; blocks that are still in use keep their memory."""
        os.ftruncate(self.descriptor, num_bytes)
        self._memory = mmap.mmap(self.descriptor, num_bytes)
        self.num_bytes = num_bytes

    def arrays(self, num_frames: int, height: int, width: int) -> BlockArrays:
        """View the block that a child says it wrote; times and indices are copied.

        Raises:
            ValueError: if it cannot be in this slot.
        """
        if block_bytes(num_frames, height * width * 3) > self.num_bytes:
            raise ValueError(f"{num_frames} frames of {width}x{height} do not fit {self.num_bytes} bytes")
        frames, times, indices = block_arrays(self._memory, num_frames, height, width)
        return frames, times.copy(), indices.copy()

    def close(self) -> None:
        """Close the descriptor; the memory goes when no block uses it any more."""
        os.close(self.descriptor)


class ChildSlot:
    """The child's end of a slot.

    Attributes:
        num_bytes: its size.
        is_free: whether it may be written to.
    """

    def __init__(self, descriptor: int, *, is_free: bool) -> None:
        self._descriptor = descriptor
        self.is_free = is_free
        self.remap()

    def remap(self) -> None:
        """Look again how large it is."""
        self.num_bytes = os.fstat(self._descriptor).st_size
        self._memory = mmap.mmap(self._descriptor, self.num_bytes)

    def frames(self, num_frames: int, height: int, width: int) -> NDArray[np.uint8]:
        """View the (n, H, W, 3) frames of the block to be written."""
        return block_arrays(self._memory, num_frames, height, width)[0]

    def finish(self, height: int, width: int, times: list[float], indices: list[int]) -> None:
        """Write the times and indices behind the frames."""
        _, time_rows, index_rows = block_arrays(self._memory, len(times), height, width)
        time_rows[:] = times
        index_rows[:] = indices
