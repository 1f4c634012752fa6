"""How a running generation of sentences looks: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vlp.cli.console import err

if TYPE_CHECKING:
    from vlp.pipeline.prompt_generation import Answered

_SECONDS_BETWEEN_LINES = 10.0


def show_generation(events: "Iterator[Answered]", num_questions: int) -> "list[Answered]":
    """Show how many questions have been answered.

    Args:
        events: as they come.
        num_questions: that will be asked.

    Returns:
        Those that no whole answer came to.
    """
    lacking = []
    last_line = time.monotonic()
    columns = (
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("questions · ETA"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as bar:
        task = bar.add_task("questions", total=num_questions)
        for number, event in enumerate(events, 1):
            bar.update(task, completed=number)
            if event.lacking:
                lacking.append(event)
            if not err.is_terminal and time.monotonic() - last_line > _SECONDS_BETWEEN_LINES:
                last_line = time.monotonic()
                err.print(f"{number:,} of {num_questions:,} questions answered")
    return lacking
