"""Retrieval: the rank of the right answer, recall at K, median and mean rank.

Definitions as in Frozen-in-Time (m-bain/frozen-in-time, model/metric.py) and, for one caption a video,
CLIP4Clip (ArrowLuo/CLIP4Clip, metrics.py). Departure: ties are counted and reported, and rank first by
default (rank = 1 + number strictly greater) or in the middle (`average`); the originals mix both.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ties = Literal["first", "average"]


@dataclass(frozen=True)
class Ranks:
    """Where the right answer of each query came.

    Attributes:
        rank: (Q,) 1 is best; half ranks occur when ties are averaged.
        num_ties: (Q,) wrong answers that score exactly as much as the right one.
    """

    rank: NDArray[np.float64]
    num_ties: NDArray[np.int64]


def ranks(similarity: ArrayLike, owners: ArrayLike, *, ties: Ties = "first") -> Ranks:
    """Rank the right answer of each query among all answers.

    Args:
        similarity: (Q, N), query by answer, higher is better.
        owners: (N,) the query that each answer belongs to. A query with several answers of its own
            (a video with several captions) is ranked by its best one.
        ties: "first": 1 + number of wrong answers strictly above; "average": plus half of the ties.

    Returns:
        The rank and the number of ties of each query. A query's own further answers never count
        against it.

    Raises:
        ValueError: if shapes disagree, a similarity is NaN, or a query owns no answer.

    Example:
        >>> ranks([[0.9, 0.1], [0.8, 0.2]], [0, 1]).rank.tolist()
        [1.0, 2.0]
    """
    table, owner = np.asarray(similarity, dtype=np.float64), np.asarray(owners, dtype=np.int64)
    if table.ndim != 2 or owner.shape != table.shape[1:]:
        raise ValueError(f"similarity {table.shape} must be (Q, N) and owners {owner.shape} (N,)")
    if np.any(np.isnan(table)):
        raise ValueError("similarity holds NaN")
    own = owner[None, :] == np.arange(table.shape[0])[:, None]
    if not np.all(own.any(axis=1)):
        raise ValueError(f"query {int(np.argmin(own.any(axis=1)))} owns no answer")
    best = np.where(own, table, -np.inf).max(axis=1, keepdims=True)
    above = (~own & (table > best)).sum(axis=1)
    tied = (~own & (table == best)).sum(axis=1)
    middle = tied / 2 if ties == "average" else np.zeros(tied.shape)
    return Ranks(rank=1.0 + above + middle, num_ties=tied.astype(np.int64))


def caption_ranks(similarity: ArrayLike, owners: ArrayLike, *, ties: Ties = "first") -> Ranks:
    """Rank, for every caption, its video among all videos.

    Args:
        similarity: (N, V), caption by video, higher is better.
        owners: (N,) the video that each caption describes, in [0, V).
        ties: as in `ranks`.

    Returns:
        The rank and the number of ties of each of the N captions.

    Raises:
        ValueError: if shapes disagree, a similarity is NaN or an owner is out of range.

    Example:
        >>> caption_ranks([[0.9, 0.1], [0.8, 0.2], [0.3, 0.3]], [0, 1, 1]).rank.tolist()
        [1.0, 2.0, 1.0]
    """
    table, owner = np.asarray(similarity, dtype=np.float64), np.asarray(owners, dtype=np.int64)
    if table.ndim != 2 or owner.shape != table.shape[:1]:
        raise ValueError(f"similarity {table.shape} must be (N, V) and owners {owner.shape} (N,)")
    if np.any(np.isnan(table)):
        raise ValueError("similarity holds NaN")
    if np.any((owner < 0) | (owner >= table.shape[1])):
        raise ValueError(f"owners must be in 0..{table.shape[1] - 1}")
    own = table[np.arange(owner.size), owner][:, None]
    above = (table > own).sum(axis=1)
    tied = (table == own).sum(axis=1) - 1
    middle = tied / 2 if ties == "average" else np.zeros(tied.shape)
    return Ranks(rank=1.0 + above + middle, num_ties=tied.astype(np.int64))


def recall_at(rank: NDArray[np.float64], k: int) -> float:
    """Fraction of queries whose right answer is among the first k.

    Args:
        rank: (Q,) ranks, 1 is best.
        k: how many answers are looked at, at least 1.

    Returns:
        A fraction in [0, 1].

    Raises:
        ValueError: if there is no query or k < 1.

    Example:
        >>> recall_at(np.array([1.0, 2.0, 6.0, 1.0]), 5)
        0.75
    """
    if rank.size == 0 or k < 1:
        raise ValueError(f"recall at k ({k}) of {rank.size} queries: both must be at least 1")
    return float(np.mean(rank <= k))
