"""CLIP as it is: a video is its mean frame, a class is its sentence. Nothing is trained.

Paper: CLIP (Radford et al., ICML 2021, arXiv:2103.00020), as the baselines of Efficient-Prompt
(Ju et al., ECCV 2022, arXiv:2112.04478). Baseline I: classes in one template or in a template ensemble
(the mean of normalised text features). Baseline IV: `SENTENCES`, whole sentences encoded as they are.
Original code: openai/CLIP, notebooks/Prompt_Engineering_for_ImageNet.ipynb (the class text).

Departure: the notebook classifies single images; here frames are averaged as raw embeddings, which is
what the cache holds, and normalised after it.
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
RECIPE = Recipe(sampling="whole", num_frames=1, num_test_clips=1, optimizer="none")


@dataclass(frozen=True)
class Config:
    """Settings of the baseline.

    Attributes:
        template_set: name of a set in `vlp.datasplits.templates`.
        class_text: rule that turns a class name into words, such as "natural".
        text_prompts: sentences of the classes in place of the templates: a file, or the name of what ships.
        logit_scale: 1 / τ; None takes the one that CLIP was trained to.

    Raises:
        UnknownName: for a set or rule that is not there.
        ValueError: for a logit scale that is not positive and finite.
    """

    template_set: str = "single"
    class_text: str = "natural"
    text_prompts: str | None = None
    logit_scale: float | None = None

    def __post_init__(self) -> None:
        template_set(self.template_set)
        class_text("", rule=self.class_text)
        if self.logit_scale is not None and not 0 < self.logit_scale < float("inf"):
            raise ValueError(f"logit_scale ({self.logit_scale}) must be positive and finite")


SENTENCES = Config(template_set="none", class_text="raw", logit_scale=1.0)
"""Baseline IV: class names are sentences, encoded as they are; logits are cosines."""


class ZeroShot(nn.Module):
    """Scores of videos against fixed class features.

    Attributes:
        class_features: (C, D) float32, rows of length 1.
        logit_scale: 1 / τ, a scalar.
        truncated: class names, as given, whose sentences were too long and were cut.
    """

    class_features: Tensor
    logit_scale: Tensor

    def __init__(self, class_features: Tensor, logit_scale: Tensor, truncated: Sequence[str]) -> None:
        super().__init__()
        self.register_buffer("class_features", class_features, persistent=False)
        self.register_buffer("logit_scale", logit_scale, persistent=False)
        self.truncated = tuple(truncated)

    def forward(self, clips: Clips) -> Tensor:
        """Score videos.

        Args:
            clips: B clips.

        Returns:
            (B, C) logits: cosine of the mean frame and each class, times the logit scale.
        """
        video = F.normalize(clips.embeddings.float().mean(dim=1), dim=-1)
        return self.logit_scale * video @ self.class_features.T


def build(config: Config, encoder: TextEncoder, class_names: Sequence[str]) -> ZeroShot:
    """Encode the classes.

    Args:
        config: the baseline's settings.
        encoder: a frozen CLIP.
        class_names: C names as the dataset spells them (or sentences, for `SENTENCES`).

    Returns:
        A module from B clips to (B, C) logits, on the encoder's device.

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
    return ZeroShot(
        # Copies: what the frozen encoder returns was made for inference only and cannot enter a graph.
        encoded.features.clone(),
        _logit_scale(config, encoder, encoded.features.device),
        [class_names[index] for index in encoded.truncated],
    )


def _logit_scale(config: Config, encoder: TextEncoder, device: torch.device) -> Tensor:
    if config.logit_scale is not None:
        return torch.tensor(config.logit_scale, device=device)
    return learnt_logit_scale(encoder)
