"""A lock on object storage: an object that its holder renews.

It is put where there is none, which one of several does (a conditional put), and renewed every 10 s. Who finds it
takes it over at once when its process has ended on this very machine; else watches it: an object that changes has a
living holder, one that stays the same for a minute has none. No clocks are compared. A holder that slept too long
finds the other's name in it before it commits, and commits nothing. Between two that take over the same dead lock at
the same time the later one wins in the same way; names of segments are unique in any case, so that nothing is lost.
"""

import json
import logging
import os
import secrets
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from vlp.stores import object_store
from vlp.stores.errors import StoreError
from vlp.stores.lock_notes import Holder, locked, parse_note
from vlp.stores.place_errors import LockLost
from vlp.stores.places import ObjectPath

_LOG = logging.getLogger(__name__)
RENEW_SECONDS = 10.0
LEASE_SECONDS = 60.0
POLL_SECONDS = 0.5

_LIMIT_BYTES = 1 << 16
_SAME_START_SECONDS = 2.0  # psutil reckons from the time of the boot, which the kernel rounds


class Lease:
    """Holds an object from creation to `release`.

    Raises:
        PartLocked: if a living holder has it.
        StoreUnreachable: from the object storage.
    """

    def __init__(self, root: ObjectPath, name: str, unit: str) -> None:
        self._root, self._name, self._unit = root, name, unit
        self._token = secrets.token_hex(16)
        self._note = {**Holder.here().to_json(), **_process(), "token": self._token}
        self._num_renewals = 0
        while not (object_store.create_file(root, name, self._data()) or self._is_own()):
            self._outwait()
        self._released = threading.Event()
        self._thread = threading.Thread(target=self._keep, name=f"lease of {unit}", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Make sure that it is still held.

        Raises:
            LockLost: naming the new holder.
            StoreUnreachable: from the object storage.
        """
        data = _read(self._root, self._name)
        note = parse_note(data or b"")
        if note.get("token") != self._token:
            holder = Holder.of(note)
            raise LockLost(self._root / self._name, self._unit, str(holder or "another process"))

    def release(self) -> None:
        """Let it go; a second call does nothing. Where the storage does not answer, it runs out by itself."""
        if self._released.is_set():
            return
        self._released.set()
        self._thread.join()  # a renewal on its way would put the object back
        with suppress(StoreError):
            if self._is_own():
                object_store.remove(self._root, self._name)

    def _keep(self) -> None:
        while not self._released.wait(RENEW_SECONDS):
            with suppress(StoreError):  # tried again at the next turn
                if self._is_own():
                    self._num_renewals += 1
                    object_store.put(self._root, self._name, self._data())

    def _outwait(self) -> None:
        """Return once the holder has let go, or has died and its object is removed."""
        seen = _read(self._root, self._name)
        began, is_told = time.monotonic(), False
        while seen is not None and not _has_ended(seen) and time.monotonic() - began < LEASE_SECONDS:
            if not is_told and time.monotonic() - began > 2 * RENEW_SECONDS:
                is_told = True
                holder = Holder.of(parse_note(seen)) or "another process"
                text = "%s is held by %s, which seems to have ended; it is taken over if nothing is heard for %.0f s"
                _LOG.warning(text, self._root / self._name, holder, LEASE_SECONDS)
            time.sleep(POLL_SECONDS)
            found = _read(self._root, self._name)
            if found not in {None, seen}:
                raise locked(self._root / self._name, self._unit, found or b"")
            seen = found
        # another may have taken it over by now
        if seen is not None and seen == _read(self._root, self._name):
            object_store.remove(self._root, self._name)

    def _is_own(self) -> bool:
        return bool(parse_note(_read(self._root, self._name) or b"").get("token") == self._token)

    def _data(self) -> bytes:
        return json.dumps({**self._note, "renewals": self._num_renewals}).encode()


def is_held(root: ObjectPath, name: str) -> bool:
    """Say whether there is a holder that may be alive; changes nothing and waits for nothing."""
    data = _read(root, name)
    return data is not None and not _has_ended(data)


def _read(root: ObjectPath, name: str) -> bytes | None:
    try:
        return object_store.read_bytes(root, name, limit=_LIMIT_BYTES)
    except FileNotFoundError:
        return None
    except OSError:  # too long to be ours: a holder that nobody can name
        return b""


def _process() -> dict[str, Any]:
    """What tells this process from all others, here and elsewhere."""
    import psutil

    return {"machine": _machine(), "process_started": psutil.Process().create_time()}


@cache
def _machine() -> str | None:
    """Name this boot and its space of process numbers (containers have their own); None where that is unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 (no path: "pid:[4026531836]")
    except OSError:
        return None


def _has_ended(data: bytes) -> bool:
    """Tell whether the holder is a process of this machine that has ended."""
    import psutil

    note = parse_note(data)
    try:
        pid, started = int(note["pid"]), float(note["process_started"])
        if _machine() is None or note["machine"] != _machine():
            return False
        process = psutil.Process(pid)
        is_the_one = abs(process.create_time() - started) < _SAME_START_SECONDS
        return not is_the_one or bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, KeyError, TypeError, ValueError):
        return False
