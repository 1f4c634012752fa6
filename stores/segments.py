"""A segment: written in one step, read through memory maps that check what they hand out.

Writing: the folder aside, flushed, renamed (in a bucket object by object); then commit.json, which makes it count.
Reading: on first touch of a segment its commit.json and every small file are compared with their checksums and the
arrays are mapped; on first touch of a video its rows are. A flipped bit, a missing or a truncated file is a
`StoreDamaged`, never a fill value.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlp.stores import arrays, sealed, storage
from vlp.stores.commits import COMMIT_LIMIT_BYTES, Commit, VideoEntry, read_commit
from vlp.stores.errors import StoreDamaged
from vlp.stores.layout import Layout
from vlp.stores.places import ObjectPath, Place
from vlp.stores.spool import Spool

_SMALL_LIMIT_BYTES = 64 << 20


_MOST_FRAME_BYTES = 1 << 30


@dataclass(frozen=True)
class VideoRows:
    """One video as the reader maps it.

    Attributes:
        items: (n, V, D) f2, a row a frame; or (m,) u1, encoded frames one behind another.
        of_frames: by name (n,) each, in the layout's order: pts_seconds f8, frame_index i4, of pixels sizes i8 too.
    """

    items: NDArray[Any]
    of_frames: Mapping[str, NDArray[Any]]

    @property
    def num_frames(self) -> int:
        """Number of frames, n."""
        return len(self.of_frames["pts_seconds"])

    @property
    def num_bytes(self) -> int:
        """Bytes of all arrays."""
        return self.items.nbytes + sum(values.nbytes for values in self.of_frames.values())


def frames_crc32c(of_frames: Mapping[str, NDArray[Any]]) -> int:
    """CRC-32C of the bytes of a video's pts_seconds, then of frame_index, then of sizes if there are any."""
    return sealed.crc32c(b"".join(values.tobytes() for values in of_frames.values()))


def write_segment(
    root: Place,
    name: str,
    layout: Layout,
    rows: Spool,
    of_frames: Mapping[str, NDArray[Any]],
    entries: Sequence[VideoEntry],
    *,
    check: Callable[[], None] = lambda: None,
) -> tuple[Commit, int]:
    """Write a segment and commit it.

    Args:
        root: the store.
        name: ``<unit>-<attempt>``; new.
        layout: of the store.
        rows: the items of all videos, one video behind another.
        of_frames: by name one value a frame of all videos.
        entries: what the commit says of each video, in the same order.
        check: called before the commit is made, which an error prevents.

    Returns:
        The commit, and the number of bytes written.

    Raises:
        StoreFull, StoreUnwritable, StoreUnreachable: from the disk or bucket; what was there before is as it was.
    """
    offsets = np.cumsum([0, *(entry.num_rows for entry in entries)], dtype=np.int64)
    files, shard = arrays.encode(layout, rows, of_frames, offsets)
    checksums = {path: sealed.crc32c(bytes(files[path])) for path in sorted(layout.small_files)}
    commit = Commit(name, entries[0].created, int(offsets[-1]), tuple(entries), checksums)
    data = commit.to_bytes()
    num_bytes = storage.write_folder(root, f"segments/{name}", {**files, layout.shard: shard})
    check()
    storage.write_file(root, f"segments/{name}/commit.json", data, writer=name)
    return commit, num_bytes + len(data)


class SegmentReader:
    """The arrays of one committed segment, mapped; each video is checked on first touch.

    Args:
        root: the store.
        name: the segment.
        layout: of the store.
        commit_crc32c: CRC-32C of the commit.json from which the catalogue was made.
        commit: what commit.json is to say, of a segment that has none yet.

    Attributes:
        name: the segment.

    Raises:
        StoreDamaged: if any file of the segment is not what the commit says, or commit.json is another.
    """

    def __init__(
        self, root: Place, name: str, layout: Layout, commit_crc32c: int, *, commit: bytes | None = None
    ) -> None:
        self.name = name
        self._layout = layout
        self._root = root
        self._folder = f"segments/{name}"
        self._checked: set[str] = set()
        try:
            parsed = self._commit(commit_crc32c, commit)
            self._check_small_files(parsed)
            self._map(parsed)
        except (OSError, ValueError) as error:
            raise StoreDamaged(root, _explain(error, root / self._folder), segment=name) from error

    def rows(self, entry: VideoEntry) -> VideoRows:
        """Map the arrays of a video; they are compared with its checksums once.

        A file cut short after this check ends the program that reads beyond its end (SIGBUS), as with
        every memory map.

        Raises:
            StoreDamaged: naming the video.
        """
        begin, end = entry.start, entry.start + entry.num_rows
        of_frames = {name: values[begin:end] for name, values in self._of_frames.items()}
        video = VideoRows(self._items[self._first[begin] : self._first[end]], of_frames)
        if entry.video_id not in self._checked:
            wrong = self._resized() or self._differing(entry, video)
            if wrong:
                ids = (entry.video_id,)
                raise StoreDamaged(self._root, wrong, segment=self.name, video_ids=ids)
            self._checked.add(entry.video_id)
        return video

    def _commit(self, crc32c: int, data: bytes | None) -> Commit:
        if data is None:
            data = storage.read_bytes(self._root, f"{self._folder}/commit.json", limit=COMMIT_LIMIT_BYTES)
        if sealed.crc32c(data) != crc32c:
            raise ValueError("commit.json is not the one that was written")
        return read_commit(self._root, self.name, data)

    def _check_small_files(self, commit: Commit) -> None:
        if {*commit.files} != self._layout.small_files:
            raise ValueError("commit.json: files are not those of a segment")
        for name, crc32c in sorted(commit.files.items()):
            data = storage.read_bytes(self._root, f"{self._folder}/{name}", limit=_SMALL_LIMIT_BYTES)
            if sealed.crc32c(data) != crc32c:
                raise ValueError(f"{name} does not match its checksum")

    def _map(self, commit: Commit) -> None:
        layout, folder, num_frames = self._layout, self._folder, commit.num_rows
        self._of_frames = {
            name: arrays.map_frame_values(self._root, folder, layout, name, num_frames)
            for name in layout.of_frames
        }
        self._first = _first_items(self._of_frames.get("sizes"), num_frames)
        num_items = int(self._first[-1])
        self._sizes = arrays.large_file_sizes(layout, num_frames, num_items)
        self._items, padding = arrays.map_items(self._root, folder, layout, num_items)
        if padding.any():
            raise ValueError(f"{layout.shard}: bytes behind the last row are not zero")
        offsets = arrays.map_offsets(self._root, folder, len(commit.entries))
        if offsets.tolist() != [*(entry.start for entry in commit.entries), num_frames]:
            raise ValueError("rows/offsets are not the commit's")

    def _resized(self) -> str | None:
        if isinstance(self._root, ObjectPath):
            return None  # what was read from a bucket is in memory, where nothing shortens it
        for name, num_bytes in self._sizes.items():
            size = storage.file_size(self._root, f"{self._folder}/{name}")
            if size != num_bytes:
                return f"{name} is missing" if size is None else f"{name} has {size} bytes, not {num_bytes}"
        return None

    def _differing(self, entry: VideoEntry, video: VideoRows) -> str | None:
        if sealed.crc32c(np.ascontiguousarray(video.items)) != entry.features_crc32c:
            return f"{self._layout.array} do not match their checksum"
        if frames_crc32c(video.of_frames) != entry.rows_crc32c:
            return f"{' or '.join(self._layout.of_frames)} do not match their checksum"
        return None


def _first_items(sizes: NDArray[np.int64] | None, num_frames: int) -> NDArray[np.int64]:
    """Give the first item of each frame, and the end of the last: (n + 1,)."""
    if sizes is None:
        return np.arange(num_frames + 1)
    if not 1 <= sizes.min() <= sizes.max() <= _MOST_FRAME_BYTES:
        raise ValueError("rows/sizes: a frame has no bytes, or too many")
    return np.concatenate([[0], np.cumsum(sizes)])


def _explain(error: OSError | ValueError, folder: Place) -> str:
    if not isinstance(error, OSError):
        return str(error)
    place = folder if isinstance(folder, ObjectPath) else folder.resolve()
    name = str(error.filename or "").removeprefix(f"{place}/").removeprefix(f"{folder}/")
    what = "is missing" if isinstance(error, FileNotFoundError) else f"is unusable: {error.strerror}"
    return f"{name} {what}"
