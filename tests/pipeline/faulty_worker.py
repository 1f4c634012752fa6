"""Preloaded into Dask workers by tests: what becomes of a worker follows from the name of a video that it decodes.

``killer`` kills it each time. ``kill-once``, ``hang-once`` and ``late-once`` do it the first time in the folder that
$FAULTS names: kill it, hang for ever, or hang for longer than the run is patient and then go on.
"""

import functools
import inspect
import os
import signal
import time
from pathlib import Path

from vlp.pipeline.batching import BatchAssembler
from vlp.pipeline.decoding.results import DecodeOutcome

LATE_SECONDS = 20.0
_finish = inspect.unwrap(BatchAssembler.finish)  # Dask loads a preloaded file twice


def _is_first(name: str) -> bool:
    try:
        (Path(os.environ["FAULTS"]) / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


@functools.wraps(_finish)
def _finish_or_fail(self: BatchAssembler, outcome: DecodeOutcome) -> None:
    name = outcome.video_id.rpartition("/")[2]
    if name == "killer" or (name == "kill-once" and _is_first(name)):
        os.kill(os.getpid(), signal.SIGKILL)
    if name == "hang-once" and _is_first(name):
        time.sleep(3600)
    if name == "late-once" and _is_first(name):
        time.sleep(LATE_SECONDS)
    _finish(self, outcome)


BatchAssembler.finish = _finish_or_fail  # type: ignore[method-assign]
