import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlp.pipeline.metrics.accuracy import (
    confusion_matrix,
    mean_class_accuracy,
    per_class,
    predictions,
    rank_of_label,
    top_k,
    wilson_interval,
)

# Produced by mmaction2 (commit in the file). The case with tied scores stays out: its order is not portable.
GOLDEN = Path(__file__).parents[2] / "golden" / "accuracy.json"
CASES = [case for case in json.loads(GOLDEN.read_text())["cases"] if "tied" not in case["note"]]

# Few distinct values, so that ties are common.
tables = st.integers(1, 6).flatmap(
    lambda num_classes: st.lists(
        st.tuples(
            st.lists(st.integers(-3, 3), min_size=num_classes, max_size=num_classes),
            st.integers(0, num_classes - 1),
        ),
        min_size=1,
        max_size=25,
    )
)


def test_golden_values_are_there() -> None:
    assert [case["name"] for case in CASES] == ["acc_0"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["name"]))
def test_values_equal_mmaction2s(case: dict[str, Any]) -> None:
    scores, labels, expected = np.array(case["scores"]), np.array(case["labels"]), case["expected"]
    confusions = confusion_matrix(predictions(scores), labels, scores.shape[1])
    for k, fraction in expected["top_k"].items():
        assert top_k(scores, labels, int(k)) == pytest.approx(fraction, abs=1e-9)
    assert mean_class_accuracy(confusions) == pytest.approx(expected["mean_class_accuracy"], abs=1e-9)
    assert np.trace(confusions) / labels.size == pytest.approx(expected["top1_by_argmax"], abs=1e-9)


@given(table=tables)
def test_the_rank_is_the_place_in_a_sort_by_score_then_class_index(
    table: list[tuple[list[int], int]],
) -> None:
    scores, labels = [row for row, _ in table], [label for _, label in table]
    orders = [sorted(range(len(row)), key=lambda c, row=row: (-row[c], c)) for row in scores]
    expected = [order.index(label) for order, label in zip(orders, labels, strict=True)]
    assert rank_of_label(scores, labels).tolist() == expected
    assert predictions(scores).tolist() == [order[0] for order in orders]
    for k in range(1, len(scores[0]) + 1):
        hits = sum(label in order[:k] for order, label in zip(orders, labels, strict=True))
        assert top_k(scores, labels, k) == pytest.approx(hits / len(labels), abs=1e-12)


@given(table=tables)
def test_all_classes_as_guesses_are_always_right(table: list[tuple[list[int], int]]) -> None:
    scores, labels = [row for row, _ in table], [label for _, label in table]
    assert top_k(scores, labels, len(scores[0])) == 1.0


@given(
    pairs=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40),
)
def test_confusions_and_class_accuracies_count_pair_by_pair(pairs: list[tuple[int, int]]) -> None:
    guesses, labels = [guess for guess, _ in pairs], [label for _, label in pairs]
    confusions = confusion_matrix(guesses, labels, 5)
    assert {(t, p): int(confusions[t, p]) for t in range(5) for p in range(5)} == {
        (t, p): pairs.count((p, t)) for t in range(5) for p in range(5)
    }
    fractions = {c: [g == c for g, label in pairs if label == c] for c in set(labels)}
    accuracy = per_class(confusions)
    for c in range(5):
        if c in fractions:
            assert accuracy[c] == pytest.approx(sum(fractions[c]) / len(fractions[c]))
        else:
            assert np.isnan(accuracy[c])
    means = [sum(right) / len(right) for right in fractions.values()]
    assert mean_class_accuracy(confusions) == pytest.approx(sum(means) / len(means))


def test_a_class_without_a_video_leaves_the_mean_alone() -> None:
    without = confusion_matrix([0, 1, 1], [0, 0, 1], 2)
    with_empty = confusion_matrix([0, 1, 1], [0, 0, 1], 3)
    assert mean_class_accuracy(without) == mean_class_accuracy(with_empty) == 0.75


@given(num_right=st.integers(0, 400), num_more=st.integers(1, 400))
def test_the_interval_holds_the_fraction_and_solves_the_score_equation(num_right: int, num_more: int) -> None:
    num_videos = num_right + num_more
    fraction = num_right / num_videos
    low, high = wilson_interval(fraction, num_videos)
    assert 0.0 <= low <= fraction <= high <= 1.0
    for end in (low, high):  # Wilson's ends are where (fraction - p)^2 = z^2 p (1 - p) / n
        assert (fraction - end) ** 2 * num_videos == pytest.approx(3.8414588 * end * (1 - end), abs=1e-6)


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        ([[0.1, float("nan")]], [0], "scores[0, 1] is NaN"),
        ([0.1, 0.2], [0], "scores (2,) must be (B, C) with B, C >= 1"),
        (np.zeros((0, 3)), [], "scores (0, 3) must be (B, C) with B, C >= 1"),
        ([[0.1, 0.2]], [0, 1], "labels (2,) must be (1,), one for each row of scores"),
        ([[0.1, 0.2]], [2], "labels[0] is 2: classes are 0..1"),
        ([[0.1, 0.2]], [-1], "labels[0] is -1: classes are 0..1"),
        ([[0.1, 0.2]], [0.5], "labels must be a row of integers, not float64 (1,)"),
    ],
)
def test_scores_and_labels_that_do_not_fit_are_refused(scores: Any, labels: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        top_k(scores, labels, 1)


@pytest.mark.parametrize("k", [0, 3])
def test_more_or_fewer_guesses_than_classes_are_refused(k: int) -> None:
    with pytest.raises(
        ValueError, match=re.escape(f"k ({k}) must be between 1 and the number of classes (2)")
    ):
        top_k([[0.1, 0.2]], [0], k)


def test_matrices_and_counts_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="must have one shape"):
        confusion_matrix([0], [0, 1], 2)
    with pytest.raises(ValueError, match=re.escape("predicted[1] is 2: classes are 0..1")):
        confusion_matrix([0, 2], [0, 1], 2)
    with pytest.raises(ValueError, match=re.escape("confusions (2, 3) must be square")):
        per_class(np.zeros((2, 3), dtype=np.int64))
    with pytest.raises(ValueError, match="counts no video"):
        mean_class_accuracy(np.zeros((2, 2), dtype=np.int64))
    with pytest.raises(ValueError, match=re.escape("scores[0, 0] is NaN")):
        predictions([[float("nan"), 1.0]])
    with pytest.raises(ValueError, match=re.escape("fraction (1.5) must be between 0 and 1")):
        wilson_interval(1.5, 10)
    with pytest.raises(ValueError, match=re.escape("num_videos (0) must be at least 1")):
        wilson_interval(0.5, 0)
