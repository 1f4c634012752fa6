"""Unit features of the sentences of classes, C classes in K templates: computed once, or by a tower that is trained.

Both kinds are called for all (C, K, D) of them, and give (B, D) of some by `of(classes, templates)`.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlp.pipeline.text import TextEncoder, sentence_features
from vlp.pipeline.trainable_text import TrainableTextTower

_BATCH = 256


class FrozenSentences(nn.Module):
    """Features that stay as they are; they are no part of what is saved.

    Args:
        encoder: a frozen CLIP.
        sentences: C x K texts, all of a class together.
        num_templates: K.

    Attributes:
        num_templates: as given.
        features: (C, K, D), of length 1.
    """

    features: Tensor

    def __init__(self, encoder: TextEncoder, sentences: Sequence[str], num_templates: int) -> None:
        super().__init__()
        self.num_templates = num_templates
        encoded = sentence_features(encoder, sentences).features
        # A copy: what was made in inference mode cannot take part in a step.
        features = encoded.clone().view(-1, num_templates, encoded.shape[-1])
        self.register_buffer("features", features, persistent=False)

    def forward(self) -> Tensor:
        """Give all features, (C, K, D)."""
        return self.features

    def of(self, classes: Tensor, templates: Tensor) -> Tensor:
        """Give those of (B,) classes, each in one of (B,) templates: (B, D)."""
        return self.features[classes, templates]


class EncodedSentences(nn.Module):
    """Features by a tower of the method's own, whose weights are saved.

    Args:
        tower: encodes them.
        sentences: C x K texts, all of a class together.
        num_templates: K.

    Attributes:
        tower: as given.
        num_templates: as given.
        tokens: (C, K, positions).
    """

    tokens: Tensor

    def __init__(self, tower: TrainableTextTower, sentences: Sequence[str], num_templates: int) -> None:
        super().__init__()
        self.tower = tower
        self.num_templates = num_templates
        tokens = tower.tokens(sentences)
        self.register_buffer("tokens", tokens.view(-1, num_templates, tokens.shape[-1]), persistent=False)
        self._kept: tuple[list[tuple[int, int]], Tensor] | None = None

    def forward(self) -> Tensor:
        """Give all features, (C, K, D): in evaluation without gradients, once for as long as no weight changes."""
        if self.training or torch.is_grad_enabled():
            return self._all()
        state = [(weight.data_ptr(), weight._version) for weight in self.tower.parameters()]
        if self._kept is None or self._kept[0] != state:
            self._kept = (state, self._all())
        return self._kept[1]

    def of(self, classes: Tensor, templates: Tensor) -> Tensor:
        """Encode those of (B,) classes, each in one of (B,) templates: (B, D)."""
        return self._encoded(self.tokens[classes, templates])

    def _all(self) -> Tensor:
        parts = [self._encoded(batch) for batch in torch.split(self.tokens.flatten(0, 1), _BATCH)]
        return torch.cat(parts).view(*self.tokens.shape[:2], -1)

    def _encoded(self, tokens: Tensor) -> Tensor:
        return F.normalize(self.tower(tokens).float(), dim=-1)
