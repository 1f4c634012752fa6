"""The two streams: results on stdout, everything else on stderr."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

# What is no terminal, a file or a pipe, has no width that a table should be folded to.
_WIDTH_OF_A_FILE = 200

out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE)
err = Console(
    stderr=True, highlight=False, soft_wrap=True, width=None if sys.stderr.isatty() else _WIDTH_OF_A_FILE
)


def print_json(result: Mapping[str, object]) -> None:
    """Print one machine-readable object on stdout."""
    sys.stdout.write(json.dumps(result, indent=2, ensure_ascii=False) + "\n")


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str | None = None,
    console: Console = out,
) -> None:
    """Print a table, on stdout by default; columns whose cells are all numbers are set flush right."""
    cells = [[str(cell) for cell in row] for row in rows]
    heading = Text(title, style="bold") if title else None
    table = Table(title=heading, title_justify="left", box=None, pad_edge=False)
    for position, column in enumerate(columns):
        numeric = bool(cells) and all(_is_number(row[position]) for row in cells)
        table.add_column(Text(column), justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))  # text, not markup: "shake [hands]" is a class
    console.print(table)


def _is_number(cell: str) -> bool:
    return cell.replace(",", "").replace(".", "", 1).replace("%", "").replace("-", "0").strip().isdigit()
