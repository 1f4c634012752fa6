"""Exact times of a stream's frames, from timestamps that containers round or get wrong.

A time is an integer count of an exact unit, from the earliest frame that the file shows (so an edit
list's start is 0). Three rules:

- Containers round: Matroska, WebM, FLV and ASF to whole milliseconds, so that frame 2 of 30 fps says
  67 ms, after the instant 2/30 s at which it is shown. Where every timestamp is, to one tick, a
  multiple of 1/r seconds for the stream's rate r, those multiples are the times.
- AVI has no presentation times; FFmpeg's decode times (the order in which frames come out) are used.
- A time that is missing, or not after the one before it, is one frame period after the one before it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

_MAX_EXACT = 1 << 62


@dataclass(frozen=True)
class Clock:
    """Turns a stream's timestamps into units.

    Args:
        time_base: seconds in a tick of the stream.
        unit_seconds: seconds in a unit: a tick, or the frame period where timestamps were roundings.
        origin_ticks: timestamp that is time 0; None: that of the first frame that comes.
        period: units from a frame to the next one, at the stream's average rate.
        uses_decode_times: take FFmpeg's dts, not pts.
    """

    time_base: Fraction
    unit_seconds: Fraction
    origin_ticks: int | None
    period: int
    uses_decode_times: bool

    def units(self, ticks: int) -> int:
        """Convert a difference of timestamps."""
        ratio = self.time_base / self.unit_seconds
        return (2 * ticks * ratio.numerator + ratio.denominator) // (2 * ratio.denominator)

    def duration(self, ticks: int | None) -> int:
        """Convert a frame's duration; one period where the file gives none."""
        return max(1, self.units(ticks)) if ticks else self.period

    def seconds(self, units: int) -> float:
        """Convert to seconds, correctly rounded."""
        return units * self.unit_seconds.numerator / self.unit_seconds.denominator


class FrameTimes:
    """Times of frames that come one after another, repaired so that they always increase."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._origin = clock.origin_ticks
        self._last: int | None = None
        ratio = clock.time_base / clock.unit_seconds
        self._is_identity = ratio == 1

    def next(self, pts: int | None, dts: int | None) -> int:
        """Give the time in units of the next frame in display order."""
        ticks = dts if self._clock.uses_decode_times or pts is None else pts
        if self._origin is None:
            self._origin = ticks
        if ticks is None or self._origin is None:
            time = -1
        else:
            ticks -= self._origin
            time = ticks if self._is_identity else self._clock.units(ticks)
        if self._last is None:
            time = max(0, time)
        elif time <= self._last:
            time = self._last + self._clock.period
        self._last = time
        return time


def make_clock(
    pts: NDArray[np.int64] | None, *, time_base: Fraction, rates_fps: Iterable[Fraction | None]
) -> Clock:
    """Choose the unit for a stream.

    Args:
        pts: (n,) presentation times of the shown packets in ticks, ascending; None where the
            container has none or they are unusable.
        time_base: seconds in a tick.
        rates_fps: rates that the stream may have, the average one last.
    """
    rates = [rate for rate in rates_fps if rate]
    period_ticks = max(1, round(1 / (rates[-1] * time_base))) if rates else 1
    if pts is None or len(pts) == 0:
        return Clock(time_base, time_base, None, period_ticks, uses_decode_times=True)
    for rate in rates:
        if _are_roundings(pts - pts[0], time_base * rate):
            period = max(1, round(rate / rates[-1]))
            return Clock(time_base, 1 / rate, int(pts[0]), period, uses_decode_times=False)
    return Clock(time_base, time_base, int(pts[0]), period_ticks, uses_decode_times=False)


def _are_roundings(ticks: NDArray[np.int64], frames_per_tick: Fraction) -> bool:
    """Say whether all ticks are, to one tick, different multiples of a period above two ticks."""
    p, q = frames_per_tick.as_integer_ratio()
    if 2 * p >= q or int(ticks[-1]) * 2 * p + q >= _MAX_EXACT:
        return False
    frames = (2 * ticks * p + q) // (2 * q)
    near = np.abs(frames * q - ticks * p) <= p
    return bool(near.all() and (np.diff(frames) > 0).all())


class DisplaySpans:
    """When frames are shown: (start, end) in units, made anew for each turn, as a long film has hundreds of thousands.

    Args:
        clock: of the stream.
        pts: (n,) ascending timestamps in ticks, n >= 1.
        last_duration: of the last frame in ticks, if the file gives one.

    Attributes:
        end: when the last frame ends.
    """

    def __init__(self, clock: Clock, pts: NDArray[np.int64], last_duration: int | None) -> None:
        self._clock, self._pts = clock, pts
        self.end = self._units(len(pts) - 1) + clock.duration(last_duration)

    def __len__(self) -> int:
        return len(self._pts)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        start = self._units(0)
        for index in range(1, len(self._pts)):
            following = self._units(index)
            yield start, following
            start = following
        yield start, self.end

    def _units(self, index: int) -> int:
        return self._clock.units(int(self._pts[index]) - int(self._pts[0]))
