"""The pipe between a pool and its children, which may say anything, and the memory they share."""

import os
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlp.pipeline.decoding.slots import ChildSlot, Slot, block_bytes, frames_that_fit
from vlp.pipeline.decoding.wire import (
    MAX_LINE_BYTES,
    GarbledMessage,
    MessageReader,
    integer,
    number,
    send,
    text,
)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        os.close(descriptor)


def test_messages_arrive_whole_however_the_pipe_cuts_them(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    reader = MessageReader(reading)
    send(writing, {"a": 1})
    line = b'{"path": "\\udcff.mp4"}\n{"b"'
    os.write(writing, line)
    assert reader.read() == [{"a": 1}, {"path": "\udcff.mp4"}]
    os.write(writing, b": 2}\n")
    assert reader.read() == [{"b": 2}]


def test_the_end_of_the_pipe_is_none() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    assert MessageReader(reading).read() is None
    os.close(reading)


@pytest.mark.parametrize("line", [b"hello\n", b"[1]\n", b'"x"\n', b"{\n", b"\xff\n", b"[" * 60_000 + b"\n"])
def test_lines_that_are_no_messages_are_refused(line: bytes, pipe: tuple[int, int]) -> None:
    os.write(pipe[1], line)
    with pytest.raises(GarbledMessage):
        MessageReader(pipe[0]).read()


def test_a_line_without_end_is_refused(pipe: tuple[int, int]) -> None:
    reader = MessageReader(pipe[0])
    os.write(pipe[1], b"x" * MAX_LINE_BYTES)
    assert reader.read() == []
    os.write(pipe[1], b"x" * 1000)
    with pytest.raises(GarbledMessage, match="without end"):
        reader.read()


def test_a_message_that_the_other_end_would_refuse_is_not_sent(pipe: tuple[int, int]) -> None:
    with pytest.raises(GarbledMessage):
        send(pipe[1], {"path": "x" * MAX_LINE_BYTES})


@pytest.mark.parametrize("value", [None, "3", 3.0, True, -1, 11, [3], 10**400])
def test_whole_numbers_outside_their_range_are_refused(value: object) -> None:
    assert integer({"n": 3}, "n", 0, 10) == 3
    with pytest.raises(GarbledMessage, match="n is"):
        integer({"n": value}, "n", 0, 10)


@pytest.mark.parametrize("value", [None, "3", True, -0.5, float("nan"), float("inf")])
def test_numbers_that_are_not_finite_are_refused(value: object) -> None:
    assert number({"x": 2}, "x") == 2.0
    with pytest.raises(GarbledMessage):
        number({"x": value}, "x")


def test_text_is_one_printable_line_of_bounded_length() -> None:
    assert text({"t": "a\nb\x1b[31m"}, "t") == "a b [31m"
    assert text({"t": "x" * 9}, "t", 4) == "xxxx"
    with pytest.raises(GarbledMessage):
        text({"t": 5}, "t")


@settings(deadline=None)
@given(height=st.integers(1, 40), width=st.integers(1, 40), slot_bytes=st.integers(4096, 20_000))
def test_a_block_comes_out_of_a_slot_as_it_went_in(height: int, width: int, slot_bytes: int) -> None:
    slot = Slot(slot_bytes)
    child = ChildSlot(slot.descriptor, is_free=True)
    count = frames_that_fit(slot_bytes, height * width * 3)
    if count == 0:
        slot.resize(block_bytes(1, height * width * 3))
        child.remap()
        count = 1
    frames = child.frames(count, height, width)
    frames[:] = np.random.default_rng(0).integers(0, 256, frames.shape, np.uint8)
    seconds, indices = [0.1 * row for row in range(count)], list(range(5, 5 + count))
    child.finish(height, width, seconds, indices)
    ours, times, rows = slot.arrays(count, height, width)
    assert np.array_equal(ours, frames)
    assert (times.tolist(), rows.tolist()) == (seconds, indices)
    with pytest.raises(ValueError, match="do not fit"):
        slot.arrays(
            count * 2 + 1, height, width
        ) if count * height * width * 36 > slot_bytes else slot.arrays(10**7, 9, 9)
    slot.close()


def test_a_child_cannot_shrink_the_parents_memory() -> None:
    slot = Slot(8192)
    with pytest.raises(PermissionError):
        os.ftruncate(slot.descriptor, 4096)
    slot.close()
