"""The workers of a Dask scheduler, as one run of extraction sees them. Imports Dask: load it only when it is asked for.

Every unit is bound to one worker, so that Dask never hands it to a second one by itself: what becomes of a unit whose
worker is lost is the run's affair. What a unit says arrives in order, through the scheduler.
"""

import logging
import os
import queue
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from distributed import Client, Future, Nanny, Scheduler, SpecCluster, Worker, WorkerPlugin

_GPU = "GPU"
_CALL_SECONDS = 30.0
_TICK_SECONDS = 0.5
_CORES_PER_PROCESS = 8
_MOST_PROCESSES = 4

Notes = Iterator[dict[str, Any] | None]


class SchedulerGone(Exception):
    """The scheduler does not answer any more."""


@dataclass(frozen=True)
class Member:
    """One worker.

    Args:
        address: of its process; another one after a restart.
        has_gpu: whether it was started with the resource GPU.
        takes_work: whether it is neither closing nor paused.
    """

    address: str
    has_gpu: bool
    takes_work: bool

    def __str__(self) -> str:
        return self.address


class IgnoresInterrupts(WorkerPlugin):  # type: ignore[misc]  # distributed's types are not followed
    """Ctrl-C reaches all processes of a terminal; the run decides what it means for its workers."""

    def setup(self, worker: Worker) -> None:  # noqa: ARG002  # Dask's signature
        """Ignore SIGINT, in a worker's main thread, where its loop runs."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)


class Crew:
    """A connection to a scheduler; used as a context manager.

    Args:
        cluster: the scheduler's address, or a local cluster that is closed with the crew.
        topic: where units tell how they get on; unique to the run.
        seconds: how long a scheduler may take to answer the first time.

    Raises:
        OSError: if no scheduler answers.
    """

    def __init__(self, cluster: "str | SpecCluster", topic: str, *, seconds: float) -> None:
        self._cluster = cluster
        self._topic = topic
        self._heard: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        _quieten()
        self._client = self._connected(seconds)

    @property
    def address(self) -> str:
        """The scheduler's address."""
        return self._cluster if isinstance(self._cluster, str) else str(self._cluster.scheduler_address)

    @property
    def num_local(self) -> int:
        """How many workers are this run's own, on this machine."""
        return 0 if isinstance(self._cluster, str) else len(self._cluster.worker_spec)

    def __enter__(self) -> "Crew":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._disconnect()
        if not isinstance(self._cluster, str):
            self._cluster.close()

    def members(self) -> dict[str, Member]:
        """The workers that the scheduler has now, by address.

        Raises:
            SchedulerGone: if it does not answer.
        """
        try:
            known = self._client.sync(self._client.scheduler.identity, callback_timeout=_CALL_SECONDS)
        except (OSError, TimeoutError, RuntimeError, ValueError, AttributeError) as error:
            raise SchedulerGone(str(error)) from error
        if known["id"] != self._scheduler_id:
            raise SchedulerGone("another has taken its place")  # it knows nothing of who listens to what
        return {
            address: Member(address, bool(facts["resources"].get(_GPU)), facts["status"] == "running")
            for address, facts in known["workers"].items()
        }

    def submit(self, member: Member, task: Callable[..., object], *arguments: object) -> Future:
        """Run a task on one worker and on no other.

        Raises:
            SchedulerGone: if it cannot be handed over.
        """
        try:
            return self._client.submit(
                task,
                *arguments,
                workers=[member.address],
                allow_other_workers=False,
                resources={_GPU: 1} if member.has_gpu else None,
                pure=False,
                retries=0,
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise SchedulerGone(str(error)) from error

    def cancel(self, future: Future) -> None:
        """Let a task know that nobody waits for it any more."""
        with suppress(Exception):  # the connection may be what failed
            self._client.cancel([future], force=True)

    def leave(self, member: Member, task: Callable[[], object]) -> None:
        """Have a worker run a task some time, whatever becomes of it."""
        from distributed import fire_and_forget

        with suppress(SchedulerGone):
            fire_and_forget(self.submit(member, task))

    def restart(self, member: Member) -> None:
        """End a worker's process, where a nanny watches over it, to have a new one in its place."""
        with suppress(Exception):  # without a nanny, or too late: the worker is not asked again in any case
            self._client.restart_workers([member.address], timeout=_CALL_SECONDS, raise_for_error=False)

    def notes(self) -> Notes:
        """Yield what units say, and None where nothing has been said for a moment."""
        while True:
            try:
                yield self._heard.get(timeout=_TICK_SECONDS)
            except queue.Empty:
                yield None

    def reconnect(self, seconds: float) -> None:
        """Wait for the scheduler to come back.

        Raises:
            OSError: if it does not.
        """
        self._disconnect()
        self._client = self._connected(seconds)

    def _connected(self, seconds: float) -> Client:
        deadline = time.monotonic() + seconds
        while True:
            try:
                client = Client(self._cluster, timeout=seconds, set_as_default=False)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_TICK_SECONDS)
        self._scheduler_id = client.scheduler_info()["id"]
        client.subscribe_topic(self._topic, lambda event: self._heard.put(event[1]))
        return client

    def _disconnect(self) -> None:
        with suppress(Exception):  # there may be nothing left to disconnect from
            self._client.close(timeout=_CALL_SECONDS)


def local_cluster(num_workers: int | None) -> "SpecCluster":
    """Start worker processes on this machine: one a GPU, or a few that share the cores.

    Args:
        num_workers: how many; None is one a GPU, without GPUs one for every 8 cores, at least 2 and at most 4.
    """
    _quieten()
    gpus = visible_gpus()
    count = num_workers or len(gpus) or _processes_without_gpu()
    options = [
        {
            "nthreads": 1,
            "memory_limit": 0,  # decode children have their own cap; Dask would pause or kill the worker instead
            "resources": {_GPU: 1} if gpus else None,
            "env": {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else None,
            "silence_logs": logging.CRITICAL,
        }
        for number in range(count)
    ]
    cluster = SpecCluster(
        scheduler={
            "cls": Scheduler,
            "options": {"host": "127.0.0.1", "port": 0, "dashboard_address": "127.0.0.1:0"},
        },
        workers={number: {"cls": Nanny, "options": chosen} for number, chosen in enumerate(options)},
        silence_logs=logging.CRITICAL,
    )
    with Client(cluster, set_as_default=False) as client:
        client.register_plugin(IgnoresInterrupts())
    return cluster


def visible_gpus() -> list[str]:
    """Names of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES takes them."""
    import torch

    count = torch.cuda.device_count()
    named = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    return (named or [str(number) for number in range(count)])[:count]


def _quieten() -> None:
    """Leave it to the run to say, in its own words, what goes wrong."""
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _processes_without_gpu() -> int:
    cores = len(os.sched_getaffinity(0))
    return min(_MOST_PROCESSES, max(2, cores // _CORES_PER_PROCESS), cores)
