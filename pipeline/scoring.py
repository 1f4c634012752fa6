"""Scores of videos: every test clip in every view, averaged."""

import zlib
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vlp.pipeline.bank import FeatureBank, drawn_test_clips
from vlp.pipeline.clips import Clips
from vlp.pipeline.errors import PipelineError
from vlp.pipeline.metrics.views import Aggregation, aggregate_views
from vlp.pipeline.recipe import Recipe
from vlp.pipeline.settings import MethodSettings

_BATCH_BYTES = 64 << 20

ScoreKind = Literal["softmax", "sigmoid", "similarities"]


class OneLabelOnly(PipelineError):
    """A method that cannot learn from videos of several classes."""

    def __init__(self, method: str) -> None:
        super().__init__(f"{method} learns from videos of one class each, and not from several labels.")
        self.method = method


def score_kind(settings: MethodSettings) -> ScoreKind:
    """Say which scores of a method rank videos class by class: those that its file names as ``MULTI_LABEL``.

    Raises:
        OneLabelOnly: for a method without.
    """
    kind: ScoreKind | None = getattr(settings.module, "MULTI_LABEL", None)
    if kind is None:
        raise OneLabelOnly(settings.method)
    return kind


def score_videos(
    method: nn.Module,
    bank: FeatureBank,
    videos: NDArray[np.int64],
    recipe: Recipe,
    *,
    seed: int,
    device: torch.device,
    kind: ScoreKind = "softmax",
) -> NDArray[np.float64]:
    """Score videos against the method's classes.

    The clips of a video depend on the seed and its id alone, so that its score is the same in every list of videos.

    Args:
        method: from clips to logits (B, C); it is left in evaluation mode. It may have `similarities`, from clips to
            (B, ...), and `logits_of`, from their mean over views to logits; without, its logits are its similarities.
        bank: features.
        videos: (B,) places in the bank's list.
        recipe: test clips, and how they are averaged.
        seed: of random clips.
        device: where the method is.
        kind: "softmax" scores as the recipe says. Where videos are ranked and not classes, "sigmoid" averages a chance
            of each class by itself, and "similarities" what the method compares with, over clips, views and sentences.

    Returns:
        (B, C) in float64, in which small probabilities do not tie at 0: probabilities; mean logits for "logits".
    """
    method.eval()
    clip_bytes = 4 * recipe.num_frames * bank.embed_dim * recipe.num_test_clips * bank.num_views
    batch_size = max(1, _BATCH_BYTES // clip_bytes)
    with torch.inference_mode():
        scores = [
            _score(method, bank, videos[begin : begin + batch_size], recipe, seed, device, kind)
            for begin in range(0, len(videos), batch_size)
        ]
    joined: NDArray[np.float64] = torch.cat(scores).numpy()
    return joined


def _score(
    method: nn.Module,
    bank: FeatureBank,
    videos: NDArray[np.int64],
    recipe: Recipe,
    seed: int,
    device: torch.device,
    kind: ScoreKind,
) -> Tensor:
    clips = scored_clips(bank, videos, recipe, seed).to(device)
    if kind == "sigmoid":
        return _mean_of_views(method(clips).double().cpu().sigmoid(), len(videos))
    if kind == "similarities":
        found = _mean_of_views(getattr(method, "similarities", method)(clips).double().cpu(), len(videos))
        return found.reshape(len(videos), -1, found.shape[-1]).mean(dim=1)
    if recipe.aggregation == "similarities":
        compare, logits_of = getattr(method, "similarities", method), getattr(method, "logits_of", _same)
        logits: Tensor = logits_of(_mean_of_views(compare(clips), len(videos)).double().cpu())
        return logits.softmax(dim=-1)
    logits = method(clips).double().cpu()
    how: Aggregation = "logits" if recipe.aggregation == "logits" else "probabilities"
    return torch.from_numpy(aggregate_views(logits.view(len(videos), -1, logits.shape[-1]).numpy(), how))


def _mean_of_views(values: Tensor, num_videos: int) -> Tensor:
    """Average (B * n, ...) values of n clips and views a video to (B, ...)."""
    return values.view(num_videos, -1, *values.shape[1:]).mean(dim=1)


def _same(values: Tensor) -> Tensor:
    return values


def scored_clips(bank: FeatureBank, videos: NDArray[np.int64], recipe: Recipe, seed: int) -> Clips:
    """Take the test clips of each of B videos as a method sees them.

    Args:
        bank: features.
        videos: (B,) places in the bank's list.
        recipe: test clips, and how they are averaged.
        seed: of random clips.

    Returns:
        As `drawn_test_clips`, or B clips of all frames for "frames".
    """
    clips = _test_clips(bank, videos, recipe, seed)
    if recipe.aggregation != "frames":
        return clips
    return Clips(clips.embeddings.reshape(len(videos), -1, clips.embeddings.shape[-1]))


def _test_clips(bank: FeatureBank, videos: NDArray[np.int64], recipe: Recipe, seed: int) -> Clips:
    if not recipe.sampling.startswith("random-gap"):
        return drawn_test_clips(bank, videos, recipe, np.random.default_rng(seed))
    drawn = [
        drawn_test_clips(bank, videos[[place]], recipe, _rng_of(bank.video_ids[video], seed))
        for place, video in enumerate(videos.tolist())
    ]
    gaps = torch.cat([clips.gaps for clips in drawn if clips.gaps is not None])
    return Clips(torch.cat([clips.embeddings for clips in drawn]), gaps)


def _rng_of(video_id: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(video_id.encode())])
