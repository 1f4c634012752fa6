"""A segment on disk: written in one step, read through memory maps that check what they hand out.

Writing: the folder aside, flushed, renamed; then commit.json, which makes it count. Reading: on first
touch of a segment its commit.json and every small file are compared with their checksums and the
arrays are mapped; on first touch of a video its rows are. A flipped bit, a missing or a truncated file
is a `StoreDamaged`, never a fill value.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlp.stores import arrays, sealed, storage
from vlp.stores.commits import COMMIT_LIMIT_BYTES, Commit, VideoEntry, read_commit
from vlp.stores.errors import StoreDamaged

_SMALL_LIMIT_BYTES = 64 << 20


@dataclass(frozen=True)
class VideoRows:
    """Rows of one video as the writer holds them: (n, V, D) f2, (n,) f8, (n,) i4."""

    features: NDArray[np.float16]
    pts_seconds: NDArray[np.float64]
    frame_index: NDArray[np.int32]

    def features_crc32c(self) -> int:
        """CRC-32C of the features' bytes."""
        return sealed.crc32c(np.ascontiguousarray(self.features))

    def rows_crc32c(self) -> int:
        """CRC-32C of the bytes of pts_seconds, then of frame_index."""
        return sealed.crc32c(self.pts_seconds.tobytes() + self.frame_index.tobytes())


def write_segment(
    root: Path, name: str, rows: Sequence[VideoRows], entries: Sequence[VideoEntry]
) -> tuple[Commit, int]:
    """Write a segment and commit it.

    Args:
        root: the store.
        name: ``<unit>-<attempt>``; new.
        rows: the rows of each video.
        entries: what the commit says of each video, in the same order.

    Returns:
        The commit, and the number of bytes written.

    Raises:
        StoreFull, StoreUnwritable: from the disk; what was there before is as it was.
    """
    offsets = np.cumsum([0, *(len(video.features) for video in rows)], dtype=np.int64)
    files = arrays.encode(
        np.concatenate([video.features for video in rows]),
        np.concatenate([video.pts_seconds for video in rows]),
        np.concatenate([video.frame_index for video in rows]),
        offsets,
    )
    checksums = {path: sealed.crc32c(bytes(files[path])) for path in sorted(arrays.SMALL_FILES)}
    commit = Commit(name, entries[0].created, int(offsets[-1]), tuple(entries), checksums)
    data = commit.to_bytes()
    num_bytes = storage.write_folder(root, f"segments/{name}", files)
    storage.write_file(root, f"segments/{name}/commit.json", data, writer=name)
    return commit, num_bytes + len(data)


class SegmentReader:
    """The arrays of one committed segment, mapped; each video is checked on first touch.

    Args:
        root: the store.
        name: the segment.
        views_and_dim: (V, D) of the store.
        commit_crc32c: CRC-32C of the commit.json from which the catalogue was made.

    Attributes:
        name: the segment.
        features: (n, V, D); pts_seconds, frame_index: (n,); read-only maps, unchecked.

    Raises:
        StoreDamaged: if any file of the segment is not what the commit says, or commit.json is another.
    """

    def __init__(self, root: Path, name: str, views_and_dim: tuple[int, int], commit_crc32c: int) -> None:
        self.name = name
        self._root = root
        self._folder = f"segments/{name}"
        self._checked: set[str] = set()
        try:
            commit = self._commit(commit_crc32c)
            self._check_small_files(commit)
            self._map(commit, views_and_dim)
        except (OSError, ValueError) as error:
            raise StoreDamaged(root, _explain(error, root / self._folder), segment=name) from error

    def rows(self, entry: VideoEntry) -> VideoRows:
        """Map the rows of a video, (n, V, D), (n,), (n,); they are compared with its checksums once.

        A file cut short after this check ends the program that reads beyond its end (SIGBUS), as with
        every memory map.

        Raises:
            StoreDamaged: naming the video.
        """
        part = slice(entry.start, entry.start + entry.num_rows)
        video = VideoRows(self.features[part], self.pts_seconds[part], self.frame_index[part])
        if entry.video_id not in self._checked:
            wrong = self._resized() or self._differing(entry, video)
            if wrong:
                ids = (entry.video_id,)
                raise StoreDamaged(self._root, wrong, segment=self.name, video_ids=ids)
            self._checked.add(entry.video_id)
        return video

    def _commit(self, crc32c: int) -> Commit:
        data = storage.read_bytes(self._root, f"{self._folder}/commit.json", limit=COMMIT_LIMIT_BYTES)
        if sealed.crc32c(data) != crc32c:
            raise ValueError("commit.json is not the one that was written")
        return read_commit(self._root, self.name, data)

    def _check_small_files(self, commit: Commit) -> None:
        if {*commit.files} != arrays.SMALL_FILES:
            raise ValueError("commit.json: files are not those of a segment")
        for name, crc32c in sorted(commit.files.items()):
            data = storage.read_bytes(self._root, f"{self._folder}/{name}", limit=_SMALL_LIMIT_BYTES)
            if sealed.crc32c(data) != crc32c:
                raise ValueError(f"{name} does not match its checksum")

    def _map(self, commit: Commit, views_and_dim: tuple[int, int]) -> None:
        num_rows, num_videos = commit.num_rows, len(commit.entries)
        self._sizes = arrays.large_file_sizes(num_rows, views_and_dim[0] * views_and_dim[1] * 2)
        self.features, padding = arrays.map_features(self._root, self._folder, (num_rows, *views_and_dim))
        if padding.any():
            raise ValueError(f"{arrays.SHARD}: bytes behind the last row are not zero")
        self.pts_seconds = arrays.map_rows(self._root, self._folder, "pts_seconds", num_rows)
        self.frame_index = arrays.map_rows(self._root, self._folder, "frame_index", num_rows)
        offsets = arrays.map_rows(self._root, self._folder, "offsets", num_videos + 1)
        if offsets.tolist() != [*(entry.start for entry in commit.entries), num_rows]:
            raise ValueError("rows/offsets are not the commit's")

    def _resized(self) -> str | None:
        for name, num_bytes in self._sizes.items():
            size = storage.file_size(self._root, f"{self._folder}/{name}")
            if size != num_bytes:
                return f"{name} is missing" if size is None else f"{name} has {size} bytes, not {num_bytes}"
        return None

    def _differing(self, entry: VideoEntry, video: VideoRows) -> str | None:
        if video.features_crc32c() != entry.features_crc32c:
            return "features do not match their checksum"
        if video.rows_crc32c() != entry.rows_crc32c:
            return "pts_seconds or frame_index do not match their checksum"
        return None


def _explain(error: OSError | ValueError, folder: Path) -> str:
    if not isinstance(error, OSError):
        return str(error)
    name = str(error.filename or "").removeprefix(f"{folder.resolve()}/").removeprefix(f"{folder}/")
    what = "is missing" if isinstance(error, FileNotFoundError) else f"is unusable: {error.strerror}"
    return f"{name} {what}"
