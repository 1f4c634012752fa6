"""Prompt vectors around the class name, and a Transformer over the frames.

Paper: Prompting Visual-Language Models for Efficient Video Understanding (Ju et al., ECCV 2022, arXiv:2112.04478),
sections 3.2 and 4.1, appendices A and B.3. Original code: ju-chen/Efficient-Prompt@1f69a18, src/model.py, src/train.py.

`variant="paper"` (the default) is the text; `variant="official"` is the release where it departs from it: one table
of vectors, a row a position, so that the suffix shifts with the length of the name; no vector for the gap between
frames; PyTorch's initial values in the blocks; candidates are the batch's classes and random others, 400 in all.

What the text leaves open, and we decided: std 0.01 is that of matrices, biases begin at 0, LayerNorms as the identity;
no LayerNorm behind the blocks; a gap without a vector takes that of the nearest gap, the smaller of two; a clip without
a gap (frames spread over the video) has none added; 50 epochs.
Departures from the release: its learning rate (1e-3, cosine with restarts) is not the text's 1e-4, which we take;
its table of positions without a Transformer, which nothing reads, is left out.
Of the paper's figures one does not fit: two layers with a feed-forward width of 4 D are 6.30 M parameters at D = 512,
while it says about 5 M.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlp.datasplits.class_text import class_text
from vlp.pipeline.clips import Clips
from vlp.pipeline.errors import ClipLengthUnsuitable, SettingsUnfit
from vlp.pipeline.parts.class_targets import class_targets
from vlp.pipeline.parts.kept_features import KeptFeatures
from vlp.pipeline.parts.temporal_transformer import TemporalTransformer
from vlp.pipeline.prompt_semantics import NearestWord, nearest_words
from vlp.pipeline.prompted_names import PromptedNames
from vlp.pipeline.recipe import Recipe
from vlp.pipeline.text import TextEncoder
from vlp.pipeline.text_tower import ClassTokens, PromptableTextTower

READS = "embedding"
STACKS = True
MULTI_LABEL = "softmax"
GAPS = (1, 2, 3, 4, 5, 6, 10, 15)
RECIPE = Recipe(gaps=GAPS, learning_rate=1e-4, weight_decay=0.01, batch_size=64, schedule="constant")
"""The rest is `Recipe`'s own: 16 frames at a random gap, AdamW; at test five such clips, mean of probabilities."""


def _row(num_prompts: int, num_layers: int) -> dict[str, object]:
    return {"num_prefix": num_prompts, "num_suffix": num_prompts, "num_layers": num_layers}


ROWS: dict[str, dict[str, object]] = {
    **{f"A{number}": _row(prompts, 0) for number, prompts in enumerate((2, 4, 8, 16))},
    **{f"A{3 + layers}": _row(16, layers) for layers in (1, 2, 3, 4)},
    "B1": _row(16, 0),
    "B2": _row(16, 4),
    **{f"C{number}": _row(prompts, 0) for number, prompts in enumerate((4, 8, 16, 32))},
    **{f"C{3 + layers}": _row(16, layers) for layers in (1, 2, 3)},
    "retrieval": {**_row(4, 2), "gaps": (10, 15, 30)},
}
"""The paper's Tables 1 (A), 3 (B), 5 (C) and 8; the last wants the same gaps in the recipe, and its logits averaged."""


@dataclass(frozen=True)
class Config:
    """Settings of the method; the defaults are row A5.

    Attributes:
        num_prefix, num_suffix: k1 and k2, learnt vectors before and behind the name.
        num_layers: of the temporal Transformer; 0 for the mean of the frames.
        num_heads: of its attention.
        max_frames: rows of the table of positions: the frames of a clip.
        gaps: timeline steps between frames that have a vector of their own; those of the recipe.
        gap_encoding: add that vector; None for what the variant does.
        variant: "paper" or "official".
        temperature: τ.
        class_text: rule that turns a class name into words, such as "natural".
        text_prompts: sentences in place of the bare name, averaged: a file, or the name of what ships.
        init_std: standard deviation of the initial prompt vectors, and of the blocks in "paper".
        table_std: the same of the tables of positions and gaps. On few videos, tables at the embeddings' own scale
            keep the Transformer from memorising frames before it looks at their order.
        num_candidates: classes in the loss of "official"; more where the batch alone has more.

    Raises:
        ValueError: naming the field that cannot be.
        UnknownName: for a class-text rule that is not there.
    """

    num_prefix: int = 16
    num_suffix: int = 16
    num_layers: int = 2
    num_heads: int = 8
    max_frames: int = 16
    gaps: tuple[int, ...] = GAPS
    gap_encoding: bool | None = None
    variant: Literal["paper", "official"] = "paper"
    temperature: float = 0.07
    class_text: str = "natural"
    text_prompts: str | None = None
    init_std: float = 0.01
    table_std: float = 0.01
    num_candidates: int = 400

    def __post_init__(self) -> None:
        class_text("", rule=self.class_text)
        for name in ("num_prefix", "num_suffix", "num_layers"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} ({getattr(self, name)}) must not be negative")
        for name in ("num_heads", "max_frames", "num_candidates"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} ({getattr(self, name)}) must be at least 1")
        for name in ("temperature", "init_std", "table_std"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} ({getattr(self, name)}) must be positive and finite")
        if not self.gaps or min(self.gaps) < 1 or len(set(self.gaps)) < len(self.gaps):
            raise ValueError(
                f"gaps {self.gaps} must hold at least one step, all of them positive and different"
            )
        if self.variant not in ("paper", "official"):
            raise ValueError(f"variant ({self.variant}) must be paper or official")
        if self.num_prefix + self.num_suffix + self.num_layers == 0:
            raise ValueError("num_prefix, num_suffix and num_layers (0) leave nothing to train")

    @property
    def encodes_gaps(self) -> bool:
        """Whether the gap's vector is added."""
        return self.variant == "paper" if self.gap_encoding is None else self.gap_encoding


class PromptedClip(nn.Module):
    """Cosines of videos and prompted class names, over τ.

    Attributes:
        config: the method's settings.
        names: what stands between the learnt vectors.
        prompts: the learnt vectors around the names; called, it gives those before and those behind them.
        temporal: the Transformer; None where the frames are averaged as they are.
        truncated: class names, as given, that were cut to leave room for the prompts.
    """

    def __init__(self, config: Config, encoder: TextEncoder, class_names: Sequence[str]) -> None:
        super().__init__()
        self.config = config
        self._tower = PromptableTextTower(encoder)
        self.names = PromptedNames(
            self._tower,
            class_names,
            rule=config.class_text,
            text_prompts=config.text_prompts,
            num_prefix=config.num_prefix,
            num_suffix=config.num_suffix,
        )
        self.truncated = self.names.truncated
        self.prompts = _Prompts(config, self._tower, self.names.tokens)
        self.temporal = _temporal(config, self._tower.embed_dim) if config.num_layers else None
        self._kept = KeptFeatures()
        self.to(self._tower.device)

    def forward(self, clips: Clips) -> Tensor:
        """Score B clips against C classes: (B, C) float32 logits."""
        videos, classes = self.video_features(clips), self.class_features()
        with torch.autocast(videos.device.type, enabled=False):
            return videos @ classes.T / self.config.temperature

    def video_features(self, clips: Clips) -> Tensor:
        """Encode B clips: (B, D) float32, of length 1.

        Raises:
            ClipLengthUnsuitable: if the Transformer has not one position a frame.
        """
        frames = clips.embeddings.float()
        if self.temporal is not None:
            if frames.shape[1] != self.config.max_frames:
                raise ClipLengthUnsuitable(
                    "ju2022", frames.shape[1], self.config.max_frames, "max_frames", unless="num_layers is 0"
                )
            frames = self.temporal(frames, clips.gaps)
        return F.normalize(frames.float().mean(dim=1), dim=-1)

    def class_features(self) -> Tensor:
        """Encode the classes: (C, D) float32, of length 1.

        In evaluation without gradients they are computed once, and again when the vectors have changed or others
        stand in for them, as under `torch.func.functional_call`.
        """
        return self._kept.of(self.prompts.vectors, self._encoded_classes)

    def prompt_vectors(self) -> Tensor:
        """Give the vectors before, then those behind a name: (k1 + k2, W); "official": those of the first class."""
        prefix, suffix = self.prompts()
        return torch.cat([prefix, suffix if suffix.ndim == 2 else suffix[0]])

    def prompt_words(self) -> tuple[NearestWord, ...]:
        """Name the word that each of `prompt_vectors` comes closest to (appendix B.3)."""
        return nearest_words(self.prompt_vectors(), self._tower.token_embeddings(), self._tower.words)

    def _encoded_classes(self) -> Tensor:
        encoded = self._tower.encode(self.names.tokens, *self.prompts())
        return F.normalize(self.names(encoded).float(), dim=-1)


class _Prompts(nn.Module):
    """Learnt vectors, and which of them stand before and behind the names.

    "paper": the first k1 before and the other k2 behind every name. "official": a vector for each position of the text,
    so that those behind a name depend on its length.
    """

    before: Tensor
    behind: Tensor

    def __init__(self, config: Config, tower: PromptableTextTower, tokens: ClassTokens) -> None:
        super().__init__()
        num_vectors = config.num_prefix + config.num_suffix
        before, behind = torch.arange(config.num_prefix), torch.arange(config.num_prefix, num_vectors)
        if config.variant == "official":
            num_vectors = tower.context_length
            before, behind = 1 + before, 1 + behind + torch.tensor(tokens.lengths)[:, None]
        self.vectors = nn.Parameter(config.init_std * torch.randn(num_vectors, tower.width))
        self.register_buffer("before", before, persistent=False)
        self.register_buffer("behind", behind, persistent=False)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Give (k1, W), and (k2, W) or (C, k2, W)."""
        # Not vectors[behind]: on several threads its gradients add up in any order, and no two runs are the same.
        return F.embedding(self.before, self.vectors), F.embedding(self.behind, self.vectors)


def _temporal(config: Config, width: int) -> TemporalTransformer:
    return TemporalTransformer(
        width,
        num_layers=config.num_layers,
        num_heads=config.num_heads,
        num_frames=config.max_frames,
        gaps=config.gaps if config.encodes_gaps else (),
        table_std=config.table_std,
        init_std=config.init_std if config.variant == "paper" else None,
    )


def build(config: Config, encoder: TextEncoder, class_names: Sequence[str]) -> PromptedClip:
    """Put learnable vectors around the class names, and a Transformer over the frames.

    Args:
        config: the method's settings.
        encoder: a frozen CLIP.
        class_names: C names as the dataset spells them.

    Returns:
        A module from B clips to (B, C) logits, on the encoder's device.

    Raises:
        TextTowerUnsuitable: if the model's text tower is not CLIP's causal one.
        SettingsUnfit: if no position is left for a name, or the heads do not divide D.
        ValueError: if there is no class.
        DatasetError: if the sentences cannot be read, or lack a class.
    """
    if not class_names:
        raise ValueError("no class to build prompts around")
    try:
        return PromptedClip(config, encoder, class_names)
    except ValueError as error:
        raise SettingsUnfit("ju2022", str(error)) from error


def loss(method: PromptedClip, clips: Clips, labels: Tensor) -> Tensor:
    """Cross-entropy over the candidate classes (eq. 2).

    Args:
        method: as `build` gave it.
        clips: B clips.
        labels: (B,) classes; or (B, C) marks of the classes that each shows.
    """
    logits = method(clips)
    if method.config.variant == "official":
        logits = _hide_others(logits, labels, method.config.num_candidates)
    return F.cross_entropy(logits, class_targets(labels))


def _hide_others(logits: Tensor, labels: Tensor, num_candidates: int) -> Tensor:
    """Keep the classes of the batch, and random others until there are so many; the rest get no chance.

    Their number is no Python number here, so that it may differ between trainings that are run as one (vmap).
    """
    num_classes = logits.shape[1]
    if num_classes <= num_candidates:
        return logits
    shown = (
        labels[:, None] == torch.arange(num_classes, device=labels.device) if labels.ndim == 1 else labels > 0
    )
    of_batch = shown.any(dim=0)
    lots = torch.rand(num_classes).to(labels.device) + of_batch
    place = lots.argsort(descending=True).argsort()
    # Not -inf: a target of 0 times that is no number where targets are chances.
    lowest = torch.finfo(logits.dtype).min
    return logits.masked_fill(place >= of_batch.sum().clamp(min=num_candidates), lowest)
