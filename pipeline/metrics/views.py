"""Scores of a video from those of its views: clips, crops, or both."""

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Aggregation = Literal["probabilities", "logits"]


def aggregate_views(logits: ArrayLike, how: Aggregation = "probabilities") -> NDArray[np.float64]:
    """Average the scores of a video's views.

    Args:
        logits: (B, V, C), those of V views of each of B videos.
        how: "probabilities" averages the softmax over classes of each view, as most papers do; "logits" averages what
            the softmax would be taken of, so that a view that is sure weighs more.

    Returns:
        (B, C) in float64: probabilities that sum to 1, or mean logits.

    Raises:
        ValueError: if ``logits`` is not (B, V, C) with V, C >= 1, or holds NaN.

    Example:
        >>> views = np.log([[[0.9, 0.1], [0.3, 0.7]]])
        >>> aggregate_views(views).round(3).tolist(), aggregate_views(views, "logits").argmax(axis=1).tolist()
        ([[0.6, 0.4]], [0])
    """
    values = np.asarray(logits, dtype=np.float64)
    if values.ndim != 3 or 0 in values.shape[1:]:
        raise ValueError(f"logits {values.shape} must be (B, V, C) with V, C >= 1")
    if np.isnan(values).any():
        raise ValueError("logits holds NaN")
    if how == "probabilities":
        values = np.exp(values - values.max(axis=-1, keepdims=True))
        values /= values.sum(axis=-1, keepdims=True)
    averaged: NDArray[np.float64] = values.mean(axis=1)
    return averaged
