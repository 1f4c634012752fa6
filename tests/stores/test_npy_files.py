"""Files of NumPy's form: what NumPy writes is read; what could do harm is refused before anything is made."""

import io
import pickle
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from numpy.typing import NDArray

from vlp.stores.npy_files import HEAD_BYTES, NpyRefused, decode_npy, encode_npy, read_header

FLOATS = st.sampled_from(["<f2", "<f4", "<f8", ">f2", ">f4", ">f8"])


def written(array: NDArray[Any], version: tuple[int, int] | None = None) -> bytes:
    sink = io.BytesIO()
    np.lib.format.write_array(sink, array, version=version)
    return sink.getvalue()


def with_header(text: str, body: bytes = b"", *, version: int = 1) -> bytes:
    width = 2 if version == 1 else 4
    header = text.encode("latin-1")
    return b"\x93NUMPY" + bytes([version, 0]) + len(header).to_bytes(width, "little") + header + body


@given(
    array=FLOATS.flatmap(
        lambda dtype: st_numpy.arrays(dtype, st_numpy.array_shapes(max_dims=4, min_side=0, max_side=5))
    ),
    order=st.sampled_from("CF"),
    version=st.sampled_from([(1, 0), (2, 0), (3, 0)]),
)
def test_what_numpy_writes_is_read_to_the_bit(
    array: NDArray[Any], order: Any, version: tuple[int, int]
) -> None:
    arranged = np.asarray(array, order=order)
    read = decode_npy(written(arranged, version))
    assert (read.dtype, read.shape) == (array.dtype, array.shape)
    assert read.tobytes() == array.tobytes()


@given(array=st_numpy.arrays("<f2", st_numpy.array_shapes(max_dims=3, max_side=5)))
def test_numpy_reads_what_is_written(array: NDArray[np.float16]) -> None:
    read = np.load(io.BytesIO(encode_npy(array)), allow_pickle=False)
    assert (read.dtype, read.shape, read.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_a_header_as_python_2_wrote_it_is_read() -> None:
    text = "{'descr': '<f4', 'fortran_order': False, 'shape': (2L, 1L), }  \n"
    assert decode_npy(with_header(text, np.ones(2, "<f4").tobytes())).tolist() == [[1.0], [1.0]]


PLAIN = "{'descr': '<f2', 'fortran_order': False, 'shape': (%s), }\n"
HOSTILE: dict[str, tuple[bytes, str, str]] = {
    "an object array": (written(np.array([{}], dtype=object)), "objects", "never loaded"),
    "a structured one": (written(np.zeros(2, dtype=[("a", "O"), ("b", "<f4")])), "objects", "never loaded"),
    "structured floats": (written(np.zeros(2, dtype=[("a", "<f4")])), "dtype", "not floats"),
    "integers": (written(np.zeros((2, 2), dtype=np.int64)), "dtype", "not floats"),
    "complex": (written(np.zeros((2, 2), dtype=np.complex64)), "dtype", "not floats"),
    "long double": (written(np.zeros((2, 2), dtype=np.longdouble)), "dtype", "not floats"),
    "text": (written(np.array(["a"])), "dtype", "not floats"),
    "a bare pickle": (pickle.dumps([1.0]) + bytes(20), "not-npy", "does not begin"),
    "a zip": (b"PK\x03\x04" + bytes(100), "not-npy", "does not begin"),
    "nothing": (b"", "not-npy", "does not begin"),
    "the magic alone": (b"\x93NUMPY\x01", "not-npy", "does not begin"),
    "a huge shape": (with_header(PLAIN % "99999999999999, 512", bytes(64)), "length", "promises"),
    "a shape beyond 64 bits": (with_header(PLAIN % ("9" * 90 + ", 1")), "length", "promises"),
    "a shape of 190 digits": (with_header(PLAIN % ("9" * 190 + ",")), "length", "promises"),
    "a negative shape": (with_header(PLAIN % "-1, 4"), "not-npy", "header"),
    "a shape with a hole": (with_header(PLAIN % "1, , 4"), "not-npy", "shape"),
    "cut short": (written(np.zeros((4, 4), "<f2"))[:-1], "length", "promises"),
    "too long": (written(np.zeros((4, 4), "<f2")) + b"\0", "length", "promises"),
    "a header that is long": (b"\x93NUMPY\x02\x00" + (1 << 31).to_bytes(4, "little"), "not-npy", "beyond"),
    "code": (with_header("__import__('os').abort()"), "not-npy", "header"),
    "code in the shape": (with_header(PLAIN % "print(1)"), "not-npy", "header"),
    "nesting": (with_header("(" * 3000), "not-npy", "header"),
    "another order of members": (
        with_header("{'shape': (0,), 'descr': '<f2', 'fortran_order': False, }"),
        "not-npy",
        "header",
    ),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_anything_else_is_refused_with_a_reason_and_nothing_allocated(what: str) -> None:
    data, reason, words = HOSTILE[what]
    tracemalloc.start()
    with pytest.raises(NpyRefused, match=words) as caught:
        decode_npy(data)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    assert caught.value.reason == reason


@given(st.data())
def test_no_bytes_end_in_anything_but_an_array_or_a_refusal(data: st.DataObject) -> None:
    whole = bytearray(written(np.arange(12, dtype="<f4").reshape(3, 4)))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, 127))] = data.draw(st.integers(0, 255))
    try:
        array = decode_npy(bytes(whole))
    except NpyRefused:
        return
    assert array.dtype.kind == "f"
    assert array.nbytes <= len(whole)


def test_the_length_of_the_file_is_enough_to_know() -> None:
    data = written(np.zeros((3, 8), "<f2"))
    assert read_header(data[:HEAD_BYTES], len(data)).shape == (3, 8)
    with pytest.raises(NpyRefused, match="promises"):
        read_header(data[:HEAD_BYTES], len(data) + 5)
