"""Decodes videos in child processes that may hang, crash or eat memory without harm to anything else.

    with DecodePool(Timeline.parse("fps:30"), num_children=2) as pool:
        for event in pool.run(requests):
            if isinstance(event, FrameBlock): ...; event.release()

Children decode ahead while the consumer works, as far as their slots reach.
"""

import selectors
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import cast

from vlp.pipeline.decoding.errors import ChildrenBroken
from vlp.pipeline.decoding.jobs import Event, Job
from vlp.pipeline.decoding.results import (
    DecodeOutcome,
    DecodeRequest,
    FrameBlock,
    Limits,
    ProbeOutcome,
    VideoInfo,
)
from vlp.pipeline.decoding.seat import CHILD_COMMAND, ChildLost, Seat
from vlp.pipeline.decoding.timeline import Timeline
from vlp.pipeline.decoding.wire import GarbledMessage

__all__ = [
    "DecodeOutcome",
    "DecodePool",
    "DecodeRequest",
    "FrameBlock",
    "Limits",
    "ProbeOutcome",
    "VideoInfo",
]

_SLOTS_PER_CHILD = 3
_JOBS_PER_CHILD = 2  # so that a child never waits between two short videos
_CHECK_SECONDS = 0.1
_MAX_DEATHS_UNREADY = 3


class DecodePool:
    """A fixed number of children that decode videos; a context manager.

    Memory: ``num_slots * slot_bytes`` of shared memory for frames (a slot grows where one frame needs more,
    up to ``limits.max_frame_bytes``), and up to ``limits.rss_bytes`` a child, some 60 MiB in practice.

    Where the kernel can, a child dies with the thread that started it: iterate in a thread that lasts.

    Args:
        timeline: which frames are kept.
        num_children: how many decode at once.
        slot_bytes: shared memory for one block of frames.
        num_slots: blocks that may be with the children and the consumer together; default 3 a child.
        limits: what a child may use.
        child_command: starts a child when its settings are appended.

    Raises:
        ValueError: a count or size that is too small.
    """

    def __init__(
        self,
        timeline: Timeline,
        *,
        num_children: int,
        slot_bytes: int = 16 << 20,
        num_slots: int | None = None,
        limits: Limits | None = None,
        child_command: Sequence[str] = CHILD_COMMAND,
    ) -> None:
        num_slots = _SLOTS_PER_CHILD * num_children if num_slots is None else num_slots
        for name, value, low in (
            ("num_children", num_children, 1),
            ("slot_bytes", slot_bytes, 4096),
            ("num_slots", num_slots, num_children),
        ):
            if value < low:
                raise ValueError(f"{name} ({value}) must be at least {low}")
        self._limits = limits or Limits()
        self._selector = selectors.DefaultSelector()
        self._backlog: deque[Job] = deque()
        self._events: deque[Event] = deque()
        self._answers: dict[Seat, int] = {}
        self._is_active = False
        self._num_deaths_unready = 0
        self._next_check = 0.0
        self._seats = [
            Seat(
                timeline.canonical,
                self._limits,
                num_slots=num_slots // num_children + (number < num_slots % num_children),
                slot_bytes=slot_bytes,
                command=child_command,
            )
            for number in range(num_children)
        ]

    def __enter__(self) -> "DecodePool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def cpu_seconds(self) -> float:
        """Processor time that the pool's children have used so far."""
        return sum(seat.cpu_seconds for seat in self._seats)

    def run(self, requests: Iterable[DecodeRequest]) -> Iterator[FrameBlock | DecodeOutcome]:
        """Decode videos; yields blocks of frames and, after a video's last one, its outcome.

        Blocks of different videos interleave. Release each block: the children wait for the memory. A child
        that dies or overruns a limit is killed and its video tried once more in a fresh one, with PyAV; if that
        fails, too, the video's outcome is ``failed`` and the others go on. Closing the generator kills
        the children that are at work.

        Args:
            requests: drawn only as children become free.

        Raises:
            ChildrenBroken: children do not start.
            RuntimeError: another run of this pool is not finished.
        """
        jobs = (Job(request, is_probe=False) for request in requests)
        return cast("Iterator[FrameBlock | DecodeOutcome]", self._run(jobs))

    def probe(self, requests: Iterable[DecodeRequest]) -> Iterator[ProbeOutcome]:
        """Say what is in files without decoding them (but for one frame); as protected as `run`.

        Raises:
            ChildrenBroken: children do not start.
            RuntimeError: another run of this pool is not finished.
        """
        jobs = (Job(request, is_probe=True) for request in requests)
        return cast("Iterator[ProbeOutcome]", self._run(jobs))

    def close(self) -> None:
        """Kill the children and give the slots back."""
        self._abandon()
        for seat in self._seats:
            self._stop(seat)
            seat.close()
        self._seats = []
        self._selector.close()

    def _run(self, jobs: Iterator[Job]) -> Iterator[Event]:
        if self._is_active or not self._seats:
            raise RuntimeError("this pool is closed, or another run of it is not finished")
        self._is_active = True
        try:
            while self._dispatch(jobs) or self._events:
                if not self._events:
                    self._listen()
                while self._events:
                    yield self._events.popleft()
        finally:
            self._abandon()
            self._is_active = False

    def _dispatch(self, jobs: Iterator[Job]) -> bool:
        """Keep every child busy; returns whether anything is under way."""
        for _ in range(_JOBS_PER_CHILD):
            for seat in self._seats:
                job = self._next_job(seat, jobs)
                if job is not None:
                    self._give(seat, job)
        return bool(self._backlog) or any(seat.jobs for seat in self._seats)

    def _next_job(self, seat: Seat, jobs: Iterator[Job]) -> Job | None:
        if len(seat.jobs) >= _JOBS_PER_CHILD:
            return None
        if seat.is_running and (seat.wants_rest or seat.num_given >= self._limits.recycle_after):
            if seat.jobs:
                return None
            self._stop(seat)
        if self._backlog:
            return self._backlog.popleft()
        return next(jobs, None)

    def _give(self, seat: Seat, job: Job) -> None:
        try:
            if not seat.is_running:
                self._answers[seat] = seat.start()
                self._selector.register(self._answers[seat], selectors.EVENT_READ, seat)
            seat.give(job)
        except ChildLost as loss:
            self._lose(seat, loss)
        except GarbledMessage as error:
            self._events.append(job.failed("missing", f"no such path: {error}"))

    def _listen(self) -> None:
        """Take what the children say within a moment, then look after their limits."""
        for key, _ in self._selector.select(_CHECK_SECONDS):
            seat: Seat = key.data
            self._guard(seat, hears=True)
        if time.monotonic() >= self._next_check:
            for seat in self._seats:
                if seat.is_running:
                    self._guard(seat, hears=False)
            self._next_check = time.monotonic() + _CHECK_SECONDS

    def _guard(self, seat: Seat, *, hears: bool) -> None:
        try:
            if hears:
                seat.hear(self._events)
                self._num_deaths_unready = 0 if seat.is_ready else self._num_deaths_unready
            else:
                seat.check()
        except ChildLost as loss:
            self._lose(seat, loss)

    def _lose(self, seat: Seat, loss: ChildLost) -> None:
        """Kill a child; blame the video it worked on, and put the others back in the queue."""
        was_ready = seat.is_ready
        ended = self._stop(seat)
        detail = f"decode child: {loss.detail}" + (f", {ended}" if loss.reason == "crashed" else "")
        jobs = list(seat.jobs)
        seat.jobs.clear()
        if not was_ready:
            self._num_deaths_unready += 1
            if self._num_deaths_unready >= _MAX_DEATHS_UNREADY:
                raise ChildrenBroken(self._num_deaths_unready, detail)
        elif jobs:
            self._blame(jobs.pop(0), loss.reason, detail)
        self._backlog.extendleft(reversed(jobs))

    def _blame(self, job: Job, reason: str, detail: str) -> None:
        if job.is_retry:
            self._events.append(job.failed(reason, detail))
            return
        job.is_retry = True
        job.attempt += 1
        self._backlog.appendleft(job)

    def _stop(self, seat: Seat) -> str:
        if seat in self._answers:
            self._selector.unregister(self._answers.pop(seat))
        return seat.stop()

    def _abandon(self) -> None:
        """Forget what is under way; children at work on it are killed."""
        for seat in self._seats:
            if seat.jobs:
                self._stop(seat)
                seat.jobs.clear()
        for event in self._events:
            if isinstance(event, FrameBlock):
                event.release()
        self._events.clear()
        self._backlog.clear()
