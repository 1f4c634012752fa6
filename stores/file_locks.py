"""A lock on a local disk: `flock` on a file, which the kernel frees when its holder ends, however that happens.

The file's text names the holder for the one who comes second.
"""

import fcntl
import json
import os
from contextlib import suppress
from pathlib import Path

from vlp.stores import local_disk
from vlp.stores.errors import PartLocked, StoreUnwritable
from vlp.stores.lock_notes import Holder, locked


class FileLock:
    """Holds a file from creation to `release`.

    Raises:
        PartLocked: if another holder, in this or any process, has it.
        StoreUnwritable: if the file system cannot lock.
    """

    def __init__(self, root: Path, name: str, unit: str) -> None:
        self._path = root / name
        self._unit = unit
        self._descriptor = _open(self._path)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            held = isinstance(error, BlockingIOError)
            refusal = (
                self._holder() if held else StoreUnwritable(self._path, f"cannot lock: {error.strerror}")
            )
            os.close(self._descriptor)
            raise refusal from None
        with suppress(OSError):  # a full disk: it holds without a note, and `compact` must be able to start
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps(Holder.here().to_json()).encode(), 0)

    def check(self) -> None:
        """Nobody takes it from a living process."""

    def release(self) -> None:
        """Let it go; a second call does nothing."""
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)  # in place, since the lock belongs to the file
            os.close(self._descriptor)
            self._descriptor = -1

    def _holder(self) -> PartLocked:
        return locked(self._path, self._unit, os.pread(self._descriptor, 4096, 0))


def _open(path: Path) -> int:
    with local_disk.reported(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)


def is_held(root: Path, name: str) -> bool:
    """Say whether a living holder has it; changes nothing."""
    try:
        descriptor = os.open(root / name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
