"""A copy of a store on a local disk: what `vlp store pull` makes of one in a bucket, to be mapped into memory.

Segments are immutable, so that a rerun copies what the mirror lacks. Each is written aside, compared with every
checksum of its commit, and only then committed: a pull that is killed leaves a store that holds fewer videos, and the
same call goes on. What the source has removed since (`compact`) stays in the mirror and counts for no reader, since
the segments that supersede it are copied too.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from vlp.stores import arrays, storage
from vlp.stores.catalog import Catalog
from vlp.stores.commits import COMMIT_LIMIT_BYTES, read_commit
from vlp.stores.errors import StoreDamaged, StoreError, StoreFull
from vlp.stores.features import FeatureStore
from vlp.stores.index import FileMark, write_index
from vlp.stores.locks import UnitLock
from vlp.stores.maintenance import Damage, lost_damages
from vlp.stores.segments import SegmentReader

_AT_ONCE = 4


@dataclass(frozen=True)
class MirrorReport:
    """What a pull did.

    Attributes:
        store: the mirror.
        num_copied: segments copied by this call.
        num_present: segments that were there before.
        num_failures: files of failures copied by this call.
        num_bytes: of the segments copied.
        damages: what of the source was not copied, in order of the segments' names.
    """

    store: Path
    num_copied: int
    num_present: int
    num_failures: int
    num_bytes: int
    damages: tuple[Damage, ...]


class _Vanished(Exception):
    """A segment was removed from the source after it had been listed."""


def mirror(
    source: FeatureStore, path: Path, on_progress: Callable[[int, int], None] = lambda _done, _total: None
) -> MirrorReport:
    """Copy what a mirror lacks, a few segments at a time.

    Args:
        source: the store to copy.
        path: the mirror: new, or of an earlier call.
        on_progress: called with segments done and their number.

    Raises:
        StoreMismatch: if another store is there.
        PartLocked: if another process copies to it.
        StoreFull, StoreUnwritable: from the disk; what was copied before stays.
        StoreUnreachable: from the object storage; likewise.
    """
    target = FeatureStore.begin(path, source.description)
    with UnitLock(path, "pull") as lock:
        copying = _Copying(source, target, path, writer=lock.writer)
        copying.copy_segments(on_progress)
        copying.copy_failures()
        with suppress(StoreError):  # the index is a cache: readers do without
            write_index(path, target.fingerprint, target.catalog().index, writer=lock.writer)
    return copying.report()


class _Copying:
    """One pull on its way."""

    def __init__(self, source: FeatureStore, target: FeatureStore, path: Path, *, writer: str) -> None:
        self._source, self._target, self._writer = source, target, writer
        self._from, self._to = source.path, path
        self._num_present = len(target.catalog().index.segments)
        self._copied: dict[str, int] = {}
        self._num_failures = 0
        self._damages: dict[str, Damage] = {}

    def copy_segments(self, on_progress: Callable[[int, int], None]) -> None:
        """Copy the segments that the mirror lacks; once more if the source is compacted meanwhile."""
        again = True
        while again:
            again = False
            catalog = self._source.catalog()
            names = _lacking(catalog.index.segments, self._target.catalog().index.segments)
            self._check_disk(names)
            self._damages = {damage.segment: damage for damage in lost_damages(catalog)}
            for done, (name, found) in enumerate(self._copy_all(catalog, names), start=1):
                on_progress(done, len(names))
                if isinstance(found, Damage):
                    self._damages[name] = found
                elif found is None:
                    again = True
                else:
                    self._copied[name] = found

    def copy_failures(self) -> None:
        """Copy what is known of videos without features."""
        failures = self._source.catalog().index.failures
        for name in _lacking(failures, self._target.catalog().index.failures):
            with suppress(FileNotFoundError):  # removed since it was listed
                data = storage.read_bytes(self._from, f"failures/{name}.json", limit=COMMIT_LIMIT_BYTES)
                storage.write_file(self._to, f"failures/{name}.json", data, writer=self._writer)
                self._num_failures += 1

    def report(self) -> MirrorReport:
        """Say what was done."""
        damages = tuple(damage for _, damage in sorted(self._damages.items()))
        num_bytes = sum(self._copied.values())
        return MirrorReport(
            self._to, len(self._copied), self._num_present, self._num_failures, num_bytes, damages
        )

    def _check_disk(self, names: list[str]) -> None:
        sizes = storage.file_sizes(self._from, "segments", below=self._source.layout.shard) if names else {}
        free_bytes = storage.free_bytes(self._to)
        if free_bytes is not None and sum(sizes.get(name, 0) for name in names) > free_bytes:
            raise StoreFull(self._to)

    def _copy_all(self, catalog: Catalog, names: list[str]) -> Iterator[tuple[str, int | Damage | None]]:
        """Copy in threads; give for each its bytes, or what is wrong with it, or None where it has vanished."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            waiting = {pool.submit(self._copy, name, catalog): name for name in names}
            try:
                for future in as_completed(waiting):
                    yield waiting[future], future.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def _copy(self, name: str, catalog: Catalog) -> int | Damage | None:
        try:
            return self._copy_checked(name, catalog.index.segments[name].crc32c)
        except _Vanished:
            return None
        except StoreDamaged as error:
            ids = [catalog.index.columns["video_id"][row] for row in catalog.by_segment.get(name, ())]
            return Damage(name, error.video_ids or tuple(ids), error.what)

    def _copy_checked(self, name: str, crc32c: int) -> int:
        folder, layout = f"segments/{name}", self._source.layout
        commit = self._fetch(name, "commit.json")
        files: dict[str, storage.Content] = {file: self._fetch(name, file) for file in layout.small_files}
        files |= {file: self._stream(name, file) for file in arrays.large_file_sizes(layout, 1, 1)}
        self._remove(folder)
        num_bytes = storage.write_folder(self._to, folder, files)
        try:
            reader = SegmentReader(self._to, name, layout, crc32c, commit=commit)
            for entry in read_commit(self._to, name, commit).entries:
                reader.rows(entry)
        except StoreDamaged:
            self._remove(folder)
            raise
        storage.write_file(self._to, f"{folder}/commit.json", commit, writer=self._writer)
        return num_bytes + len(commit)

    def _fetch(self, name: str, file: str) -> bytes:
        with self._explained(name, file):
            return storage.read_bytes(self._from, f"segments/{name}/{file}", limit=COMMIT_LIMIT_BYTES)

    def _stream(self, name: str, file: str) -> Iterator[bytes]:
        """Read a file in blocks: a long video's may be larger than memory."""
        with self._explained(name, file):
            yield from storage.read_blocks(self._from, f"segments/{name}/{file}")

    @contextmanager
    def _explained(self, name: str, file: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if storage.file_size(self._from, f"segments/{name}/commit.json") is None:
                raise _Vanished from error
            what = "is missing" if isinstance(error, FileNotFoundError) else f"is unusable: {error.strerror}"
            raise StoreDamaged(self._from, f"{file} {what}", segment=name) from error

    def _remove(self, folder: str) -> None:
        """Make room: a pull that was killed, or a damaged disk, may have left something; a commit goes first."""
        if storage.file_size(self._to, f"{folder}/commit.json") is not None:
            storage.remove(self._to, f"{folder}/commit.json")
        storage.remove(self._to, folder)
        storage.remove(self._to, f"{folder}{storage.PARTIAL}")


def _lacking(wanted: Mapping[str, FileMark], held: Mapping[str, FileMark]) -> list[str]:
    return sorted(name for name, mark in wanted.items() if held.get(name) != mark)
