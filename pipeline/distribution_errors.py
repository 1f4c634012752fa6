"""What a user can cause in an extraction over Dask. `cli` adds what to type."""

from vlp.pipeline.errors import PipelineError


class DaskMissing(PipelineError):
    """Dask is not installed."""

    def __init__(self, cause: str) -> None:
        super().__init__(f"--scheduler needs dask and distributed, which are not installed here: {cause}.")


class BadScheduler(PipelineError):
    """A scheduler that is neither "local" nor an address."""

    def __init__(self, text: str) -> None:
        super().__init__(f"scheduler {text!r} is neither local nor an address such as tcp://host:8786.")


class SchedulerUnreachable(PipelineError):
    """Nothing that is a Dask scheduler answers at an address."""

    def __init__(self, address: str, seconds: float, cause: str) -> None:
        super().__init__(f"no Dask scheduler answered at {address} within {seconds:g} s: {cause}.")
        self.address = address


class NoWorkers(PipelineError):
    """A scheduler without workers that could go on."""

    def __init__(self, address: str, seconds: float, num_given_up: int) -> None:
        given_up = f" ({num_given_up} made no progress and were given up)" if num_given_up else ""
        super().__init__(f"the scheduler at {address} has had no worker for {seconds:g} s{given_up}.")
        self.address = address


class WorkersBroken(PipelineError):
    """One worker after another is lost, before it can encode or with whatever video: none is to blame."""

    def __init__(self, num_lost: int, why: str) -> None:
        super().__init__(f"{num_lost} workers were lost and no unit ended in between; the last: {why}.")
        self.num_lost = num_lost


class WorkerRefused(PipelineError):
    """A worker that cannot do its work, for a reason that the user can mend there."""

    def __init__(self, worker: str, why: str) -> None:
        super().__init__(f"worker {worker}: {why.rstrip('.')}.")
        self.worker = worker
