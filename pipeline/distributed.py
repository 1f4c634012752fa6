"""Stage 1 over the workers of a Dask scheduler: the same store, the same events, the same bits as one process.

The videos go out in units, one a worker at a time. Dask neither limits a task's time nor knows which video of a unit
is to blame, so the run does: a unit whose worker dies, or makes no progress, is settled with what it has stored; the
rest is halved and tried elsewhere (`units.py`). Whether a unit, given up, ends late after all does not matter: its
commits have names of their own, and of two entries of one video every reader picks the same.
"""

import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlp.datasplits.manifest import Video
from vlp.pipeline.distribution import LOCAL, Distribution
from vlp.pipeline.distribution_errors import (
    DaskMissing,
    NoWorkers,
    SchedulerUnreachable,
    WorkerRefused,
)
from vlp.pipeline.encoder_spec import FOLDER_PREFIX, EncoderSpec
from vlp.pipeline.events import Event, StageSeconds, Started, Stopped
from vlp.pipeline.ledger import Ledger
from vlp.pipeline.pixel_format import PixelFormat
from vlp.pipeline.planning import ExtractionPlan, Settings
from vlp.pipeline.stopping import Interrupted, StopRequest
from vlp.pipeline.units import Backlog, unit_size

if TYPE_CHECKING:
    from vlp.pipeline.crew import Crew
    from vlp.pipeline.unit_worker import Job

_CONNECT_SECONDS = 10.0  # of a scheduler that should be there already


def run_distributed(
    plan: ExtractionPlan,
    spec: EncoderSpec | PixelFormat,
    settings: Settings,
    distribution: Distribution,
    *,
    seconds: StageSeconds,
    stop: StopRequest,
) -> Iterator[Event]:
    """Extract all that is pending into the plan's store, over Dask's workers.

    Args:
        plan: what to do; its store and videos lie in folders that all workers see under the same paths.
        spec: the encoder, which every worker loads once; or how pixels are stored.
        settings: how to do it; device and children are each worker's.
        distribution: over which workers.
        seconds: filled in as units end: the sum over all workers.
        stop: asked twice a second.

    Yields:
        Events; `Stopped` last if a signal ended the run: then no unit is handed out any more, and the workers commit
        what is whole.

    Raises:
        DaskMissing, SchedulerUnreachable, NoWorkers, WorkersBroken, WorkerRefused: see their modules.
        StoreError: if the store cannot be opened, locked or written.
    """
    topic = f"vlp-extract-{secrets.token_hex(8)}"
    with _connect(distribution, topic) as crew:
        from vlp.pipeline.beginning import begin_store
        from vlp.pipeline.handing_out import HandingOut

        job = _job(plan, spec, settings, topic, num_sharing=crew.num_local)
        first = _first_choices(crew, job, distribution, stop)
        if first is None:
            yield Stopped(stop.signal or 0)
            return
        batch_size, precision = first["batch_size"], first["precision"]
        part = (plan.part.index, plan.part.count)
        try:
            with stop.interrupting():  # another writer's lock may have to be outwaited
                store = begin_store(job.plan, settings, batch_size=batch_size, precision=precision)
                if settings.precision == "auto":
                    precision = store.precision
                opened = store.writer(part=part, device=first["device"], precision=precision)
        except Interrupted:
            yield Stopped(stop.signal or 0)
            return
        with opened as writer:
            yield Started(
                first["device"], precision, store.batch_size, first["num_children"], first["num_workers"]
            )
            size = distribution.unit_videos or unit_size(len(plan.pending), first["num_workers"])
            videos = (Video(video.video_id, video.path) for video in plan.pending)
            yield from HandingOut(
                crew,
                job,
                Backlog(videos, size),
                Ledger(store, writer, plan.attempts),
                distribution=distribution,
                seconds=seconds,
                stop=stop,
            ).events()


def _connect(distribution: Distribution, topic: str) -> "Crew":
    try:
        from vlp.pipeline.crew import Crew, local_cluster
    except ModuleNotFoundError as error:
        raise DaskMissing(str(error)) from error
    seconds = min(distribution.patience_seconds, _CONNECT_SECONDS)
    if distribution.scheduler == LOCAL:
        return Crew(local_cluster(distribution.num_workers), topic, seconds=seconds)
    try:
        return Crew(distribution.scheduler, topic, seconds=seconds)
    except OSError as error:
        raise SchedulerUnreachable(distribution.scheduler, seconds, _first_line(error)) from error


def _job(
    plan: ExtractionPlan,
    spec: EncoderSpec | PixelFormat,
    settings: Settings,
    topic: str,
    *,
    num_sharing: int,
) -> "Job":
    """Collect what all units have in common: no videos, and paths that mean the same on every machine."""
    from vlp.pipeline.unit_worker import Job, versions

    manifest = replace(plan.manifest, videos=(), root=plan.manifest.root.absolute())
    light = replace(
        plan,
        manifest=manifest,
        store=plan.store.absolute(),
        listed=(),
        pending=(),
        kept_failures=(),
        attempts={},
    )
    return Job(light, _absolute(spec), settings, versions(), topic, num_sharing)


def _absolute(spec: EncoderSpec | PixelFormat) -> EncoderSpec | PixelFormat:
    """Name local weights by their absolute paths: a worker runs in another folder."""
    if isinstance(spec, PixelFormat):
        return spec
    if spec.model.startswith(FOLDER_PREFIX):
        folder = Path(spec.model.removeprefix(FOLDER_PREFIX)).absolute()
        return replace(spec, model=f"{FOLDER_PREFIX}{folder}")
    return replace(spec, pretrained=str(Path(spec.pretrained).absolute())) if spec.is_file else spec


def _first_choices(
    crew: "Crew", job: "Job", distribution: Distribution, stop: StopRequest
) -> Mapping[str, Any] | None:
    """Ask the first worker that answers how it would begin the store; None when a signal came first."""
    from vlp.pipeline.crew import SchedulerGone
    from vlp.pipeline.unit_worker import prepare

    asked: dict[str, Any] = {}
    began = time.monotonic()
    notes = crew.notes()
    while time.monotonic() - began < (distribution.stall_seconds if asked else distribution.patience_seconds):
        try:
            members = crew.members()
            for address in members.keys() - asked.keys():
                asked[address] = crew.submit(members[address], prepare, job)
        except SchedulerGone as error:
            raise SchedulerUnreachable(crew.address, distribution.patience_seconds, str(error)) from error
        asked = {address: future for address, future in asked.items() if address in members}
        for address, future in asked.items():
            if future.status == "error":
                raise WorkerRefused(address, _first_line(future.exception()))
        note = stop.wait_for(notes)
        if stop.signal is not None:
            return None
        if note is not None and "error" in note:
            raise WorkerRefused(note["worker"], note["error"])
        if note is not None:
            return {**note, "num_workers": max(1, len(members))}
    raise NoWorkers(crew.address, time.monotonic() - began, len(asked))


def _first_line(error: BaseException | None) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0].rstrip(".")
