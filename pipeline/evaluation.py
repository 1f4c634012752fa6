"""Classification of videos by class texts or by a trained run; the rules are in docs/protocols.md."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vlp.datasplits.class_text import CLASS_TEXT_VERSION
from vlp.datasplits.manifest import Manifest
from vlp.datasplits.templates import TEMPLATES_VERSION, template_set
from vlp.pipeline.bank import FeatureBank, tolerated_differences, video_features
from vlp.pipeline.class_texts import text_prompts_record
from vlp.pipeline.clips import Clips
from vlp.pipeline.coverage import Coverage, label_indices
from vlp.pipeline.encoders import FrozenEncoder
from vlp.pipeline.methods import zero_shot
from vlp.pipeline.metrics.accuracy import top_k
from vlp.pipeline.metrics.views import aggregate_views
from vlp.pipeline.results import (
    TIE_RULE,
    AccuracyResult,
    distinct_videos,
    frames_in_words,
    provenance_json,
    score_split,
)
from vlp.pipeline.scoring import ScoreKind, score_videos
from vlp.pipeline.settings import MethodSettings, to_json
from vlp.pipeline.trained import TrainedRun, check_features
from vlp.stores.features import FeatureStore

VIEW_AGGREGATION = "mean of probabilities"

Scored = tuple[list[NDArray[np.float64]], dict[str, Any]]


def evaluate_zero_shot(
    manifest: Manifest,
    coverages: Sequence[Coverage],
    store: FeatureStore,
    encoder: FrozenEncoder,
    config: zero_shot.Config,
    *,
    num_frames: int | None = None,
    allow_mismatch: bool = False,
) -> AccuracyResult:
    """Score videos against the texts of all classes of their dataset.

    Args:
        manifest: the dataset; its classes are the candidates.
        coverages: the videos of each split, from `cover_classes`.
        store: their features, by the same model as ``encoder``.
        encoder: encodes the class texts.
        config: templates, class-name rule and temperature.
        num_frames: T, frames a video, spread evenly; None for all that are stored.
        allow_mismatch: score all the same when the store's features are another model's of one width.

    Returns:
        Accuracy on each split, with its provenance.

    Raises:
        StoreMismatch: if the store's features are another model's.
        VideoMissing, StoreDamaged: as `FeatureStore.read`.
    """
    probabilities, provenance = score_untrained(
        "zero-shot",
        manifest,
        coverages,
        store,
        encoder,
        config,
        num_frames=num_frames,
        allow_mismatch=allow_mismatch,
    )
    scores = tuple(
        score_split(coverage, rows, manifest.classes)
        for coverage, rows in zip(coverages, probabilities, strict=True)
    )
    return AccuracyResult(provenance, scores)


def score_untrained(
    protocol: str,
    manifest: Manifest,
    coverages: Sequence[Coverage],
    store: FeatureStore,
    encoder: FrozenEncoder,
    config: zero_shot.Config,
    *,
    num_frames: int | None,
    allow_mismatch: bool,
) -> Scored:
    """Compare videos with the texts of all classes; nothing is trained.

    Args:
        protocol: its name.
        manifest: as `evaluate_zero_shot`, like all that follow.
        coverages: their videos are scored.
        store: of features.
        encoder: of the texts.
        config: of the texts.
        num_frames: T, or None.
        allow_mismatch: whether differences are let pass.

    Returns:
        Probabilities (B, C) of each coverage, and how they were made.

    Raises:
        StoreMismatch, VideoMissing, StoreDamaged: as `evaluate_zero_shot`.
    """
    mismatch = tolerated_differences(store, encoder.description, allow_mismatch=allow_mismatch)
    method = zero_shot.build(config, encoder, manifest.classes)
    videos = distinct_videos(coverages)
    features = video_features(store, list(videos), num_frames=num_frames)
    probabilities = _probabilities(method, features, encoder.device)
    provenance = {
        **provenance_json(protocol, manifest, store, frames_in_words(num_frames), mismatch),
        "view_aggregation": VIEW_AGGREGATION,
        "method": "zero_shot",
        "class_text": config.class_text,
        "class_text_version": CLASS_TEXT_VERSION,
        "template_set": config.template_set,
        "templates_version": TEMPLATES_VERSION,
        "templates": list(template_set(config.template_set)) if config.text_prompts is None else None,
        "text_prompts": text_prompts_record(config),
        "logit_scale": float(method.logit_scale),
        "ties": TIE_RULE,
        "num_classes": len(manifest.classes),
        "truncated_classes": list(method.truncated),
    }
    return _of_each(coverages, videos, probabilities), provenance


def _of_each(
    coverages: Sequence[Coverage], places: Mapping[str, int], scores: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    return [scores[[places[video.video_id] for video in coverage.found]] for coverage in coverages]


def _probabilities(
    method: torch.nn.Module, features: NDArray[np.float32], device: torch.device
) -> NDArray[np.float64]:
    """Average over views the softmax over classes: (B, C), in float64, as in float32 small ones tie at 0."""
    num_videos, num_views, width = features.shape
    clips = torch.from_numpy(features.reshape(num_videos * num_views, 1, width)).to(device)
    with torch.inference_mode():
        logits = method(Clips(clips)).double().cpu()
    return aggregate_views(logits.view(num_videos, num_views, -1).numpy())


def top1_of_means(
    coverage: Coverage, classes: Sequence[str], encoder: FrozenEncoder
) -> Callable[[NDArray[np.float32]], float]:
    """Make the function from the mean embeddings of videos, (B, D), to their zero-shot accuracy.

    Args:
        coverage: the B videos, in the order of the embeddings.
        classes: C names.
        encoder: of the texts; the embeddings' own model.
    """
    method = zero_shot.build(zero_shot.Config(), encoder, classes)
    labels = label_indices(coverage.found, classes)

    def top1(means: NDArray[np.float32]) -> float:
        return top_k(_probabilities(method, means[:, np.newaxis], encoder.device), labels, 1)

    return top1


def evaluate_run(
    protocol: str,
    trained: TrainedRun,
    manifest: Manifest,
    coverages: Sequence[Coverage],
    store: FeatureStore,
    encoder: FrozenEncoder,
    *,
    allow_mismatch: bool = False,
) -> AccuracyResult:
    """Score videos with a trained run.

    Args:
        protocol: its name.
        trained: the run, loaded for the manifest's classes.
        manifest: the dataset; its classes are the candidates.
        coverages: the videos of each split.
        store: their features.
        encoder: the run's.
        allow_mismatch: score all the same when the features mean something else.

    Raises:
        StoreMismatch: if the features mean something else than those it was trained on.
    """
    scores, provenance = score_run(
        protocol, trained, manifest, coverages, store, encoder, allow_mismatch=allow_mismatch
    )
    splits = tuple(
        score_split(coverage, rows, manifest.classes)
        for coverage, rows in zip(coverages, scores, strict=True)
    )
    return AccuracyResult(provenance, splits)


def score_run(
    protocol: str,
    trained: TrainedRun,
    manifest: Manifest,
    coverages: Sequence[Coverage],
    store: FeatureStore,
    encoder: FrozenEncoder,
    *,
    allow_mismatch: bool,
    kind: ScoreKind = "softmax",
) -> Scored:
    """Score videos with a trained run.

    Args:
        protocol: its name.
        trained: as `evaluate_run`, like all that follow.
        manifest: of the candidates.
        coverages: their videos are scored.
        store: of features.
        encoder: the run's.
        allow_mismatch: whether differences are let pass.
        kind: as `score_videos`.

    Returns:
        Scores (B, C) of each coverage, and how they were made.

    Raises:
        StoreMismatch: as `evaluate_run`.
    """
    mismatch = check_features(trained.config, store, allow_mismatch=allow_mismatch)
    numbers = distinct_videos(coverages)
    bank = FeatureBank(store, list(numbers))
    seed = int(trained.config.get("seed", 0))
    recipe = trained.settings.recipe
    scores = score_videos(
        trained.method, bank, np.arange(len(numbers)), recipe, seed=seed, device=encoder.device, kind=kind
    )
    provenance = {
        **provenance_json(protocol, manifest, store, frames_of(trained.settings), mismatch),
        **method_json(trained.settings),
        "seed": seed,
        "run": str(trained.run.path),
        "trained_on": {
            name: trained.config.get(name)
            for name in ("dataset", "split", "shots", "num_videos", "init_from")
        },
        "num_classes": len(manifest.classes),
        "truncated_classes": list(getattr(trained.method, "truncated", ())),
    }
    return _of_each(coverages, numbers, scores), provenance


def frames_of(settings: MethodSettings) -> str:
    """Say in words which frames a method is tested on."""
    recipe = settings.recipe
    if recipe.sampling == "whole":
        return "all stored"
    return f"{recipe.num_test_clips} clips of {recipe.num_frames} frames ({recipe.sampling})"


def method_json(settings: MethodSettings) -> dict[str, Any]:
    """Say how a method is built, trained and tested, as plain data."""
    return {
        "method": settings.method,
        "settings": to_json(settings),
        "class_text": getattr(settings.config, "class_text", None),
        "class_text_version": CLASS_TEXT_VERSION,
        "template_set": getattr(settings.config, "template_set", None),
        "templates_version": TEMPLATES_VERSION,
        "text_prompts": text_prompts_record(settings.config),
        "view_aggregation": (
            "all frames as one clip"
            if settings.recipe.aggregation == "frames"
            else f"mean of {settings.recipe.aggregation}"
        ),
        "ties": TIE_RULE,
    }
