"""Looking after a store: find every damage, remove what no reader needs.

Damage is what a reader would be refused: entries that count and do not match their checksums, commits
that cannot be read, segments that the index knows and that are gone. What a killed writer left behind,
and what was superseded, is no damage; `compact` removes it.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass

from vlp.stores import storage
from vlp.stores.catalog import FAILED, Catalog, load_catalog
from vlp.stores.commits import record_unit
from vlp.stores.errors import PartLocked, StoreDamaged, StoreFull
from vlp.stores.features import FeatureStore
from vlp.stores.index import INDEX, Index, write_index
from vlp.stores.locks import UnitLock, is_held
from vlp.stores.places import Place
from vlp.stores.segments import SegmentReader

UNFINISHED = "left by a writer that ended early"


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong: where, which videos that count are hit (as far as known), and what it is."""

    segment: str
    video_ids: tuple[str, ...]
    what: str


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` found.

    Attributes:
        num_segments, num_videos: that were read, and count.
        num_bytes: of the videos that are whole.
        damages: everything wrong, in order of the segments' names.
        leftovers: names inside the store that `compact` would remove; no damage.
    """

    num_segments: int
    num_videos: int
    num_bytes: int
    damages: tuple[Damage, ...]
    leftovers: tuple[str, ...]

    @property
    def video_ids(self) -> tuple[str, ...]:
        """The damaged videos, sorted."""
        return tuple(sorted({video_id for damage in self.damages for video_id in damage.video_ids}))


@dataclass(frozen=True)
class Removal:
    """Something that is of no use: its name inside the store, why, and its bytes."""

    name: str
    why: str
    num_bytes: int


@dataclass(frozen=True)
class CompactReport:
    """What `compact` removed, or would remove; and what it left because its writer may be alive."""

    removed: tuple[Removal, ...]
    in_use: tuple[str, ...]
    dry_run: bool

    @property
    def num_bytes(self) -> int:
        """Bytes of all that was removed."""
        return sum(removal.num_bytes for removal in self.removed)


def verify(
    store: FeatureStore, on_progress: Callable[[int, int], None] = lambda _done, _total: None
) -> VerifyReport:
    """Read every row of every video that counts and compare it with its checksum.

    Args:
        store: the store.
        on_progress: called with segments done and their number.

    Raises:
        StoreDamaged, StoreVersion: as `load_catalog`.
    """
    catalog = load_catalog(store.path, store.fingerprint)
    damages: list[Damage] = []
    num_bytes = 0
    segments = sorted(catalog.by_segment)
    for done, name in enumerate(segments):
        on_progress(done, len(segments))
        found, read_bytes = _check_segment(store, catalog, name)
        damages += found
        num_bytes += read_bytes
    on_progress(len(segments), len(segments))
    damages += lost_damages(catalog)
    leftovers = tuple(removal.name for removal in _useless(store.path, catalog))
    damages.sort(key=lambda damage: damage.segment)
    return VerifyReport(len(segments), len(catalog.winners), num_bytes, tuple(damages), leftovers)


def compact(store: FeatureStore, *, dry_run: bool = False) -> CompactReport:
    """Remove what no reader needs and write the index anew, from the commits alone.

    Removed are: partial files and uncommitted segments whose writer is not alive; segments in which no
    entry counts; segments whose commit.json is damaged (their videos are extracted anew by the next run);
    failure files of which no failure counts. A reader that was opened before looks again when it misses
    a removed segment; what it has mapped stays readable.

    Args:
        store: the store.
        dry_run: only say what would be removed.

    Raises:
        PartLocked: if another process compacts.
        StoreUnwritable: from the disk. On a full one the index is dropped, being a cache, and room is made.
    """
    if dry_run:
        useless = _useless(store.path, load_catalog(store.path, store.fingerprint, use_index=False))
        in_use = tuple(item.name for item in useless if item.why == UNFINISHED and _alive(store.path, item))
        return CompactReport(tuple(item for item in useless if item.name not in in_use), in_use, dry_run)
    with UnitLock(store.path, "compact") as lock:
        catalog = load_catalog(store.path, store.fingerprint, use_index=False)
        useless = _useless(store.path, catalog)
        # the index first: whoever reads it must not take what is removed for lost
        kept = _without(catalog.index, {item.name for item in useless})
        _write_index(store, kept, writer=lock.writer)
        removed = tuple(item for item in useless if _remove(store.path, item, own=lock.unit))
        in_use = tuple(item.name for item in useless if item not in removed)
        return CompactReport(removed, in_use, dry_run)


def _write_index(store: FeatureStore, index: Index, *, writer: str) -> None:
    """Write the index; on a full disk, which is what `compact` is called for, do without one."""
    try:
        write_index(store.path, store.fingerprint, index, writer=writer)
    except StoreFull:
        storage.remove(store.path, INDEX)


def _check_segment(store: FeatureStore, catalog: Catalog, name: str) -> tuple[list[Damage], int]:
    """Find what is wrong with the videos of a segment, and count the bytes of those that are whole."""
    rows = sorted(catalog.by_segment[name], key=catalog.index.columns["start"].__getitem__)
    entries = [catalog.entry(row) for row in rows]
    crc32c = catalog.index.segments[name].crc32c
    try:
        segment = SegmentReader(store.path, name, store.layout, crc32c)
    except StoreDamaged as error:
        return [Damage(name, tuple(entry.video_id for entry in entries), error.what)], 0
    damages, num_bytes = [], 0
    for entry in entries:
        try:
            num_bytes += segment.rows(entry).num_bytes
        except StoreDamaged as error:
            damages.append(Damage(name, error.video_ids, error.what))
    return damages, num_bytes


def lost_damages(catalog: Catalog) -> Iterator[Damage]:
    """Give the segments whose commit is gone or cannot be read."""
    lost: dict[str, list[str]] = {name: [] for name in catalog.unreadable}
    for video_id, name in catalog.lost.items():
        if video_id not in catalog.winners:
            lost.setdefault(name, []).append(video_id)
    for name, video_ids in lost.items():
        yield Damage(name, tuple(video_ids), catalog.unreadable.get(name, "commit.json is missing"))


def _useless(root: Place, catalog: Catalog) -> list[Removal]:
    names = [
        *((name, UNFINISHED) for name in _unfinished(root)),
        *((f"segments/{name}", "none of its entries counts") for name in _dead_segments(catalog)),
        *((f"segments/{name}", f"its {what}") for name, what in sorted(catalog.unreadable.items())),
        *((name, "none of its failures counts") for name in _dead_failures(catalog)),
    ]
    return [Removal(name, why, storage.tree_bytes(root, name)) for name, why in names]


def _unfinished(root: Place) -> Iterator[str]:
    for folder in ("", "segments/", "failures/"):
        for name in storage.list_names(root, folder):
            if name.endswith(storage.PARTIAL) and _unit(name):
                yield folder + name
    committed = storage.file_sizes(root, "segments", below="commit.json")
    for name in storage.folder_names(root, "segments"):
        if record_unit(name) and name not in committed:
            yield f"segments/{name}"


def _dead_segments(catalog: Catalog) -> list[str]:
    """Segments in which no entry counts; one that supersedes goes after what it supersedes, or stays."""
    columns = catalog.index.columns
    targets: dict[str, set[str]] = {name: set() for name in catalog.index.segments}
    for name, status, supersedes in zip(
        columns["segment"], columns["status"], columns["supersedes"], strict=True
    ):
        if status != FAILED and supersedes:
            targets[name].update(supersedes.split())
    waiting = sorted({*targets} - {*catalog.by_segment})
    present = {*targets}
    dead: list[str] = []
    while free := [name for name in waiting if not targets[name] & present]:
        dead += free
        present -= {*free}
        waiting = [name for name in waiting if name in present]
    return dead


def _dead_failures(catalog: Catalog) -> list[str]:
    counting = {catalog.index.columns["segment"][row] for row in catalog.failed.values()}
    return [f"failures/{name}.json" for name in sorted({*catalog.index.failures} - counting)]


def _without(index: Index, names: set[str]) -> Index:
    segments = {name: mark for name, mark in index.segments.items() if f"segments/{name}" not in names}
    failures = {name: mark for name, mark in index.failures.items() if f"failures/{name}.json" not in names}
    pairs = zip(index.columns["segment"], index.columns["status"], strict=True)
    rows = [
        row
        for row, (name, status) in enumerate(pairs)
        if name in (failures if status == FAILED else segments)
    ]
    return Index(index.columns.take(rows), segments, failures)


def _remove(root: Place, removal: Removal, *, own: str) -> bool:
    """Remove it, unless its writer is alive; a commit is taken back before its arrays go."""
    if removal.why != UNFINISHED:
        if removal.name.startswith("segments/"):
            storage.remove(root, f"{removal.name}/commit.json")
        storage.remove(root, removal.name)
        return True
    unit = _unit(removal.name.rpartition("/")[2])
    try:
        with nullcontext() if unit == own else UnitLock(root, unit):
            if storage.file_size(root, f"{removal.name}/commit.json") is None:  # it may have ended well
                storage.remove(root, removal.name)
    except PartLocked:
        return False
    return True


def _alive(root: Place, removal: Removal) -> bool:
    return is_held(root, _unit(removal.name.rpartition("/")[2]))


def _unit(name: str) -> str:
    """The unit in a name of ours, also of a partial one; empty for a name that is not ours."""
    return record_unit(name.removesuffix(storage.PARTIAL).rpartition(".")[2]) or ""
