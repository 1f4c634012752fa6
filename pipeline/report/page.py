"""The page: what is shown of each run, and the HTML around it.

    write_report([Path("runs/ucf101-ju2022-A5-seed0")], Path("report.html"))

Every text of a run is escaped: names of classes and videos are untrusted. The page names no other resource, and
forbids the browser to fetch any.
"""

import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from vlp.pipeline.report.figures import (
    MOST_CLASSES_IN_A_TABLE,
    Bar,
    Column,
    MatrixRow,
    Table,
    class_bars,
    confused_pairs,
    confusion_counts,
    entries,
    matrix_rows,
    number,
    percent,
    result_table,
    semantics_table,
    text,
)
from vlp.pipeline.report.plots import confusion_map, curve
from vlp.pipeline.report.reading import RunFacts, flattened, looked_up, read_run
from vlp.pipeline.report.samples import Samples, sample_strips
from vlp.pipeline.report.summaries import (
    SEMANTICS,
    comparison,
    documents,
    provenance,
    scored_results,
    state,
    what_was_trained,
    why_no_curves,
)
from vlp.stores import storage
from vlp.stores.errors import StoreUnwritable

MOST_STRIPS = 24
_MOST_DETAILS = 12
_NO_TABLE = Table((), ())


@dataclass(frozen=True)
class Curve:
    """One quantity over the training."""

    title: str
    svg: Markup
    last: str


@dataclass(frozen=True)
class Detail:
    """One split of one result in full."""

    title: str
    bars: tuple[Bar, ...]
    matrix: tuple[MatrixRow, ...]
    map: Markup | None
    pairs: Table


@dataclass(frozen=True)
class RunView:
    """A run as the template shows it; every text in it is escaped there."""

    anchor: str
    name: str
    is_finished: bool
    state: str
    problems: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    settings: Table
    curves: tuple[Curve, ...]
    no_curves: str
    results: Table
    details: tuple[Detail, ...]
    more_details: str
    samples: Samples
    semantics: Table
    provenance: tuple[tuple[str, str], ...]
    documents: tuple[tuple[str, str], ...]


def write_report(runs: Sequence[Path], output: Path, *, root: Path | None = None) -> None:
    """Write the page about some runs; an older one of that name is replaced in one step.

    Args:
        runs: their folders, at least one.
        output: the file.
        root: folder of the videos, if they are no longer where they were at training.

    Raises:
        RunMissing: if there is no run in one of the folders.
        StoreFull, StoreUnwritable: from the disk; also if the output is there and no plain file.
        ChildrenBroken: if no decode child starts.
    """
    html = render_report([read_run(path) for path in runs], root=root)
    if output.exists() and not output.is_file():
        raise StoreUnwritable(output, "it is no plain file")
    storage.make_folder(output.parent, ".")
    storage.write_file(output.parent, output.name, html.encode(errors="replace"), writer="report")


def render_report(runs: Sequence[RunFacts], *, root: Path | None = None) -> str:
    """Make the HTML of the page.

    Args:
        runs: what their folders say, at least one.
        root: as `write_report`.
    """
    num_strips = max(1, MOST_STRIPS // len(runs))
    views = [
        _run_view(facts, f"run-{place}", num_strips if place <= MOST_STRIPS else 0, root)
        for place, facts in enumerate(runs, start=1)
    ]
    template = (resources.files(__package__) / "template.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.from_string(template).render(
        title=f"Report of {runs[0].name}" if len(runs) == 1 else f"Report of {len(runs)} runs",
        version=metadata.version("vlp"),
        made=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        comparison=comparison(runs) if len(runs) > 1 else None,
        runs=views,
    )


def _run_view(facts: RunFacts, anchor: str, num_strips: int, root: Path | None) -> RunView:
    details = list(_details(facts, anchor))
    method = looked_up(facts.config, "method")
    settings = flattened(method) if isinstance(method, Mapping) else []
    hidden = len(details) - _MOST_DETAILS
    return RunView(
        anchor=anchor,
        name=facts.name,
        is_finished=facts.summary is not None,
        state=state(facts),
        problems=facts.problems,
        facts=tuple(what_was_trained(facts)),
        settings=Table(
            (Column("setting"), Column("value", "name")),
            tuple((name, text(value)) for name, value in settings),
        ),
        curves=tuple(_curves(facts, anchor)),
        no_curves=why_no_curves(facts),
        results=result_table(scored_results(facts)),
        details=tuple(details[:_MOST_DETAILS]),
        more_details=f"{hidden} more splits are in the run's results folder." if hidden > 0 else "",
        samples=sample_strips(facts, num_strips, root=root),
        semantics=semantics_table(facts.results.get(SEMANTICS, {})),
        provenance=tuple(provenance(facts)),
        documents=tuple(documents(facts)),
    )


def _curves(facts: RunFacts, anchor: str) -> Iterator[Curve]:
    steps = [number(row.get("epoch")) for row in facts.metrics]
    for title, key, unit in (
        ("Loss", "loss", "number"),
        ("Learning rate", "learning_rate", "number"),
        ("Top-1 of held-out videos", "held_out_top1", "fraction"),
    ):
        values = [number(row.get(key)) for row in facts.metrics]
        points = [(x, y) for x, y in zip(steps, values, strict=True) if x is not None and y is not None]
        if points:
            xs, ys = zip(*points, strict=True)
            is_share = unit == "fraction"
            svg = curve(xs, ys, name=f"{anchor} {title}", unit="fraction" if is_share else "number")
            last = f"{percent(ys[-1])}%" if is_share else f"{ys[-1]:.4g}"
            yield Curve(title, Markup(svg), f"{last} at the end")  # noqa: S704  # what plots.py drew


def _details(facts: RunFacts, anchor: str) -> Iterator[Detail]:
    for name, result in scored_results(facts).items():
        for split in entries(result.get("splits")):
            bars = class_bars(split)
            if not bars:
                continue
            where = split.get("split")
            title = name if where is None else f"{name}, {text(where)}"
            yield _detail(title, bars, split, f"{anchor} {title}")


def _detail(title: str, bars: tuple[Bar, ...], split: Mapping[str, Any], figure_name: str) -> Detail:
    confusion = confusion_counts(split)
    if confusion is None:
        return Detail(title, bars, (), None, _NO_TABLE)
    names = [bar.name for bar in bars]
    pairs = confused_pairs(confusion, names)
    if len(names) <= MOST_CLASSES_IN_A_TABLE:
        return Detail(title, bars, matrix_rows(confusion, names), None, pairs)
    drawn = confusion_map(confusion, name=f"{figure_name} confusion")
    return Detail(title, bars, (), Markup(drawn), pairs)  # noqa: S704  # what plots.py drew
