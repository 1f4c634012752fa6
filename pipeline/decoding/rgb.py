"""Decoded frames as upright RGB arrays, exactly as the `ffmpeg` command and decord convert them.

PyAV's own `to_ndarray` agrees with them for 8-bit 4:2:0 only, and makes a new scaler for every frame (about
half the speed); libavfilter's default scaler is the one that `ffmpeg -pix_fmt rgb24` and decord use.
Rotation follows `configure_input_video_filter` of FFmpeg's fftools/ffmpeg_filter.c.
"""

import math
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type
from numpy.typing import NDArray

_Filter = tuple[str, str | None]
_ANY_TIME_BASE = Fraction(1, 1000)  # none of these filters looks at the time


class RgbConverter:
    """Converts frames one after another; keeps its filter graph while the frames are alike."""

    def __init__(self) -> None:
        self._likeness: tuple[object, ...] | None = None
        self._graph: Any = None

    def convert(self, frame: Any) -> NDArray[np.uint8]:
        """Give (H, W, 3) RGB of an `av.VideoFrame`: a view of memory that lives as long as the array."""
        likeness = (frame.width, frame.height, frame.format.name, frame.colorspace, frame.color_range)
        if likeness != self._likeness:
            # the display matrix belongs to the stream; asking every frame costs as much as converting it
            self._graph, self._likeness = _build(frame, upright_filters(display_matrix(frame))), likeness
        self._graph.vpush(frame)
        upright = self._graph.vpull()
        plane = upright.planes[0]
        rows = np.frombuffer(plane, np.uint8).reshape(plane.height, plane.line_size)
        return rows[:, : upright.width * 3].reshape(upright.height, upright.width, 3)


def display_matrix(frame: Any) -> tuple[int, ...] | None:
    """Give the nine numbers of the frame's display matrix, or None where it has none."""
    side_data = frame.side_data.get(Type.DISPLAYMATRIX)
    return None if side_data is None else tuple(np.frombuffer(side_data, np.int32, 9).tolist())


def upright_filters(matrix: tuple[int, ...] | None) -> list[_Filter]:
    """Give the libavfilter filters (name, arguments) that turn a frame upright.

    Example:
        >>> upright_filters(None), upright_filters((0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30))
        ([], [('transpose', 'clock')])
    """
    if matrix is None:
        return []
    columns = math.hypot(matrix[0], matrix[3]), math.hypot(matrix[1], matrix[4])
    if 0.0 in columns:
        return []
    angle = round(math.degrees(math.atan2(matrix[1] / columns[1], matrix[0] / columns[0]))) % 360
    flips: tuple[list[_Filter], list[_Filter]] = ([("hflip", None)], [("vflip", None)])
    turns: dict[int, list[_Filter]] = {
        0: flips[1] * (matrix[4] < 0),
        90: [("transpose", "cclock_flip" if matrix[3] > 0 else "clock")],
        180: flips[0] * (matrix[0] < 0) + flips[1] * (matrix[4] < 0),
        270: [("transpose", "clock_flip" if matrix[3] < 0 else "cclock")],
    }
    return turns.get(angle, [("rotate", f"{angle}*PI/180")])


def _build(frame: Any, filters: list[_Filter]) -> Any:
    graph = av.filter.Graph()
    graph.threads = 1
    size = {"width": frame.width, "height": frame.height}
    nodes = [graph.add_buffer(**size, format=frame.format, time_base=_ANY_TIME_BASE)]
    nodes += [graph.add(name, arguments) for name, arguments in [*filters, ("format", "rgb24")]]
    graph.link_nodes(*nodes, graph.add("buffersink")).configure()
    return graph
