"""A classifier that adds what labelled videos say to what class texts say: the module of both Tip-Adapters."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlp.pipeline.clips import Clips
from vlp.pipeline.parts.feature_cache import Choice, cache_logits, search


class CachedVideos(nn.Module):
    """Cosines of videos and class texts over τ, plus α times the cache's logits.

    Args:
        class_features: (C, D), of length 1.
        logit_scale: 1 / τ.
        truncated: class names that were cut.
        trains_keys: whether the keys are a parameter.

    Attributes:
        keys: (N, D), of length 1 when they are set; none before `fill`.
        labels: (N,) classes of the keys.
        alpha, beta: weight and sharpness of the cache.
        num_folds: of the training videos that chose them; 0 where they are the paper's.
        truncated: as given.
    """

    keys: Tensor
    labels: Tensor
    alpha: Tensor
    beta: Tensor
    num_folds: Tensor
    class_features: Tensor
    logit_scale: Tensor

    def __init__(
        self, class_features: Tensor, logit_scale: Tensor, truncated: Sequence[str], *, trains_keys: bool
    ) -> None:
        super().__init__()
        device = class_features.device
        self.register_buffer("class_features", class_features, persistent=False)
        self.register_buffer("logit_scale", logit_scale, persistent=False)
        no_keys = torch.empty(0, class_features.shape[1], device=device)
        if trains_keys:
            self.keys = nn.Parameter(no_keys)
        else:
            self.register_buffer("keys", no_keys)
        self.register_buffer("labels", torch.empty(0, dtype=torch.int64, device=device))
        for name, value in asdict(Choice()).items():
            self.register_buffer(name, torch.tensor(value, device=device))
        self.truncated = tuple(truncated)

    def forward(self, clips: Clips) -> Tensor:
        """Score B clips: (B, C) float32 logits."""
        videos = directions(clips)
        with torch.autocast(videos.device.type, enabled=False):
            cached = cache_logits(videos, self.keys, self.labels, self.beta, len(self.class_features))
            return self._text_logits(videos) + self.alpha * cached

    def fill(self, clips: Clips, labels: Tensor, *, seed: int) -> None:
        """Keep training videos as keys, and choose α and β on them.

        Args:
            clips: one clip of each of N training videos.
            labels: (N,) classes.
            seed: of the folds that α and β are chosen by.
        """
        with torch.no_grad():
            keys = directions(clips)
            chosen = search(keys, labels, self._text_logits(keys), seed=seed)
            self._resize(len(keys))
            for tensor, value in ((self.keys, keys), (self.labels, labels)):
                tensor.copy_(value)
            for name, fact in asdict(chosen).items():
                self.get_buffer(name).fill_(fact)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Take saved values; the number of keys is theirs.

        Raises:
            ValueError: for labels of other classes.
            RuntimeError: for tensors that are missing, unknown, or of another shape.
        """
        keys, labels = state_dict.get("keys"), state_dict.get("labels")
        if isinstance(keys, Tensor) and isinstance(labels, Tensor) and len(keys) == len(labels):
            if labels.numel() and not 0 <= int(labels.min()) <= int(labels.max()) < len(self.class_features):
                raise ValueError(f"labels up to {int(labels.max())} of {len(self.class_features)} classes")
            self._resize(len(keys))
        return super().load_state_dict(state_dict, strict, assign)

    def _resize(self, num_keys: int) -> None:
        self.keys.data = self.keys.new_empty(num_keys, self.class_features.shape[1])
        self.labels = self.labels.new_empty(num_keys)

    def _text_logits(self, videos: Tensor) -> Tensor:
        return self.logit_scale * videos @ self.class_features.T


def directions(clips: Clips) -> Tensor:
    """Mean frames of B clips, of length 1: (B, D)."""
    return F.normalize(clips.embeddings.float().mean(dim=1), dim=-1)
