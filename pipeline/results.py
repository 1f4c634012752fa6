"""What a protocol reports: accuracy on splits, and how every number was made.

A result carries the protocol, dataset, splits, seed, class-name rule, template set or method, videos expected and
found, store and code; `to_json` writes them all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlp.datasplits.manifest import Manifest
from vlp.pipeline.coverage import Coverage, label_indices
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
class VideoScore:
    """How one video was named.

    Attributes:
        video_id: whose.
        label: the class it shows.
        predicted: the class of the highest score.
        probability: of that class; the score itself where scores are no probabilities.
    """

    video_id: str
    label: str
    predicted: str
    probability: float


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
        videos: every scored video.
        class_set: name of the set of classes that were the candidates, where there are several.
    """

    coverage: Coverage
    top1: float
    top1_interval: tuple[float, float]
    top5: float | None
    top1_top5_mean: float | None
    mean_class: float
    classes: tuple[ClassScore, ...]
    confusion: NDArray[np.int64]
    videos: tuple[VideoScore, ...]
    class_set: str | None = None

    @property
    def name(self) -> str:
        """Split and set of classes, in words."""
        return ", ".join(part for part in (self.coverage.split, self.class_set) if part) or "all videos"

    def to_json(self, *, with_videos: bool = False) -> dict[str, Any]:
        """Return plain data, video by video on demand."""
        videos = {"videos": [asdict(row) for row in self.videos]} if with_videos else {}
        return {
            **coverage_json(self.coverage),
            "class_set": self.class_set,
            "top1": self.top1,
            "top1_interval": list(self.top1_interval),
            "top5": self.top5,
            "top1_top5_mean": self.top1_top5_mean,
            "mean_class": self.mean_class,
            "per_class": [asdict(row) for row in self.classes],
            "confusion": self.confusion.tolist(),
            **videos,
        }


@dataclass(frozen=True)
class AccuracyResult:
    """Accuracy on the splits of a dataset.

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

    def to_json(self, *, with_videos: bool = False) -> dict[str, Any]:
        """Return plain data: provenance, means, deviations, then each split in full."""
        return {
            **self.provenance,
            "num_expected": sum(split.coverage.num_expected for split in self.splits),
            "num_found": sum(len(split.coverage.found) for split in self.splits),
            **{metric: self.mean(metric) for metric in SUMMARISED},
            **{f"{metric}_std": self.std(metric) for metric in SUMMARISED},
            "splits": [split.to_json(with_videos=with_videos) for split in self.splits],
        }

    def _values(self, metric: str) -> list[float]:
        values = [getattr(split, metric) for split in self.splits]
        return [value for value in values if value is not None]


def joined(results: Mapping[str | None, AccuracyResult], facts: Mapping[str, Any]) -> AccuracyResult:
    """Join what sets of classes gave, each tested by itself, into one result with a row a set and split.

    Args:
        results: name of a set to its result; None is the name of a single set, which needs none.
        facts: how the sets came about, as plain data.
    """
    splits = tuple(
        replace(split, class_set=name) for name, result in results.items() for split in result.splits
    )
    first, *others = (result.provenance for result in results.values())
    sizes = {facts_of["num_classes"] for facts_of in (first, *others)}
    truncated = {name for facts_of in (first, *others) for name in facts_of["truncated_classes"]}
    provenance = {
        **first,
        **facts,
        "num_classes": sizes.pop() if len(sizes) == 1 else None,
        "truncated_classes": sorted(truncated),
    }
    return AccuracyResult(provenance, splits)


def score_split(coverage: Coverage, scores: NDArray[np.float64], classes: Sequence[str]) -> SplitAccuracy:
    """Measure the scores of a split.

    Args:
        coverage: its videos.
        scores: (B, C), in the order of the videos found.
        classes: C names.
    """
    labels = label_indices(coverage.found, classes)
    predicted = predictions(scores)
    confusion = confusion_matrix(predicted, labels, len(classes))
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
        videos=tuple(
            VideoScore(video.video_id, video.labels[0], classes[best], float(row[best]))
            for video, best, row in zip(coverage.found, predicted.tolist(), scores, strict=True)
        ),
    )


def provenance_json(
    protocol: str,
    manifest: Manifest,
    store: FeatureStore,
    frames: str,
    mismatch: Sequence[str],
) -> dict[str, Any]:
    """Collect what every protocol says of how its numbers were made.

    Args:
        protocol: its name.
        manifest: the dataset.
        store: its features.
        frames: which frames a video is scored by, in words.
        mismatch: differences between the store's model and the texts' that were let pass.

    Returns:
        Plain data.
    """
    return {
        "protocol": protocol,
        "dataset": manifest.dataset,
        "dataset_notes": list(manifest.notes),
        "dataset_options": dict(manifest.options),
        "seed": None,
        "model": store.model,
        "pretrained": store.pretrained,
        "frames": frames,
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


def frames_in_words(num_frames: int | None) -> str:
    """Say which frames a video's mean is taken of; None for all."""
    return "all stored" if num_frames is None else f"{num_frames} segment centres"


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
