"""Encoding beside everything else: several batches at once on a CPU, one behind another on a GPU.

A batch spread over all cores waits at a barrier after every layer, and for whichever core a decode child has taken just
then. One batch a core has no barriers: on two cores the toy encoder is 15% faster so, and a large one no slower.
"""

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TypeVar

import torch
from torch import Tensor

Encoded = TypeVar("Encoded")

# Each stream holds the activations of one batch; beyond eight, streams get several threads instead.
_MOST_STREAMS = 8


class EncodeStreams:
    """Threads that encode; used as a context manager.

    Args:
        device_type: "cpu" gets a stream a core; any other device one, so that the host can go on.
    """

    def __init__(self, device_type: str) -> None:
        cores = len(os.sched_getaffinity(0))
        self.count = min(cores, _MOST_STREAMS) if device_type == "cpu" else 1
        threads = max(1, cores // self.count)
        self._threads = ThreadPoolExecutor(
            self.count, thread_name_prefix="encode", initializer=torch.set_num_threads, initargs=(threads,)
        )

    def __enter__(self) -> "EncodeStreams":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)

    def submit(self, encode: Callable[[Tensor], Encoded], images: Tensor) -> Future[Encoded]:
        """Encode a batch as soon as a stream is free."""
        return self._threads.submit(encode, images)
