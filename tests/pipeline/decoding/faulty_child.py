"""A decode child in which a decoder goes wrong for real: `python faulty_child.py FAULT [MARK] SETTINGS`.

The fault strikes in the 20th frame of every video whose file name begins with "bad"; with a MARK (the path of a file
that does not exist yet) only once, so that a second try succeeds. The suffix "-decord" confines it to decord.
"""

import ctypes
import itertools
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
        time.sleep(0.02)


def eat_private() -> None:
    eaten = []
    while True:
        eaten.append(bytearray(16 << 20))


def babble() -> None:
    os.write(_answers(), b'{"type": "block", "slot": 99, "count": 1e99}\n')
    time.sleep(3600)


def overfill() -> None:
    message = '{"type":"block","worked_seconds":0,"attempt":1,"slot":0,"count":1000000,"height":65536,"width":65536}\n'
    os.write(_answers(), message.encode())
    time.sleep(3600)


def flood() -> None:
    while True:
        os.write(_answers(), b"x" * 65536)


def chatter() -> None:
    for _ in range(200):
        os.write(2, b"decoder says nothing of interest\n" * 1000)
        os.write(1, b"printed by a library\n" * 1000)


def _answers() -> int:
    return next(link for link in _links)._answers


_links: list[Any] = []
FAULTS: dict[str, Callable[[], None]] = {
    "stop": stop, "spin": spin, "crash": crash, "leave": leave, "eat-shared": eat_shared, "eat-private": eat_private,
    "babble": babble, "overfill": overfill, "flood": flood, "chatter": chatter,
}  # fmt: skip


def strike(fault: str, mark: Path | None) -> None:
    if mark is not None:
        if mark.exists():
            return
        mark.touch()
    FAULTS[fault]()


def struck(frames: Callable[..., Iterator[Any]], fault: str, mark: Path | None) -> Callable[..., Iterator[Any]]:
    def source(video: Any) -> Iterator[Any]:
        name = Path(os.readlink(video.path)).name
        for index, frame in enumerate(frames(video)):
            if index == 20 and name.startswith("bad"):
                if fault == "loop":
                    while True:
                        video.alive()
                        time.sleep(0.01)
                strike(fault, mark)
            yield frame

    return source


def main() -> None:
    fault, *mark, settings = sys.argv[1:]
    where = Path(mark[0]) if mark else None
    name = fault.removesuffix("-decord")
    decode.decord_frames = struck(decode.decord_frames, name, where)
    if name == fault:
        decode.pyav_frames = struck(decode.pyav_frames, name, where)
    begin = child.Link.begin

    def begin_and_remember(link: child.Link) -> None:
        _links[:] = [link]
        begin(link)

    child.Link.begin = begin_and_remember  # type: ignore[method-assign]
    child.main(settings)


if __name__ == "__main__":
    main()
