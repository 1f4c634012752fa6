"""Scores of videos by their likeness to labelled ones.

Source: Tip-Adapter (Zhang et al., ECCV 2022, arXiv:2207.09519), section 3.1; the search is that of its release
(gaopengcuhk/Tip-Adapter at 327763e, utils.py, search_hp), which tries α and β on a validation set.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold
from torch import Tensor

ALPHA, BETA = 1.0, 5.5
"""Where the paper starts from, and what is used where nothing can be held out."""
ALPHAS = tuple(np.linspace(0.1, 10, 20).tolist())
BETAS = tuple(np.linspace(0.5, 12, 24).tolist())
MOST_FOLDS = 5
_QUERIES_AT_ONCE = 1024


@dataclass(frozen=True)
class Choice:
    """Weight and sharpness of a cache.

    Attributes:
        alpha: weight of its scores beside those of the class texts.
        beta: sharpness.
        num_folds: of the videos that chose them; 0 where none could be held out, and they are the paper's.
    """

    alpha: float = ALPHA
    beta: float = BETA
    num_folds: int = 0


def cache_logits(
    queries: Tensor, keys: Tensor, labels: Tensor, beta: Tensor | float, num_classes: int
) -> Tensor:
    """Sum exp(-β (1 - cosine)) over the keys of each class.

    Args:
        queries: (B, D) of length 1.
        keys: (N, D) of length 1.
        labels: (N,) classes of the keys.
        beta: sharpness.
        num_classes: C.

    Returns:
        (B, C).
    """
    return _by_class(queries @ keys.T, _one_hot(labels, num_classes, queries.dtype), beta)


def search(features: Tensor, labels: Tensor, text_logits: Tensor, *, seed: int) -> Choice:
    """Choose α and β by the accuracy on training videos, each scored with the keys of the other folds.

    Every class has a share of each fold; a class of one video is a key in all of them, and scored in none.

    Args:
        features: (N, D) of length 1.
        labels: (N,) classes.
        text_logits: (N, C), which the cache's are added to.
        seed: of the folds.

    Returns:
        The best, with the smallest α, and of these with the smallest β.
    """
    truth = labels.cpu().numpy()
    held_out_by_fold = _folds(truth, seed)
    if not held_out_by_fold:
        return Choice()
    num_right = np.zeros((len(ALPHAS), len(BETAS)), dtype=np.int64)
    one_hot = _one_hot(labels, text_logits.shape[1], features.dtype)
    for queries, keys in _held_out(held_out_by_fold, len(truth)):
        at, of = torch.from_numpy(queries).to(labels.device), torch.from_numpy(keys).to(labels.device)
        cosines, values = features[at] @ features[of].T, one_hot[of]
        for column, beta in enumerate(BETAS):
            added = _by_class(cosines, values, beta)
            for row, alpha in enumerate(ALPHAS):
                right = (text_logits[at] + alpha * added).argmax(dim=1) == labels[at]
                num_right[row, column] += int(right.sum())
    row, column = divmod(int(num_right.argmax()), len(BETAS))
    return Choice(ALPHAS[row], BETAS[column], len(held_out_by_fold))


def _one_hot(labels: Tensor, num_classes: int, dtype: torch.dtype) -> Tensor:
    return F.one_hot(labels, num_classes).to(dtype)


def _by_class(cosines: Tensor, values: Tensor, beta: Tensor | float) -> Tensor:
    return torch.exp(-beta * (1 - cosines)) @ values


def _folds(labels: NDArray[np.int64], seed: int) -> list[NDArray[np.int64]]:
    """Part the videos whose class has two or more; at most `MOST_FOLDS`, and of every class a video in each."""
    num_videos_of = np.bincount(labels)
    several = np.flatnonzero(num_videos_of[labels] > 1)
    if len(several) == 0:
        return []
    num_folds = min(MOST_FOLDS, int(num_videos_of[labels[several]].min()))
    folds = StratifiedKFold(num_folds, shuffle=True, random_state=seed)
    return [several[members] for _, members in folds.split(several, labels[several])]


def _held_out(
    folds: list[NDArray[np.int64]], num_videos: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Give some videos of a fold, and all that are in another: so many that their likeness fits into memory."""
    for fold in folds:
        others = np.setdiff1d(np.arange(num_videos), fold)
        for begin in range(0, len(fold), _QUERIES_AT_ONCE):
            yield fold[begin : begin + _QUERIES_AT_ONCE], others
