"""A decode child in which a decoder goes wrong for real: `python faulty_child.py SETTINGS`.

The video's name says how, at its 20th frame: "bad-spin.mp4" spins with either decoder, "decord-spin.mp4" with decord
only, "once-spin.mp4" the first time only.
"""

import contextlib
import ctypes
import itertools
import json
import mmap
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vlp.pipeline.decoding import child, decode


def stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def spin() -> None:
    sum(itertools.repeat(0))  # a loop in C that never lets go of the interpreter


def crash() -> None:
    ctypes.string_at(0)


def leave() -> None:
    print("the decoder gave up", file=sys.stderr, flush=True)
    os._exit(7)


def eat_shared() -> None:
    eaten = []
    for _ in range(4096):  # shared memory is not under RLIMIT_DATA: the parent has to see it
        piece = mmap.mmap(-1, 16 << 20)
        piece.write(bytes(16 << 20))
        eaten.append(piece)
        _links[0].alive()
        time.sleep(0.02)


def eat_private() -> None:
    eaten = []
    while True:
        eaten.append(bytearray(16 << 20))
        _links[0].alive()


def babble() -> None:
    link, attempt = _links[0], _attempts[0]
    block = {
        "type": "block",
        "attempt": attempt,
        "slot": link.free_slot(),
        "count": 1,
        "height": 64,
        "width": 96,
    }
    lines = [json.dumps({"worked_seconds": 0, **block}), '{"type": "block", "slot": 99, "count": 1e99}', ""]
    os.write(_answers(), "\n".join(lines).encode())
    time.sleep(3600)


def overfill() -> None:
    link = _links[0]
    attempt = _attempts[0]
    link.say("block", attempt=attempt, slot=link.free_slot(), count=1_000_000, height=65536, width=65536)
    time.sleep(3600)


def flood() -> None:
    while True:
        os.write(_answers(), b"x" * 65536)


def chatter() -> None:
    for _ in range(200):
        for stream in (1, 2):
            with contextlib.suppress(OSError):  # C code does not look whether it was heard
                os.write(stream, b"the decoder says nothing of interest\n" * 1000)


def _answers() -> int:
    return int(_links[0]._answers)


def loop() -> None:
    while True:
        _links[0].alive()
        time.sleep(0.01)


_links: list[Any] = []
_attempts: list[int] = []
FAULTS: dict[str, Callable[[], None]] = {
    "stop": stop, "spin": spin, "crash": crash, "leave": leave, "eat-shared": eat_shared, "eat-private": eat_private,
    "babble": babble, "overfill": overfill, "flood": flood, "chatter": chatter, "loop": loop,
}  # fmt: skip


def strike(path: Path, decoder: str) -> None:
    kind, _, fault = path.stem.partition("-")
    mark = path.with_suffix(".struck")
    if kind == "bad" or (kind == "decord" and decoder == "decord") or (kind == "once" and not mark.exists()):
        if kind == "once":
            mark.touch()
        FAULTS[fault]()


def struck(frames: Callable[..., Iterator[Any]], decoder: str) -> Callable[..., Iterator[Any]]:
    def source(video: Any) -> Iterator[Any]:
        for index, frame in enumerate(frames(video)):
            if index == 20:
                strike(Path(video.path).readlink(), decoder)
            yield frame

    return source


def main() -> None:
    decode.decord_frames = struck(decode.decord_frames, "decord")
    decode.pyav_frames = struck(decode.pyav_frames, "pyav")
    decode_job = child.decode

    def remember(link: child.Link, job: Any, timeline: Any) -> None:
        _links[:], _attempts[:] = [link], [job["attempt"]]
        decode_job(link, job, timeline)

    child.decode = remember
    child.main(sys.argv[1])


if __name__ == "__main__":
    main()
