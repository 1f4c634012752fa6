"""The two decoders as streams of frames with exact times; neither ever seeks.

decord is trusted with pixels only, where it was found equal to `ffmpeg`: it repeats frames when its count is
wrong, and its timestamps are not used. A sign that it is wrong raises `Disagreement`; PyAV is then right.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vlp.pipeline.decoding.clock import FrameTimes
from vlp.pipeline.decoding.probe import OpenVideo
from vlp.pipeline.decoding.rgb import RgbConverter


class Disagreement(Exception):
    """decord differs from the container, from PyAV or from itself."""


class ShownFrame(NamedTuple):
    """One decoded frame: shown from ``start`` to ``end`` (units of the clock); ``pixels()`` is (H, W, 3) RGB."""

    start: int
    end: int
    pixels: Callable[[], NDArray[np.uint8]]


def pyav_frames(video: OpenVideo) -> Iterator[ShownFrame]:
    """Decode all frames with PyAV; only those whose pixels are asked for are converted."""
    convert = RgbConverter().convert
    times = FrameTimes(video.clock)
    held: Any = None
    start = 0
    for frame in video.decoded_frames():
        following = times.next(frame.pts, frame.dts)
        if held is not None:
            yield ShownFrame(start, following, partial(convert, held))
        held, start = frame, following
    if held is not None:
        yield ShownFrame(start, start + video.clock.duration(held.duration), partial(convert, held))


def decord_frames(video: OpenVideo) -> Iterator[ShownFrame]:
    """Decode all frames with decord, in order from the first one.

    Raises:
        Disagreement: at the first sign that a frame is not the one that the file shows; the frames
            given until then are void.
    """
    spans = video.spans
    first = video.first_frame()
    if spans is None or first is None:
        raise Disagreement("the container does not say when frames are shown")
    reader = _open_decord(video.path)
    if len(reader) != len(spans):
        raise Disagreement(f"decord counts {len(reader)} frames, the container {len(spans)}")
    array = None
    for start, end in spans:
        previous, array = array, _next_array(reader)
        if previous is None and not np.array_equal(first, array.asnumpy()):
            raise Disagreement("the first frame differs from PyAV's")
        if array.shape != first.shape:
            raise Disagreement(f"a frame of shape {array.shape} after one of {first.shape}")
        if end == spans.end and previous is not None and np.array_equal(previous.asnumpy(), array.asnumpy()):
            raise Disagreement("the last frame repeats the one before it")
        yield ShownFrame(start, end, array.asnumpy)


def _open_decord(path: str) -> Any:
    try:
        import decord
    except ImportError as error:
        raise Disagreement("decord is not installed") from error
    decord.logging.set_level(decord.logging.ERROR)
    try:
        return decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1)
    except (decord.DECORDError, RuntimeError, AssertionError) as error:
        raise Disagreement(_first_line(error)) from error


def _next_array(reader: Any) -> Any:
    import decord

    try:
        return reader.next()
    except (decord.DECORDError, RuntimeError, StopIteration) as error:
        raise Disagreement(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
