"""Writes twelve videos and a failure into a store, as the extraction would: only those it does not hold.

    kill_driver.py STORE TRACE [NUMBER before|during|after]

Every call of write, fsync, rename and replace on a path inside the store is noted in TRACE; at call NUMBER
the process kills itself with SIGKILL: before the call, after it, or (a write) when half is written.
"""

import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from vlp.stores.features import ExtractedVideo, FailedVideo, FeatureStore
from vlp.stores.places import ObjectPath


class Tracer:
    def __init__(self, store: Path, trace: Path, number: int, when: str) -> None:
        self.store, self.number, self.when = str(store), number, when
        self.count = 0
        self.write = os.write
        self.trace = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for name in ("write", "fsync", "rename", "replace"):
            setattr(os, name, self.wrapped(name, getattr(os, name)))

    def wrapped(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def traced(target: Any, *rest: Any) -> Any:
            path = str(Path(f"/proc/self/fd/{target}").readlink()) if isinstance(target, int) else str(target)
            if not path.startswith(self.store):
                return call(target, *rest)
            self.count += 1
            short = re.sub("-[0-9a-f]{16}", "-*", path.removeprefix(self.store + "/"))
            self.write(self.trace, f"{self.count} {name} {short}\n".encode())
            due = self.count == self.number
            if due and self.when == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            if due and self.when == "during":
                call(target, rest[0][: len(rest[0]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            result = call(target, *rest)
            if due:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return traced


def video(number: int) -> ExtractedVideo:
    random = np.random.default_rng(number)
    rows = 20 + 3 * number
    return ExtractedVideo(
        video_id=f"class/video_{number:02}",
        features=random.standard_normal((rows, 2, 16)).astype(np.float16),
        pts_seconds=np.arange(rows) / 25,
        frame_index=np.arange(rows, dtype=np.int32),
        num_expected=rows,
        num_decoded=rows,
        native_fps=25.0,
        duration_seconds=rows / 25,
        status="ok",
        reason=None,
        decoder="pyav",
        source_sha256=f"{number:064x}",
    )


def run(path: Path | ObjectPath) -> None:
    store = FeatureStore.open_or_create(
        path,
        meaning={"weights": "w"},
        dataset="toy",
        model="m",
        pretrained="p",
        num_views=2,
        embed_dim=16,
        batch_size=8,
        precision="fp32",
        tool_versions={},
    )
    done = {*store.videos(), *store.failures()}
    with store.writer(device="cpu", precision="fp32", segment_bytes=9000) as writer:
        for number in range(12):
            if video(number).video_id not in done:
                writer.add(video(number))
            if number == 5 and "class/broken" not in done:
                writer.fail(FailedVideo("class/broken", "truncated", "ends early", 1))


if __name__ == "__main__":
    folder, trace_file, *kill = sys.argv[1:]
    number_and_when = (int(kill[0]), kill[1]) if kill else (0, "before")
    Tracer(Path(folder), Path(trace_file), *number_and_when)
    run(Path(folder))
