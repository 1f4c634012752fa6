import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from vlp.pipeline.metrics.multilabel import average_precisions, mean_average_precision

# Produced by gsig's, SlowFast's and mmaction2's evaluators (commits in the file).
GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "multilabel_map.json").read_text())["cases"]
UNTIED = [case for case in GOLDEN if case["name"] != "ties"]
TIED = next(case for case in GOLDEN if case["name"] == "ties")

Table = tuple[NDArray[np.float64], NDArray[np.int64]]


@st.composite
def tables(draw: st.DrawFn, *, tied: bool = True) -> Table:
    """Scores (B, C) and marks (B, C) of which at least one is set."""
    num_videos, num_classes = draw(st.integers(1, 12)), draw(st.integers(1, 4))
    cells = num_videos * num_classes
    marks = draw(st.lists(st.integers(0, 1), min_size=cells, max_size=cells).filter(any))
    values = st.integers(-2, 2) if tied else st.integers(-(10**6), 10**6)
    scores = draw(st.lists(values, min_size=cells, max_size=cells, unique=not tied))
    shape = (num_videos, num_classes)
    return np.array(scores, dtype=np.float64).reshape(shape), np.array(marks).reshape(shape)


def textbook(scores: list[float], shown: list[int]) -> float:
    """Mean, over the videos that show the class, of the precision at their rank; scores differ."""
    ranked = [mark for _, mark in sorted(zip(scores, shown, strict=True), reverse=True)]
    at = [place for place, mark in enumerate(ranked, 1) if mark]
    return sum(count / place for count, place in enumerate(at, 1)) / len(at)


def test_golden_values_are_there() -> None:
    assert [case["name"] for case in UNTIED] == ["random_0", "random_2"]


@pytest.mark.parametrize("case", UNTIED, ids=lambda case: str(case["name"]))
def test_values_equal_the_official_evaluators(case: dict[str, Any]) -> None:
    expected = case["expected"]
    for name, empty_last in (("gsig_map", False), ("gsig_charades_map", True)):
        found = average_precisions(case["scores"], case["labels"], empty_last=empty_last)
        assert found.tolist() == pytest.approx(expected[name]["ap"], abs=1e-9)
        mean = mean_average_precision(case["scores"], case["labels"], empty_last=empty_last)
        assert mean == pytest.approx(expected[name]["mAP"], abs=1e-9)
    assert mean == pytest.approx(expected["slowfast_get_map"], abs=1e-9)


def test_equal_scores_are_one_threshold_as_in_scikit_learn() -> None:
    mean = mean_average_precision(TIED["scores"], TIED["labels"], empty_last=False)
    assert mean == pytest.approx(TIED["expected"]["slowfast_get_map"], abs=1e-9)


@given(table=tables(tied=False))
def test_precision_is_the_textbooks_where_scores_differ(table: Table) -> None:
    scores, marks = table
    for found, column, shown in zip(
        average_precisions(scores, marks, empty_last=False), scores.T, marks.T, strict=True
    ):
        if shown.any():
            assert found == pytest.approx(textbook(column.tolist(), shown.tolist()))
        else:
            assert np.isnan(found)


@given(table=tables(), seed=st.integers(0, 1000), empty_last=st.booleans())
def test_neither_the_order_of_videos_nor_the_scale_of_scores_matters(
    table: Table, seed: int, empty_last: bool
) -> None:
    scores, marks = table
    order = np.random.default_rng(seed).permutation(len(scores))
    expected = average_precisions(scores, marks, empty_last=empty_last)
    shuffled = average_precisions(scores[order], marks[order], empty_last=empty_last)
    rescaled = average_precisions(np.exp(scores), marks, empty_last=empty_last)
    np.testing.assert_allclose(shuffled, expected)
    np.testing.assert_allclose(rescaled, expected)


@given(table=tables())
def test_videos_without_a_class_rank_last_and_so_never_lower_a_precision(table: Table) -> None:
    scores, marks = table
    official = average_precisions(scores, marks)
    shown = marks.any(axis=1)
    np.testing.assert_allclose(official, average_precisions(scores[shown], marks[shown]))
    assert np.all(np.nan_to_num(official - average_precisions(scores, marks, empty_last=False)) >= -1e-12)


@given(table=tables())
def test_precisions_lie_between_the_share_of_videos_and_one(table: Table) -> None:
    scores, marks = table
    for found, shown in zip(average_precisions(scores, marks, empty_last=False), marks.T, strict=True):
        if shown.any():
            assert 0 < found <= 1 + 1e-12
    perfect = average_precisions(marks.astype(float), marks)
    assert np.nan_to_num(perfect, nan=1.0).tolist() == pytest.approx([1.0] * marks.shape[1])


def test_the_mean_leaves_out_classes_that_no_video_shows() -> None:
    marks = [[1, 0], [0, 0]]
    assert mean_average_precision([[0.9, 0.9], [0.1, 0.1]], marks) == 1.0


@pytest.mark.parametrize(
    ("scores", "marks", "message"),
    [
        ([[1.0, 2.0]], [[1]], "must be one"),
        ([[]], [[]], "must be one"),
        ([[float("nan")]], [[1]], r"scores\[0, 0\] is NaN"),
        ([[1.0]], [[2]], "0 or 1"),
        ([[1.0]], [[0]], "no video shows a class"),
    ],
)
def test_wrong_tables_are_refused(scores: Any, marks: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mean_average_precision(scores, marks)
