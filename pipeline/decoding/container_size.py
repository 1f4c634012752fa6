"""How many bytes a file's container says it has: more than there are means a truncated file.

Reads only the sizes of the outermost boxes. Sources: RIFF and OpenDML 1.02 (AVI); ISO/IEC 14496-12 §4.2
(MP4, MOV); RFC 8794 §§4-6 (Matroska, WebM); the ASF specification, §2 (WMV).
"""

from collections.abc import Callable
from typing import BinaryIO

_MAX_BOXES = 100_000  # a fragmented MP4 has two a fragment


def promised_bytes(file: BinaryIO, container: str, size: int) -> int | None:
    """Add up the outermost boxes.

    Args:
        file: open for reading; its position is moved.
        container: FFmpeg's name of the format, such as ``avi`` or ``matroska,webm``.
        size: of the file, bytes.

    Returns:
        The size in bytes that the boxes promise, or None where the container makes no such promise.
    """
    names = container.split(",")
    readers: dict[str, _BoxReader] = {"avi": _riff, "mp4": _iso, "matroska": _ebml, "asf": _asf}
    for name, reader in readers.items():
        if name in names:
            return _walk(file, reader, size)
    return None


_BoxReader = Callable[[bytes], int | None]  # first bytes of a box -> its whole length; None: to the end


def _walk(file: BinaryIO, reader: _BoxReader, size: int) -> int | None:
    end = 0
    for _ in range(_MAX_BOXES):
        if end >= size:
            break
        file.seek(end)
        length = reader(file.read(24))
        if length is None:
            return None
        if length < 8:  # no box, but rubbish after the last one
            break
        end += length
    return end


def _riff(head: bytes) -> int | None:
    if head[:4] != b"RIFF":
        return 0
    length = int.from_bytes(head[4:8], "little")
    return 8 + length if length not in (0, 0xFFFFFFFF) else None  # a recording that was never finished


def _iso(head: bytes) -> int | None:
    if len(head) < 8:
        return 8
    length = int.from_bytes(head[:4], "big")
    if length == 1:
        return int.from_bytes(head[8:16], "big")
    return length or None


def _ebml(head: bytes) -> int | None:
    id_bytes = 9 - head[0].bit_length()
    if id_bytes > 4 or len(head) < 12:
        return 0
    first = head[id_bytes]
    size_bytes = 9 - first.bit_length()
    if size_bytes > 8:
        return 0
    value = int.from_bytes(head[id_bytes : id_bytes + size_bytes], "big") & ((1 << 7 * size_bytes) - 1)
    unknown = value == (1 << 7 * size_bytes) - 1
    return None if unknown else max(id_bytes + size_bytes + value, 8)


def _asf(head: bytes) -> int | None:
    length = int.from_bytes(head[16:24], "little")
    return length if len(head) == 24 and length >= 24 else 0
