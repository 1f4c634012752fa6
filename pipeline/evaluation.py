"""Classification of videos by their class texts, and what every result says of how it was made.

The rules are in docs/protocols.md. A result carries the protocol, dataset, splits, seed, class-name rule,
template set, videos expected and found, store and code; `to_json` writes them all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vlp.datasplits.class_text import CLASS_TEXT_VERSION
from vlp.datasplits.manifest import Manifest
from vlp.datasplits.templates import TEMPLATES_VERSION, template_set
from vlp.pipeline.bank import tolerated_differences, video_features
from vlp.pipeline.coverage import Coverage, label_indices
from vlp.pipeline.encoders import FrozenEncoder
from vlp.pipeline.methods import zero_shot
from vlp.pipeline.metrics.accuracy import (
    confusion_matrix,
    mean_class_accuracy,
    per_class,
    predictions,
    top_k,
    wilson_interval,
)
from vlp.pipeline.provenance import code_version
from vlp.stores.features import FeatureStore

VIEW_AGGREGATION = "mean of probabilities"
TIE_RULE = "the lower class index first"
SUMMARISED = ("top1", "top5", "top1_top5_mean", "mean_class")


@dataclass(frozen=True)
class ClassScore:
    """One row of the table of classes.

    Attributes:
        name: as the dataset spells it.
        num_videos: scored.
        top1: fraction; None when no video of the class could be scored.
    """

    name: str
    num_videos: int
    top1: float | None


@dataclass(frozen=True)
class SplitAccuracy:
    """Accuracy on one split, as fractions.

    Attributes:
        coverage: the videos listed, found and missing.
        top1: fraction whose highest score is right.
        top1_interval: its 95% interval (Wilson).
        top5: fraction with the class among the five highest; None below five classes.
        top1_top5_mean: average of the two; None below five classes.
        mean_class: mean of the per-class accuracies over classes with a scored video.
        classes: the table, in the dataset's order of classes.
        confusion: (C, C) counts, rows true.
    """

    coverage: Coverage
    top1: float
    top1_interval: tuple[float, float]
    top5: float | None
    top1_top5_mean: float | None
    mean_class: float
    classes: tuple[ClassScore, ...]
    confusion: NDArray[np.int64]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            **coverage_json(self.coverage),
            "top1": self.top1,
            "top1_interval": list(self.top1_interval),
            "top5": self.top5,
            "top1_top5_mean": self.top1_top5_mean,
            "mean_class": self.mean_class,
            "per_class": [asdict(row) for row in self.classes],
            "confusion": self.confusion.tolist(),
        }


@dataclass(frozen=True)
class ZeroShotResult:
    """What `vlp eval zero-shot` reports.

    Attributes:
        provenance: everything but the numbers, as plain data.
        splits: one entry a split.
    """

    provenance: Mapping[str, Any]
    splits: tuple[SplitAccuracy, ...]

    def mean(self, metric: str) -> float | None:
        """Mean of one of `SUMMARISED` over the splits."""
        values = self._values(metric)
        return float(np.mean(values)) if values else None

    def std(self, metric: str) -> float | None:
        """Sample standard deviation (n - 1) over the splits; None for a single one."""
        values = self._values(metric)
        return float(np.std(values, ddof=1)) if len(values) > 1 else None

    def to_json(self) -> dict[str, Any]:
        """Return plain data: provenance, means, deviations, then each split in full."""
        return {
            **self.provenance,
            "num_expected": sum(split.coverage.num_expected for split in self.splits),
            "num_found": sum(len(split.coverage.found) for split in self.splits),
            **{metric: self.mean(metric) for metric in SUMMARISED},
            **{f"{metric}_std": self.std(metric) for metric in SUMMARISED},
            "splits": [split.to_json() for split in self.splits],
        }

    def _values(self, metric: str) -> list[float]:
        values = [getattr(split, metric) for split in self.splits]
        return [value for value in values if value is not None]


def evaluate_zero_shot(
    manifest: Manifest,
    coverages: Sequence[Coverage],
    store: FeatureStore,
    encoder: FrozenEncoder,
    config: zero_shot.Config,
    *,
    num_frames: int | None = None,
    allow_mismatch: bool = False,
) -> ZeroShotResult:
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
    mismatch = tolerated_differences(store, encoder.description, allow_mismatch=allow_mismatch)
    method = zero_shot.build(config, encoder, manifest.classes)
    videos = distinct_videos(coverages)
    features = video_features(store, list(videos), num_frames=num_frames)
    probabilities = _probabilities(method, features, encoder.device)
    provenance = {
        **provenance_json("zero-shot", manifest, store, num_frames, mismatch),
        "view_aggregation": VIEW_AGGREGATION,
        "method": "zero_shot",
        "class_text": config.class_text,
        "class_text_version": CLASS_TEXT_VERSION,
        "template_set": config.template_set,
        "templates_version": TEMPLATES_VERSION,
        "templates": list(template_set(config.template_set)),
        "logit_scale": float(method.logit_scale),
        "ties": TIE_RULE,
        "num_classes": len(manifest.classes),
        "truncated_classes": list(method.truncated),
    }
    scores = tuple(
        _score(
            coverage, probabilities[[videos[video.video_id] for video in coverage.found]], manifest.classes
        )
        for coverage in coverages
    )
    return ZeroShotResult(provenance, scores)


def _probabilities(
    method: torch.nn.Module, features: NDArray[np.float32], device: torch.device
) -> NDArray[np.float64]:
    """Average over views the softmax over classes: (B, C), in float64, as in float32 small ones tie at 0."""
    num_videos, num_views, width = features.shape
    clips = torch.from_numpy(features.reshape(num_videos * num_views, 1, width)).to(device)
    with torch.inference_mode():
        logits = method(clips).double().cpu()
    chances: NDArray[np.float64] = logits.softmax(dim=-1).view(num_videos, num_views, -1).mean(dim=1).numpy()
    return chances


def _score(coverage: Coverage, scores: NDArray[np.float64], classes: Sequence[str]) -> SplitAccuracy:
    labels = label_indices(coverage.found, classes)
    confusion = confusion_matrix(predictions(scores), labels, len(classes))
    top1 = top_k(scores, labels, 1)
    top5 = top_k(scores, labels, 5) if len(classes) >= 5 else None
    rows = zip(classes, confusion.sum(axis=1).tolist(), per_class(confusion).tolist(), strict=True)
    return SplitAccuracy(
        coverage=coverage,
        top1=top1,
        top1_interval=wilson_interval(top1, len(labels)),
        top5=top5,
        top1_top5_mean=None if top5 is None else (top1 + top5) / 2,
        mean_class=mean_class_accuracy(confusion),
        classes=tuple(ClassScore(name, count, share if count else None) for name, count, share in rows),
        confusion=confusion,
    )


def provenance_json(
    protocol: str,
    manifest: Manifest,
    store: FeatureStore,
    num_frames: int | None,
    mismatch: Sequence[str],
) -> dict[str, Any]:
    """Collect what every protocol says of how its numbers were made.

    Args:
        protocol: its name.
        manifest: the dataset.
        store: its features.
        num_frames: T, frames a video; None for all that are stored.
        mismatch: differences between the store's model and the texts' that were let pass.

    Returns:
        Plain data.
    """
    return {
        "protocol": protocol,
        "dataset": manifest.dataset,
        "dataset_notes": list(manifest.notes),
        "seed": None,
        "model": store.model,
        "pretrained": store.pretrained,
        "frames": "all stored" if num_frames is None else f"{num_frames} segment centres",
        "timeline": store.meaning["timeline"],
        "num_views": store.num_views,
        "store": {
            "path": str(store.path),
            "fingerprint": store.fingerprint,
            "dataset": store.dataset,
            "mismatch": list(mismatch),
        },
        "code": code_version(),
    }


def coverage_json(coverage: Coverage) -> dict[str, Any]:
    """Say which videos of a split were scored, as plain data."""
    return {
        "split": coverage.split,
        "role": coverage.role,
        "num_expected": coverage.num_expected,
        "num_found": len(coverage.found),
        "num_short": coverage.num_short,
        "missing": dict(coverage.missing),
        "duplicates_allowed": [list(pair) for pair in coverage.duplicates],
    }


def distinct_videos(coverages: Sequence[Coverage]) -> dict[str, int]:
    """Number the videos of several splits: id to position, each once."""
    ids = dict.fromkeys(video.video_id for coverage in coverages for video in coverage.found)
    return {video_id: position for position, video_id in enumerate(ids)}
