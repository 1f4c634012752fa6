"""How an extraction ended: counts that add up, failures with their reasons, the exit status."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console

from vlp.cli.console import err, print_table
from vlp.cli.progress import duration, shares

if TYPE_CHECKING:
    from vlp.pipeline.events import Event, Started
    from vlp.pipeline.planning import ExtractionPlan

_MOST_FAILURES_SHOWN = 20


class Summary:
    """Totals of a run, and how it ended."""

    def __init__(self, plan: "ExtractionPlan") -> None:
        from vlp.pipeline.events import Counts, StageSeconds

        self.plan = plan
        self.seconds = StageSeconds()
        self.counts = Counts()
        self.wall_seconds = 0.0
        self.failures: list[tuple[str, str, str]] = [
            (failure.video_id, failure.reason, failure.detail) for failure in plan.kept_failures
        ]
        self.shrunk_to: int | None = None
        self.signal: int | None = None

    def add(self, event: "Event") -> None:
        """Take one event of the run."""
        from vlp.pipeline.events import (
            BatchShrunk,
            SchedulerLost,
            Started,
            Stopped,
            VideoFinished,
            WorkerLost,
        )

        if isinstance(event, Started):
            err.print(_started(event))
        elif isinstance(event, VideoFinished):
            self.counts.add(event)
            if event.status == "failed":
                self.failures.append((event.video_id, event.reason or "", event.detail))
        elif isinstance(event, BatchShrunk):
            self.shrunk_to = min(event.batch_size, self.shrunk_to or event.batch_size)
            err.print(f"The device ran out of memory: the batch is now {event.batch_size} frames.")
        elif isinstance(event, WorkerLost):
            rest = (
                f"its other {event.num_videos:,} videos are tried again"
                if event.num_videos
                else "all was stored"
            )
            err.print(f"Worker {event.worker} is lost, {event.why}: {rest}.", markup=False)
        elif isinstance(event, SchedulerLost):
            err.print(f"The scheduler at {event.address} is gone: waiting for it to come back.", markup=False)
        elif isinstance(event, Stopped):
            self.signal = event.signal

    @property
    def num_failed(self) -> int:
        """Failures of this run and those kept from earlier ones."""
        return self.counts.failed + len(self.plan.kept_failures)

    @property
    def num_accounted(self) -> int:
        """Ok + short + failed + skipped: all that is listed, unless the run was interrupted."""
        return self.counts.ok + self.counts.short + self.num_failed + self.plan.num_skipped

    @property
    def exit_status(self) -> int:
        """128 + signal, 3 with failed videos, 1 where videos are unaccounted for, else 0."""
        if self.signal is not None:
            return 128 + self.signal
        if self.num_accounted != len(self.plan.listed):
            return 1
        return 3 if self.num_failed else 0

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        counts = asdict(self.counts)
        return {
            "dataset": self.plan.manifest.dataset,
            "store": str(self.plan.store),
            "fingerprint": self.plan.fingerprint,
            "listed": len(self.plan.listed),
            "skipped": self.plan.num_skipped,
            **{**counts, "failed": self.num_failed},
            "interrupted_by": self.signal,
            "batch_shrunk_to": self.shrunk_to,
            "wall_seconds": round(self.wall_seconds, 3),
            "stage_seconds": {name: round(value, 3) for name, value in asdict(self.seconds).items()},
            "bottleneck": self.seconds.bottleneck if self.wall_seconds else None,
            "failures": [
                dict(zip(("video_id", "reason", "detail"), row, strict=True)) for row in self.failures
            ],
        }

    def print(self, out: Console) -> None:
        """Print what a person wants to know at the end."""
        counts = self.counts
        if not self.plan.pending:
            out.print(
                f"Nothing to do: {self.plan.num_skipped:,} of {len(self.plan.listed):,} videos are extracted."
            )
        else:
            out.print(
                f"{counts.ok:,} ok, {counts.short:,} short, {self.num_failed:,} failed, "
                f"{self.plan.num_skipped:,} skipped of {len(self.plan.listed):,} videos: "
                f"{counts.num_rows:,} frames in {duration(self.wall_seconds)} "
                f"({counts.num_rows / max(self.wall_seconds, 1e-9):,.0f} frames/s)"
            )
            out.print(shares(self.seconds).capitalize() + ".")
        if self.failures:
            columns = ("failed video", "reason", "what happened")
            print_table(columns, self.failures[:_MOST_FAILURES_SHOWN], console=out)
            if len(self.failures) > _MOST_FAILURES_SHOWN:
                out.print(f"… and {len(self.failures) - _MOST_FAILURES_SHOWN:,} more (--json lists all).")
            err.print("Run it again with --retry failed, or --retry failed:REASON, once the cause is mended.")
        if self.signal is not None:
            err.print("Interrupted: what was whole is committed. The same command goes on from here.")


def _started(event: "Started") -> str:
    workers = f"{event.num_workers} workers, each {event.device}" if event.num_workers > 1 else event.device
    return (
        f"Run: {event.precision} on {workers}, batches of {event.batch_size}, "
        f"{event.num_children} decode processes"
    )
