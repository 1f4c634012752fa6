import json
import random
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vlp.pipeline.sampling import (
    official_random_gap_clips,
    official_segment_centres,
    random_gap_clips,
    random_segment_clips,
    segment_centres,
    spread_clips,
)

GOLDEN = Path(__file__).parents[1] / "golden"
EFFICIENT_PROMPT = json.loads((GOLDEN / "efficient_prompt_sampling.json").read_text())
ACTIONCLIP = json.loads((GOLDEN / "actionclip_sampling.json").read_text())
HMDB_GAPS = (1, 2, 3, 3, 3, 4)

lengths = st.lists(st.integers(1, 400), min_size=1, max_size=8)
gap_lists = st.lists(st.integers(1, 30), min_size=1, max_size=6)
seeds = st.integers(0, 2**32)


def test_golden_values_are_there() -> None:
    assert len(EFFICIENT_PROMPT["scripted"]) == 322
    assert len(EFFICIENT_PROMPT["seeded"]) == 42
    assert len(ACTIONCLIP["cases"]) == 30


class Script:
    """Answers with given numbers, and notes below what they were asked to be."""

    def __init__(self, *answers: int) -> None:
        self.answers = list(answers)
        self.asked: list[int] = []

    def integers(self, high: NDArray[np.int64], /) -> NDArray[np.int64]:
        self.asked += high.ravel().tolist()
        return np.array([self.answers.pop(0) for _ in high.ravel()]).reshape(high.shape)


class ReleaseGenerators:
    """The global generators of the releases: Python's draws the gap where there is one, NumPy's all else."""

    def __init__(self, seed: int, *, draws_gap: bool) -> None:
        self.gap_generator = random.Random(seed) if draws_gap else None  # noqa: S311  # the release's own
        self.state = np.random.RandomState(seed)

    def integers(self, high: NDArray[np.int64], /) -> NDArray[np.int64]:
        if self.gap_generator is not None:
            chosen = self.gap_generator.choice(range(int(high[0])))
            self.gap_generator = None
            return np.array([chosen])
        return np.array([self.state.randint(one) for one in high.ravel()]).reshape(high.shape)


class Extreme:
    """Always the largest number, or always the smallest."""

    def __init__(self, *, largest: bool) -> None:
        self.largest = largest

    def integers(self, high: NDArray[np.int64], /) -> NDArray[np.int64]:
        assert high.min() >= 1
        return high - 1 if self.largest else np.zeros_like(high)


@given(n=st.integers(1, 10_000), t=st.integers(1, 64))
def test_each_index_is_the_middle_of_its_segment(n: int, t: int) -> None:
    expected = [int(Fraction(n, t) * (i + Fraction(1, 2))) for i in range(t)]
    assert segment_centres(n, t).tolist() == expected
    assert 0 <= expected[0] <= expected[-1] < n


@pytest.mark.parametrize(("n", "t", "name"), [(0, 8, "num_video_frames"), (30, 0, "num_frames")])
def test_empty_counts_are_refused_by_name(n: int, t: int, name: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{name} (0) must be at least 1")):
        segment_centres(n, t)


@given(lengths=lengths, t=st.integers(1, 40))
def test_one_spread_clip_is_the_middles_of_its_segments(lengths: list[int], t: int) -> None:
    clips = spread_clips(np.array(lengths), t, 1)
    assert clips[:, 0].tolist() == [segment_centres(n, t).tolist() for n in lengths]


@given(lengths=lengths, t=st.integers(1, 20), k=st.integers(1, 12))
def test_spread_clips_share_out_the_middles_of_finer_segments_in_turn(
    lengths: list[int], t: int, k: int
) -> None:
    clips = spread_clips(np.array(lengths), t, k)
    for n, clips_of_video in zip(lengths, clips.tolist(), strict=True):
        middles = [int(Fraction(n, t * k) * (i + Fraction(1, 2))) for i in range(t * k)]
        assert clips_of_video == [middles[clip::k] for clip in range(k)]


@pytest.mark.parametrize("case", ACTIONCLIP["cases"], ids=lambda c: f"{c['num_frames']}-{c['segments']}")
def test_segment_rules_give_the_steps_of_actionclips_release(case: dict[str, list[int]]) -> None:
    """The file says which code at which commit made it; its indices start at 1."""
    num_steps, t = np.array([case["num_frames"]]), case["segments"]
    source = ReleaseGenerators(case["train_seed"], draws_gap=False)
    assert [step + 1 for step in official_segment_centres(num_steps, t)[0].tolist()] == case["val"]
    assert [step + 1 for step in random_segment_clips(num_steps, t, source)[0].tolist()] == case["train"]


@given(lengths=lengths, t=st.integers(1, 40), seed=seeds)
def test_a_random_frame_lies_in_its_own_segment(lengths: list[int], t: int, seed: int) -> None:
    clips = random_segment_clips(np.array(lengths), t, np.random.default_rng(seed))
    assert clips.shape == (len(lengths), t)
    for n, clip in zip(lengths, clips.tolist(), strict=True):
        assert clip == sorted(clip)
        if n > t:
            assert all(i * n // t <= step < (i + 1) * n // t for i, step in enumerate(clip))
        else:
            assert set(clip) == set(range(n))


@given(lengths=lengths, t=st.integers(1, 40))
def test_the_first_and_the_last_frame_of_a_segment_can_be_drawn(lengths: list[int], t: int) -> None:
    num_steps = np.array([n for n in lengths if n > t] or [t + 1])
    first = random_segment_clips(num_steps, t, Extreme(largest=False))
    last = random_segment_clips(num_steps, t, Extreme(largest=True))
    for n, low, high in zip(num_steps.tolist(), first.tolist(), last.tolist(), strict=True):
        assert low == [i * n // t for i in range(t)]
        assert high == [(i + 1) * n // t - 1 for i in range(t)]


@pytest.mark.parametrize("case", EFFICIENT_PROMPT["scripted"])
def test_official_clips_are_those_of_the_release_for_scripted_draws(case: dict[str, list[int]]) -> None:
    """The file says which code at which commit made it."""
    source = Script(0, case["phase"], case["start"])
    steps, _ = official_random_gap_clips(np.array([case["num_frames"]]), 16, [case["gap"]], source)
    assert steps[0].tolist() == case["indices"]
    assert source.asked == [1, *case["randint_args"]]


@pytest.mark.parametrize("case", EFFICIENT_PROMPT["seeded"])
def test_official_clips_are_those_of_the_release_for_its_own_generators(case: dict[str, list[int]]) -> None:
    source = ReleaseGenerators(case["seed"], draws_gap=True)
    steps, _ = official_random_gap_clips(np.array([case["num_frames"]]), 16, HMDB_GAPS, source)
    assert steps[0].tolist() == case["indices"]


@given(lengths=lengths, t=st.integers(1, 20), gaps=gap_lists, seed=seeds)
def test_official_clips_thin_the_video_evenly(lengths: list[int], t: int, gaps: list[int], seed: int) -> None:
    steps, chosen = official_random_gap_clips(np.array(lengths), t, gaps, np.random.default_rng(seed))
    for n, clip, gap in zip(lengths, steps.tolist(), chosen.tolist(), strict=True):
        if n <= t:
            assert (clip, gap) == ([*range(n), *[n - 1] * (t - n)], 1)
            continue
        assert gap in (*gaps, 1)
        assert 0 <= clip[0] <= clip[-1] < max(n - 1, 1)  # the release never draws the last legal start
        assert round(1 / gap * n) > t
        lists = [
            np.linspace(phase, n - 1, num=round(1 / gap * n), dtype=int).tolist() for phase in range(gap)
        ]
        assert any(clip == one[i : i + t] for one in lists for i in range(len(one) - t))


@given(lengths=lengths, t=st.integers(1, 20), gaps=gap_lists, seed=seeds)
def test_a_clip_keeps_its_gap_and_stays_in_its_video(
    lengths: list[int], t: int, gaps: list[int], seed: int
) -> None:
    steps, chosen = random_gap_clips(np.array(lengths), t, gaps, np.random.default_rng(seed))
    for n, clip, gap in zip(lengths, steps.tolist(), chosen.tolist(), strict=True):
        fitting = [one for one in gaps if (t - 1) * one < n]
        assert gap in (fitting or [min(gaps)])
        assert 0 <= clip[0] <= clip[-1] < n
        if fitting:
            assert np.diff(clip).tolist() == [gap] * (t - 1)


@given(n=st.integers(1, 60), t=st.integers(1, 12), gaps=st.lists(st.integers(1, 8), min_size=1, max_size=4))
def test_every_gap_that_fits_and_every_start_that_fits_can_be_drawn(n: int, t: int, gaps: list[int]) -> None:
    fitting = sorted(gap for gap in gaps if (t - 1) * gap < n)
    for drawn, gap in enumerate(fitting):
        last_start = n - 1 - (t - 1) * gap
        for start in (0, last_start):
            source = Script(drawn, start)
            steps, chosen = random_gap_clips(np.array([n]), t, gaps, source)
            assert steps[0].tolist() == [start + gap * i for i in range(t)]
            assert chosen.tolist() == [gap]
            assert source.asked == [len(fitting), last_start + 1]


@given(t=st.integers(2, 20), gaps=gap_lists, seed=seeds, data=st.data())
def test_a_video_that_is_too_short_gives_all_its_steps_then_the_last_again(
    t: int, gaps: list[int], seed: int, data: st.DataObject
) -> None:
    n = data.draw(st.integers(1, t - 1))
    steps, chosen = random_gap_clips(np.array([n]), t, gaps, np.random.default_rng(seed))
    assert steps[0].tolist() == [*range(n), *[n - 1] * (t - n)]
    assert chosen.tolist() == [min(gaps)]


@given(n=st.integers(16, 150), seed=seeds)
def test_where_no_gap_fits_frames_lie_as_far_apart_as_fits(n: int, seed: int) -> None:
    """Gaps of retrieval: the smallest needs 151 steps for 16 frames."""
    steps, chosen = random_gap_clips(np.array([n]), 16, (10, 15, 30), np.random.default_rng(seed))
    stride = max(stride for stride in range(1, 10) if 15 * stride < n)
    assert set(np.diff(steps[0]).tolist()) == {stride}
    assert chosen.tolist() == [10]


def test_gaps_and_starts_are_uniform() -> None:
    """Chi-squared: 4 gaps, then 5 starts of the largest; 0.1% of honest seeds would fail."""
    steps, chosen = random_gap_clips(np.full(20_000, 50), 16, (1, 2, 3, 3), np.random.default_rng(7))
    counts = np.bincount(chosen)[1:]
    expected = np.array([5_000, 5_000, 10_000])
    assert ((counts - expected) ** 2 / expected).sum() < 13.8
    starts = np.bincount(steps[chosen == 3, 0])
    assert starts.size == 5
    assert ((starts - starts.mean()) ** 2 / starts.mean()).sum() < 18.5


RULES = {
    "random_gap_clips": lambda n, t, rng: random_gap_clips(n, t, (1, 2), rng),
    "official_random_gap_clips": lambda n, t, rng: official_random_gap_clips(n, t, (1, 2), rng),
    "random_segment_clips": random_segment_clips,
    "official_segment_centres": lambda n, t, _: official_segment_centres(n, t),
    "spread_clips": lambda n, t, _: spread_clips(n, t, 2),
}


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_every_rule_refuses_empty_videos_and_empty_clips(rule) -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=re.escape("num_steps (0) must be at least 1 in every video")):
        rule(np.array([5, 0]), 4, rng)
    with pytest.raises(ValueError, match=re.escape("num_frames (0) must be at least 1")):
        rule(np.array([5]), 0, rng)


@pytest.mark.parametrize("gaps", [(), (0, 1), (-2,)])
@pytest.mark.parametrize("rule", [random_gap_clips, official_random_gap_clips])
def test_gaps_must_be_positive_steps(rule, gaps: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"gaps .* must hold at least one step, all of them positive"):
        rule(np.array([5]), 2, gaps, np.random.default_rng(0))


def test_no_clip_and_a_single_official_frame_are_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("num_clips (0) must be at least 1")):
        spread_clips(np.array([5]), 2, 0)
    with pytest.raises(ValueError, match=re.escape("num_frames (1) must be at least 2")):
        official_segment_centres(np.array([5]), 1)
