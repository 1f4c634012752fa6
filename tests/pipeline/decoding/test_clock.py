"""Exact frame times from timestamps that containers round, leave out or get wrong."""

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlp.pipeline.decoding.clock import DisplaySpans, FrameTimes, make_clock

RATES = [Fraction(rate) for rate in ("12", "24000/1001", "24", "25", "30000/1001", "30", "50", "60")]
ROUNDINGS = {"nearest": Fraction(1, 2), "down": Fraction(0), "up": Fraction(999, 1000)}


@settings(deadline=None)
@given(
    rate=st.sampled_from(RATES),
    time_base=st.sampled_from([Fraction(1, 1000), Fraction(1, 90000), Fraction(1, 600)]),
    rounding=st.sampled_from(sorted(ROUNDINGS)),
    offset=st.integers(0, 100_000),
    shown=st.lists(st.booleans(), min_size=1, max_size=300),
)
def test_rounded_timestamps_of_a_steady_rate_give_the_exact_times(
    rate: Fraction, time_base: Fraction, rounding: str, offset: int, shown: list[bool]
) -> None:
    frames = [0, *(index + 1 for index, is_shown in enumerate(shown) if is_shown)]  # some are dropped
    ticks = [int(frame / rate / time_base + ROUNDINGS[rounding]) + offset for frame in frames]
    clock = make_clock(np.array(ticks), time_base=time_base, rates_fps=(rate, rate))
    times = FrameTimes(clock)
    exact = [times.next(tick, None) * clock.unit_seconds for tick in ticks]
    assert exact == [frame / rate for frame in frames]


def test_uneven_timestamps_are_kept_as_they_are() -> None:
    ticks = np.array([100, 117, 161, 170, 230])
    clock = make_clock(ticks, time_base=Fraction(1, 1000), rates_fps=(Fraction(25), Fraction(30)))
    assert list(DisplaySpans(clock, ticks, 40)) == [(0, 17), (17, 61), (61, 70), (70, 130), (130, 170)]
    assert clock.unit_seconds == Fraction(1, 1000)


def test_a_last_frame_without_a_duration_is_shown_for_one_period() -> None:
    ticks = np.array([0, 3, 50])
    clock = make_clock(ticks, time_base=Fraction(1, 1000), rates_fps=(Fraction(25),))
    assert list(DisplaySpans(clock, ticks, None))[-1] == (50, 90)


@settings(deadline=None)
@given(
    pts=st.lists(st.one_of(st.none(), st.integers(-50, 500)), min_size=1, max_size=50),
    usable=st.booleans(),
)
def test_times_always_increase_whatever_the_file_says(pts: list[int | None], usable: bool) -> None:
    origin = np.array([0, 1, 2]) if usable else None
    clock = make_clock(origin, time_base=Fraction(1, 25), rates_fps=(Fraction(25),))
    times = FrameTimes(clock)
    found = [times.next(ticks, ticks) for ticks in pts]
    assert found[0] >= 0
    assert all(a < b for a, b in pairwise(found))


def test_a_missing_or_repeated_time_is_one_period_after_the_last() -> None:
    clock = make_clock(np.array([0, 40, 80, 117]), time_base=Fraction(1, 1000), rates_fps=(Fraction(25),))
    times = FrameTimes(clock)
    assert [times.next(ticks, None) for ticks in (0, None, 40, 60, 117)] == [0, 40, 80, 120, 160]


def test_without_presentation_times_decode_times_count_from_the_first_frame() -> None:
    clock = make_clock(None, time_base=Fraction(1, 25), rates_fps=(Fraction(25),))
    times = FrameTimes(clock)
    found = [times.next(pts, dts) for pts, dts in [(2, 2), (4, 3), (3, 5), (7, None)]]
    assert found == [0, 1, 3, 4]  # a gap in decode times is a dropped frame: the one before stays longer


@pytest.mark.parametrize("seconds", [1, 3600, 100_000])
def test_seconds_are_correctly_rounded(seconds: int) -> None:
    clock = make_clock(None, time_base=Fraction(1001, 30000), rates_fps=(Fraction(30000, 1001),))
    units = 30 * seconds
    assert clock.seconds(units) == float(Fraction(1001 * units, 30000))
