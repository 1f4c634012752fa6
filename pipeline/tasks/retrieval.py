"""Retrieval: which video does a sentence describe, which sentence describes a video.

Baseline IV of METHODS: each caption is encoded as it is, each video is its mean frame, and cosines rank.
The rule is in docs/protocols.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from vlp.datasplits.class_text import CLASS_TEXT_VERSION
from vlp.datasplits.manifest import Manifest
from vlp.datasplits.templates import TEMPLATES_VERSION
from vlp.pipeline.bank import tolerated_differences, video_features
from vlp.pipeline.clips import Clips
from vlp.pipeline.coverage import Coverage
from vlp.pipeline.encoders import FrozenEncoder
from vlp.pipeline.methods import zero_shot
from vlp.pipeline.metrics.retrieval import Ranks, Ties, caption_ranks, ranks, recall_at
from vlp.pipeline.results import coverage_json, frames_in_words, provenance_json
from vlp.stores.features import FeatureStore

RECALLS = (1, 5, 10)
VIEW_AGGREGATION = "mean of similarities"


@dataclass(frozen=True)
class SplitRetrieval:
    """Retrieval within one split.

    Attributes:
        coverage: the videos listed, found and missing.
        num_truncated: captions that were too long for the encoder and were cut.
        text_to_video: a rank for each caption.
        video_to_text: a rank for each video.
    """

    coverage: Coverage
    num_truncated: int
    text_to_video: Ranks
    video_to_text: Ranks

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            **coverage_json(self.coverage),
            "num_truncated": self.num_truncated,
            "text_to_video": summarise(self.text_to_video),
            "video_to_text": summarise(self.video_to_text),
        }


@dataclass(frozen=True)
class RetrievalResult:
    """What `vlp eval retrieval` reports: provenance as plain data, and one entry a split."""

    provenance: Mapping[str, Any]
    splits: tuple[SplitRetrieval, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {**self.provenance, "splits": [split.to_json() for split in self.splits]}


def summarise(found: Ranks) -> dict[str, float]:
    """Reduce ranks to recalls at 1, 5, 10 (fractions), median and mean rank, and counts."""
    recalls = {f"recall_at_{k}": recall_at(found.rank, k) for k in RECALLS}
    return {
        **recalls,
        "median_rank": float(np.median(found.rank)),
        "mean_rank": float(found.rank.mean()),
        "num_queries": int(found.rank.size),
        "num_tied_queries": int((found.num_ties > 0).sum()),
    }


def evaluate_retrieval(
    manifest: Manifest,
    coverages: Sequence[Coverage],
    store: FeatureStore,
    encoder: FrozenEncoder,
    *,
    num_frames: int | None = None,
    ties: Ties = "first",
    allow_mismatch: bool = False,
) -> RetrievalResult:
    """Rank videos for each caption and captions for each video, by cosine of the mean frame (baseline IV).

    Args:
        manifest: the dataset.
        coverages: the videos of each split, from `cover_captions`; each is ranked by itself.
        store: their features, by the same model as ``encoder``.
        encoder: encodes the captions as they are.
        num_frames: T, frames a video, spread evenly; None for all that are stored.
        ties: how equal similarities rank, as in `metrics.retrieval.ranks`.
        allow_mismatch: rank all the same when the store's features are another model's of one width.

    Returns:
        Ranks within each split, with their provenance.

    Raises:
        StoreMismatch: if the store's features are another model's.
        VideoMissing, StoreDamaged: as `FeatureStore.read`.
    """
    mismatch = tolerated_differences(store, encoder.description, allow_mismatch=allow_mismatch)
    provenance = {
        **provenance_json("retrieval", manifest, store, frames_in_words(num_frames), mismatch),
        "view_aggregation": VIEW_AGGREGATION,
        "method": "zero_shot",
        "template_set": zero_shot.SENTENCES.template_set,
        "templates_version": TEMPLATES_VERSION,
        "class_text": zero_shot.SENTENCES.class_text,
        "class_text_version": CLASS_TEXT_VERSION,
        "ties": ties,
    }
    splits = tuple(_retrieve(coverage, store, encoder, num_frames, ties) for coverage in coverages)
    return RetrievalResult(provenance, splits)


def _retrieve(
    coverage: Coverage, store: FeatureStore, encoder: FrozenEncoder, num_frames: int | None, ties: Ties
) -> SplitRetrieval:
    captions = [caption for video in coverage.found for caption in video.captions]
    owners = [position for position, video in enumerate(coverage.found) for _ in video.captions]
    method = zero_shot.build(zero_shot.SENTENCES, encoder, captions)
    features = video_features(store, [video.video_id for video in coverage.found], num_frames=num_frames)
    num_videos, num_views, width = features.shape
    clips = torch.from_numpy(features.reshape(num_videos * num_views, 1, width)).to(encoder.device)
    with torch.inference_mode():
        cosines = method(Clips(clips)).double().cpu().view(num_videos, num_views, -1).mean(dim=1).numpy()
    return SplitRetrieval(
        coverage=coverage,
        num_truncated=len(method.truncated),
        text_to_video=caption_ranks(cosines.T, owners, ties=ties),
        video_to_text=ranks(cosines, owners, ties=ties),
    )
