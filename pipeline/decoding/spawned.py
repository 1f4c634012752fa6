"""A decode child as its parent sees it: started, told things, measured, killed."""

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

import psutil

from vlp.pipeline.decoding import wire

_ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_REAP_SECONDS = 10


class SpawnedChild:
    """A running child.

    Args:
        command: starts it when the settings are appended.
        settings: what it is told on its command line, as JSON.
        inherited: descriptors that it keeps.
        stderr: descriptor of a file that takes what it and its libraries print.

    Attributes:
        answers: descriptor to read its messages from.
    """

    def __init__(
        self, command: Sequence[str], settings: Mapping[str, object], *, inherited: Sequence[int], stderr: int
    ) -> None:
        self._stderr = stderr
        self._process = subprocess.Popen(
            [*command, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            pass_fds=inherited,
            env=os.environ | _ONE_THREAD,
            bufsize=0,
        )
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("Popen gave no pipes")
        self._pipes = (stdin, stdout)
        os.set_blocking(stdin.fileno(), False)  # a stopped child must not stop its parent
        self.answers = stdout.fileno()
        self._usage = psutil.Process(self._process.pid)

    def tell(self, message: Mapping[str, object]) -> None:
        """Send a message.

        Raises:
            OSError: it is gone or does not listen.
            GarbledMessage: the message is too long.
        """
        wire.send(self._pipes[0].fileno(), message)

    def kill(self) -> str:
        """End it; returns how it had ended, or was ended, for a person."""
        ended = self._process.poll()
        self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):  # stuck in the kernel: it can do no more harm
            self._process.wait(_REAP_SECONDS)
        for pipe in self._pipes:
            pipe.close()
        how = _how_it_ended(self._process.returncode if ended is None else ended)
        words = self._last_words()
        return f"{how} ({words})" if words else how

    @property
    def cpu_seconds(self) -> float:
        """Processor time so far; 0 when it is gone."""
        try:
            times = self._usage.cpu_times()
        except psutil.Error:
            return 0.0
        return float(times.user + times.system)

    def rss_bytes(self, *, shared_bytes: int) -> int:
        """Resident memory, not counting up to ``shared_bytes`` of shared memory; 0 when it is gone."""
        try:
            memory = self._usage.memory_info()
        except psutil.Error:
            return 0
        return int(memory.rss) - min(int(memory.shared), shared_bytes)

    def _last_words(self) -> str:
        size = os.fstat(self._stderr).st_size
        tail = os.pread(self._stderr, 4096, max(0, size - 4096)).decode("utf-8", "replace")
        lines = [line.strip() for line in tail.replace("\0", "").splitlines() if line.strip()]
        return " | ".join(lines[-2:])[-400:]


def _how_it_ended(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit status {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
