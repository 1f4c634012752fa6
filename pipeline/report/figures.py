"""What a saved result looks like on the page: tables, bars, a confusion matrix, samples. Plain data, no HTML.

Results are JSON files that may have been edited, cut short or made by another version: what is not as
expected is left out, never an error.
"""

import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

JSON = Mapping[str, Any]
UNKNOWN = "-"
MOST_CLASSES_IN_A_TABLE = 20
_MOST_PAIRS = 12
_MEASURES = (
    ("top-1", "top1"),
    ("top-5", "top5"),
    ("mean class", "mean_class"),
    ("base", "base"),
    ("novel", "novel"),
    ("harmonic mean", "harmonic_mean"),
)


@dataclass(frozen=True)
class Column:
    """A column's title and how its cells are set: "number", "name" (anything at all) or plainly."""

    title: str
    kind: str = ""


@dataclass(frozen=True)
class Table:
    """Cells as text, row by row."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""


@dataclass(frozen=True)
class Bar:
    """Accuracy of one class in percent; None without a scored video."""

    name: str
    percent: float | None


@dataclass(frozen=True)
class Cell:
    """Videos of one true and one predicted class, and their share of the true class."""

    count: int
    share: float


@dataclass(frozen=True)
class MatrixRow:
    """One true class."""

    name: str
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Sample:
    """A scored video, its class and the prediction; percent is the probability of that, where it is one."""

    video_id: str
    label: str
    predicted: str
    percent: float | None

    @property
    def is_right(self) -> bool:
        """Whether the prediction is the class."""
        return self.label == self.predicted


def number(value: object) -> float | None:
    """Read a finite number; None for anything else.

    Example:
        >>> number(3), number("3"), number(float("nan")), number(True)
        (3.0, None, None, None)
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > sys.float_info.max:
        return None
    return float(value) if math.isfinite(value) else None


def percent(value: object) -> str:
    """Write a fraction as percent, with one decimal place."""
    found = number(value)
    return UNKNOWN if found is None else f"{100 * found:.1f}"


def text(value: object) -> str:
    """Write any JSON value as a reader expects it."""
    if value is None or value == "":
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(text, value)) or UNKNOWN
    return str(value)


def entries(value: object) -> list[JSON]:
    """Read a list of objects; whatever is none is left out."""
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


def result_table(results: Mapping[str, JSON]) -> Table:
    """One row a split of every result, and one for the mean over several splits.

    Args:
        results: by the name under which each was saved.
    """
    rows = [row for name, result in results.items() for row in _result_rows(name, result)]
    used = [title for title, _ in _MEASURES if any(title in row for row in rows)]
    columns = (
        Column("result", "name"),
        Column("split", "name"),
        *(Column(title, "number") for title in used),
        Column("videos", "number"),
        Column("dataset", "name"),
    )
    cells = (tuple(row.get(column.title, UNKNOWN) for column in columns) for row in rows)
    return Table(columns, tuple(cells))


def _result_rows(name: str, result: JSON) -> Iterable[dict[str, str]]:
    splits = entries(result.get("splits"))
    for split in splits:
        yield _result_row(name, result, split, text(split.get("split")))
    if len(splits) != 1:
        parts = splits or entries(result.get("trials"))
        where = f"mean of {len(parts)}" if parts else text(result.get("split"))
        yield _result_row(name, result, result, where)


def _result_row(name: str, result: JSON, scored: JSON, where: str) -> dict[str, str]:
    found, expected = text(scored.get("num_found")), text(scored.get("num_expected"))
    return {
        "result": name,
        "dataset": text(result.get("dataset")),
        "split": where,
        "videos": found if found == expected else f"{found} of {expected}",
        **{title: measure(scored, key) for title, key in _MEASURES if number(scored.get(key)) is not None},
    }


def measure(scored: JSON, key: str) -> str:
    """Write a fraction of a result as percent, with its interval, half of it, or its deviation, as there is."""
    shown = percent(scored.get(key))
    interval, deviation = scored.get(f"{key}_interval"), scored.get(f"{key}_std")
    if isinstance(interval, list) and len(interval) == 2:
        return f"{shown} ({percent(interval[0])} to {percent(interval[1])})"
    spread = deviation if number(interval) is None else interval
    return shown if number(spread) is None else f"{shown} ± {percent(spread)}"


def class_bars(split: JSON) -> tuple[Bar, ...]:
    """Accuracy of each class, in the dataset's order."""
    rows = entries(split.get("per_class"))
    shares = [number(row.get("top1")) for row in rows]
    return tuple(
        Bar(text(row.get("name")), None if share is None else 100 * min(max(share, 0.0), 1.0))
        for row, share in zip(rows, shares, strict=True)
    )


def confusion_counts(split: JSON) -> NDArray[np.int64] | None:
    """Read the (C, C) confusion matrix; None where there is none of the classes listed."""
    num_classes = len(entries(split.get("per_class")))
    rows = split.get("confusion")
    if not (isinstance(rows, list) and num_classes and len(rows) == num_classes):
        return None
    if not all(isinstance(row, list) and len(row) == num_classes for row in rows):
        return None
    if not all(isinstance(count, int) and 0 <= count < 2**40 for row in rows for count in row):
        return None
    return np.array(rows, dtype=np.int64)


def matrix_rows(confusion: NDArray[np.int64], names: Sequence[str]) -> tuple[MatrixRow, ...]:
    """Lay a small confusion matrix out as a table."""
    totals = np.maximum(confusion.sum(axis=1), 1)
    return tuple(
        MatrixRow(name, tuple(Cell(int(count), float(count / total)) for count in row))
        for name, row, total in zip(names, confusion, totals, strict=True)
    )


def confused_pairs(confusion: NDArray[np.int64], names: Sequence[str]) -> Table:
    """List the classes that are most often taken for another.

    Args:
        confusion: (C, C) counts, rows true.
        names: C names.
    """
    wrong = confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_PAIRS]
    pairs = [divmod(int(place), len(names)) for place in order if wrong.flat[place] > 0]
    totals = confusion.sum(axis=1)
    rows = (
        (names[i], names[j], text(int(wrong[i, j])), percent(float(wrong[i, j] / totals[i])))
        for i, j in pairs
    )
    columns = (
        Column("class", "name"),
        Column("taken for", "name"),
        Column("videos", "number"),
        Column("% of class", "number"),
    )
    return Table(columns, tuple(rows), "Most often confused")


def choose_samples(split: JSON, num_samples: int) -> list[Sample]:
    """Take some videos of a split, half of them wrong where there are so many, evenly spread over the list.

    Args:
        split: a split of a result, with its videos.
        num_samples: how many at most.

    Returns:
        Wrong and right ones in turn.
    """
    samples = [_sample(entry) for entry in entries(split.get("videos"))]
    wrong = [sample for sample in samples if not sample.is_right]
    right = [sample for sample in samples if sample.is_right]
    num_wrong = min(len(wrong), max(num_samples // 2, num_samples - len(right)))
    chosen = (_spread(wrong, num_wrong), _spread(right, num_samples - num_wrong))
    longest = max(map(len, chosen))
    return [group[place] for place in range(longest) for group in chosen if place < len(group)]


def _sample(entry: JSON) -> Sample:
    probability = number(entry.get("probability"))
    return Sample(
        video_id=text(entry.get("video_id")),
        label=text(entry.get("label")),
        predicted=text(entry.get("predicted")),
        percent=100 * probability if probability is not None and 0 <= probability <= 1 else None,
    )


def _spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    count = min(count, len(samples))
    return [samples[(2 * place + 1) * len(samples) // (2 * count)] for place in range(count)]


def semantics_table(result: JSON) -> Table:
    """List the word nearest to each prompt vector.

    Args:
        result: holds a list of objects with vector, word and cosine, under any name.
    """
    rows = next((found for value in result.values() if (found := entries(value))), [])
    cells = ((text(row.get("vector")), text(row.get("word")), _cosine(row.get("cosine"))) for row in rows)
    return Table((Column("vector"), Column("nearest word", "name"), Column("cosine", "number")), tuple(cells))


def _cosine(value: object) -> str:
    found = number(value)
    return UNKNOWN if found is None else f"{found:.3f}"
