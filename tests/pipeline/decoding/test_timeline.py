"""The rule that says which source frames are kept, from its definition."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlp.pipeline.decoding.errors import BadTimeline
from vlp.pipeline.decoding.timeline import Timeline, uniform_middles

RATES = st.fractions(min_value=Fraction(1, 50), max_value=200, max_denominator=1001)
UNITS = st.sampled_from(
    [Fraction(1, 25), Fraction(1001, 30000), Fraction(1, 90000), Fraction(1, 12800), Fraction(1, 1000)]
)
GAPS = st.lists(st.integers(1, 9), min_size=1, max_size=60)


def kept(timeline: Timeline, unit: Fraction, spans: list[tuple[int, int]]) -> list[int]:
    keep = timeline.selector(unit_seconds=unit, num_frames=len(spans))
    return [index for index, span in enumerate(spans) if keep(index, *span)]


def spans_of(gaps: list[int]) -> list[tuple[int, int]]:
    starts = [sum(gaps[:index]) for index in range(len(gaps) + 1)]
    return list(pairwise(starts))


@settings(deadline=None)
@given(rate=RATES, unit=UNITS, gaps=GAPS, scale=st.sampled_from([1, 40, 512, 3003]))
def test_the_frames_shown_at_some_instant_are_kept_each_once(
    rate: Fraction, unit: Fraction, gaps: list[int], scale: int
) -> None:
    spans = spans_of([gap * scale for gap in gaps])
    end = spans[-1][1] * unit
    shown = set()
    instant = 0
    while Fraction(instant) / rate < end and instant < 5000:
        time = Fraction(instant) / rate
        shown |= {index for index, (a, b) in enumerate(spans) if a * unit <= time < b * unit}
        instant += 1
    found = kept(Timeline(rate_fps=rate), unit, spans)
    if Fraction(instant) / rate >= end:
        assert found == sorted(shown)
    else:  # too many instants to try: those tried must agree
        assert found[: len(shown)] == sorted(shown)


@pytest.mark.parametrize("rate", ["30", "30000/1001", "25", "24000/1001", "12.5"])
def test_a_rate_equal_to_the_videos_own_keeps_every_frame(rate: str) -> None:
    fps = Fraction(rate)
    spans = [(index, index + 1) for index in range(2000)]
    assert kept(Timeline.parse(f"fps:{rate}"), 1 / fps, spans) == list(range(2000))


def test_a_third_of_the_rate_keeps_every_third_frame() -> None:
    spans = [(index, index + 1) for index in range(10)]
    assert kept(Timeline.parse("fps:10"), Fraction(1, 30), spans) == [0, 3, 6, 9]


def test_native_keeps_all() -> None:
    assert kept(Timeline.parse("native"), Fraction(1, 25), spans_of([1, 5, 2])) == [0, 1, 2]


@settings(deadline=None)
@given(num_video_frames=st.integers(1, 500), num_frames=st.integers(1, 64))
def test_uniform_frames_are_the_middles_of_equal_parts(num_video_frames: int, num_frames: int) -> None:
    part = Fraction(num_video_frames, num_frames)
    expected = {int(part * (index + Fraction(1, 2))) for index in range(num_frames)}
    assert uniform_middles(num_video_frames, num_frames) == expected
    spans = [(index, index + 1) for index in range(num_video_frames)]
    assert kept(Timeline(num_frames=num_frames), Fraction(1, 25), spans) == sorted(expected)


@settings(deadline=None)
@given(gaps=GAPS)
def test_count_is_the_number_of_frames_kept(gaps: list[int]) -> None:
    timeline, unit, spans = Timeline.parse("fps:7"), Fraction(1, 50), spans_of(gaps)
    counted = timeline.count(spans, unit_seconds=unit, num_frames=len(spans))
    assert counted == len(kept(timeline, unit, spans))


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("fps:30", "fps:30"), ("fps:30.0", "fps:30"), ("fps:60/2", "fps:30"), ("fps:12.5", "fps:25/2"),
     ("native", "native"), ("frames:016", "frames:16")],
)  # fmt: skip
def test_each_rule_has_one_spelling(text: str, canonical: str) -> None:
    assert Timeline.parse(text).canonical == canonical
    assert Timeline.parse(canonical) == Timeline.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "30",
        "fps:",
        "fps:0",
        "fps:-1",
        "fps:1/0",
        "fps:1e9",
        "fps:nan",
        "frames:0",
        "frames:1.5",
        "native:3",
        "frames:٣",
    ],
)
def test_other_texts_are_refused_by_name(text: str) -> None:
    with pytest.raises(BadTimeline) as caught:
        Timeline.parse(text)
    assert "is none of" in str(caught.value)
    if "0" not in text:
        assert caught.value.text == text


def test_a_rule_is_one_thing() -> None:
    with pytest.raises(BadTimeline):
        Timeline(rate_fps=Fraction(30), num_frames=8)
