"""A bank as a torch `Dataset`, for code that wants a `DataLoader`; our own loop draws whole batches."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from vlp.pipeline.bank import FeatureBank, draw_clips
from vlp.pipeline.recipe import Recipe


class ClipDataset(Dataset[tuple[Tensor, int, int]]):
    """A torch view of a bank: item i is a random clip (T, D) of video i, its gap (0 if the rule has none), its label.

    Args:
        bank: the features.
        videos: (N,) places in the bank's list.
        labels: (N,) class of each.
        recipe: how clips are drawn.
        seed: of all randomness.

    Attributes:
        epoch: to be set before each pass: an item is a function of (seed, epoch, i), whichever worker loads it.
    """

    def __init__(
        self,
        bank: FeatureBank,
        videos: NDArray[np.int64],
        labels: NDArray[np.int64],
        recipe: Recipe,
        *,
        seed: int,
    ) -> None:
        if len(videos) != len(labels):
            raise ValueError(f"{len(videos)} videos, {len(labels)} labels")
        self.bank, self.videos, self.labels, self.recipe = bank, videos, labels, recipe
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.videos)

    def __getitem__(self, index: int) -> tuple[Tensor, int, int]:
        place = range(len(self))[index]
        rng = np.random.default_rng((self.seed, self.epoch, place))
        clips = draw_clips(self.bank, self.videos[place : place + 1], self.recipe, rng)
        gap = 0 if clips.gaps is None else int(clips.gaps[0])
        return clips.embeddings[0], gap, int(self.labels[place])
