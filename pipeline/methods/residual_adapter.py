"""A bottleneck on the video feature, mixed with the feature itself; class texts are hand-written.

Paper: CLIP-Adapter (Gao et al., IJCV 2024, arXiv:2110.04544), section 3.2, its visual adapter; cited by
Efficient-Prompt (Ju et al., ECCV 2022, arXiv:2112.04478). Original code: gaopengcuhk/CLIP-Adapter at 9ac913a,
clip_adapter.py.

Departures: the feature is a video's mean frame; no second ReLU behind the bottleneck, which the released code has and
which would keep the adapter from lowering any dimension of the feature; the recipe is ours (the code has none).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlp.datasplits.class_text import class_text
from vlp.datasplits.templates import template_set
from vlp.pipeline.class_texts import described_classes
from vlp.pipeline.clips import Clips
from vlp.pipeline.recipe import Recipe
from vlp.pipeline.text import TextEncoder, learnt_logit_scale

READS = "embedding"
MULTI_LABEL = "softmax"
STACKS = True
RECIPE = Recipe(
    sampling="whole",
    num_frames=1,
    num_test_clips=1,
    learning_rate=1e-3,
    weight_decay=0.01,
    batch_size=64,
    num_epochs=50,
    schedule="cosine",
)


@dataclass(frozen=True)
class Config:
    """Settings of the adapter.

    Attributes:
        reduction: D over the width of the bottleneck.
        ratio: share of the adapted feature in the mix, from 0 (CLIP as it is) to 1.
        template_set: name of a set in `vlp.datasplits.templates`.
        class_text: rule that turns a class name into words, such as "natural".
        text_prompts: sentences of the classes in place of the templates: a file, or the name of what ships.

    Raises:
        UnknownName: for a set or rule that is not there.
        ValueError: for a ratio or reduction that cannot be.
    """

    reduction: int = 4
    ratio: float = 0.2
    template_set: str = "single"
    class_text: str = "natural"
    text_prompts: str | None = None

    def __post_init__(self) -> None:
        template_set(self.template_set)
        class_text("", rule=self.class_text)
        if self.reduction < 1:
            raise ValueError(f"reduction ({self.reduction}) must be at least 1")
        if not 0 <= self.ratio <= 1:
            raise ValueError(f"ratio ({self.ratio}) must lie between 0 and 1")


class ResidualAdapter(nn.Module):
    """(1 - ratio) v + ratio MLP(v) against class texts.

    Attributes:
        class_features: (C, D), of length 1.
        logit_scale: 1 / τ.
        truncated: class names, as given, whose sentences were cut.
    """

    class_features: Tensor
    logit_scale: Tensor

    def __init__(
        self, config: Config, class_features: Tensor, logit_scale: Tensor, truncated: Sequence[str]
    ) -> None:
        super().__init__()
        self.ratio = config.ratio
        self.register_buffer("class_features", class_features, persistent=False)
        self.register_buffer("logit_scale", logit_scale, persistent=False)
        self.truncated = tuple(truncated)
        width = class_features.shape[1]
        hidden = max(width // config.reduction, 1)
        self.down, self.up = nn.Linear(width, hidden, bias=False), nn.Linear(hidden, width, bias=False)

    def forward(self, clips: Clips) -> Tensor:
        """Score B clips: (B, C) float32 logits."""
        video = clips.embeddings.float().mean(dim=1)
        adapted = self.up(torch.relu(self.down(video))).float()
        mixed = F.normalize((1 - self.ratio) * video + self.ratio * adapted, dim=-1)
        with torch.autocast(mixed.device.type, enabled=False):
            return self.logit_scale * mixed @ self.class_features.T


def build(config: Config, encoder: TextEncoder, class_names: Sequence[str]) -> ResidualAdapter:
    """Encode the classes, and put an adapter before them.

    Args:
        config: the adapter's settings.
        encoder: a frozen CLIP.
        class_names: C names as the dataset spells them.

    Raises:
        ValueError: if there is no class.
        DatasetError: if the sentences cannot be read, or lack a class.
    """
    encoded = described_classes(
        encoder,
        class_names,
        rule=config.class_text,
        template_set=config.template_set,
        text_prompts=config.text_prompts,
    )
    cut = [class_names[index] for index in encoded.truncated]
    features = encoded.features.clone()
    return ResidualAdapter(config, features, learnt_logit_scale(encoder), cut).to(features.device)
