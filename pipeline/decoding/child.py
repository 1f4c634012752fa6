"""A decode child: `python -m vlp.pipeline.decoding.child SETTINGS`, started by `pool.DecodePool`.

Reads jobs on standard input, answers on what was standard output, writes frames into the slots it inherited.
It ends when its parent does: at the end of its input, or by the kernel's hand while a decoder holds it.
Messages to the child: decode, probe, free (a slot), grown (a slot). From it: ready, alive, file, start, block,
grow (a slot, please), done, info, unreadable.
"""

import contextlib
import ctypes
import hashlib
import json
import os
import resource
import signal
import sys
import time
from collections import deque
from dataclasses import asdict
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from vlp.pipeline.decoding import slots, wire
from vlp.pipeline.decoding.decode import Decoded, decode_video
from vlp.pipeline.decoding.errors import UnreadableVideo
from vlp.pipeline.decoding.files import open_regular
from vlp.pipeline.decoding.probe import open_video, probe
from vlp.pipeline.decoding.timeline import Timeline
from vlp.pipeline.decoding.wire import Message

_ALIVE_SECONDS = 0.5
_HASH_BYTES = 1 << 20
_PR_SET_PDEATHSIG = 1
_STDERR_BYTES = 1 << 20  # chatter beyond this is lost


class Link:
    """The child's side of the conversation: jobs, free slots, signs of life."""

    def __init__(self, answers: int, slots_: list[slots.ChildSlot], max_frame_bytes: int) -> None:
        self._reader = wire.MessageReader(0)
        self._answers = answers
        self._jobs: deque[Message] = deque()
        self._last_sent = 0.0
        self._waited_seconds = 0.0
        self.slots = slots_
        self.max_frame_bytes = max_frame_bytes
        self.begin()

    def begin(self) -> None:
        """Start counting a job's working time."""
        self._began, self._waited_seconds = time.monotonic(), 0.0

    def say(self, kind: str, **fields: object) -> None:
        """Send a message with the seconds this job has worked so far."""
        self._last_sent = time.monotonic()
        worked = self._last_sent - self._began - self._waited_seconds
        wire.send(self._answers, {"type": kind, "worked_seconds": worked, **fields})

    def alive(self) -> None:
        """Say at times that there is progress."""
        if time.monotonic() - self._last_sent > _ALIVE_SECONDS:
            self.say("alive")

    def next_job(self) -> Message:
        """Wait for a decode or probe message."""
        while not self._jobs:
            self._receive()
        return self._jobs.popleft()

    def free_slot(self) -> int:
        """Wait for a slot that may be written to."""
        asked = time.monotonic()
        while not any(slot.is_free for slot in self.slots):
            self._receive()
        self._waited_seconds += time.monotonic() - asked
        return next(number for number, slot in enumerate(self.slots) if slot.is_free)

    def grow(self, number: int, num_bytes: int) -> None:
        """Have the parent make a slot larger."""
        self.say("grow", slot=number, bytes=num_bytes)
        while self.slots[number].num_bytes < num_bytes:
            self._receive()

    def _receive(self) -> None:
        messages = self._reader.read()
        if messages is None:
            os._exit(0)  # the parent is gone; nothing here is worth cleaning up
        for message in messages:
            if message["type"] in {"decode", "probe"}:
                self._jobs.append(message)
                continue
            slot = self.slots[wire.integer(message, "slot", 0, len(self.slots) - 1)]
            slot.is_free = True
            if message["type"] == "grown":
                slot.remap()


class BlockWriter:
    """Gathers the kept frames of one video into blocks; the `decode.Sink` of a child."""

    def __init__(self, link: Link, attempt: int) -> None:
        self._link = link
        self.attempt = attempt - 1
        self._slot: int | None = None
        self._shape = (0, 0)
        self._times: list[float] = []
        self._indices: list[int] = []
        self._frames: NDArray[np.uint8] = np.empty((0, 0, 0, 3), np.uint8)

    def start(self, decoder: str, num_expected: int) -> None:
        """Begin an attempt; an unsent block of the one before is dropped."""
        self.attempt += 1
        self._slot = None
        self._link.say("start", attempt=self.attempt, decoder=decoder, num_expected=num_expected)

    def add(self, pixels: NDArray[np.uint8], pts_seconds: float, frame_index: int) -> None:
        """Copy one (H, W, 3) frame into the current block, or into a new one if it does not fit."""
        if self._slot is not None and (
            pixels.shape[:2] != self._shape or len(self._times) == len(self._frames)
        ):
            self.flush()
        if self._slot is None:
            self._take_slot(pixels)
        self._frames[len(self._times)] = pixels
        self._times.append(pts_seconds)
        self._indices.append(frame_index)

    def flush(self) -> None:
        """Send the current block, if there is one."""
        if self._slot is None:
            return
        slot = self._link.slots[self._slot]
        height, width = self._shape
        slot.finish(height, width, self._times, self._indices)
        slot.is_free = False
        count = len(self._times)
        self._link.say(
            "block", attempt=self.attempt, slot=self._slot, count=count, height=height, width=width
        )
        self._slot = None

    def _take_slot(self, pixels: NDArray[np.uint8]) -> None:
        height, width = pixels.shape[:2]
        if pixels.nbytes > self._link.max_frame_bytes:
            raise UnreadableVideo("too-large", f"frames of {width}x{height} pixels")
        number = self._link.free_slot()
        slot = self._link.slots[number]
        if slots.frames_that_fit(slot.num_bytes, pixels.nbytes) == 0:
            self._link.grow(number, slots.block_bytes(1, pixels.nbytes))
        capacity = slots.frames_that_fit(slot.num_bytes, pixels.nbytes)
        self._slot, self._shape = number, (height, width)
        self._times, self._indices = [], []
        self._frames = slot.frames(capacity, height, width)


def decode(link: Link, job: Message, timeline: Timeline) -> None:
    """Decode one video and say how it ended."""
    cpu_began = time.process_time()
    path = Path(str(job["path"]))
    sink = BlockWriter(link, wire.integer(job, "attempt", 1, 1 << 30))
    sha256, fps = "", 0.0
    try:
        sha256 = _sha256(path, link)
        with open_video(path, max_frame_bytes=link.max_frame_bytes, alive=link.alive) as video:
            fps = float(video.rate_fps or 0)
            decoded = decode_video(video, timeline, sink, may_use_decord=bool(job["may_use_decord"]))
        sink.flush()
    except UnreadableVideo as error:
        decoded = _unreadable(error)
    except MemoryError:
        decoded = _unreadable(UnreadableVideo("memory", "out of memory in the decode child"))
    answer = asdict(decoded) | {"attempt": max(1, sink.attempt), "native_fps": fps, "source_sha256": sha256}
    link.say("done", **answer, decode_cpu_seconds=time.process_time() - cpu_began)


def look(link: Link, job: Message, timeline: Timeline) -> None:
    """Probe one video and say what it is."""
    path = Path(str(job["path"]))
    try:
        info = probe(path, timeline, max_frame_bytes=link.max_frame_bytes, alive=link.alive)
    except UnreadableVideo as error:
        link.say("unreadable", reason=error.reason, detail=error.detail)
    else:
        link.say("info", **asdict(info))


def _unreadable(error: UnreadableVideo) -> Decoded:
    return Decoded("failed", error.reason, error.detail, 0, 0, 0.0, "")


def _sha256(path: Path, link: Link) -> str:
    digest = hashlib.sha256()
    with open_regular(path) as file:
        link.say("file", size_bytes=os.fstat(file.fileno()).st_size)
        while data := file.read(_HASH_BYTES):
            digest.update(data)
            link.alive()
    return digest.hexdigest()


def _die_with(parent: int) -> None:
    """Have the kernel kill this child when its parent dies, even while a decoder holds the interpreter."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _prepare(settings: Message) -> int:
    """Set limits and signals, quieten the libraries; returns the descriptor for answers."""
    _die_with(wire.integer(settings, "parent", 1, 1 << 30))
    for ignored in (signal.SIGINT, signal.SIGTERM):  # the parent decides what an interrupt means
        signal.signal(ignored, signal.SIG_IGN)
    data_bytes = wire.integer(settings, "max_data_bytes", 1, 1 << 60)
    resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, data_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_STDERR_BYTES, _STDERR_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    av.logging.restore_default_callback()  # C code writes to stderr; through Python it could deadlock
    av.logging.set_libav_level(av.logging.ERROR)
    answers = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not end up among the answers
    return answers


def _forget_chatter() -> None:
    """Empty the file that standard error is, so that the parent finds what this job said."""
    with contextlib.suppress(OSError):  # run by hand, it is a terminal
        os.ftruncate(2, 0)
        os.lseek(2, 0, os.SEEK_SET)


def main(settings_json: str) -> None:
    """Serve jobs until the parent closes the pipe."""
    settings = json.loads(settings_json)
    answers = _prepare(settings)
    timeline = Timeline.parse(wire.text(settings, "timeline"))
    shared = [slots.ChildSlot(descriptor, is_free=is_free) for descriptor, is_free in settings["slots"]]
    link = Link(answers, shared, wire.integer(settings, "max_frame_bytes", 1, 1 << 60))
    link.say("ready")
    while True:
        job = link.next_job()
        _forget_chatter()
        link.begin()
        (decode if job["type"] == "decode" else look)(link, job, timeline)


if __name__ == "__main__":
    main(sys.argv[1])
