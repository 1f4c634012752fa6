from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlp.pipeline.instants import (
    TOLERANCE_SECONDS,
    StepTable,
    rows_at,
    step_rows,
    timeline_instants,
    uniform_clip,
)
from vlp.pipeline.sampling import segment_centres


@given(
    times=st.lists(st.integers(0, 5_000), min_size=1, max_size=40, unique=True).map(sorted),
    asked=st.lists(st.integers(-100, 6_000), max_size=40),
)
def test_an_instant_shows_the_last_frame_that_has_appeared(times: list[int], asked: list[int]) -> None:
    shown = rows_at(np.array(times) / 1000, np.array(asked) / 1000)
    appeared = [[row for row, time in enumerate(times) if time <= instant] for instant in asked]
    assert shown.tolist() == [max(rows, default=0) for rows in appeared]


@given(native=st.sampled_from([Fraction(24000, 1001), 25, Fraction(30000, 1001), 30, 50, 60, 240]))
def test_a_frames_own_time_shows_that_frame_however_it_was_rounded(native: Fraction) -> None:
    times = np.array([float(k / Fraction(native)) for k in range(2_000)])
    for wobble in (-TOLERANCE_SECONDS / 2, 0.0, TOLERANCE_SECONDS / 2):
        assert rows_at(times, times + wobble).tolist() == list(range(2_000))


@given(
    native=st.fractions(min_value=1, max_value=240, max_denominator=1001),
    fps=st.sampled_from([1, 10, 25, 30]),
    num_source_frames=st.integers(1, 200),
)
def test_a_stored_row_per_shown_frame_is_found_again_at_each_instant(
    native: Fraction, fps: int, num_source_frames: int
) -> None:
    """The store keeps each source frame shown at some k / fps once; the instants give back exactly those."""
    num_instants = -((-num_source_frames * fps * native.denominator) // native.numerator)  # k / fps < end
    source_frame_shown = [int(Fraction(k, fps) * native) for k in range(num_instants)]
    stored = sorted(set(source_frame_shown))
    times = np.array([float(frame / native) for frame in stored])

    instants = timeline_instants(times, native_fps=float(native), fps=fps)
    rows = rows_at(times, instants)

    assert [stored[row] for row in rows] == source_frame_shown[: len(rows)]
    assert set(rows.tolist()) == set(range(len(stored)))
    assert abs(len(rows) - num_instants) <= max(1, fps / native)


def test_a_video_decoded_in_part_has_only_the_instants_of_that_part() -> None:
    half = np.arange(15) / 30
    assert timeline_instants(half, native_fps=30.0, fps=30.0).size == 15


def test_instants_start_at_the_first_frame_that_is_there() -> None:
    late = np.array([1.0, 1.1, 1.2])
    assert timeline_instants(late, native_fps=10.0, fps=10.0).tolist() == pytest.approx([1.0, 1.1, 1.2])


def test_a_frame_rate_that_is_not_known_gives_the_last_frame_one_instant() -> None:
    assert timeline_instants(np.array([0.0]), native_fps=0.0, fps=30.0).tolist() == [0.0]


def test_a_frame_shown_longer_is_sampled_more_often() -> None:
    times = np.array([0.0, 0.1, 0.9])  # the second lasts 0.8 s
    rows = uniform_clip(times, 10, native_fps=10.0, fps=10.0)
    assert rows.tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 1, 2]


@given(n=st.integers(1, 100), t=st.integers(1, 32))
def test_at_a_constant_rate_a_clip_of_instants_is_a_clip_of_rows(n: int, t: int) -> None:
    times = np.arange(n) / 30
    assert uniform_clip(times, t, native_fps=30.0, fps=30.0).tolist() == segment_centres(n, t).tolist()
    assert uniform_clip(times, t, native_fps=30.0, fps=None).tolist() == segment_centres(n, t).tolist()


def test_rows_of_nothing_and_rows_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="pts_seconds is empty: there is no row"):
        rows_at(np.array([]), np.array([0.0]))
    with pytest.raises(ValueError, match="must increase strictly"):
        rows_at(np.array([0.0, 0.0]), np.array([0.0]))
    with pytest.raises(ValueError, match="pts_seconds is empty: no frame"):
        timeline_instants(np.array([]), native_fps=30.0, fps=30.0)


@pytest.mark.parametrize("fps", [0.0, -30.0, float("nan")])
def test_a_timeline_without_a_rate_is_refused(fps: float) -> None:
    with pytest.raises(ValueError, match=r"fps \(.*\) must be positive"):
        timeline_instants(np.array([0.0]), native_fps=30.0, fps=fps)


def test_without_a_rate_every_row_is_a_step() -> None:
    times = np.array([0.0, 0.1, 0.9])
    assert step_rows(times, native_fps=10.0, fps=None).tolist() == [0, 1, 2]
    assert step_rows(times, native_fps=10.0, fps=10.0).tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 1, 2]


def test_clips_of_a_video_without_a_row_are_refused() -> None:
    with pytest.raises(ValueError, match="num_video_frames"):
        uniform_clip(np.array([]), 4, native_fps=30.0, fps=None)


videos = st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=1, max_size=5)


@given(videos=videos, row_stride=st.integers(1, 3), first=st.sampled_from([0, 7, 2**31]))
def test_each_step_is_looked_up_in_its_own_video(
    videos: list[list[int]], row_stride: int, first: int
) -> None:
    first_rows = first + 1000 * np.arange(len(videos))
    table = StepTable([np.array(rows) for rows in videos], first_rows, row_stride=row_stride)
    assert table.num_steps.tolist() == [len(rows) for rows in videos]
    for video, rows in enumerate(videos):
        found = table.rows(np.array([video]), np.arange(len(rows))[None])
        assert found.dtype == np.int64
        assert found.tolist() == [[first + 1000 * video + row_stride * row for row in rows]]


@pytest.mark.parametrize(("video", "step"), [(0, 2), (0, -1), (1, 3), (1, -(2**62)), (1, 2**62)])
def test_a_step_that_its_video_has_not_is_refused_though_a_neighbour_has_it(video: int, step: int) -> None:
    table = StepTable([np.array([0, 1]), np.array([0, 1, 2])], np.array([0, 2]), row_stride=1)
    with pytest.raises(IndexError, match=f"no step {step} in video {video}, which has {video + 2}"):
        table.rows(np.array([1 - video, video]), np.array([[0, 1], [0, step]]))


def test_a_video_that_is_not_there_is_refused() -> None:
    with pytest.raises(IndexError):
        StepTable([np.array([0])], np.array([0]), row_stride=1).rows(np.array([1]), np.array([[0]]))
