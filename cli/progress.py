"""How a running extraction looks: a bar on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from vlp.cli.console import err

_SECONDS_BETWEEN_LINES = 10.0


class Seconds(Protocol):
    """The part of `StageSeconds` that is shown."""

    waiting: float
    preparing: float
    encoding: float
    writing: float

    @property
    def bottleneck(self) -> str:
        """Name the stage that the others wait for."""
        ...


class Display:
    """Shows how far a run is, and what it waits for."""

    def __init__(self, num_videos: int, seconds: Seconds, progress: Progress | None) -> None:
        self._num_videos = num_videos
        self._seconds = seconds
        self._progress = progress
        self._task = progress.add_task("videos", total=num_videos, rates="") if progress else None
        self._began = self._last_line = time.perf_counter()
        self._num_done = 0
        self._num_frames = 0

    def advance(self, num_frames: int) -> None:
        """Count one more settled video with so many stored frames."""
        self._num_done += 1
        self._num_frames += num_frames
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, advance=1, rates=self.rates())
        elif time.perf_counter() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = time.perf_counter()
            err.print(
                f"{self._num_done}/{self._num_videos} videos · {self.rates()} · {self._remaining()} left"
            )

    def rates(self) -> str:
        """Frames/s, videos/s, and what share of the time goes where."""
        elapsed = max(time.perf_counter() - self._began, 1e-9)
        return (
            f"{self._num_frames / elapsed:,.0f} frames/s · {self._num_done / elapsed:.1f} videos/s · "
            f"{shares(self._seconds)}"
        )

    def _remaining(self) -> str:
        elapsed = time.perf_counter() - self._began
        return duration(elapsed / max(self._num_done, 1) * (self._num_videos - self._num_done))


def shares(seconds: Seconds) -> str:
    """Say which share of the time went where, and what the rest waited for."""
    working = seconds.preparing + seconds.encoding
    total = max(seconds.waiting + working + seconds.writing, 1e-9)
    return (
        f"waiting for decoders {seconds.waiting / total:.0%}, encoding {working / total:.0%}, "
        f"writing {seconds.writing / total:.0%} (bottleneck: {seconds.bottleneck})"
    )


def duration(seconds: float) -> str:
    """Write a time the way people read it.

    Example:
        >>> duration(75.4), duration(8), duration(7384)
        ('1m15s', '8s', '2h03m')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


@contextmanager
def display(num_videos: int, seconds: Seconds) -> Iterator[Display]:
    """Show a bar while the block runs; on what is no terminal, a line every ten seconds."""
    if not err.is_terminal:
        yield Display(num_videos, seconds, None)
        return
    columns = (
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("videos"),
        TimeElapsedColumn(),
        TextColumn("· ETA"),
        TimeRemainingColumn(),
        TextColumn("· {task.fields[rates]}"),
    )
    with Progress(*columns, console=err, transient=True, refresh_per_second=4) as progress:
        yield Display(num_videos, seconds, progress)


@contextmanager
def counted(unit: str) -> Iterator[Callable[[int, int], None]]:
    """Show how many of something are done, where stderr is a terminal; the function takes that and their number."""
    with Progress(console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(unit, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
