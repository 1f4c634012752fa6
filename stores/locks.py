"""One writer at a time on each part of a store.

A lock is ``locks/<unit>.lock``: on a disk a file that the kernel locks (`file_locks.py`), in a bucket an object that
its holder renews (`leases.py`).
"""

import re
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

from vlp.stores import file_locks, leases
from vlp.stores.errors import PartLocked
from vlp.stores.places import Place

_UNIT = re.compile(r"[a-z]{1,20}(-[0-9]{1,9}(of[0-9]{1,9})?)?")


def part_unit(part: tuple[int, int]) -> str:
    """Name the unit of part i of n.

    Raises:
        ValueError: unless 0 <= i < n.

    Example:
        >>> part_unit((0, 4))
        'part-0of4'
    """
    index, count = part
    if not 0 <= index < count <= 999_999_999:
        raise ValueError(f"part {index} of {count}: parts are counted from 0 and lie below their number")
    return f"part-{index}of{count}"


def is_held(root: Place, unit: str) -> bool:
    """Say whether a holder has the unit that lives, or may live; changes nothing."""
    name = _name(unit)
    return file_locks.is_held(root, name) if isinstance(root, Path) else leases.is_held(root, name)


class UnitLock:
    """Holds a unit from creation to `release` (or the end of the process).

    Attributes:
        unit: what is held: "part-0of4", "worker-3", "compact", "create".
        writer: unit and a random attempt: the name of everything that this holder writes.

    Raises:
        PartLocked: if another holder, in this or any process, has the unit.
        StoreUnwritable: if the file system cannot lock.
        StoreUnreachable: from the object storage.
        ValueError: if the unit is not a name of ours.
    """

    def __init__(self, root: Place, unit: str) -> None:
        if not _UNIT.fullmatch(unit):
            raise ValueError(f"{unit!r} is no unit")
        self.unit = unit
        self.writer = f"{unit}-{secrets.token_hex(8)}"
        self._held: file_locks.FileLock | leases.Lease = (
            file_locks.FileLock(root, _name(unit), unit)
            if isinstance(root, Path)
            else leases.Lease(root, _name(unit), unit)
        )

    def check(self) -> None:
        """Make sure that the unit is still held; done before each commit.

        Raises:
            LockLost: if another has taken it over, as it may where a process in a bucket gives no sign of life.
        """
        self._held.check()

    def release(self) -> None:
        """Let the unit go; a second call does nothing."""
        self._held.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def lock_free_worker(root: Place) -> UnitLock:
    """Take the lowest of "worker-0", "worker-1"… that nobody holds; in a bucket, where looking costs, any number.

    A worker that hangs keeps its own and stands in nobody's way, and on a disk there are never more lock files than
    there were workers at once.

    Raises:
        StoreUnwritable: if the file system cannot lock.
        StoreUnreachable: from the object storage.
    """
    if not isinstance(root, Path):
        return UnitLock(root, f"worker-{secrets.randbelow(1_000_000_000)}")
    number = 0
    while True:
        try:
            return UnitLock(root, f"worker-{number}")
        except PartLocked:
            number += 1


def _name(unit: str) -> str:
    return f"locks/{unit}.lock"
