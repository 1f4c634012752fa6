"""`vlp extract --scheduler`: the options of an extraction over workers, and its events."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vlp.pipeline.distribution import Distribution
    from vlp.pipeline.encoder_spec import EncoderSpec
    from vlp.pipeline.events import Event, StageSeconds
    from vlp.pipeline.pixel_format import PixelFormat
    from vlp.pipeline.planning import ExtractionPlan, Settings
    from vlp.pipeline.stopping import StopRequest

Run = Callable[["StageSeconds", "StopRequest"], Iterator["Event"]]

Scheduler = Annotated[
    str | None,
    typer.Option(help="local (one process a GPU), or a Dask scheduler's address, such as tcp://HOST:8786."),
]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes of --scheduler local. Default: by GPUs.")]
UnitVideos = Annotated[
    int | None, typer.Option(min=1, help="Videos that a worker is handed at once. Default: 32 to 256.")
]
StallSeconds = Annotated[
    float, typer.Option(min=1, help="Of --scheduler: a worker without progress for so long is given up.")
]


def distribution_of(
    scheduler: str | None,
    workers: int | None,
    unit_videos: int | None,
    stall_seconds: float,
    *,
    is_dry: bool,
) -> "Distribution | None":
    """Read the options; None is this process alone.

    Raises:
        BadParameter: for options that do not go together.
        BadScheduler: for a scheduler that is neither local nor an address.
    """
    from vlp.pipeline.distribution import LOCAL, Distribution

    if workers is not None and scheduler != LOCAL:
        raise typer.BadParameter("goes with --scheduler local", param_hint="--workers")
    if scheduler is None:
        return None
    if is_dry:
        raise typer.BadParameter("measures this process: leave --scheduler out", param_hint="--dry-run")
    return Distribution(scheduler, workers, unit_videos, stall_seconds)


def over_workers(
    plan: "ExtractionPlan",
    spec: "EncoderSpec | PixelFormat",
    settings: "Settings",
    distribution: "Distribution",
) -> Run:
    """Give the events of an extraction over workers."""
    from vlp.pipeline.distributed import run_distributed

    return lambda seconds, stop: run_distributed(
        plan, spec, settings, distribution, seconds=seconds, stop=stop
    )
