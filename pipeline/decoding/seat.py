"""One place for a decode child: its slots, what it was asked, what it answers, and whether it overran."""

import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from functools import partial

from vlp.pipeline.decoding import wire
from vlp.pipeline.decoding.jobs import MANY, Event, Job
from vlp.pipeline.decoding.results import FrameBlock, Limits
from vlp.pipeline.decoding.slots import Slot
from vlp.pipeline.decoding.spawned import SpawnedChild
from vlp.pipeline.decoding.wire import GarbledMessage, Message

CHILD_COMMAND = (
    sys.executable,
    "-P",
    "-m",
    "vlp.pipeline.decoding.child",
)  # -P: not what lies in this folder

_START_SECONDS = 120.0  # libraries may come from a slow disk


class ChildLost(Exception):
    """The child cannot go on: it died, overran a limit or talks nonsense."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")


class Seat:
    """A child that is started when needed and replaced when it dies.

    Attributes:
        jobs: what the child has been given and not finished; the first is the one it works on.
        num_given: videos given to the present child.
        is_ready: whether the present child has started up.
        wants_rest: whether the present child has grown so much that it should be replaced.
    """

    def __init__(
        self, timeline: str, limits: Limits, *, num_slots: int, slot_bytes: int, command: Sequence[str]
    ) -> None:
        self._timeline = timeline
        self._limits = limits
        self._command = command
        self._lock = threading.Lock()  # blocks are released from any thread
        self._slots = [Slot(slot_bytes) for _ in range(num_slots)]
        self._lent: dict[int, object] = {}
        self._stderr = os.memfd_create("vlp-decode-stderr")
        self._child: SpawnedChild | None = None
        self._gone_cpu_seconds = 0.0
        self._last_progress = self._worked_seconds = 0.0
        self.jobs: deque[Job] = deque()
        self.num_given = 0
        self.is_ready = self.wants_rest = False

    @property
    def is_running(self) -> bool:
        """Whether there is a child (which may have died unnoticed)."""
        return self._child is not None

    @property
    def cpu_seconds(self) -> float:
        """Processor time of this seat's children so far."""
        with self._lock:
            return self._gone_cpu_seconds + (self._child.cpu_seconds if self._child else 0.0)

    def start(self) -> int:
        """Start a child with the slots that nobody uses; returns the descriptor it answers on."""
        with self._lock:
            settings = {
                "parent": os.getpid(),
                "timeline": self._timeline,
                "slots": [[slot.descriptor, slot.is_free] for slot in self._slots],
                "max_frame_bytes": self._limits.max_frame_bytes,
                "max_data_bytes": 2 * self._limits.rss_bytes,
            }
            inherited = [slot.descriptor for slot in self._slots]
            child = SpawnedChild(self._command, settings, inherited=inherited, stderr=self._stderr)
            self._child = child
        self._reader = wire.MessageReader(child.answers)
        self._last_progress, self._worked_seconds = time.monotonic(), 0.0
        self.num_given, self.is_ready, self.wants_rest = 0, False, False
        return child.answers

    def stop(self) -> str:
        """Kill the child, if there is one; returns how it had ended, for a person."""
        with self._lock:
            child, self._child = self._child, None
            if child is None:
                return "not running"
            self._gone_cpu_seconds += child.cpu_seconds
        return child.kill()

    def close(self) -> None:
        """Kill the child and close the slots; blocks that are still in use stay valid."""
        self.stop()
        with self._lock:
            slots, self._slots = self._slots, []
            self._lent.clear()
        for slot in slots:
            slot.close()
        os.close(self._stderr)

    def give(self, job: Job) -> None:
        """Give the child a job.

        Raises:
            ChildLost: it is not there to take it.
            GarbledMessage: the path is too long; the child is as before.
        """
        if self._child is None:
            raise ChildLost("crashed", "is not running")
        if not self.jobs:
            self._last_progress = time.monotonic()
        self.jobs.append(job)
        self.num_given += 1
        try:
            self._child.tell(job.message())
        except OSError as error:
            raise ChildLost("crashed", f"takes no jobs: {error.strerror}") from error
        except GarbledMessage:
            self.jobs.pop()
            raise

    def hear(self, events: deque[Event]) -> None:
        """Read what the child says; appends what the consumer should see of it.

        Raises:
            ChildLost: it died or talks nonsense; what it said before that is appended.
        """
        try:
            messages = self._reader.read()
            if messages is None:
                raise ChildLost("crashed", "ended")
            for message in messages:
                event = self._understand(message)
                if event is not None:
                    events.append(event)
        except (GarbledMessage, ValueError) as error:
            raise ChildLost("crashed", f"talks nonsense: {error}") from error

    def _understand(self, message: Message) -> Event | None:
        self._last_progress = time.monotonic()
        self._worked_seconds = wire.number(message, "worked_seconds")
        kind = message.get("type")
        if kind == "ready":
            self.is_ready = True
        elif not self.jobs:
            raise GarbledMessage(f"{kind!r} without a job")
        elif kind == "file":
            self.jobs[0].size_bytes = wire.integer(message, "size_bytes", 0, MANY)
        elif kind == "start":
            self.jobs[0].attempt = wire.integer(message, "attempt", self.jobs[0].attempt, MANY)
            self.jobs[0].num_expected = wire.integer(message, "num_expected", 0, MANY)
        elif kind == "grow":
            self._grow(message)
        elif kind == "block":
            return self._block(message)
        elif kind != "alive":
            return self._answer(message)
        return None

    def _answer(self, message: Message) -> Event:
        event = self.jobs[0].answer(message)
        self.jobs.popleft()
        self._worked_seconds = 0.0
        self.wants_rest = self._rss_bytes() > self._limits.rss_bytes // 2
        return event

    def _block(self, message: Message) -> FrameBlock:
        number, slot = self._named_slot(message)
        height, width = (wire.integer(message, side, 1, 1 << 16) for side in ("height", "width"))
        job = self.jobs[0]
        attempt = wire.integer(message, "attempt", job.attempt, job.attempt)
        arrays = slot.arrays(wire.integer(message, "count", 1, MANY), height, width)
        loan = object()
        with self._lock:
            slot.is_free = False
            self._lent[number] = loan
        return FrameBlock(job.request.video_id, attempt, *arrays, partial(self._release, number, loan))

    def _release(self, number: int, loan: object) -> None:
        """Take a block back; harmless when done before, or when the child has gone."""
        with self._lock:
            if self._lent.get(number) is not loan:
                return
            del self._lent[number]
            self._slots[number].is_free = True
            self._last_progress = time.monotonic()
            if self._child is not None:
                with contextlib.suppress(OSError):  # its death will be noticed where it is read
                    self._child.tell({"type": "free", "slot": number})

    def _grow(self, message: Message) -> None:
        number, slot = self._named_slot(message)
        slot.resize(wire.integer(message, "bytes", slot.num_bytes, self._limits.max_frame_bytes + 64))
        if self._child is not None:
            with contextlib.suppress(OSError):
                self._child.tell({"type": "grown", "slot": number})

    def _named_slot(self, message: Message) -> tuple[int, Slot]:
        number = wire.integer(message, "slot", 0, len(self._slots) - 1)
        if not self._slots[number].is_free:
            raise GarbledMessage(f"slot {number} is not the child's")
        return number, self._slots[number]

    def check(self) -> None:
        """See whether the child keeps to its limits.

        Raises:
            ChildLost: stalled, deadline or memory.
        """
        rss_bytes = self._rss_bytes()
        if rss_bytes > self._limits.rss_bytes:
            raise ChildLost("memory", f"{rss_bytes >> 20} MiB, {self._limits.rss_bytes >> 20} allowed")
        if not self.jobs or not any(slot.is_free for slot in self._slots):
            return  # it waits: for a job, or for the consumer
        silent_seconds = time.monotonic() - self._last_progress
        allowed_seconds = self._limits.no_progress_seconds if self.is_ready else _START_SECONDS
        if silent_seconds > allowed_seconds:
            raise ChildLost("stalled", f"no progress for {allowed_seconds:g} s")
        total_seconds = self.jobs[0].total_seconds(self._limits)
        if self.is_ready and self._worked_seconds + silent_seconds > total_seconds:
            raise ChildLost("deadline", f"not done after {total_seconds:g} s of work")

    def _rss_bytes(self) -> int:
        shared_bytes = sum(slot.num_bytes for slot in self._slots)
        return self._child.rss_bytes(shared_bytes=shared_bytes) if self._child else 0
