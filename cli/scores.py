"""The tables of `vlp eval`, and the notes without which its numbers mislead."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vlp.cli.console import err, out, print_table

if TYPE_CHECKING:
    from vlp.pipeline.coverage import Coverage
    from vlp.pipeline.results import AccuracyResult, SplitAccuracy
    from vlp.pipeline.tasks.multilabel import MultiLabelResult
    from vlp.pipeline.tasks.retrieval import RetrievalResult
    from vlp.pipeline.trial_results import TrialsResult

_NOTHING = "-"
_TITLES = {
    "zero-shot": "Zero-shot",
    "closed-set": "Closed-set",
    "few-shot": "Few-shot",
    "base-to-novel": "Base-to-novel",
}
_METRICS = {"top1": "top-1", "top5": "top-5", "harmonic_mean": "harmonic mean"}


def print_notes(provenance: Mapping[str, Any], coverages: "Sequence[Coverage]") -> None:
    """Say on stderr what a reader of the number must not overlook."""
    notes = [f"the features are another model's: {line}" for line in provenance["store"]["mismatch"]]
    notes += provenance["dataset_notes"]
    cut = provenance.get("truncated_classes", [])
    if cut:
        notes.append(f"texts too long for the encoder were cut: {', '.join(cut)}")
    for coverage in coverages:
        place = coverage.split or "the dataset"
        if coverage.missing:
            reasons = ", ".join(sorted(set(coverage.missing.values())))
            notes.append(
                f"{len(coverage.missing):,} of {coverage.num_expected:,} videos of {place} have no features "
                f"and are not scored ({reasons}), such as {next(iter(coverage.missing))}"
            )
        if coverage.num_short:
            notes.append(
                f"{coverage.num_short:,} videos of {place} are scored by the part that could be decoded"
            )
        if coverage.duplicates:
            notes.append(f"{len(coverage.duplicates):,} tested videos of {place} are in train too")
    for note in notes:
        err.print(f"Note: {note}", markup=False)


def print_accuracy(result: "AccuracyResult", *, per_class: bool) -> None:
    """Print accuracy, a row a split, on stdout."""
    facts = result.provenance
    rows = [_accuracy_row(split) for split in result.splits]
    if len(rows) > 1:
        rows += [_summary_row("mean", result.mean), _summary_row("std", result.std)]
    print_table(
        (
            "split",
            "videos",
            "listed",
            "top-1 %",
            "low",
            "high",
            "top-5 %",
            "(top-1 + top-5) / 2",
            "class mean %",
        ),
        rows,
        title=f"{_TITLES[facts['protocol']]}, {facts['dataset']}, {facts['num_classes'] or 'sets of'} classes",
    )
    if per_class:
        for split in result.splits:
            title = f"\nClasses of {split.name}"
            table = [(row.name, f"{row.num_videos:,}", _percent(row.top1)) for row in split.classes]
            print_table(("class", "videos", "top-1 %"), table, title=title)
    _print_facts(facts, *_made_of(facts), "Low and high: 95% interval of top-1 (Wilson)")


def print_trials(result: "TrialsResult") -> None:
    """Print what repeated trainings gave, on stdout."""
    facts = result.provenance
    rows = []
    for metric in result.metrics:
        mean, half = result.summary(metric)
        values = [trial.values[metric] for trial in result.trials]
        spread = (_percent(half), _percent(min(values)), _percent(max(values)))
        rows.append((_METRICS.get(metric, metric), f"{len(values):,}", _percent(mean), *spread))
    shots = f"{facts['shots']}-shot, " if facts.get("shots") else ""
    ways = f"{facts['ways']}-way, " if facts.get("ways") else ""
    print_table(
        ("measured", "trainings", "mean %", "± (95%)", "least %", "most %"),
        rows,
        title=f"{_TITLES[facts['protocol']]}, {shots}{ways}{facts['dataset']}",
    )
    _print_facts(facts, *_made_of(facts), "±: half of the 95% interval of the mean (Student's t)")


def _made_of(facts: Mapping[str, Any]) -> list[str]:
    lines = [f"Method: {facts['method']}"]
    if facts.get("run"):
        lines[0] += f", run {facts['run']}"
    if facts.get("template_set"):
        lines.append(f"Text: templates {facts['template_set']} (version {facts['templates_version']})")
    if facts.get("class_text"):
        lines.append(f"Class names: {facts['class_text']}")
    return lines


def _accuracy_row(split: "SplitAccuracy") -> list[str]:
    return [
        split.name,
        f"{len(split.coverage.found):,}",
        f"{split.coverage.num_expected:,}",
        _percent(split.top1),
        *(_percent(end) for end in split.top1_interval),
        _percent(split.top5),
        _percent(split.top1_top5_mean),
        _percent(split.mean_class),
    ]


def _summary_row(name: str, value: Callable[[str], float | None]) -> list[str]:
    top1, top5, both, mean_class = map(value, ("top1", "top5", "top1_top5_mean", "mean_class"))
    cells = [_percent(number) for number in (top5, both, mean_class)]
    return [name, _NOTHING, _NOTHING, _percent(top1), _NOTHING, _NOTHING, *cells]


def print_multi_label(result: "MultiLabelResult", *, per_class: bool) -> None:
    """Print mean average precision, a row a split, on stdout."""
    facts = result.provenance
    rows = [
        (
            split.coverage.split or "all videos",
            f"{len(split.coverage.found):,}",
            f"{split.coverage.num_expected:,}",
            _percent(split.mean_ap),
            f"{len(split.classes) - split.num_absent:,}",
            f"{split.num_absent:,}",
            f"{split.num_empty:,}",
        )
        for split in result.splits
    ]
    columns = ("split", "videos", "listed", "mAP %", "classes", "never shown", "videos without a class")
    print_table(columns, rows, title=f"Multi-label, {facts['dataset']}")
    if per_class:
        for split in result.splits:
            title = f"\nClasses of {split.coverage.split}" if split.coverage.split else "\nClasses"
            table = [
                (row.name, f"{row.num_videos:,}", _percent(row.average_precision)) for row in split.classes
            ]
            print_table(("class", "videos", "AP %"), table, title=title)
    _print_facts(
        facts,
        *_made_of(facts),
        f"Scores: {facts['scores']}; videos without a class rank {facts['videos_without_a_class_rank']}",
    )


def print_retrieval(result: "RetrievalResult") -> None:
    """Print recalls and ranks, two rows a split, on stdout."""
    from vlp.pipeline.tasks.retrieval import RECALLS, summarise

    rows = []
    for split in result.splits:
        for direction, found in (
            ("text to video", split.text_to_video),
            ("video to text", split.video_to_text),
        ):
            row = summarise(found)
            rows.append(
                [
                    split.coverage.split or "all videos",
                    direction,
                    f"{row['num_queries']:,}",
                    *(_percent(row[f"recall_at_{k}"]) for k in RECALLS),
                    f"{row['median_rank']:g}",
                    f"{row['mean_rank']:.2f}",
                    f"{row['num_tied_queries']:,}",
                ]
            )
    recalls = [f"R@{k} %" for k in RECALLS]
    columns = ("split", "direction", "queries", *recalls, "median rank", "mean rank", "tied")
    print_table(columns, rows, title=f"Retrieval, {result.provenance['dataset']}")
    place = {"first": "first", "average": "in the middle"}[result.provenance["ties"]]
    _print_facts(
        result.provenance,
        f"Tied: a wrong answer scores as much as the right one; the right one ranks {place}",
    )


def _print_facts(facts: Mapping[str, Any], *more: str) -> None:
    lines = (
        "",
        f"Video: {facts['model']}/{facts['pretrained']}, "
        f"frames: {facts['frames']} of timeline {facts['timeline']}",
        *more,
        f"Store: {facts['store']['path']}",
    )
    for line in lines:
        out.print(line, markup=False)


def _percent(fraction: float | None) -> str:
    return _NOTHING if fraction is None else f"{100 * fraction:.1f}"
