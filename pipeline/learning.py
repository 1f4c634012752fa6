"""Train and score in memory: what the protocols with many trainings are made of."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from vlp.datasplits.manifest import Video
from vlp.pipeline.bank import FeatureBank
from vlp.pipeline.coverage import label_indices
from vlp.pipeline.encoders import FrozenEncoder
from vlp.pipeline.scoring import score_videos
from vlp.pipeline.settings import MethodSettings
from vlp.pipeline.training import build_method, train_to_end
from vlp.pipeline.training_data import LabelledVideos


@dataclass(frozen=True)
class Learner:
    """A method with its settings, and the features it learns from, loaded once for all trainings.

    Attributes:
        settings: method and recipe.
        encoder: a frozen CLIP.
        bank: features of all videos to train and test on.
    """

    settings: MethodSettings
    encoder: FrozenEncoder
    bank: FeatureBank

    def labelled(self, videos: Sequence[Video], classes: Sequence[str]) -> LabelledVideos:
        """Find videos in the bank, with the place of each label among the classes."""
        return LabelledVideos(self.bank, self._places(videos), label_indices(videos, classes))

    def train(self, videos: Sequence[Video], classes: Sequence[str], seed: int) -> nn.Module:
        """Train a fresh method.

        Args:
            videos: with one label each.
            classes: C candidates.
            seed: of everything that is random.

        Raises:
            LossNotFinite: naming the step.
        """
        settings = self.settings
        method = build_method(settings.method, settings.config, self.encoder, classes, seed)
        data = self.labelled(videos, classes)
        train_to_end(method, settings.module, settings.recipe, data, seed=seed, device=self.encoder.device)
        return method

    def renamed(self, method: nn.Module, classes: Sequence[str], seed: int) -> nn.Module:
        """Give a trained method other classes, for methods of open vocabulary."""
        settings = self.settings
        other = build_method(settings.method, settings.config, self.encoder, classes, seed)
        other.load_state_dict(method.state_dict())
        return other.to(self.encoder.device)

    def score(self, method: nn.Module, videos: Sequence[Video], seed: int) -> NDArray[np.float64]:
        """Score videos against the method's classes: (B, C)."""
        return score_videos(
            method,
            self.bank,
            self._places(videos),
            self.settings.recipe,
            seed=seed,
            device=self.encoder.device,
        )

    def _places(self, videos: Sequence[Video]) -> NDArray[np.int64]:
        return self.bank.positions([video.video_id for video in videos])
