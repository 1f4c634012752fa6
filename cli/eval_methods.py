"""`vlp eval methods`: all methods on all protocols of one data set, as a table."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlp.cli.console import out, print_json, print_table
from vlp.cli.eval_options import AllowDuplicates, Seed, TestOptions, tell
from vlp.cli.eval_trained import covered_split, laboratory_of
from vlp.cli.inputs import DatasetSource
from vlp.cli.options import (
    AllowMismatch,
    Annotations,
    Cache,
    Dataset,
    DatasetOptions,
    Device,
    Json,
    ManifestFile,
    Model,
    Pretrained,
    Root,
    StoreFolder,
)
from vlp.cli.scores import print_notes
from vlp.pipeline import decode_nothing

if TYPE_CHECKING:
    from vlp.pipeline.method_table import Comparison, TableRow

_HEADINGS = {
    "closed_set": "closed-set",
    "subset": "of the subset",
    "few_shot": "few-shot",
    "zero_shot": "zero-shot",
    "base": "base",
    "novel": "novel",
    "harmonic_mean": "harmonic mean",
}


def methods(
    *,
    dataset: Dataset,
    entries: Annotated[
        Path | None,
        typer.Option("--methods", help="YAML: a list of {name, method, row, set}. Default: every method."),
    ] = None,
    subset: Annotated[
        str | None,
        typer.Option(help="Give closed-set top-1 of these classes apart: as --classes of `vlp train`."),
    ] = None,
    shots: Annotated[int, typer.Option(min=1, help="Videos a class of few-shot.")] = 5,
    base_shots: Annotated[int, typer.Option(min=1, help="Videos a class of base-to-novel.")] = 16,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings behind every number.")] = 3,
    seed: Seed = 0,
    root: Root = None,
    annotations: Annotations = None,
    manifest: ManifestFile = None,
    dataset_options: DatasetOptions = None,
    split: Annotated[
        str | None, typer.Option(help="A split. Default: the standard one, or the first.")
    ] = None,
    model: Model = None,
    pretrained: Pretrained = None,
    cache: Cache = None,
    store: StoreFolder = None,
    device: Device = "auto",
    allow_mismatch: AllowMismatch = False,
    allow_duplicates: AllowDuplicates = False,
    json_output: Json = False,
) -> None:
    """Train and test methods by every protocol, several seeds each, from one cache.

    Example: vlp eval methods --dataset ucf101 --methods mine.yaml

    Zero-shot trains on all videos of the base classes and tests on the novel ones, among their names only. Stopped, it
    prints the rows that it has.

    Exit status: 0 done, 1 error, 2 usage, 4 no features of this dataset by this model.
    """
    decode_nothing()
    from vlp.pipeline.method_table import (
        Comparison,
        default_entries,
        method_table,
        read_entries,
        table_json,
    )
    from vlp.pipeline.protocols import only_classes
    from vlp.pipeline.published_lists import read_classes

    chosen = default_entries() if entries is None else read_entries(entries)
    names = () if subset is None else read_classes(subset)
    source = DatasetSource(dataset, root, annotations, manifest, dataset_options)
    options = TestOptions(source, model, pretrained, cache, store)
    inputs = options.open()
    names = only_classes(inputs.manifest, names).classes if names else ()
    trained, tested = covered_split(inputs.manifest, inputs, split, allow_duplicates=allow_duplicates)
    laboratory = laboratory_of(inputs, chosen[0].settings, device, allow_mismatch=allow_mismatch)
    comparison = Comparison(
        laboratory, trained, tested, frozenset(names), shots, base_shots, num_seeds=seeds, seed=seed
    )
    print_notes(table_json(comparison, ()), (trained, tested))
    rows: list[TableRow] = []
    try:
        rows.extend(method_table(comparison, chosen, tell))
    finally:  # what was measured before an interruption, or a method that diverges, is not lost
        if rows and json_output:
            print_json(table_json(comparison, rows))
        elif rows:
            _print(rows, comparison)


def _print(rows: "list[TableRow]", comparison: "Comparison") -> None:
    shown = [name for name in _HEADINGS if any(name in row.figures for row in rows)]
    cells = [[row.name, *(_cell(row.figures.get(name)) for name in shown)] for row in rows]
    place = f"{comparison.laboratory.manifest.dataset}, {comparison.trained.split}"
    title = f"{place}: top-1 %, mean of {comparison.num_seeds} seeds ± half of its 95% interval"
    print_table(["method", *(_HEADINGS[name] for name in shown)], cells, title=title)
    out.print(f"Few-shot: {comparison.shots} videos a class; base-to-novel: {comparison.base_shots}.")


def _cell(figure: tuple[float, float | None] | None) -> str:
    if figure is None:
        return "-"
    mean, half = figure
    return f"{100 * mean:.1f}" if half is None else f"{100 * mean:.1f} ± {100 * half:.1f}"
