"""What runs in a Dask worker: one unit of videos at a time, stopped when nobody waits for it any more.

Whatever a unit stores is committed before it says that it has ended. What it says goes through the scheduler as plain
data, in the order in which it was said.
"""

import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from types import TracebackType
from typing import Any, TypeVar

import psutil
from distributed import Worker, get_worker

from vlp.datasplits.errors import DatasetError
from vlp.datasplits.manifest import Video
from vlp.pipeline.beginning import choices_here
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.errors import PipelineError
from vlp.pipeline.events import BatchShrunk, Event, StageSeconds, VideoFinished
from vlp.pipeline.extraction import run_extraction
from vlp.pipeline.pixel_format import PixelFormat
from vlp.pipeline.planning import EXTRACTION_VERSION, ExtractionPlan, Settings, tool_versions
from vlp.pipeline.stopping import StopRequest
from vlp.stores.errors import StoreError

Item = TypeVar("Item")
Message = dict[str, Any]

_TELL_SECONDS = 1.0
# A worker that dies just after loading must have been heard to have loaded: the scheduler passes on what it hears in
# batches of milliseconds.
_HEARD_SECONDS = 0.2

load_once = lru_cache(maxsize=1)(load_encoder)
_one_unit = threading.Lock()  # a worker may have several threads; a unit uses all of its machine's share
_loaded = threading.Event()


class WorkerUnfit(PipelineError):
    """A machine that lacks what the run's units need; `str()` says what."""


@dataclass(frozen=True)
class Job:
    """What all units of a run have in common.

    Args:
        plan: without its videos; all paths are absolute.
        spec: the encoder, or how pixels are stored.
        settings: how to extract.
        versions: of the run's libraries, which a worker must have too.
        topic: where a unit says how it gets on.
        num_sharing: workers that share one machine's cores, numbered by their names; 0 leaves every worker all of them.
    """

    plan: ExtractionPlan
    spec: EncoderSpec | PixelFormat
    settings: Settings
    versions: Mapping[str, str]
    topic: str
    num_sharing: int


def versions() -> dict[str, str]:
    """Versions of all that decides the features' bits, here."""
    return {**tool_versions(), "extraction": str(EXTRACTION_VERSION)}


def prepare(job: Job) -> None:
    """Say how a worker would begin the store, since its device decides the size of a batch, not the run's.

    It tells "device", "precision", "batch_size" and "num_children"; or "error": why it cannot work.
    """
    worker = get_worker()
    message: Message = {"worker": worker.address}
    try:
        _check_fitness(job)
        _take_share(job.num_sharing)
        device, batch_size, precision = choices_here(job.spec, job.settings)
        message |= {"device": str(device), "batch_size": batch_size, "precision": precision}
        message["num_children"] = job.settings.children
    except (DatasetError, PipelineError, StoreError) as error:
        message["error"] = str(error)
    worker.log_event(job.topic, message)


def run_unit(job: Job, number: int, videos: tuple[Video, ...], attempts: Mapping[str, int]) -> None:
    """Extract a unit into the store, and say so on the job's topic.

    Args:
        job: what all units have in common.
        number: of this attempt at the unit.
        videos: with id and path.
        attempts: video id to the number of earlier failed attempts.
    """
    worker = get_worker()
    with _one_unit, Telling(worker, job.topic, number) as telling:
        telling.end(_extract_unit(job, videos, attempts, telling))


def forget_encoder() -> None:
    """Give the encoder's memory back, at the end of a run."""
    load_once.cache_clear()
    _loaded.clear()


class Telling(StopRequest):
    """Tells the run how a unit gets on, every second, and stops the unit when nobody waits for it any more.

    Args:
        worker: where the unit runs.
        topic: where to tell.
        number: of the attempt.
    """

    def __init__(self, worker: Worker, topic: str, number: int) -> None:
        super().__init__()
        self._worker = worker
        self._key = worker.get_current_task()
        self._topic = topic
        self._number = number
        self._num_blocks = 0
        self._lock = threading.Lock()
        self._encoded: list[tuple[str, int]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tell_on, name="telling", daemon=True)

    def __enter__(self) -> "Telling":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def wait_for(self, items: Iterator[Item]) -> Item | None:
        """Take the next item; None at the end, or when nobody waits for the unit any more."""
        self._num_blocks += 1
        if self.signal is None and self._is_unwanted():
            self.signal = signal.SIGTERM
        return super().wait_for(items)

    def load(self, spec: EncoderSpec, *, device: str, precision: str) -> FrozenEncoder:
        """Load the encoder, once a process, and let the run know that this worker can."""
        encoder = load_once(spec, device=device, precision=precision)
        if not _loaded.is_set():
            _loaded.set()
            self._tell()
            time.sleep(_HEARD_SECONDS)
        return encoder

    def note(self, event: VideoFinished) -> None:
        """Take note of a video that is encoded, for the next message."""
        with self._lock:
            self._encoded.append((event.video_id, event.num_rows))

    def end(self, report: Message) -> None:
        """Tell the last of this unit."""
        self._tell(report=report)

    def _tell_on(self) -> None:
        while not self._over.wait(_TELL_SECONDS):
            self._tell()

    def _tell(self, **more: Message) -> None:
        with self._lock:
            encoded, self._encoded = self._encoded, []
        message = {
            "number": self._number,
            "process": os.getpid(),
            "is_ready": _loaded.is_set(),
            "progress": [self._num_blocks, _children_cpu_seconds()],
            "encoded": encoded,
            **more,
        }
        self._worker.log_event(self._topic, message)

    def _is_unwanted(self) -> bool:
        task = self._worker.state.tasks.get(self._key)
        is_closing = self._worker.status.name in {"closing", "closed", "failed"}
        return is_closing or task is None or task.state == "cancelled"


def _extract_unit(
    job: Job, videos: tuple[Video, ...], attempts: Mapping[str, int], telling: Telling
) -> Message:
    finished: list[Event] = []
    seconds = StageSeconds()
    manifest = replace(job.plan.manifest, videos=videos)
    plan = replace(job.plan, manifest=manifest, listed=videos, pending=videos, attempts=attempts)
    try:
        _check_fitness(job)
        _take_share(job.num_sharing)
        for event in run_extraction(
            plan, job.spec, job.settings, seconds=seconds, stop=telling, loader=telling.load, as_worker=True
        ):
            finished.append(event)
            if isinstance(event, VideoFinished):
                telling.note(event)
    except (DatasetError, PipelineError, StoreError) as error:
        return {"error": str(error)}
    sizes = [event.batch_size for event in finished if isinstance(event, BatchShrunk)]
    return {
        "finished": [asdict(event) for event in finished if isinstance(event, VideoFinished)],
        "seconds": asdict(seconds),
        "shrunk_to": min(sizes, default=None),
    }


def _check_fitness(job: Job) -> None:
    """Refuse a machine that would store other bits, or take all videos for missing.

    Raises:
        WorkerUnfit: saying what it lacks.
    """
    root = job.plan.manifest.root
    if not root.exists():
        raise WorkerUnfit(f"the videos' folder {root} is not on this machine.")
    here = versions()
    names = sorted(name for name in {*here, *job.versions} if here.get(name) != job.versions.get(name))
    if names:
        pairs = (f"{name} {here.get(name, 'none')}, not {job.versions.get(name, 'none')}" for name in names)
        raise WorkerUnfit(f"it has other versions than the run: {'; '.join(pairs)}.")


def _take_share(num_sharing: int) -> None:
    """Bind this thread, and what it starts, to this worker's share of the cores."""
    if not num_sharing:
        return
    cores = sorted(os.sched_getaffinity(os.getpid()))  # of the process, which stays as it was
    mine = cores[int(get_worker().name) % num_sharing :: num_sharing]
    os.sched_setaffinity(0, mine or cores)


def _children_cpu_seconds() -> float:
    """Processor time of this process's children that are alive: a decoder at work is progress, too."""
    total = 0.0
    for child in psutil.Process().children():
        try:
            times = child.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return round(total, 1)
