"""What is trained on, in which order, and with which randomness: functions of the seed and of the place reached."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlp.pipeline.bank import FeatureBank


@dataclass(frozen=True)
class LabelledVideos:
    """What is trained on.

    Attributes:
        bank: features.
        videos: (N,) int64 places in the bank's list.
        labels: (N,) int64 class of each; or (N, C) float32 marks, 1 for every class that it shows.

    Raises:
        ValueError: if there is no video, or the lengths differ.
    """

    bank: FeatureBank
    videos: NDArray[np.int64]
    labels: NDArray[Any]

    def __post_init__(self) -> None:
        if len(self.videos) != len(self.labels) or len(self.videos) == 0:
            raise ValueError(f"{len(self.videos)} videos and {len(self.labels)} labels")

    def only(self, members: NDArray[Any]) -> "LabelledVideos":
        """Keep those at these places of the list."""
        return LabelledVideos(self.bank, self.videos[members], self.labels[members])


def hold_out(labels: NDArray[Any], share: float, seed: int) -> NDArray[np.bool_]:
    """Choose the videos that are set aside: ``share`` of each class, rounded, never all of it.

    Args:
        labels: (N,) classes; of (N, C) marks, all videos are one class.
        share: in [0, 1).
        seed: of the choice.

    Returns:
        (N,) True for those set aside.

    Example:
        >>> hold_out(np.array([0, 0, 0, 0, 1, 1, 1, 1]), 0.25, seed=0).sum()
        np.int64(2)
    """
    aside = np.zeros(len(labels), dtype=np.bool_)
    rng = np.random.default_rng([seed, 0])
    labels = labels if labels.ndim == 1 else np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        num_aside = min(round(share * len(members)), len(members) - 1)
        aside[rng.permutation(members)[:num_aside]] = True
    return aside


def share_right(predicted: NDArray[np.int64], labels: NDArray[Any]) -> float:
    """Fraction of videos whose predicted class is theirs, or one of theirs.

    Args:
        predicted: (N,) classes.
        labels: (N,) classes, or (N, C) marks.

    Example:
        >>> share_right(np.array([0, 1]), np.array([[1, 0, 1], [0, 0, 1]]))
        0.5
    """
    if labels.ndim == 1:
        return float((predicted == labels).mean())
    return float(labels[np.arange(len(labels)), predicted].mean())


@lru_cache(maxsize=1)  # asked for at every step
def order_of(seed: int, epoch: int, num_videos: int) -> NDArray[np.int64]:
    """Order the training videos of an epoch: (N,) places, read-only."""
    order = np.random.default_rng([seed, 2, epoch]).permutation(num_videos)
    order.flags.writeable = False
    return order


def clip_rng(seed: int, step: int, begin: int) -> np.random.Generator:
    """Give the randomness of the clips of a batch, which begins at so many videos of its step."""
    return np.random.default_rng([seed, 3, step, begin])
