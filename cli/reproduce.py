"""`vlp reproduce`: what papers print, and our results beside it."""

from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated

import typer

from vlp.cli.console import out, print_json, print_table
from vlp.cli.options import Json

if TYPE_CHECKING:
    from vlp.datasplits.published_rows import Inconsistency, PublishedRow
    from vlp.pipeline.comparison import ComparedRow, Comparison, Figure

app = typer.Typer(
    name="reproduce", help="Papers' numbers, and results of ours beside them.", no_args_is_help=True
)

_WIDTH = 110
_MEASURES = {
    "top1": "top-1",
    "top5": "top-5",
    "top1_top5_mean": "(top-1 + top-5) / 2",
    "harmonic_mean": "harmonic mean",
    "mean_ap": "mAP",
    "recall_at_1": "R@1",
    "recall_at_5": "R@5",
    "recall_at_10": "R@10",
    "median_rank": "median rank",
    "mean_rank": "mean rank",
    "map_mean": "mean mAP",
    "ar_50": "AR@50",
    "ar_100": "AR@100",
    "parameters": "parameters, millions",
    "gflops": "GFLOPs",
}
_MOST_SHOWN = 3


@app.command("compare")
def compare(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN_OR_RESULT...",
            help="Folders of runs, or files with what `vlp eval … --json` printed.",
            show_default=False,
        ),
    ],
    every_row: Annotated[
        bool, typer.Option("--all", help="Every published row of the task, not the nearest alone.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Set results of ours beside the papers' numbers, and name every setting that differs.

    Example: vlp reproduce compare runs/ucf101-ju2022-A5-seed0

    Of a run, everything that `vlp eval --run` has measured with it. Published are rows of the same protocol and data
    set, of few-shot with as many videos and classes; of these the method's own, with its settings where there are such.
    That no paper prints a row of the task is no error: a line says so. What the file of papers' numbers holds is
    described in docs/published.md.

    Exit status: 0 done, 1 error, 2 usage, 4 no such run, or nothing measured with it.
    """
    from vlp.datasplits.published_numbers import published_numbers
    from vlp.pipeline.comparison import compare as beside
    from vlp.pipeline.result_files import read_results

    found = [saved for path in results for saved in read_results(path)]
    published = published_numbers().rows
    compared = [(saved.path, beside(saved.facts, published, every_row=every_row)) for saved in found]
    if json_output:
        print_json({"comparisons": [{"result": str(path), **one.to_json()} for path, one in compared]})
        return
    for number, (path, comparison) in enumerate(compared):
        out.print("" if number else "Published numbers are the papers', as printed; ours are this code's.\n")
        _print(path, comparison)


@app.command("ls")
def ls(
    paper: Annotated[
        str | None, typer.Option(help="Only this paper's rows: a name of the first column.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Only rows of this dataset, by our name of it.")] = None,
    json_output: Json = False,
) -> None:
    """List what papers print, row by row.

    Example: vlp reproduce ls --dataset hmdb51

    A row with ! has a number that its paper contradicts, or another paper does; --json says how.

    Exit status: 0 done, 1 no such paper or no row of this dataset, 2 usage.
    """
    from dataclasses import asdict

    from vlp.datasplits.errors import UnknownName
    from vlp.datasplits.published_numbers import published_numbers

    rows = published_numbers().rows
    for kind, asked, known in (
        ("paper", paper, sorted({row.paper.name for row in rows})),
        ("dataset of a published row", dataset, sorted({row.dataset for row in rows})),
    ):
        if asked is not None and asked not in known:
            raise UnknownName(kind, asked, known)
    kept = [row for row in rows if paper in (None, row.paper.name) and dataset in (None, row.dataset)]
    if json_output:
        print_json({"rows": [asdict(row) for row in kept]})
        return
    columns = ("paper", "table", "row", "", "protocol", "dataset", "as printed")
    print_table(columns, [_listed(row) for row in kept])
    out.print(
        f"\n{len(kept)} rows. !: something of it disagrees; docs/published.md says what.",
        markup=False,
    )


def _listed(row: "PublishedRow") -> tuple[str, ...]:
    shown = list(row.values.items())
    cells = [f"{_measure(name)} {number}" for name, number in shown[:_MOST_SHOWN]]
    more = [f"and {len(shown) - _MOST_SHOWN} more"] if len(shown) > _MOST_SHOWN else []
    shots = (
        f", {row.settings['shots']}-shot" if row.protocol == "few-shot" and "shots" in row.settings else ""
    )
    flag = "!" if row.inconsistencies else ""
    place = (row.paper.name, row.table, row.printed, flag, f"{row.protocol}{shots}", row.dataset)
    return (*place, ", ".join([*cells, *more]))


def _measure(name: str) -> str:
    return _MEASURES.get(name, name.replace("map_", "mAP at ").replace("_", " "))


def _print(path: Path, comparison: "Comparison") -> None:
    facts = comparison.facts
    out.print(f"{path}", markup=False, style="bold")
    out.print(f"{facts.protocol}, {facts.dataset}, {facts.method or 'method not recorded'}", markup=False)
    for remark in facts.remarks:
        _say("Note: ", remark)
    if not comparison.rows:
        _say("", "No paper of the file prints a row of this task; `vlp reproduce ls` lists those it prints.")
        return
    _say("", f"Published: {comparison.choice}.")
    table = [
        (_head(place, row) if first else "", _measure(figure.metric), *_numbers(figure))
        for place, row in enumerate(comparison.rows, 1)
        for first, figure in zip((True, *[False] * len(row.figures)), row.figures, strict=False)
    ]
    out.print()
    print_table(("row", "measure", "ours", "published"), table)
    for place, row in enumerate(comparison.rows, 1):
        _print_row(place, row)
    kinds = {figure.spread_kind for row in comparison.rows for figure in row.figures} - {None}
    if kinds:
        _say("± ", f"of ours: {', '.join(sorted(map(str, kinds)))}. ± of a paper: its own, as printed.")


def _head(place: int, row: "ComparedRow") -> str:
    return f"[{place}] {row.row.paper.name}, Table {row.row.table}"


def _numbers(figure: "Figure") -> tuple[str, str]:
    """Write both numbers with as many decimal places as the paper prints."""
    places = len(figure.published.split()[0].partition(".")[2])
    unit = " %" if figure.unit == "percent" else ""
    published = f"{figure.published}{unit}"
    if figure.ours is None:
        return "-", published
    spread = "" if figure.spread is None else f" ± {figure.spread:.{places}f}"
    return f"{figure.ours:.{places}f}{spread}{unit}", published


def _print_row(place: int, row: "ComparedRow") -> None:
    out.print(f"\n[{place}] {row.row.place}", markup=False)
    for difference in row.differing:
        _say("    differs     ", str(difference))
    if not row.differing:
        _say("    differs     ", "nothing that both state")
    if row.not_stated:
        left_open = "; ".join(f"{one.setting} ({one.ours} here)" for one in row.not_stated)
        _say("    not stated  ", left_open)
    for note in row.row.notes:
        _say("    note        ", note)
    for found in row.row.inconsistencies:
        _say("    disagrees   ", _disagreement(found))


def _disagreement(found: "Inconsistency") -> str:
    places = [f"{place.where}: {place.prints}" if place.prints else place.where for place in found.places]
    return f"{found.says} {'; '.join(places)}."


def _say(head: str, text: str) -> None:
    """Print a paragraph, its lines flush behind their head."""
    lines = wrap(text, _WIDTH - len(head), break_on_hyphens=False) or [""]
    for number, line in enumerate(lines):
        out.print(f"{' ' * len(head) if number else head}{line}", markup=False)
