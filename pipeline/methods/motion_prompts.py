"""Differences between frames as a second stream, prompts that follow the motion, and attention between video and text.

Paper: Seeing in Flowing: Adapting CLIP for Action Recognition with Motion Prompts Learning (Wang et al., ACM MM 2023),
sections 3.2 to 3.4, 4.1. No code was released.

- Motion modelling block (MMB, eqs. 4 to 6): differences of frames up to s steps apart go through a Transformer of their
  own; the means of both streams are added.
- Motion-aware prompts (MAP, eq. 7): learnt vectors before "NAME.", to each of which a vector of the video's motion is
  added. A class therefore has another feature for every video.
- Multimodal communication block (MCB, section 3.4): the texts attend to the video, the video to the texts.

What the text leaves open, and we decided: a stream is one pre-LN block with a feed-forward width of 2 D (it fits the
2.1 M parameters of Table 3), without positions; the motion adapter is Linear(D, 16), ReLU, Linear(16, W), the last one
zero at first; both attentions of the MCB read what went into it, raw. Frames are one a segment, as in TSN.
The text says that the video is one vector, so that the texts attend to a single key (`kv="pooled"`); "tokens" lets
them attend to the T + L vectors behind the streams. Views are averaged as probabilities; the text can also be read as
the mean of the views' accuracies. Of the paper's figures one does not fit: with the projections of standard attention
there are 6.3 M parameters; Table 3 says 4.2 M, which is what remains without them (`projections=False`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vlp.datasplits.class_text import class_text
from vlp.pipeline.clips import Clips
from vlp.pipeline.errors import ClipLengthUnsuitable, SettingsUnfit
from vlp.pipeline.parts.cross_attention import CrossAttention
from vlp.pipeline.parts.kept_features import KeptFeatures
from vlp.pipeline.parts.temporal_transformer import TemporalBlock
from vlp.pipeline.prompt_semantics import NearestWord, nearest_words
from vlp.pipeline.prompted_names import PromptedNames
from vlp.pipeline.recipe import Recipe
from vlp.pipeline.text import TextEncoder
from vlp.pipeline.text_tower import PromptableTextTower

READS = "embedding"
MULTI_LABEL = "softmax"
STACKS = False
RECIPE = Recipe(
    sampling="segments",
    num_frames=8,
    num_test_clips=4,
    optimizer="sgd",
    learning_rate=2.5e-3,
    weight_decay=5e-4,
    batch_size=16,
    accumulate=8,
    num_epochs=50,
    schedule="cosine",
)
"""Closed-set training. A step is the paper's 128 videos, in parts whose text features fit in memory."""
_BASELINE = {"motion_stream": False, "prompts": "hand-made", "communication": False}
ROWS: dict[str, dict[str, object]] = {
    "Baseline": _BASELINE,
    "MCB": {**_BASELINE, "communication": True},
    "MMB": {**_BASELINE, "motion_stream": True},
    "MMB-MAP": {"communication": False},
    "MMB-MAP-MCB": {},
    "static": {"prompts": "static"},
    "H3": {"init_text": "human action of", "communication": False},
    "H4": {"init_text": "a human action of", "communication": False},
    "H5": {"communication": False},
    **{f"s{steps}": {"max_step": steps} for steps in range(1, 6)},
    "tokens": {"kv": "tokens"},
    "no-projections": {"projections": False},
}
"""The paper's Tables 4 and 5 (Baseline to MMB-MAP-MCB), Table 1 (H3 to H5) and Fig. 3d (s1 to s5), and our readings."""
_BOTTLENECK = 16
_FEED_FORWARD = 2


@dataclass(frozen=True)
class Config:
    """Settings of the method.

    Attributes:
        motion_stream: the MMB; False leaves the spatial stream alone.
        prompts: "motion" (the MAP), "static" (learnt, the same for all videos) or "hand-made" (the initial text).
        communication: the MCB.
        max_step: s, the most steps between two frames whose difference is taken.
        init_text: words before the name, whose H token embeddings the prompts begin as.
        kv: what the texts attend to in the MCB: "pooled" (the video feature) or "tokens" (all T + L vectors).
        projections: learn the maps of the MCB's attentions.
        num_heads: of every attention.
        num_positions: frames of a clip whose places have a learnt vector, in both streams; 0 for none.
        temperature: τ.
        class_text: rule that turns a class name into words, such as "natural".
        text_prompts: sentences in place of the bare name, averaged: a file, or the name of what ships.
        text_memory_gib: what the text features of one part of a batch may take; a single video may exceed it. In
            training, a batch that is cut into several parts computes them twice, in place of keeping what it needs for
            its backward pass.

    Raises:
        ValueError: naming the field that cannot be.
        UnknownName: for a class-text rule that is not there.
    """

    motion_stream: bool = True
    prompts: Literal["motion", "static", "hand-made"] = "motion"
    communication: bool = True
    max_step: int = 4
    init_text: str = "a common human action of"
    kv: Literal["pooled", "tokens"] = "pooled"
    projections: bool = True
    num_heads: int = 8
    num_positions: int = 0
    temperature: float = 0.07
    class_text: str = "natural"
    text_prompts: str | None = None
    text_memory_gib: float = 4.0

    def __post_init__(self) -> None:
        class_text("", rule=self.class_text)
        for name, least in (("max_step", 1), ("num_heads", 1), ("num_positions", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} ({getattr(self, name)}) must be at least {least}")
        for name in ("temperature", "text_memory_gib"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} ({getattr(self, name)}) must be positive and finite")
        for name, choices in (("prompts", ("motion", "static", "hand-made")), ("kv", ("pooled", "tokens"))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} ({getattr(self, name)}) must be one of {', '.join(choices)}")
        if self.prompts == "motion" and not self.motion_stream:
            raise ValueError(
                "prompts (motion) need motion_stream; without it they can be static or hand-made"
            )
        if not self.init_text.strip():
            raise ValueError("init_text holds no word to begin the prompts with")


class MotionPromptedClip(nn.Module):
    """Cosines of videos and class names, over τ.

    Attributes:
        config: the method's settings.
        spatial: the stream of the frames.
        motion: the stream of their differences; None without the MMB.
        names: what stands behind the prompts.
        prompts: (H, W) learnt vectors; None for hand-made ones.
        adapter: from the mean motion (B, D) to what is added to the prompts, (B, W); None unless prompts follow it.
        matching, allocating: attention of the texts to the video, and of the video to the texts; None without the MCB.
        truncated: class names, as given, that were cut to leave room for the prompts.
    """

    def __init__(self, config: Config, encoder: TextEncoder, class_names: Sequence[str]) -> None:
        super().__init__()
        self.config = config
        self._tower = PromptableTextTower(encoder)
        begun = self._tower.tokens([config.init_text], num_prefix=0, num_suffix=0).groups[0][1][0]
        self._begun = self._tower.token_embeddings()[begun].detach().clone()
        self.names = PromptedNames(
            self._tower,
            class_names,
            rule=config.class_text,
            text_prompts=config.text_prompts,
            num_prefix=len(begun),
            num_suffix=0,
            full_stop=True,
        )
        self.truncated = self.names.truncated
        width, heads = self._tower.embed_dim, config.num_heads
        num_pairs = len(_pairs(config.num_positions, config.max_step)[0])
        self.spatial = _Stream(width, heads, config.num_positions)
        self.motion = _Stream(width, heads, num_pairs) if config.motion_stream else None
        self.prompts = None if config.prompts == "hand-made" else nn.Parameter(self._begun.float())
        self.adapter = _adapter(width, self._tower.width) if config.prompts == "motion" else None
        self.matching, self.allocating = (
            CrossAttention(width, heads, projections=config.projections) if config.communication else None
            for _ in range(2)
        )
        self._kept = KeptFeatures()
        self._hand_made = self._texts_of(self._begun) if config.prompts == "hand-made" else None
        self.to(self._tower.device)

    def forward(self, clips: Clips) -> Tensor:
        """Score B clips against C classes: (B, C) float32 logits.

        Raises:
            ClipLengthUnsuitable: if the streams have positions for other clips.
        """
        frames = clips.embeddings.float()
        if self.config.num_positions not in (0, frames.shape[1]):
            raise ClipLengthUnsuitable(
                "motion_prompts",
                frames.shape[1],
                self.config.num_positions,
                "num_positions",
                unless="that is 0",
            )
        texts = self._shared_texts()
        parts = torch.split(frames, self._videos_at_once())
        if len(parts) == 1 or not torch.is_grad_enabled():
            return torch.cat([self._logits(part, texts) for part in parts])
        return torch.cat([checkpoint(self._logits, part, texts, use_reentrant=False) for part in parts])

    def prompt_vectors(self) -> Tensor:
        """Give the vectors before a name, (H, W), without what motion adds."""
        return self._begun if self.prompts is None else self.prompts

    def prompt_words(self) -> tuple[NearestWord, ...]:
        """Name the word that each of `prompt_vectors` comes closest to."""
        return nearest_words(self.prompt_vectors(), self._tower.token_embeddings(), self._tower.words)

    def _logits(self, frames: Tensor, texts: Tensor | None) -> Tensor:
        """Score (B, T, D) frames against texts, (C, D), or those that follow their motion."""
        streams = [self.spatial(frames)]
        if self.motion is not None:
            streams.append(self.motion(frame_differences(frames, self.config.max_step)))
        means = [stream.mean(dim=1) for stream in streams]
        video = torch.stack(means).sum(dim=0)
        of_each = self._motion_texts(means[-1]) if texts is None else texts.expand(len(frames), -1, -1)
        if self.matching is not None and self.allocating is not None:
            keys = video[:, None] if self.config.kv == "pooled" else torch.cat(streams, dim=1)
            matched = self.matching(of_each, keys)
            video = self.allocating(video[:, None], of_each)[:, 0]
            of_each = matched
        with torch.autocast(frames.device.type, enabled=False):
            video, of_each = (F.normalize(vectors.float(), dim=-1) for vectors in (video, of_each))
            return (of_each @ video[:, :, None])[:, :, 0] / self.config.temperature

    def _motion_texts(self, motion: Tensor) -> Tensor:
        """Encode the classes behind the prompts of each video: (B, D) mean motion to (B, C, D)."""
        if self.prompts is None or self.adapter is None:
            raise AssertionError("prompts that follow the motion are learnt")
        prefixes = self.prompts + self.adapter(motion)[:, None]
        texts: Tensor = self.names(self._tower.encode_each(self.names.tokens, prefixes))
        return texts

    def _shared_texts(self) -> Tensor | None:
        """Give the texts that are the same for all videos, (C, D); None where they are not."""
        if self.adapter is not None:
            return None
        if self.prompts is None:
            return self._hand_made
        return self._kept.of(self.prompts, partial(self._texts_of, self.prompts))

    def _texts_of(self, prompts: Tensor) -> Tensor:
        texts: Tensor = self.names(self._tower.encode(self.names.tokens, prompts, prompts[:0]))
        return texts

    def _videos_at_once(self) -> int:
        num_bytes = 8 * self.names.tokens.num_names * self._tower.embed_dim * 4  # what follows the text tower
        if self.adapter is not None:
            num_bytes += self._tower.bytes_kept(self.names.tokens, torch.float32)
        return max(1, int(self.config.text_memory_gib * 2**30) // num_bytes)


class _Stream(nn.Module):
    """A Transformer block over N vectors, with a vector for each of their places where there are any."""

    def __init__(self, width: int, num_heads: int, num_positions: int) -> None:
        super().__init__()
        self.positions = nn.Parameter(0.02 * torch.randn(num_positions, width)) if num_positions else None
        self.block = TemporalBlock(width, num_heads, feed_forward=_FEED_FORWARD)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.block(x if self.positions is None else x + self.positions)
        return mixed


def _adapter(width: int, text_width: int) -> nn.Sequential:
    """From motion to prompts (section 3.3); it begins by adding nothing."""
    last = nn.Linear(_BOTTLENECK, text_width)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(width, _BOTTLENECK), nn.ReLU(), last)


def frame_differences(frames: Tensor, max_step: int) -> Tensor:
    """Take the later frame less the earlier one, for all that are 1 to s steps apart (eq. 4).

    Args:
        frames: (B, T, D).
        max_step: s.

    Returns:
        (B, L, D), L = Σ (T - d) over steps d = 1 … min(s, T - 1), ordered by step, then by time. A single frame has no
        other: (B, 1, D) of zeros.
    """
    if frames.shape[1] == 1:
        return torch.zeros_like(frames)
    earlier, later = (torch.tensor(ends, device=frames.device) for ends in _pairs(frames.shape[1], max_step))
    return frames[:, later] - frames[:, earlier]


def _pairs(num_frames: int, max_step: int) -> tuple[list[int], list[int]]:
    pairs = [(begin, begin + step) for step in range(1, max_step + 1) for begin in range(num_frames - step)]
    return [begin for begin, _ in pairs], [end for _, end in pairs]


def build(config: Config, encoder: TextEncoder, class_names: Sequence[str]) -> MotionPromptedClip:
    """Put streams over the frames and their differences, and prompts before the class names.

    Args:
        config: the method's settings.
        encoder: a frozen CLIP.
        class_names: C names as the dataset spells them.

    Returns:
        A module from B clips to (B, C) logits, on the encoder's device.

    Raises:
        TextTowerUnsuitable: if the model's text tower is not CLIP's causal one.
        SettingsUnfit: if no position is left for a name, or the heads do not divide D.
        DatasetError: if the sentences cannot be read, or lack a class.
        ValueError: if there is no class.
    """
    if not class_names:
        raise ValueError("no class to build prompts before")
    try:
        return MotionPromptedClip(config, encoder, class_names)
    except ValueError as error:
        raise SettingsUnfit("motion_prompts", str(error)) from error
