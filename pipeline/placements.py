"""Where a bank's features lie, and how clips are gathered from there.

`map_videos` leaves them in the store's memory maps, `copy_videos` makes one array of them in RAM, `send_videos`
one tensor on a device. Each gives the features and the row at which each video begins in its array.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import psutil
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

MEMORY_MAP = "memory-map"
RAM = "ram"
AUTO = "auto"
SHARE_OF_FREE = 0.5
"""`choose_placement` uses a device, or RAM, up to this share of what is free there."""

Views = Sequence[NDArray[np.float16]]


class ArrayRows:
    """Features of many videos in one array, or in several of which each holds whole videos.

    Args:
        arrays: (n, D) float16 each, contiguous.
        array_of_video: (num_videos,) which of them holds a video.
    """

    device = torch.device("cpu")

    def __init__(self, arrays: Sequence[NDArray[np.float16]], array_of_video: NDArray[np.int64]) -> None:
        self._arrays = tuple(arrays)
        self._tables = tuple(map(_read_only, arrays))
        self._array_of_video = array_of_video

    def take(self, videos: NDArray[np.int64], rows: NDArray[np.int64]) -> Tensor:
        """Gather (B, T) rows of B videos, all of which are there, into (B, T, D)."""
        if len(self._arrays) == 1:
            return _gathered(self._tables[0], rows)
        holders = self._array_of_video[videos]
        if holders.size == 0 or (holders == holders[0]).all():
            return _gathered(self._tables[holders[0] if holders.size else 0], rows)
        clips = np.empty((*rows.shape, self._arrays[0].shape[-1]), dtype=np.float16)
        takes = [array.take for array in self._arrays]
        for holder, clip_rows, clip in zip(holders.tolist(), rows, clips, strict=True):
            takes[holder](clip_rows, 0, clip, "clip")  # straight into its place: one copy of each row
        return torch.from_numpy(clips)

    def mean(self, video: int, rows: slice, num_views: int) -> Tensor:
        """Average a video's rows, V to a frame, over its frames: (V, D) float32."""
        block = self._arrays[self._array_of_video[video]][rows]
        frames = block.reshape(-1, num_views, block.shape[-1])
        return torch.from_numpy(frames.mean(axis=0, dtype=np.float32))


class TensorRows:
    """Features of many videos in one tensor.

    Args:
        features: (n, D) float16, on any device.
    """

    def __init__(self, features: Tensor) -> None:
        self._features = features
        self.device = features.device

    def take(self, videos: NDArray[np.int64], rows: NDArray[np.int64]) -> Tensor:  # noqa: ARG002  # as ArrayRows
        """Gather (B, T) rows of B videos into (B, T, D)."""
        flat = torch.from_numpy(rows.ravel()).to(self.device)
        return self._features.index_select(0, flat).view(*rows.shape, -1)

    def mean(self, video: int, rows: slice, num_views: int) -> Tensor:  # noqa: ARG002  # as ArrayRows
        """Average a video's rows, V to a frame, over its frames: (V, D) float32."""
        block = self._features[rows]
        frames = block.view(-1, num_views, block.shape[-1])
        return frames.mean(dim=0, dtype=torch.float32)


FeatureRows = ArrayRows | TensorRows


def _gathered(table: Tensor, rows: NDArray[np.int64]) -> Tensor:
    return F.embedding(torch.from_numpy(rows), table)  # on all cores, where NumPy's take has one


def _read_only(array: NDArray[np.float16]) -> Tensor:
    """See an array as a tensor that nothing writes to; torch would warn that a memory map cannot be written."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not writable.*", category=UserWarning)
        return torch.from_numpy(array)


def choose_placement(num_bytes: int) -> str:
    """Choose the first of the GPU and RAM in which features of this size take at most `SHARE_OF_FREE`.

    Returns:
        "cuda:0", "ram", or else "memory-map".
    """
    if torch.cuda.is_available() and num_bytes <= SHARE_OF_FREE * torch.cuda.mem_get_info(0)[0]:
        return "cuda:0"
    return RAM if num_bytes <= SHARE_OF_FREE * psutil.virtual_memory().available else MEMORY_MAP


def map_videos(views: Views) -> tuple[ArrayRows, NDArray[np.int64]]:
    """Gather from where the videos lie: those whose views share an owner are one array.

    Args:
        views: (n, V, D) of each video, contiguous; usually slices of a few memory maps.

    Returns:
        The features, and (num_videos,) the row at which each video begins in its array.
    """
    arrays: list[NDArray[np.float16]] = []
    number_of: dict[tuple[int, int], int] = {}
    holders, first_rows = [], []
    for view in views:
        owner = _owner(view)
        row_bytes = view.itemsize * view.shape[-1]
        first_row, lead = divmod(_address(view) - _address(owner), row_bytes)
        number = number_of.setdefault((id(owner), lead), len(arrays))
        if number == len(arrays):
            arrays.append(_rows_of(owner, lead, view.shape[-1]))
        holders.append(number)
        first_rows.append(first_row)
    return ArrayRows(arrays, np.array(holders)), np.array(first_rows, dtype=np.int64)


def copy_videos(views: Views) -> tuple[ArrayRows, NDArray[np.int64]]:
    """Copy the videos, one after another, into one array in RAM; arguments and result as `map_videos`."""
    num_rows, first_rows = _layout(views)
    features = np.empty((num_rows, views[0].shape[-1]), dtype=np.float16)
    for view, first_row in zip(views, first_rows.tolist(), strict=True):
        features[first_row : first_row + view.shape[0] * view.shape[1]] = view.reshape(-1, view.shape[-1])
    return ArrayRows([features], np.zeros(len(views), dtype=np.int64)), first_rows


def send_videos(views: Views, device: torch.device) -> tuple[TensorRows, NDArray[np.int64]]:
    """Copy the videos, one after another, into one tensor; arguments and result as `map_videos`."""
    num_rows, first_rows = _layout(views)
    features = torch.empty(num_rows, views[0].shape[-1], dtype=torch.float16, device=device)
    for view, first_row in zip(views, first_rows.tolist(), strict=True):
        block = torch.from_numpy(view.reshape(-1, view.shape[-1]).copy())  # torch takes no read-only memory
        features[first_row : first_row + len(block)] = block.to(device)
    return TensorRows(features), first_rows


def _layout(views: Views) -> tuple[int, NDArray[np.int64]]:
    ends = np.cumsum([view.shape[0] * view.shape[1] for view in views], dtype=np.int64)
    return int(ends[-1]), np.concatenate([[0], ends[:-1]])


def _owner(view: NDArray[np.float16]) -> NDArray[np.generic]:
    owner: NDArray[np.generic] = view
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    return owner


def _rows_of(owner: NDArray[np.generic], lead: int, embed_dim: int) -> NDArray[np.float16]:
    """See an owner's bytes, from ``lead`` on, as whole rows."""
    data = np.asarray(owner).reshape(-1).view(np.uint8)[lead:]
    row_bytes = embed_dim * np.dtype(np.float16).itemsize
    whole = len(data) // row_bytes * row_bytes
    return data[:whole].view(np.float16).reshape(-1, embed_dim)


def _address(array: NDArray[np.generic]) -> int:
    return int(array.__array_interface__["data"][0])
