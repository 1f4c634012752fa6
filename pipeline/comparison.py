"""Our results beside the papers' numbers: which rows measure the same, and which settings differ. Imports no torch.

A setting that a paper does not state is said to be so, and never counts as equal. Rules: docs/published.md.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vlp.datasplits.published_rows import METRICS, PublishedRow
from vlp.pipeline.report.figures import number
from vlp.pipeline.result_facts import ResultFacts, one_line

LABELS = {
    "model": "encoder",
    "pretrained": "weights",
    "image_tower": "image tower",
    "text_tower": "text tower",
    "num_frames": "frames a clip",
    "num_clips": "clips a video",
    "num_crops": "crops a clip",
    "templates": "template",
    "class_text": "class-name rule",
    "trained_on": "trained on",
    "started_from": "started from",
    "shots": "training videos a class",
    "ways": "classes a trial",
    "num_trials": "trials",
    "most_videos_a_class": "videos a class to draw from",
    "splits": "split",
    "num_classes": "classes",
    "num_class_sets": "sets of classes",
    "num_test_videos": "test videos a split",
}
"""What a setting is called in a line."""
_TRAINING = ("optimizer", "learning_rate", "batch_size", "num_epochs")
_NOT_WORTH_SAYING = {"started_from": "nothing", "most_videos_a_class": "all"}
"""Settings of ours that no paper states where it does the same."""
_UNTRAINED = ("zero_shot",)
"""Methods whose results record no recipe, as there is none."""

SAME_SETTINGS = "rows of the same task and method, whose stated settings of the method are ours"
SAME_METHOD = "rows of the same task and method, with other settings of the method"
SAME_TASK = "rows of the same task by other methods"
EVERY_ROW = "all rows of the same task"
NO_ROW = "no row of this task"


@dataclass(frozen=True)
class Difference:
    """A setting that is not the same, or not known to be.

    Attributes:
        setting: in words.
        ours: None where the result does not record it.
        published: None where the paper does not state it.
    """

    setting: str
    ours: str | None
    published: str | None

    def __str__(self) -> str:
        published = "not stated in the paper" if self.published is None else f"{self.published} in the paper"
        return f"{self.setting}: {self.ours or 'not recorded'} here, {published}"


@dataclass(frozen=True)
class Figure:
    """A measure with both numbers, in the paper's unit.

    Attributes:
        metric: its name.
        unit: "percent", or what the paper counts in.
        ours: None where our result lacks it.
        spread: of ours; None for a single measurement.
        spread_kind: what that is.
        published: as printed.
    """

    metric: str
    unit: str
    ours: float | None
    spread: float | None
    spread_kind: str | None
    published: str


@dataclass(frozen=True)
class ComparedRow:
    """A published row beside a result.

    Attributes:
        row: as published.
        figures: its measures.
        differing: settings that both give, or only the paper, and that are not the same.
        not_stated: settings of ours that the paper leaves open.
    """

    row: PublishedRow
    figures: tuple[Figure, ...]
    differing: tuple[Difference, ...]
    not_stated: tuple[Difference, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain data; what the paper prints stands under ``published`` alone."""
        row = self.row
        return {
            "paper": asdict(row.paper),
            "table": row.table,
            "printed": row.printed,
            "method": row.method,
            "row": row.row,
            "figures": [asdict(figure) for figure in self.figures],
            "differing": [asdict(found) for found in self.differing],
            "not_stated": [asdict(found) for found in self.not_stated],
            "notes": list(row.notes),
            "inconsistencies": [asdict(found) for found in row.inconsistencies],
        }


@dataclass(frozen=True)
class Comparison:
    """A result beside all published rows of its task.

    Attributes:
        facts: the result.
        choice: which rows of the task these are.
        rows: the ones with the fewest differing settings first.
    """

    facts: ResultFacts
    choice: str
    rows: tuple[ComparedRow, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        facts = self.facts
        return {
            "protocol": facts.protocol,
            "dataset": facts.dataset,
            "method": facts.method,
            "remarks": list(facts.remarks),
            "choice": self.choice,
            "rows": [row.to_json() for row in self.rows],
        }


def compare(facts: ResultFacts, published: Sequence[PublishedRow], *, every_row: bool = False) -> Comparison:
    """Set a result beside the published rows of its task.

    Args:
        facts: the result.
        published: all rows.
        every_row: give all rows of the task, not those alone that come nearest to the method and its settings.

    Returns:
        The rows of the task: same protocol and dataset and, of few-shot, as many classes and videos of each. Of these,
        those of the method whose own settings agree with the paper's, else all of the method, else all of the task.
    """
    task = [row for row in published if _is_same_task(row, facts)]
    same_method = [row for row in task if row.method == facts.method]
    same_settings = [row for row in same_method if not list(_of_method(row, facts))]
    choices = [(SAME_SETTINGS, same_settings), (SAME_METHOD, same_method), (SAME_TASK, task)]
    if every_row:
        choices = [(EVERY_ROW, task)]
    choice, rows = next((pair for pair in choices if pair[1]), (NO_ROW, []))
    compared = (_compared(row, facts) for row in rows)
    return Comparison(facts, choice, tuple(sorted(compared, key=lambda found: len(found.differing))))


def _is_same_task(row: PublishedRow, facts: ResultFacts) -> bool:
    if (row.protocol, row.dataset) != (facts.protocol, facts.dataset):
        return False
    drawn = ("shots", "ways") if row.protocol == "few-shot" else ()
    pairs = ((row.settings.get(name), facts.settings.get(name)) for name in drawn)
    # Published lists of videos know their own number of shots, which a result does not record.
    return all(published is None or ours is None or published == ours for published, ours in pairs)


def _compared(row: PublishedRow, facts: ResultFacts) -> ComparedRow:
    found = [*_of_task(row, facts), *_of_method(row, facts), *_of_training(row, facts)]
    return ComparedRow(
        row=row,
        figures=tuple(_figure(metric, printed, facts) for metric, printed in row.values.items()),
        differing=tuple(one for one in found if one.published is not None),
        not_stated=tuple(one for one in found if one.published is None),
    )


def _figure(metric: str, printed: str, facts: ResultFacts) -> Figure:
    unit = METRICS[metric]
    found = facts.measured.get(metric)
    if found is None:
        return Figure(metric, unit, None, None, None, printed)
    scale = 100 if unit == "percent" else 1
    spread = None if found.spread is None else scale * found.spread
    return Figure(metric, unit, scale * found.value, spread, found.spread_kind, printed)


def _of_task(row: PublishedRow, facts: ResultFacts) -> Iterator[Difference]:
    if row.method != facts.method:
        yield Difference("method", facts.method, row.method or row.printed)
    granted = {"shots": "all"} if row.protocol == "closed-set" else {}  # what closed-set means
    for name, label in LABELS.items():
        ours, published = facts.settings.get(name), row.settings.get(name, granted.get(name))
        if published is None and (ours is None or ours == _NOT_WORTH_SAYING.get(name)):
            continue
        if published is None or not _same(ours, published):
            yield Difference(label, _words(ours), _words(published))


def _of_method(row: PublishedRow, facts: ResultFacts) -> Iterator[Difference]:
    """Compare the method's own settings; those of another method have other names."""
    if row.method == facts.method:
        for name, published in row.config.items():
            ours = facts.config.get(name)
            if not _same(ours, published):
                here = _words(ours, "left open" if name in facts.config else None)
                yield Difference(f"method.{name}", here, _words(published))


def _of_training(row: PublishedRow, facts: ResultFacts) -> Iterator[Difference]:
    if facts.method in _UNTRAINED or facts.recipe.get("optimizer") == "none":
        if row.recipe:
            yield Difference("recipe.optimizer", "none", _words(row.recipe.get("optimizer", "one")))
        return
    recipe = {**facts.recipe, "batch_size": _videos_a_step(facts.recipe)}
    for name in dict.fromkeys((*_TRAINING, *row.recipe)):
        ours, published = recipe.get(name), row.recipe.get(name)
        if published is None or not _same(ours, published):
            yield Difference(f"recipe.{name}", _words(ours), _words(published))


def _videos_a_step(recipe: Mapping[str, Any]) -> int | None:
    """Multiply the batch by the batches whose gradients are averaged."""
    size, times = number(recipe.get("batch_size")), number(recipe.get("accumulate", 1))
    videos = None if size is None or times is None else number(size * times)
    return None if videos is None else int(videos)


def _same(ours: Any, published: Any) -> bool:
    if isinstance(published, list):
        return isinstance(ours, list) and [str(item) for item in ours] == [str(item) for item in published]
    if isinstance(published, bool) or isinstance(ours, bool):
        return ours is published
    found, printed = number(ours), number(published)
    if found is not None and printed is not None:
        return abs(found - printed) <= 1e-9 * abs(printed)
    return isinstance(ours, str) and ours == published


def _words(value: Any, otherwise: str | None = None) -> str | None:
    """Write a setting in a line; None, or ``otherwise``, for None."""
    if value is None:
        return otherwise
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        value = ", ".join(str(item) for item in value[:5])
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:g}"
    return one_line(f'"{value}"' if isinstance(value, str) and "{}" in value else str(value))
