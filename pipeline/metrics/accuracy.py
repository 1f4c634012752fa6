"""Accuracy of single-label classification: top-k, per class, confusions, interval.

Definitions as in mmaction2 (mmaction/evaluation/functional/accuracy.py). Departures: ties are broken by
class index, the lower first, where the original leaves them to an unstable sort; and a class without a
video has no accuracy (NaN) and no part in the mean, where the original counts it as 0.
"""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Z_95 = 1.959963984540054  # two-sided 95% point of the standard normal


def rank_of_label(scores: ArrayLike, labels: ArrayLike) -> NDArray[np.int64]:
    """Count the classes ahead of each video's own: higher scores, and equal ones of lower index.

    Args:
        scores: (B, C), higher is better.
        labels: (B,) class indices in [0, C).

    Returns:
        (B,) ranks in [0, C); 0 means that the prediction is right.

    Raises:
        ValueError: if shapes disagree, B or C is 0, a score is NaN or a label is out of range.

    Example:
        >>> rank_of_label([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0]], [2, 1]).tolist()  # the tie goes to class 0
        [1, 1]
    """
    table, label = _checked(scores, labels)
    own = table[np.arange(label.size), label][:, None]
    lower_index = np.arange(table.shape[1])[None, :] < label[:, None]
    ahead = (table > own) | ((table == own) & lower_index)
    return np.asarray(ahead.sum(axis=1), dtype=np.int64)


def top_k(scores: ArrayLike, labels: ArrayLike, k: int) -> float:
    """Fraction of videos whose class is among their k highest scores.

    Args:
        scores: (B, C), higher is better; ties are broken by class index, the lower first.
        labels: (B,) class indices in [0, C).
        k: how many guesses, 1 <= k <= C.

    Returns:
        A fraction in [0, 1].

    Raises:
        ValueError: as `rank_of_label`, or if k is not in [1, C].

    Example:
        >>> scores = [[0.1, 0.7, 0.2], [0.6, 0.3, 0.1]]
        >>> top_k(scores, [2, 0], 1), top_k(scores, [2, 0], 2)
        (0.5, 1.0)
    """
    rank = rank_of_label(scores, labels)
    num_classes = np.shape(scores)[1]
    if not 1 <= k <= num_classes:
        raise ValueError(f"k ({k}) must be between 1 and the number of classes ({num_classes})")
    return float(np.mean(rank < k))


def predictions(scores: ArrayLike) -> NDArray[np.int64]:
    """Class of the highest score; ties are broken by class index, the lower first.

    Args:
        scores: (B, C), higher is better.

    Returns:
        (B,) class indices.

    Raises:
        ValueError: if ``scores`` is not (B, C) with B, C >= 1, or a score is NaN.

    Example:
        >>> predictions([[0.1, 0.7, 0.2], [0.5, 0.0, 0.5]]).tolist()
        [1, 0]
    """
    return np.asarray(_checked_scores(scores).argmax(axis=1), dtype=np.int64)


def confusion_matrix(predicted: ArrayLike, labels: ArrayLike, num_classes: int) -> NDArray[np.int64]:
    """Count videos by their class (row) and the class predicted (column).

    Args:
        predicted: (B,) class indices.
        labels: (B,) class indices.
        num_classes: C.

    Returns:
        (C, C) counts that sum to B.

    Raises:
        ValueError: if the lengths differ or an index is not in [0, C).

    Example:
        >>> confusion_matrix([0, 1, 1], [0, 0, 1], 2).tolist()
        [[1, 1], [0, 1]]
    """
    guess, label = _indices("predicted", predicted, num_classes), _indices("labels", labels, num_classes)
    if guess.shape != label.shape:
        raise ValueError(f"predicted {guess.shape} and labels {label.shape} must have one shape")
    flat = np.bincount(label * num_classes + guess, minlength=num_classes * num_classes)
    return flat.reshape(num_classes, num_classes).astype(np.int64)


def per_class(confusions: NDArray[np.int64]) -> NDArray[np.float64]:
    """Fraction of each class's videos that are predicted right.

    Args:
        confusions: (C, C) counts, rows true.

    Returns:
        (C,) fractions; NaN for a class without a video.

    Raises:
        ValueError: if the matrix is not square.

    Example:
        >>> per_class(np.array([[1, 1, 0], [0, 3, 0], [0, 0, 0]])).tolist()
        [0.5, 1.0, nan]
    """
    if confusions.ndim != 2 or confusions.shape[0] != confusions.shape[1]:
        raise ValueError(f"confusions {confusions.shape} must be square")
    num_videos = confusions.sum(axis=1)
    right = np.diagonal(confusions).astype(np.float64)
    accuracy = np.full(right.shape, np.nan)
    np.divide(right, num_videos, out=accuracy, where=num_videos > 0)
    return accuracy


def mean_class_accuracy(confusions: NDArray[np.int64]) -> float:
    """Mean of the per-class accuracies, over the classes that have a video.

    Args:
        confusions: (C, C) counts, rows true.

    Returns:
        A fraction in [0, 1].

    Raises:
        ValueError: if the matrix is not square or counts no video.

    Example:
        >>> mean_class_accuracy(np.array([[1, 1], [0, 3]]))
        0.75
    """
    accuracy = per_class(confusions)
    if np.all(np.isnan(accuracy)):
        raise ValueError("confusions counts no video")
    return float(np.nanmean(accuracy))


def wilson_interval(fraction: float, num_videos: int) -> tuple[float, float]:
    """95% interval of a fraction of independent videos (Wilson, 1927; no continuity correction).

    Args:
        fraction: observed fraction in [0, 1].
        num_videos: how many videos it was observed on.

    Returns:
        (low, high), both in [0, 1]; it reaches 0 or 1 only where the fraction does.

    Raises:
        ValueError: if the fraction is outside [0, 1] or ``num_videos`` < 1.

    Example:
        >>> [round(end, 3) for end in wilson_interval(0.5, 100)]
        [0.404, 0.596]
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction ({fraction}) must be between 0 and 1")
    if num_videos < 1:
        raise ValueError(f"num_videos ({num_videos}) must be at least 1")
    z2 = Z_95 * Z_95 / num_videos
    centre = (fraction + z2 / 2) / (1 + z2)
    half = math.sqrt(fraction * (1 - fraction) * z2 + z2 * z2 / 4) / (1 + z2)
    return max(0.0, centre - half), min(1.0, centre + half)


def _checked(scores: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    table = _checked_scores(scores)
    label = _indices("labels", labels, table.shape[1])
    if label.shape != table.shape[:1]:
        raise ValueError(f"labels {label.shape} must be ({table.shape[0]},), one for each row of scores")
    return table, label


def _checked_scores(scores: ArrayLike) -> NDArray[np.float64]:
    table = np.asarray(scores, dtype=np.float64)
    if table.ndim != 2 or 0 in table.shape:
        raise ValueError(f"scores {table.shape} must be (B, C) with B, C >= 1")
    if np.any(np.isnan(table)):
        row, column = np.argwhere(np.isnan(table))[0]
        raise ValueError(f"scores[{row}, {column}] is NaN")
    return table


def _indices(name: str, values: ArrayLike, num_classes: int) -> NDArray[np.int64]:
    index = np.asarray(values)
    if index.ndim != 1 or (index.size and not np.issubdtype(index.dtype, np.integer)):
        raise ValueError(f"{name} must be a row of integers, not {index.dtype} {index.shape}")
    outside = (index < 0) | (index >= num_classes)
    if np.any(outside):
        at = int(np.argmax(outside))
        raise ValueError(f"{name}[{at}] is {index[at]}: classes are 0..{num_classes - 1}")
    return index.astype(np.int64)
