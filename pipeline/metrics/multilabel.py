"""Mean average precision of multi-label classification, as on Charades.

Definition: non-interpolated average precision a class, and its mean over the classes, as in gsig/charades-algorithms
(pytorch/utils/map.py) and scikit-learn's `average_precision_score`. The former sorts equal scores as they come; here,
as in the latter, equal scores are one threshold, so that no order of the videos changes a number.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def average_precisions(
    scores: ArrayLike, marks: ArrayLike, *, empty_last: bool = True
) -> NDArray[np.float64]:
    """Average precision of each class over the videos.

    AP is the sum, over the distinct scores from the highest down, of the precision among the videos that score at
    least as much, times the recall gained there.

    Args:
        scores: (B, C), higher is better; compared within a class only.
        marks: (B, C), 1 or True where the video shows the class.
        empty_last: rank videos that show no class at all behind all others, whatever their scores: the official rule
            of Charades.

    Returns:
        (C,) fractions; NaN for a class that no video shows.

    Raises:
        ValueError: if shapes disagree, B or C is 0, a score is NaN, or a mark is neither 0 nor 1.

    Example:
        >>> average_precisions([[0.9], [0.8], [0.1]], [[1], [0], [1]], empty_last=False).round(3).tolist()
        [0.833]
    """
    table, shown = _checked(scores, marks)
    if empty_last:
        is_empty = np.logical_not(shown.any(axis=1))
        table = np.where(is_empty[:, np.newaxis], -np.inf, table)
    columns = zip(table.T, shown.T, strict=True)
    return np.array([_average_precision(column, truth) for column, truth in columns])


def mean_average_precision(scores: ArrayLike, marks: ArrayLike, *, empty_last: bool = True) -> float:
    """Mean of `average_precisions` over the classes that a video shows.

    Args:
        scores: (B, C), as there.
        marks: (B, C), as there.
        empty_last: as there.

    Raises:
        ValueError: as there, and if no video shows any class.

    Example:
        >>> mean_average_precision([[0.9, 0.2], [0.8, 0.1], [0.1, 0.7]], [[1, 0], [0, 1], [1, 0]])
        0.5833333333333333
    """
    precisions = average_precisions(scores, marks, empty_last=empty_last)
    if np.isnan(precisions).all():
        raise ValueError("no video shows a class")
    return float(np.nanmean(precisions))


def _average_precision(scores: NDArray[np.float64], shown: NDArray[np.bool_]) -> float:
    num_shown = int(shown.sum())
    if num_shown == 0:
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last_of_ties = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    found = np.cumsum(shown[order])[last_of_ties]
    gained = np.diff(found, prepend=0)
    return float((gained * found / (last_of_ties + 1)).sum() / num_shown)


def _checked(scores: ArrayLike, marks: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    table, shown = np.asarray(scores, dtype=np.float64), np.asarray(marks)
    if table.ndim != 2 or 0 in table.shape or shown.shape != table.shape:
        raise ValueError(f"scores {table.shape} and marks {shown.shape} must be one (B, C) with B, C >= 1")
    if np.any(np.isnan(table)):
        row, column = np.argwhere(np.isnan(table))[0]
        raise ValueError(f"scores[{row}, {column}] is NaN")
    if not np.isin(shown, (0, 1)).all():
        raise ValueError("marks must be 0 or 1")
    return table, shown.astype(np.bool_)
