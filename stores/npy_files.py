"""Files in NumPy's ``.npy`` form: written as NumPy does, read without NumPy's own reader.

A file from elsewhere is untrusted. Only plain arrays of floats are taken: its header must have the one spelling
that writers give it, is evaluated by nothing, and must promise exactly the bytes that follow, so that neither a
pickle nor a huge promised shape gets any further than the refusal.
"""

import io
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEAD_BYTES = 1 << 12
_MAGIC = b"\x93NUMPY"
_HEADER = re.compile(
    r"\{'descr': (?P<descr>'[^']{1,40}'|\[.*\]), 'fortran_order': (?P<order>True|False), "
    r"'shape': \((?P<shape>[0-9L, ]{0,200})\),? ?\} *\n?",
    re.ASCII | re.DOTALL,
)
_FLOATS = re.compile(r"'[<>=|]?f[248]'", re.ASCII)


class NpyRefused(ValueError):
    """A file that is not taken: why, in a short code and a line."""

    def __init__(self, reason: str, what: str) -> None:
        super().__init__(what)
        self.reason = reason


@dataclass(frozen=True)
class NpyHeader:
    """What a file promises: the kind of its numbers, their arrangement, where they begin."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran_order: bool
    start: int


def encode_npy(array: NDArray[Any]) -> bytes:
    """Write an array as the bytes of a ``.npy`` file.

    Example:
        >>> decode_npy(encode_npy(np.arange(3, dtype=np.float16))).tolist()
        [0.0, 1.0, 2.0]
    """
    sink = io.BytesIO()
    np.lib.format.write_array(sink, np.ascontiguousarray(array), allow_pickle=False)
    return sink.getvalue()


def read_header(head: bytes, num_bytes: int) -> NpyHeader:
    """Understand how a file begins.

    Args:
        head: its first `HEAD_BYTES` bytes, or all of them.
        num_bytes: length of the file.

    Raises:
        NpyRefused: if it is no array of floats, or of another length than its header promises.
    """
    text, start = _header_text(head)
    match = _HEADER.fullmatch(text)
    if match is None:
        raise NpyRefused("not-npy", "its header is not that of an array")
    descr = match["descr"]
    if "O" in descr:
        raise NpyRefused("objects", "it holds Python objects, which are never loaded")
    if not _FLOATS.fullmatch(descr):
        raise NpyRefused("dtype", f"its numbers are {descr[:40]}, not floats of 16, 32 or 64 bits")
    dtype = np.dtype(descr.strip("'"))
    shape = _shape(match["shape"])
    promised = start + math.prod(shape) * dtype.itemsize
    if promised != num_bytes:
        raise NpyRefused("length", f"its header promises {promised} bytes, the file has {num_bytes}")
    return NpyHeader(dtype, shape, match["order"] == "True", start)


def decode_npy(data: bytes) -> NDArray[Any]:
    """Read the bytes of a whole file, without a copy where the order allows it.

    Raises:
        NpyRefused: as `read_header`.
    """
    header = read_header(data[:HEAD_BYTES], len(data))
    values = np.frombuffer(data, dtype=header.dtype, offset=header.start)
    return values.reshape(header.shape, order="F" if header.fortran_order else "C")


def _header_text(head: bytes) -> tuple[str, int]:
    if head[:6] != _MAGIC or len(head) < 12:
        raise NpyRefused("not-npy", "it does not begin as a .npy file does")
    width = 2 if head[6] == 1 else 4
    start = 8 + width + int.from_bytes(head[8 : 8 + width], "little")
    if start > len(head):
        raise NpyRefused("not-npy", f"its header ends at byte {start}, beyond what an array needs")
    return head[8 + width : start].decode("latin-1"), start


def _shape(text: str) -> tuple[int, ...]:
    counts = [part.strip().removesuffix("L") for part in text.split(",")]
    if not all(count.isdecimal() for count in counts[:-1]) or not (counts[-1] + "0").isdecimal():
        raise NpyRefused("not-npy", "its shape is not a list of counts")
    return tuple(int(count) for count in counts if count)
