"""Opening what a manifest names: a regular file, or a reason why not."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from vlp.pipeline.decoding.container_size import promised_bytes
from vlp.pipeline.decoding.errors import UnreadableVideo


def open_regular(path: Path) -> BinaryIO:
    """Open a regular, non-empty file for reading; never waits for a pipe or a device.

    Raises:
        UnreadableVideo: missing, permission, not-a-file, empty or unreadable.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise UnreadableVideo("not-a-file", f"{_kind(path)}, not a regular file")
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        raise UnreadableVideo("missing", "no such file") from None
    except PermissionError:
        raise UnreadableVideo("permission", "may not be read by this user") from None
    except (OSError, ValueError) as error:
        raise UnreadableVideo("unreadable", f"cannot be opened: {error}") from None
    file = os.fdopen(descriptor, "rb", buffering=0)
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_size:
        return file
    file.close()
    if stat.S_ISREG(found.st_mode):
        raise UnreadableVideo("empty", "0 bytes")
    raise UnreadableVideo("not-a-file", "not a regular file")


def _kind(path: Path) -> str:
    kinds = {"directory": path.is_dir, "FIFO": path.is_fifo, "socket": path.is_socket}
    return next((f"a {name}" for name, test in kinds.items() if test()), "a device")


def cut_container(file: BinaryIO, size: int) -> str | None:
    """Name the container whose first bytes these are, if it promises more than ``size`` bytes."""
    file.seek(0)
    head = file.read(16)
    signatures = {
        "avi": head[:4] == b"RIFF",
        "mp4": head[4:8] in {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"},
        "matroska": head[:4] == bytes.fromhex("1a45dfa3"),
        "asf": head[:4] == bytes.fromhex("3026b275"),
    }
    for container, is_it in signatures.items():
        promised = promised_bytes(file, container, size) if is_it else None
        if promised is not None and promised > size + 1:
            return container
    return None
