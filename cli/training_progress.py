"""How a running training looks: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from vlp.cli.console import err

if TYPE_CHECKING:
    from vlp.pipeline.training_events import EpochEnded, TrainingEvent, TrainingStarted

_SECONDS_BETWEEN_LINES = 10.0


def show_training(events: "Iterator[TrainingEvent]") -> int | None:
    """Show a training while it runs.

    Returns:
        The number of the signal that stopped it; None when it came to its end.
    """
    from vlp.pipeline.training_events import EpochEnded, StepTaken, TrainingStarted, TrainingStopped

    columns = (
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("steps · ETA"),
        TimeRemainingColumn(),
        TextColumn("· {task.fields[facts]}"),
    )
    last_line = time.monotonic()
    with Progress(
        *columns, console=err, transient=True, refresh_per_second=4, disable=not err.is_terminal
    ) as bar:
        task = bar.add_task("steps", total=None, facts="")
        for event in events:
            if isinstance(event, TrainingStarted):
                err.print(_started(event))
                bar.update(task, total=event.num_epochs * event.steps_per_epoch, completed=event.step)
            elif isinstance(event, StepTaken):
                bar.update(task, completed=event.step)
            elif isinstance(event, EpochEnded):
                bar.update(task, facts=_facts(event))
                if not err.is_terminal and time.monotonic() - last_line > _SECONDS_BETWEEN_LINES:
                    last_line = time.monotonic()
                    err.print(_facts(event))
            elif isinstance(event, TrainingStopped):
                return event.signal
    return None


def _started(event: "TrainingStarted") -> str:
    aside = f", {event.num_held_out:,} held out" if event.num_held_out else ""
    if not event.num_epochs:
        return f"Fitted to {event.num_videos:,} videos{aside}, without gradients"
    resumed = f", on from step {event.step:,}" if event.step else ""
    return (
        f"Training {event.num_parameters:,} parameters on {event.num_videos:,} videos{aside}: "
        f"{event.num_epochs:,} epochs of {event.steps_per_epoch:,} steps{resumed}"
    )


def _facts(event: "EpochEnded") -> str:
    held_out = f" · held out {100 * event.held_out_top1:.1f}%" if event.held_out_top1 is not None else ""
    return f"epoch {event.epoch} · loss {event.loss:.4f} · lr {event.learning_rate:.2e}{held_out}"
