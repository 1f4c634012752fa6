"""The run's side of a distributed extraction: who works on what, who is lost or given up, who is handed what next."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from typing import Any

from vlp.pipeline.crew import Crew, Member, SchedulerGone
from vlp.pipeline.distribution import Distribution
from vlp.pipeline.distribution_errors import NoWorkers, SchedulerUnreachable, WorkerRefused, WorkersBroken
from vlp.pipeline.events import (
    BatchShrunk,
    Event,
    SchedulerLost,
    StageSeconds,
    Stopped,
    VideoFinished,
    WorkerLost,
)
from vlp.pipeline.ledger import Ledger
from vlp.pipeline.stopping import StopRequest
from vlp.pipeline.unit_worker import Job, Message, forget_encoder, run_unit
from vlp.pipeline.units import MOST_LOSSES, Backlog, Losses, Unit

_WATCH_SECONDS = 1.0
_STOP_SECONDS = 60.0
_RECONNECT_SECONDS = 5.0


@dataclass
class Attempt:
    """A unit that a worker has been handed.

    Args:
        unit: its videos.
        member: the worker.
        future: Dask's view of the task.
        changed_seconds: when its progress last changed, on the monotonic clock.
        process: of the worker, once it has said something.
        progress: what it last said of it.
    """

    unit: Unit
    member: Member
    future: Any
    changed_seconds: float
    process: int | None = None
    progress: object = None

    @property
    def has_begun(self) -> bool:
        """Whether the worker has said anything of it."""
        return self.process is not None

    def hear(self, message: Message) -> bool:
        """Take note of what the unit says; returns whether it is still the process that began it."""
        if message["progress"] != self.progress:
            self.progress, self.changed_seconds = message["progress"], time.monotonic()
        began, self.process = self.process, message["process"]
        return began in {None, self.process}


class HandingOut:
    """One run's units, from the first to the last.

    Args:
        crew: the workers.
        job: what all units have in common.
        backlog: the units.
        ledger: which videos are settled.
        distribution: how long to wait for what.
        seconds: filled in as units end.
        stop: asked between any two things that happen.
    """

    def __init__(
        self,
        crew: Crew,
        job: Job,
        backlog: Backlog,
        ledger: Ledger,
        *,
        distribution: Distribution,
        seconds: StageSeconds,
        stop: StopRequest,
    ) -> None:
        self._crew = crew
        self._job = job
        self._backlog = backlog
        self._ledger = ledger
        self._distribution = distribution
        self._seconds = seconds
        self._stop = stop
        self._numbers = count()
        self._running: dict[int, Attempt] = {}
        self._members: dict[str, Member] = {}
        self._given_up: set[str] = set()
        self._ready: set[str] = set()
        self._losses = Losses()
        self._is_stopping = False
        self._alone_since: float | None = None

    def events(self) -> Iterator[Event]:
        """Hand out every unit and tell what becomes of its videos.

        Raises:
            NoWorkers, SchedulerUnreachable: where none comes, or comes back, for as long as patience lasts.
            WorkersBroken, WorkerRefused: where the workers cannot do their work.
            StoreError: from the store.
        """
        notes = self._crew.notes()
        next_watch = 0.0
        while self._running or not self._backlog.is_empty:
            if time.monotonic() >= next_watch:
                yield from self._watch()
                next_watch = time.monotonic() + _WATCH_SECONDS
            note = self._stop.wait_for(notes)
            if self._stop.signal is not None:
                yield from self._wind_down()
                break
            if note is not None:
                yield from self._hear(note)
        for member in self._members.values():
            if member.address not in self._given_up and not self._crew.num_local:
                self._crew.leave(member, forget_encoder)

    def _watch(self) -> Iterator[Event]:
        """See who is there and who is stuck, and keep everybody busy."""
        try:
            self._members = self._crew.members()
            for number, attempt in list(self._running.items()):
                why = self._trouble(attempt)
                if why is not None:
                    yield from self._lose(number, why)
            self._hand_out()
        except SchedulerGone:
            yield from self._wait_for_scheduler()

    def _trouble(self, attempt: Attempt) -> str | None:
        """Say what is wrong with an attempt, or None.

        Raises:
            SchedulerGone: if it was forgotten, as by a scheduler that began anew.
            WorkerRefused: if the worker cannot even begin.
        """
        address, status = attempt.member.address, attempt.future.status
        if address not in self._members:
            return "its process ended"
        if status == "error":
            error = attempt.future.exception()
            why = f"{type(error).__name__}: {error}".splitlines()[0]
            if address not in self._ready:
                raise WorkerRefused(address, why)
            self._give_up(attempt)  # its device may be in no state to go on
            return why
        if status in {"cancelled", "lost"}:
            raise SchedulerGone(status)
        if time.monotonic() - attempt.changed_seconds > self._distribution.stall_seconds:
            self._give_up(attempt)
            return f"no progress for {self._distribution.stall_seconds:g} s"
        return None

    def _give_up(self, attempt: Attempt) -> None:
        """Ask a worker for nothing more; a nanny puts another in its place."""
        self._given_up.add(attempt.member.address)
        if attempt.has_begun:  # a worker that is busy with others' tasks must not lose them
            self._crew.restart(attempt.member)

    def _hand_out(self) -> None:
        busy = {attempt.member.address for attempt in self._running.values()}
        for address, member in self._members.items():
            if address in busy | self._given_up or not member.takes_work:
                continue
            unit = self._backlog.take()
            if unit is None:
                break
            self._begin(unit, member)
        self._check_patience()

    def _begin(self, unit: Unit, member: Member) -> None:
        number = next(self._numbers)
        attempts = self._ledger.attempts_at(unit.videos)
        try:
            future = self._crew.submit(member, run_unit, self._job, number, unit.videos, attempts)
        except SchedulerGone:
            self._backlog.give_back(unit, unit.videos)
            raise
        self._running[number] = Attempt(unit, member, future, time.monotonic())

    def _check_patience(self) -> None:
        if self._running or self._backlog.is_empty:
            self._alone_since = None
            return
        self._alone_since = self._alone_since or time.monotonic()
        if time.monotonic() - self._alone_since > self._distribution.patience_seconds:
            num_given_up = len(self._given_up & self._members.keys())
            raise NoWorkers(self._crew.address, self._distribution.patience_seconds, num_given_up)

    def _hear(self, note: Message) -> Iterator[Event]:
        """Take what a unit says; one that was given up is not listened to."""
        number = note.get("number", -1)
        attempt = self._running.get(number)
        if attempt is None:
            return
        if not attempt.hear(note):
            yield from self._lose(number, "its process ended and another took its place")
            return
        if note["is_ready"]:
            self._ready.add(attempt.member.address)
            self._losses.note_ready()
        for video_id, num_rows in note["encoded"]:
            yield from self._ledger.encode(video_id, num_rows)
        if "report" in note:
            yield from self._end(self._running.pop(number), note["report"])

    def _end(self, attempt: Attempt, report: Message) -> Iterator[Event]:
        """Settle a unit that has ended by itself; what it left undone, since its worker was closing, goes to others."""
        if "error" in report:
            raise WorkerRefused(str(attempt.member), report["error"])
        self._losses.note_end()
        self._seconds.add(StageSeconds(**report["seconds"]))
        if report["shrunk_to"] is not None:
            yield BatchShrunk(report["shrunk_to"])
        for fields in report["finished"]:
            yield from self._ledger.settle(VideoFinished(**fields))
        self._backlog.give_back(attempt.unit, self._ledger.left(attempt.unit.videos))
        if not self._is_stopping:
            with suppress(SchedulerGone):  # the next look around will see to it
                self._hand_out()

    def _lose(self, number: int, why: str) -> Iterator[Event]:
        """Settle a unit whose worker is lost with what it has stored; try the rest elsewhere."""
        attempt = self._running.pop(number)
        self._crew.cancel(attempt.future)
        left = yield from self._ledger.settle_stored(attempt.unit.videos)
        yield WorkerLost(str(attempt.member), why, len(left))
        was_ready = attempt.member.address in self._ready
        if self._losses.add(was_ready=was_ready, num_workers=len(self._members)):
            raise WorkersBroken(self._losses.num_in_a_row, why)
        is_only_late = attempt.member.address in self._given_up and not attempt.has_begun
        if is_only_late or not was_ready:
            self._backlog.give_back(attempt.unit, left)
        elif (guilty := self._backlog.blame(attempt.unit, left)) is not None:
            yield from self._ledger.fail(guilty, f"{MOST_LOSSES} workers were lost over it; the last: {why}")

    def _wait_for_scheduler(self) -> Iterator[Event]:
        """Take all units back and wait for the scheduler; its workers come back as others."""
        yield SchedulerLost(self._crew.address)
        yield from self._take_back()
        deadline = time.monotonic() + self._distribution.patience_seconds
        while self._stop.signal is None:
            try:
                self._crew.reconnect(_RECONNECT_SECONDS)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    patience_seconds = self._distribution.patience_seconds
                    raise SchedulerUnreachable(self._crew.address, patience_seconds, str(error)) from error

    def _take_back(self) -> Iterator[Event]:
        """Settle what is running with what it has stored, and blame nobody."""
        while self._running:
            _, attempt = self._running.popitem()
            left = yield from self._ledger.settle_stored(attempt.unit.videos)
            self._backlog.give_back(attempt.unit, left)

    def _wind_down(self) -> Iterator[Event]:
        """Have the workers commit what is whole; a second signal does not wait for them."""
        number, self._stop.signal, self._is_stopping = self._stop.signal, None, True
        for attempt in self._running.values():
            self._crew.cancel(attempt.future)
        deadline = time.monotonic() + _STOP_SECONDS
        notes = self._crew.notes()
        while self._running and time.monotonic() < deadline:
            note = self._stop.wait_for(notes)
            if self._stop.signal is not None:
                break
            if note is not None:
                yield from self._hear(note)
            else:
                yield from self._drop_absent()
        yield from self._take_back()
        self._stop.signal = number
        yield Stopped(number or 0)

    def _drop_absent(self) -> Iterator[Event]:
        with suppress(SchedulerGone):
            members = self._crew.members()
            absent = [key for key, item in self._running.items() if item.member.address not in members]
            for key in absent:
                yield from self._ledger.settle_stored(self._running.pop(key).unit.videos)
