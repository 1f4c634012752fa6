"""Over which workers an extraction goes, and how patient it is with them. Imports no Dask."""

import re
from dataclasses import dataclass

from vlp.pipeline.distribution_errors import BadScheduler

LOCAL = "local"
_ADDRESS = re.compile(r"[a-z]+://[^\s/]+:\d+")


@dataclass(frozen=True)
class Distribution:
    """Over which workers, and how.

    Args:
        scheduler: "local" for processes of this machine, or a Dask scheduler's address.
        num_workers: processes of "local"; None is one a GPU, or a few.
        unit_videos: videos handed out at once; None chooses 32 to 256.
        stall_seconds: a worker without progress for so long is given up.
        patience_seconds: how long to wait for a scheduler, or for a first worker.

    Raises:
        BadScheduler: if the scheduler is neither.
    """

    scheduler: str
    num_workers: int | None = None
    unit_videos: int | None = None
    stall_seconds: float = 300.0
    patience_seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.scheduler != LOCAL and not _ADDRESS.fullmatch(self.scheduler):
            raise BadScheduler(self.scheduler)
