"""What a saved result looks like as tables and bars; a result that is not as expected loses parts, nothing else."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from vlp.pipeline.report.figures import (
    UNKNOWN,
    choose_samples,
    class_bars,
    confused_pairs,
    confusion_counts,
    matrix_rows,
    result_table,
    semantics_table,
    text,
)

MakeSplit = Callable[..., dict[str, Any]]


def cells(table: Any, title: str) -> list[str]:
    place = [column.title for column in table.columns].index(title)
    return [row[place] for row in table.rows]


def test_one_split_is_one_row_with_its_interval(make_split: MakeSplit) -> None:
    split = make_split(["a", "b", "c"])
    table = result_table({"closed": {"dataset": "toy", "top1": 0.75, "splits": [split]}})
    assert cells(table, "top-1") == ["75.0 (50.0 to 90.0)"]
    assert cells(table, "videos") == ["8 of 12"]
    assert cells(table, "split") == ["default"]
    assert "top-5" not in [column.title for column in table.columns]  # nobody has one


def test_several_splits_end_in_their_mean_and_deviation(make_split: MakeSplit) -> None:
    splits = [make_split(["a", "b"], name=f"split{number}") for number in (1, 2)]
    result = {
        "dataset": "toy",
        "top1": 0.8,
        "top1_std": 0.02,
        "num_found": 8,
        "num_expected": 8,
        "splits": splits,
    }
    table = result_table({"closed": result})
    assert cells(table, "split") == ["split1", "split2", "mean of 2"]
    assert cells(table, "top-1")[-1] == "80.0 ± 2.0"
    assert cells(table, "videos")[-1] == "8"


def test_a_result_without_splits_is_a_row_of_what_it_has() -> None:
    table = result_table({"b2n": {"base": 0.8, "novel": 0.6, "harmonic_mean": 0.6857}})
    assert [cells(table, title) for title in ("base", "novel", "harmonic mean")] == [
        ["80.0"],
        ["60.0"],
        ["68.6"],
    ]
    assert cells(table, "videos") == [UNKNOWN]


def test_trials_are_one_row_with_half_of_the_interval() -> None:
    trials = [{"seed": seed, "values": {"top1": 0.5}} for seed in range(10)]
    table = result_table({"few-shot": {"top1": 0.5, "top1_interval": 0.0125, "trials": trials}})
    assert cells(table, "split") == ["mean of 10"]
    assert cells(table, "top-1") == ["50.0 ± 1.2"]


def test_a_score_that_is_no_probability_is_not_shown_as_one() -> None:
    rows = [
        {"video_id": "v", "label": "a", "predicted": "a", "probability": score}
        for score in (0.25, 14.2, -3, None)
    ]
    chosen = choose_samples({"videos": rows}, 4)
    assert [sample.percent for sample in chosen] == [25.0, None, None, None]


def test_bars_keep_the_order_and_leave_unscored_classes_open(make_split: MakeSplit) -> None:
    bars = class_bars(make_split(["z", "a", "m"]))
    assert [(bar.name, bar.percent) for bar in bars] == [("z", None), ("a", 100.0), ("m", 75.0)]


@pytest.mark.parametrize("top1", [float("nan"), "much", 1e400, None, True, [1]])
def test_an_accuracy_that_is_no_number_is_no_bar(top1: object) -> None:
    (bar,) = class_bars({"per_class": [{"name": "a", "top1": top1}, "no row"]})
    assert bar.percent is None


@pytest.mark.parametrize(
    "confusion",
    [
        None,
        [],
        [[1]],
        [[1, 2], [3]],
        [[1, 2], 3],
        [[1, -2], [0, 0]],
        [[1, 2.5], [0, 0]],
        [["1", 2], [0, 0]],
        {"a": 1},
    ],
)
def test_what_is_no_confusion_matrix_of_the_classes_is_left_out(confusion: object) -> None:
    split = {"per_class": [{"name": "a"}, {"name": "b"}], "confusion": confusion}
    assert confusion_counts(split) is None


def test_a_matrix_gives_shares_of_the_true_class() -> None:
    first, second = matrix_rows(np.array([[3, 1], [0, 0]]), ["a", "b"])
    assert [(cell.count, cell.share) for cell in first.cells] == [(3, 0.75), (1, 0.25)]
    assert [cell.share for cell in second.cells] == [0, 0]


def test_pairs_are_listed_by_how_often_and_right_ones_never() -> None:
    table = confused_pairs(np.array([[9, 1, 0], [4, 4, 0], [0, 2, 8]]), ["a", "b", "c"])
    assert table.rows == (("b", "a", "4", "50.0"), ("c", "b", "2", "20.0"), ("a", "b", "1", "10.0"))


def videos(num_right: int, num_wrong: int) -> dict[str, Any]:
    right = [{"video_id": f"r{i}", "label": "a", "predicted": "a"} for i in range(num_right)]
    return {
        "videos": right + [{"video_id": f"w{i}", "label": "a", "predicted": "b"} for i in range(num_wrong)]
    }


@pytest.mark.parametrize(
    ("num_right", "num_wrong", "expected"),
    [(100, 100, (4, 4)), (100, 1, (7, 1)), (2, 100, (2, 6)), (1, 2, (1, 2)), (0, 9, (0, 8)), (0, 0, (0, 0))],
)
def test_samples_are_half_wrong_where_there_are_so_many(
    num_right: int, num_wrong: int, expected: tuple[int, int]
) -> None:
    chosen = choose_samples(videos(num_right, num_wrong), 8)
    assert len({sample.video_id for sample in chosen}) == len(chosen)
    assert (sum(s.is_right for s in chosen), sum(not s.is_right for s in chosen)) == expected


def test_samples_are_spread_over_the_list() -> None:
    chosen = [sample.video_id for sample in choose_samples(videos(100, 0), 4)]
    assert chosen == ["r12", "r37", "r62", "r87"]


def test_semantics_are_found_under_any_name() -> None:
    rows = [{"vector": 1, "word": "</w>", "cosine": 0.5}, {"vector": 2, "word": "<b>", "cosine": "x"}]
    assert semantics_table({"title": "x", "rows": rows}).rows == (
        ("1", "</w>", "0.500"),
        ("2", "<b>", UNKNOWN),
    )
    assert semantics_table({}).rows == ()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, UNKNOWN),
        ("", UNKNOWN),
        (True, "yes"),
        (6300000, "6,300,000"),
        (0.0001, "0.0001"),
        ([1, 2], "1, 2"),
    ],
)
def test_values_are_written_as_readers_expect(value: object, shown: str) -> None:
    assert text(value) == shown
