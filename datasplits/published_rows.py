"""What is known of a number that a paper prints: its place, its settings, and what is wrong with it.

`published_numbers.py` reads them; docs/published.md says what they mean.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PROTOCOLS = (
    "closed-set",
    "zero-shot",
    "few-shot",
    "base-to-novel",
    "multi-label",
    "retrieval",
    "localisation",
    "zero-shot localisation",
    "proposals",
    "cost",
)
_PERCENT = (
    "top1",
    "top5",
    "top1_top5_mean",
    "base",
    "novel",
    "harmonic_mean",
    "mean_ap",
    "recall_at_1",
    "recall_at_5",
    "recall_at_10",
    *(f"map_{tiou}" for tiou in ("0.3", "0.4", "0.5", "0.6", "0.7", "0.75", "0.95", "mean")),
    "ar_50",
    "ar_100",
)
METRICS = {
    **dict.fromkeys(_PERCENT, "percent"),
    **dict.fromkeys(("median_rank", "mean_rank"), "rank"),
    "parameters": "millions",
    "gflops": "GFLOPs",
}
"""The names of what is measured, ours where we measure it, and their units. "map" is the mean average precision of
localisation at a temporal IoU, "ar" the average recall at so many proposals."""
SETTINGS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("model", "pretrained", "templates", "class_text", "trained_on", "started_from"), (str,)),
    **dict.fromkeys(("image_tower", "text_tower"), (str,)),
    **dict.fromkeys(("num_frames", "num_clips", "num_crops", "num_trials", "num_class_sets"), (int,)),
    **dict.fromkeys(("shots", "num_classes", "num_test_videos", "most_videos_a_class"), (int,)),
    "ways": (int, str),
    "splits": (list,),
}
"""Settings that a paper may state, and their types. `vlp.pipeline.comparison` says what each is called."""


@dataclass(frozen=True)
class Paper:
    """A paper; ``name`` is its key in the file, ``reference`` its arXiv number or DOI, None where it states neither."""

    name: str
    short: str
    title: str
    venue: str
    reference: str | None


@dataclass(frozen=True)
class Place:
    """Where a paper prints something; ``prints`` is None where it is no number or phrase."""

    paper: str
    where: str
    prints: str | None


@dataclass(frozen=True)
class Inconsistency:
    """Places that cannot all be right.

    Attributes:
        name: its key in the file.
        paper: whose it is.
        says: what does not agree, in a sentence of ours.
        places: location against location.
    """

    name: str
    paper: str
    says: str
    places: tuple[Place, ...]


@dataclass(frozen=True)
class PublishedRow:
    """What one row of a paper's table prints of one dataset.

    Attributes:
        paper: whose it is.
        table: its number, as printed.
        printed: the row's name, as printed; words of ours where the table spreads it over several columns.
        method: our name of the method; None where there is none.
        row: our name of the row, for `--row`; None where there is none.
        protocol: one of `PROTOCOLS`.
        dataset: our name of it.
        settings: those of `SETTINGS` that the paper states.
        config: what it states of the method's own settings, by our names.
        recipe: what it states of training, by our names.
        values: metric to number, as printed.
        notes: what a reader must know of the row.
        inconsistencies: those that concern it.
    """

    paper: Paper
    table: str
    printed: str
    method: str | None
    row: str | None
    protocol: str
    dataset: str
    settings: Mapping[str, Any]
    config: Mapping[str, Any]
    recipe: Mapping[str, Any]
    values: Mapping[str, str]
    notes: tuple[str, ...]
    inconsistencies: tuple[Inconsistency, ...]

    @property
    def place(self) -> str:
        """Say where it is printed."""
        return f"{self.paper.short}, Table {self.table}, {self.printed}"


@dataclass(frozen=True)
class PublishedNumbers:
    """The whole file: papers and inconsistencies by name, rows in the order of the file."""

    papers: Mapping[str, Paper]
    inconsistencies: Mapping[str, Inconsistency]
    rows: tuple[PublishedRow, ...]
