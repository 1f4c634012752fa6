"""Methods side by side on one data set: closed-set, few-shot, zero-shot and base-to-novel, each with several seeds.

    for row in method_table(comparison, default_entries(), tell): ...

Every number is a mean over the seeds, with half of its 95% interval. All trainings read one cache.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vlp.pipeline.base_to_novel import base_to_novel, halves_of
from vlp.pipeline.coverage import Coverage, label_indices
from vlp.pipeline.evaluation import frames_of, method_json
from vlp.pipeline.methods import METHODS
from vlp.pipeline.metrics.accuracy import top_k
from vlp.pipeline.metrics.intervals import mean_interval
from vlp.pipeline.results import provenance_json
from vlp.pipeline.settings import MethodSettings, SettingsUnreadable, read_yaml, resolve
from vlp.pipeline.trained import is_open_vocabulary
from vlp.pipeline.trials import Laboratory, Tell, closed_set, few_shot

FIGURES = ("closed_set", "subset", "few_shot", "zero_shot", "base", "novel", "harmonic_mean")
"""Of a row, in order: top-1 accuracies, and the harmonic mean of base and novel ones."""
_KEYS = {"name": str, "method": str, "row": str, "set": list}


@dataclass(frozen=True)
class Entry:
    """A method to be measured.

    Attributes:
        name: as the table calls it.
        settings: method and recipe.
    """

    name: str
    settings: MethodSettings


@dataclass(frozen=True)
class Comparison:
    """On what methods are compared.

    Attributes:
        laboratory: dataset, features and encoder; its settings are replaced by those of each entry.
        trained: the training videos of one split.
        tested: its test videos.
        subset: classes whose accuracy in the closed set is told apart; none for no such column.
        shots: videos a class of few-shot.
        base_shots: videos a class of base-to-novel.
        num_seeds: trainings behind every number.
        seed: of the first; the others follow.
    """

    laboratory: Laboratory
    trained: Coverage
    tested: Coverage
    subset: frozenset[str]
    shots: int
    base_shots: int
    num_seeds: int
    seed: int

    @property
    def seeds(self) -> range:
        """Of the trainings."""
        return range(self.seed, self.seed + self.num_seeds)


@dataclass(frozen=True)
class TableRow:
    """What one method reached.

    Attributes:
        name: of the entry.
        settings: of the entry.
        figures: by the names of `FIGURES`: mean, and half of its 95% interval where there are several seeds. Those
            that a method cannot give are missing: one that knows only the classes of its training has no novel ones.
    """

    name: str
    settings: MethodSettings
    figures: Mapping[str, tuple[float, float | None]]

    def to_json(self) -> dict[str, Any]:
        """Return plain data: how the method is built, trained and tested, then its figures."""
        means = {figure: mean for figure, (mean, _) in self.figures.items()}
        halves = {f"{figure}_interval": half for figure, (_, half) in self.figures.items()}
        made = {"frames": frames_of(self.settings), **method_json(self.settings)}
        return {"name": self.name, **made, **means, **halves}


def default_entries() -> tuple[Entry, ...]:
    """List every method with its own defaults."""
    return tuple(Entry(name, resolve(name)) for name in METHODS)


def read_entries(path: Path) -> tuple[Entry, ...]:
    """Read which methods are compared, from YAML: a list of {name, method, row, set}, of which method must be there.

    Raises:
        SettingsUnreadable: if it cannot be read, or is another thing.
        UnknownMethod, UnknownRow, UnknownSetting, BadSetting: as `resolve`.
    """
    held = read_yaml(path)
    if not isinstance(held, list) or not held:
        raise SettingsUnreadable(path, "it is no list of methods")
    entries = tuple(_entry(path, place, item) for place, item in enumerate(held, start=1))
    if len({entry.name for entry in entries}) < len(entries):
        raise SettingsUnreadable(path, "two entries have one name")
    return entries


def _entry(path: Path, place: int, item: object) -> Entry:
    if not isinstance(item, dict) or "method" not in item:
        raise SettingsUnreadable(path, f"entry {place} names no method")
    for key, value in item.items():
        if key not in _KEYS or not isinstance(value, _KEYS[key]):
            raise SettingsUnreadable(path, f"entry {place} has {key!r}: {value!r}. Known: {', '.join(_KEYS)}")
    method, row = item["method"], item.get("row")
    name = str(item.get("name", method if row is None else f"{method} {row}"))
    return Entry(name, resolve(method, row=row, overrides=[str(value) for value in item.get("set", ())]))


def method_table(comparison: Comparison, entries: Sequence[Entry], tell: Tell) -> Iterator[TableRow]:
    """Measure one method after another; a row as soon as it is there.

    Raises:
        TooFewVideos: if a class has fewer than the shots.
        LossNotFinite: naming the step.
    """
    for entry in entries:
        tell(f"{entry.name}: closed-set, few-shot, zero-shot and base-to-novel")
        laboratory = replace(comparison.laboratory, settings=entry.settings)
        values = _closed(comparison, laboratory) | _few(comparison, laboratory)
        if is_open_vocabulary(entry.settings):
            values |= _new_classes(comparison, laboratory)
        figures = {name: mean_interval(found) for name, found in values.items()}
        yield TableRow(entry.name, entry.settings, figures)


def table_json(comparison: Comparison, rows: Sequence[TableRow]) -> dict[str, Any]:
    """Return plain data: on what methods are compared, then a row a method."""
    laboratory = comparison.laboratory
    frames = "as each row says"
    return {
        **provenance_json("methods", laboratory.manifest, laboratory.store, frames, laboratory.mismatch),
        "num_classes": len(laboratory.manifest.classes),
        "split": comparison.trained.split,
        "subset": sorted(comparison.subset),
        "shots": comparison.shots,
        "base_shots": comparison.base_shots,
        "num_seeds": comparison.num_seeds,
        "seed": comparison.seed,
        "rows": [row.to_json() for row in rows],
    }


def _closed(comparison: Comparison, laboratory: Laboratory) -> dict[str, list[float]]:
    """Train on all classes, test on all; the accuracy on the subset is that among all classes too."""
    of_all: list[float] = []
    of_subset: list[float] = []
    for seed in comparison.seeds:
        (split,) = closed_set(
            laboratory, [comparison.trained], [comparison.tested], seed=seed, tell=_nothing
        ).splits
        of_all.append(split.top1)
        chosen = [
            video.label == video.predicted for video in split.videos if video.label in comparison.subset
        ]
        of_subset += [sum(chosen) / len(chosen)] if chosen else []
    return {"closed_set": of_all} | ({"subset": of_subset} if of_subset else {})


def _few(comparison: Comparison, laboratory: Laboratory) -> dict[str, list[float]]:
    result = few_shot(
        laboratory,
        comparison.trained,
        comparison.tested,
        shots=comparison.shots,
        rounds=comparison.num_seeds,
        seed=comparison.seed,
        tell=_nothing,
    )
    return {"few_shot": [trial.values["top1"] for trial in result.trials]}


def _new_classes(comparison: Comparison, laboratory: Laboratory) -> dict[str, list[float]]:
    """Zero-shot: trained on all videos of the base classes, tested on the novel ones. Base-to-novel: on a few."""
    base, novel = halves_of(laboratory.manifest, comparison.trained)
    of_base = [video for video in comparison.trained.found if video.labels[0] in set(base)]
    of_novel = [video for video in comparison.tested.found if video.labels[0] in set(novel)]
    learner = laboratory.learner(of_base, of_novel)
    zero_shot = []
    for seed in comparison.seeds:
        method = learner.renamed(learner.train(of_base, base, seed), novel, seed)
        scores = learner.score(method, of_novel, seed)
        zero_shot.append(top_k(scores, label_indices(of_novel, novel), 1))
    result = base_to_novel(
        laboratory,
        comparison.trained,
        comparison.tested,
        shots=comparison.base_shots,
        rounds=comparison.num_seeds,
        seed=comparison.seed,
        tell=_nothing,
    )
    both = {
        name: [trial.values[name] for trial in result.trials] for name in ("base", "novel", "harmonic_mean")
    }
    return {"zero_shot": zero_shot, **both}


def _nothing(_: str) -> None:
    """Tell nobody: the table tells its rows."""
