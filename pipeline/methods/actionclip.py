"""Videos and sentences of their classes, matched within the batch; a head over the frames of a clip.

Paper: ActionCLIP (Wang et al., 2021, arXiv:2109.08472), sections 3.1 to 3.3, 4.1. Original code:
sallymmx/ActionCLIP@31c34df, train.py, utils/KLLoss.py, modules/Visual_Prompt.py.

Several videos of a batch may be of one class, so that a row has several right answers: the loss is the KL divergence of
the targets from the similarities, in both directions. Equation 4 prints KL(p, q) of predictions p and targets q; the
code computes KL(q || p), which has a gradient for targets with zeros, and is what is done here.

`variant="paper"` (the default) spreads a row's target evenly over its right answers; `variant="official"` takes the
softmax of ten times their marks, which leaves the others a little, and tests at a fixed factor of 100.

The towers are frozen: video features come from the cache, those of the sentences are computed once. Templates are our
own wording, of the paper's three kinds. Departure: clips and views of a video are averaged as probabilities, behind
the mean over templates; the release averages similarities before it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlp.datasplits.class_text import class_text
from vlp.datasplits.templates import template_set
from vlp.pipeline.clips import Clips
from vlp.pipeline.errors import PipelineError
from vlp.pipeline.parts.temporal_heads import HEADS, has_positions, temporal_head
from vlp.pipeline.recipe import Recipe
from vlp.pipeline.text import TextEncoder, learnt_logit_scale, sentence_features

READS = "embedding"
STACKS = False
RECIPE = Recipe(
    sampling="segments",
    num_frames=8,
    num_test_clips=1,
    learning_rate=5e-5,
    weight_decay=0.2,
    betas=(0.9, 0.98),
    batch_size=64,
    num_epochs=50,
    schedule="cosine",
    warmup_epochs=5,
)
ROWS: dict[str, dict[str, object]] = {
    "MeanP": {"head": "meanp"},
    "Conv1D": {"head": "conv1d"},
    "LSTM": {"head": "lstm"},
    "Transf": {"head": "transf"},
    "Transf_cls": {"head": "transf_cls"},
    "no-templates": {"template_set": "none"},
}
"""The post-network rows of the paper's Table 4, and its Table 3 without templates."""
_OFFICIAL_TEST_SCALE = 100.0
_OFFICIAL_SHARPNESS = 10.0


class ClipLengthUnsuitable(PipelineError):
    """Clips of another number of frames than the head has positions."""

    def __init__(self, num_frames: int, max_frames: int) -> None:
        super().__init__(
            f"actionclip's head has {max_frames} positions and was given clips of {num_frames} frames: "
            "recipe.num_frames and method.max_frames must be one number."
        )
        self.num_frames = num_frames
        self.max_frames = max_frames


class SettingsUnfit(PipelineError):
    """Settings that the model has no room for."""

    def __init__(self, why: str) -> None:
        super().__init__(f"actionclip cannot be built with these settings: {why}.")
        self.why = why


@dataclass(frozen=True)
class Config:
    """Settings of the method.

    Attributes:
        head: over the frames: "meanp", "conv1d", "lstm", "transf" or "transf_cls".
        num_layers, num_heads: of a Transformer head.
        max_frames: frames of a clip, which a Transformer head has positions for.
        template_set: name of a set in `vlp.datasplits.templates`.
        class_text: rule that turns a class name into words: "natural" or "raw".
        variant: "paper" or "official".

    Raises:
        ValueError: naming the field that cannot be.
        UnknownName: for a set or rule that is not there.
    """

    head: Literal["meanp", "conv1d", "lstm", "transf", "transf_cls"] = "transf"
    num_layers: int = 6
    num_heads: int = 8
    max_frames: int = 8
    template_set: str = "ensemble"
    class_text: str = "natural"
    variant: Literal["paper", "official"] = "paper"

    def __post_init__(self) -> None:
        template_set(self.template_set)
        class_text("", rule=self.class_text)
        for name in ("num_layers", "num_heads", "max_frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} ({getattr(self, name)}) must be at least 1")
        if self.head not in HEADS:
            raise ValueError(f"head ({self.head}) must be one of {', '.join(HEADS)}")
        if self.variant not in ("paper", "official"):
            raise ValueError(f"variant ({self.variant}) must be paper or official")


class ActionClip(nn.Module):
    """A head over frames, against the sentences of the classes.

    Attributes:
        config: the method's settings.
        head: from (B, T, D) to (B, D).
        log_scale: learnt logarithm of the factor on cosines, a scalar.
        sentences: (C, K, D), every class in every template, of length 1.
        truncated: class names, as given, of which a sentence was cut.
    """

    sentences: Tensor

    def __init__(
        self, config: Config, sentences: Tensor, logit_scale: Tensor, truncated: Sequence[str]
    ) -> None:
        super().__init__()
        self.config = config
        self.head = temporal_head(
            config.head,
            sentences.shape[-1],
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            num_frames=config.max_frames,
        )
        self.log_scale = nn.Parameter(logit_scale.log())
        self.register_buffer("sentences", sentences, persistent=False)
        self.truncated = tuple(truncated)

    def forward(self, clips: Clips) -> Tensor:
        """Score B clips: (B, C) float32 logarithms of the mean, over templates, of the chances of the classes."""
        video = self.video_features(clips)
        scale = self.log_scale.exp() if self.config.variant == "paper" else _OFFICIAL_TEST_SCALE
        with torch.autocast(video.device.type, enabled=False):
            by_template = scale * torch.einsum("bd,ckd->bkc", video, self.sentences)
            return by_template.log_softmax(dim=-1).logsumexp(dim=1) - math.log(self.sentences.shape[1])

    def video_features(self, clips: Clips) -> Tensor:
        """Encode B clips: (B, D) float32, of length 1.

        Raises:
            ClipLengthUnsuitable: if the head has not one position a frame.
        """
        frames = clips.embeddings.float()
        if has_positions(self.config.head) and frames.shape[1] != self.config.max_frames:
            raise ClipLengthUnsuitable(frames.shape[1], self.config.max_frames)
        return F.normalize(self.head(frames).float(), dim=-1)


def build(config: Config, encoder: TextEncoder, class_names: Sequence[str]) -> ActionClip:
    """Encode every class in every template, and put a head over the frames.

    Args:
        config: the method's settings.
        encoder: a frozen CLIP.
        class_names: C names as the dataset spells them.

    Raises:
        ValueError: if there is no class.
        SettingsUnfit: if the heads of attention do not divide D.
    """
    if not class_names:
        raise ValueError("no class to match videos with")
    templates = template_set(config.template_set)
    words = [class_text(name, rule=config.class_text) for name in class_names]
    encoded = sentence_features(
        encoder, [template.replace("{}", word) for word in words for template in templates]
    )
    cut = sorted({sentence // len(templates) for sentence in encoded.truncated})
    # A copy: what was made in inference mode cannot take part in a step.
    sentences = encoded.features.clone().view(len(words), len(templates), -1)
    try:
        method = ActionClip(
            config, sentences, learnt_logit_scale(encoder), [class_names[index] for index in cut]
        )
    except ValueError as error:
        raise SettingsUnfit(str(error)) from error
    return method.to(sentences.device)


def loss(method: ActionClip, clips: Clips, labels: Tensor) -> Tensor:
    """Match the videos of a batch with one sentence each, of a random template (eqs. 2 to 4).

    Args:
        method: as `build` gave it.
        clips: B clips.
        labels: (B,) classes.
    """
    video = method.video_features(clips)
    drawn = torch.randint(method.sentences.shape[1], labels.shape).to(labels.device)
    with torch.autocast(video.device.type, enabled=False):
        logits = method.log_scale.exp() * video @ method.sentences[labels, drawn].T
        return matching_loss(logits, labels, variant=method.config.variant)


def matching_loss(logits: Tensor, labels: Tensor, *, variant: Literal["paper", "official"]) -> Tensor:
    """Average KL(target || softmax) over the rows, and over the columns, of a batch's similarities (eq. 4).

    Args:
        logits: (B, B), video i against the sentence of video j.
        labels: (B,) classes: i matches j where they are equal.
        variant: how a row's target is spread.

    Returns:
        A scalar: the mean of both directions.
    """
    target = matching_targets(labels, variant=variant).to(logits.dtype)
    rows, columns = (
        F.kl_div(scores.log_softmax(dim=-1), target, reduction="batchmean") for scores in (logits, logits.T)
    )
    return (rows + columns) / 2


def matching_targets(labels: Tensor, *, variant: Literal["paper", "official"]) -> Tensor:
    """Give (B, B) targets, of which every row sums to 1; they are the same for rows and columns."""
    match = (labels[:, None] == labels).float()
    if variant == "official":
        return (_OFFICIAL_SHARPNESS * match).softmax(dim=-1)
    return match / match.sum(dim=-1, keepdim=True)
