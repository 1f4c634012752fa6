"""What a lock says of its holder."""

import json
import os
import socket
from dataclasses import asdict, dataclass
from typing import Any, Self

from vlp.stores.commits import now
from vlp.stores.errors import PartLocked
from vlp.stores.places import Place


@dataclass(frozen=True)
class Holder:
    """A process: its number, on which machine, since when it holds the lock (UTC)."""

    pid: int
    host: str
    started: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.started}"

    @classmethod
    def here(cls) -> Self:
        """This process, from now on."""
        return cls(os.getpid(), socket.gethostname(), now())

    @classmethod
    def of(cls, note: Any) -> Self | None:
        """Read the holder in a note; None where it is not to be read."""
        try:
            return cls(int(note["pid"]), str(note["host"]), str(note["started"]))
        except (ValueError, KeyError, TypeError):
            return None

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def parse_note(data: bytes) -> Any:
    """Parse what a lock says; an empty mapping when that is no JSON object."""
    try:
        note = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return note if isinstance(note, dict) else {}


def locked(path: Place, unit: str, data: bytes) -> PartLocked:
    """Make the error that names the holder."""
    holder = Holder.of(parse_note(data))
    if holder is None:
        return PartLocked(path, unit, pid=None, host=None, started=None)
    return PartLocked(path, unit, **holder.to_json())
