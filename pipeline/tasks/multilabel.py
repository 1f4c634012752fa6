"""Recognition of several actions a video, as on Charades: which videos show a class, ranked class by class.

The rules are in docs/protocols.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlp.datasplits.manifest import Manifest
from vlp.pipeline.coverage import Coverage, label_marks
from vlp.pipeline.encoders import FrozenEncoder
from vlp.pipeline.errors import PipelineError
from vlp.pipeline.evaluation import Scored, score_run, score_untrained
from vlp.pipeline.methods import zero_shot
from vlp.pipeline.metrics.multilabel import average_precisions
from vlp.pipeline.results import coverage_json
from vlp.pipeline.scoring import ScoreKind, score_kind
from vlp.pipeline.trained import TrainedRun
from vlp.stores.features import FeatureStore

PROTOCOL = "multi-label"


class NothingToRank(PipelineError):
    """No scored video shows any class."""

    def __init__(self, split: str | None) -> None:
        super().__init__(f"none of the videos of {split or 'the dataset'} that have features shows a class.")
        self.split = split


@dataclass(frozen=True)
class ClassPrecision:
    """One row of the table of classes.

    Attributes:
        name: as the dataset spells it.
        num_videos: scored videos that show it.
        average_precision: fraction; None for a class that none shows.
    """

    name: str
    num_videos: int
    average_precision: float | None


@dataclass(frozen=True)
class SplitPrecision:
    """Mean average precision on one split.

    Attributes:
        coverage: the videos listed, found and missing.
        mean_ap: mean over the classes that a scored video shows, as a fraction.
        num_empty: scored videos that show no class.
        classes: the table, in the dataset's order of classes.
    """

    coverage: Coverage
    mean_ap: float
    num_empty: int
    classes: tuple[ClassPrecision, ...]

    @property
    def num_absent(self) -> int:
        """Classes that no scored video shows; they are left out of the mean."""
        return sum(row.average_precision is None for row in self.classes)

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            **coverage_json(self.coverage),
            "mean_ap": self.mean_ap,
            "num_empty": self.num_empty,
            "num_absent_classes": self.num_absent,
            "per_class": [asdict(row) for row in self.classes],
        }


@dataclass(frozen=True)
class MultiLabelResult:
    """What `vlp eval multi-label` reports: provenance as plain data, and one entry a split."""

    provenance: Mapping[str, Any]
    splits: tuple[SplitPrecision, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        values = [split.mean_ap for split in self.splits]
        return {
            **self.provenance,
            "num_expected": sum(split.coverage.num_expected for split in self.splits),
            "num_found": sum(len(split.coverage.found) for split in self.splits),
            "mean_ap": float(np.mean(values)),
            "mean_ap_std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
            "splits": [split.to_json() for split in self.splits],
        }


def evaluate_untrained(
    manifest: Manifest,
    coverages: Sequence[Coverage],
    store: FeatureStore,
    encoder: FrozenEncoder,
    config: zero_shot.Config,
    *,
    num_frames: int | None = None,
    allow_mismatch: bool = False,
    empty_last: bool = True,
) -> MultiLabelResult:
    """Rank videos by the texts of the classes; nothing is trained.

    Args:
        manifest: the dataset; its classes are the candidates.
        coverages: the videos of each split, from `cover_labels`.
        store: their features.
        encoder: encodes the class texts.
        config: templates, class-name rule and temperature.
        num_frames: T, frames a video, spread evenly; None for all that are stored.
        allow_mismatch: as `evaluate_zero_shot`.
        empty_last: as `average_precisions`.

    Raises:
        StoreMismatch: if the store's features are another model's.
    """
    scored = score_untrained(
        PROTOCOL,
        manifest,
        coverages,
        store,
        encoder,
        config,
        num_frames=num_frames,
        allow_mismatch=allow_mismatch,
    )
    return _measured(manifest, coverages, scored, "softmax", empty_last=empty_last)


def evaluate_trained(
    trained: TrainedRun,
    manifest: Manifest,
    coverages: Sequence[Coverage],
    store: FeatureStore,
    encoder: FrozenEncoder,
    *,
    allow_mismatch: bool = False,
    empty_last: bool = True,
) -> MultiLabelResult:
    """Rank videos by the scores of a trained run.

    Args:
        trained: the run, loaded for the manifest's classes.
        manifest: as `evaluate_untrained`, like all that follow.
        coverages: the videos of each split.
        store: their features.
        encoder: the run's.
        allow_mismatch: whether differences are let pass.
        empty_last: where videos without a class rank.

    Raises:
        OneLabelOnly: if its method has no scores that rank videos.
        StoreMismatch: if the features mean something else than those it was trained on.
    """
    kind = score_kind(trained.settings)
    scored = score_run(
        PROTOCOL, trained, manifest, coverages, store, encoder, allow_mismatch=allow_mismatch, kind=kind
    )
    return _measured(manifest, coverages, scored, kind, empty_last=empty_last)


def _measured(
    manifest: Manifest, coverages: Sequence[Coverage], scored: Scored, kind: ScoreKind, *, empty_last: bool
) -> MultiLabelResult:
    scores, provenance = scored
    rule = "last" if empty_last else "as they score"
    facts = {**provenance, "scores": kind, "videos_without_a_class_rank": rule, "ties": "one threshold"}
    splits = tuple(
        _measure(coverage, rows, manifest.classes, empty_last=empty_last)
        for coverage, rows in zip(coverages, scores, strict=True)
    )
    return MultiLabelResult(facts, splits)


def _measure(
    coverage: Coverage, scores: NDArray[np.float64], classes: Sequence[str], *, empty_last: bool
) -> SplitPrecision:
    marks = label_marks(coverage.found, classes)
    precisions = average_precisions(scores, marks, empty_last=empty_last)
    rows = zip(classes, marks.sum(axis=0).astype(int).tolist(), precisions.tolist(), strict=True)
    table = tuple(ClassPrecision(name, count, found if count else None) for name, count, found in rows)
    known = [row.average_precision for row in table if row.average_precision is not None]
    if not known:
        raise NothingToRank(coverage.split)
    num_empty = int((marks.sum(axis=1) == 0).sum())
    return SplitPrecision(coverage, float(np.mean(known)), num_empty, table)
