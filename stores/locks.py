"""One writer at a time on each part of a store.

The lock is `flock` on ``locks/<unit>.lock``, which the kernel frees when its holder ends, however that
happens; the file's text names the holder for the one who comes second.
"""

import fcntl
import json
import os
import re
import secrets
import socket
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from vlp.stores import storage
from vlp.stores.commits import now
from vlp.stores.errors import PartLocked, StoreUnwritable

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


def is_held(root: Path, unit: str) -> bool:
    """Say whether a living holder has the unit; changes nothing."""
    try:
        descriptor = os.open(root / "locks" / f"{unit}.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


class UnitLock:
    """Holds a unit from creation to `release` (or the end of the process).

    Attributes:
        unit: what is held: "part-0of4", "worker-3", "compact", "create".
        writer: unit and a random attempt: the name of everything that this holder writes.

    Raises:
        PartLocked: if another holder, in this or any process, has the unit.
        StoreUnwritable: if the file system cannot lock.
        ValueError: if the unit is not a name of ours.
    """

    def __init__(self, root: Path, unit: str) -> None:
        if not _UNIT.fullmatch(unit):
            raise ValueError(f"{unit!r} is no unit")
        self.unit = unit
        self.writer = f"{unit}-{secrets.token_hex(8)}"
        self._path = root / "locks" / f"{unit}.lock"
        self._descriptor = storage.open_lock_file(root, f"locks/{unit}.lock")
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            held = isinstance(error, BlockingIOError)
            refusal = (
                self._holder() if held else StoreUnwritable(self._path, f"cannot lock: {error.strerror}")
            )
            os.close(self._descriptor)
            raise refusal from None
        note = {"pid": os.getpid(), "host": socket.gethostname(), "started": now()}
        with suppress(
            OSError
        ):  # a full disk: the lock holds without a note, and `compact` must be able to start
            storage.rewrite_lock_file(self._descriptor, json.dumps(note).encode())

    def release(self) -> None:
        """Let the unit go; a second call does nothing."""
        if self._descriptor >= 0:
            storage.rewrite_lock_file(self._descriptor, b"")
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def _holder(self) -> PartLocked:
        try:
            note = json.loads(os.pread(self._descriptor, 4096, 0))
            pid, host, started = int(note["pid"]), str(note["host"]), str(note["started"])
        except (ValueError, KeyError, TypeError, RecursionError):
            return PartLocked(self._path, self.unit, pid=None, host=None, started=None)
        return PartLocked(self._path, self.unit, pid=pid, host=host, started=started)


def lock_free_worker(root: Path) -> UnitLock:
    """Take the lowest of "worker-0", "worker-1"… that nobody holds.

    A worker that hangs keeps its own and stands in nobody's way, and there are never more lock files than there were
    workers at once.

    Raises:
        StoreUnwritable: if the file system cannot lock.
    """
    number = 0
    while True:
        try:
            return UnitLock(root, f"worker-{number}")
        except PartLocked:
            number += 1
