"""Views of frames of many videos become full batches of one shape; each video gets its own rows back."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vlp.pipeline.decoding.results import DecodeOutcome, FrameBlock
from vlp.pipeline.events import StageSeconds
from vlp.pipeline.framing import Framing
from vlp.pipeline.streams import EncodeStreams
from vlp.stores.spool import Spool

# Squares' worth of frames resized at a time: small frames, or very long ones, would otherwise become gigabytes.
_PREPARED = 256


class ImageEncoder(Protocol):
    """The part of `FrozenEncoder` that batching needs; `PixelCoder` has it too."""

    @property
    def wants_full_batches(self) -> bool:
        """Whether a batch of another shape could change the rows."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        ...

    def prepare(self, frames: Tensor, framing: Framing) -> Tensor:
        """Turn (n, H, W, 3) uint8 frames into (n, V, 3, S, S) uint8; pixels are not square."""
        ...

    def encode_images(self, images: Tensor) -> Tensor | NDArray[Any]:
        """Turn (B, 3, S, S) uint8 into rows: (B, D) float16; pixels become (B, 1) of bytes."""
        ...


@dataclass
class Assembly:
    """The rows of one attempt at one video, while they are being encoded.

    A row is a frame; its views are encoded one after another, in one batch or in two.
    """

    attempt: int
    rows: Spool
    num_views: int = 1
    pts_seconds: list[NDArray[np.float64]] = field(default_factory=list)
    frame_index: list[NDArray[np.int32]] = field(default_factory=list)
    picture_bytes: list[int] = field(default_factory=list)
    num_rows: int = 0
    num_encoded: int = 0
    outcome: DecodeOutcome | None = None

    @property
    def is_whole(self) -> bool:
        """Whether its decoding has ended and all its rows are encoded."""
        return self.outcome is not None and self.num_encoded == self.num_rows * self.num_views

    def append(self, encoded: NDArray[Any]) -> None:
        """Take the next (k, D) embeddings, or (k, 1) pictures as bytes."""
        self.num_encoded += len(encoded)
        if encoded.dtype == object:
            pictures = encoded.ravel().tolist()
            self.picture_bytes += map(len, pictures)
            encoded = np.frombuffer(b"".join(pictures), dtype=np.uint8)
        self.rows.append(encoded)


class BatchAssembler:
    """Packs views of many videos into full batches of one shape, and gives each video its rows back.

    Args:
        encoder: prepares and encodes.
        batch_size: B, views in every batch; the last one is padded with zeros. Halved when memory runs out.
        framing: which V views of a frame.
        seconds: where preparing, and waiting for the encoder, are counted.
        streams: run the batches.
    """

    def __init__(
        self,
        encoder: ImageEncoder,
        batch_size: int,
        seconds: StageSeconds,
        streams: EncodeStreams,
        framing: Framing,
        spool: Callable[[], Spool],
    ) -> None:
        self._encoder = encoder
        self._framing = framing
        self._spool = spool
        self._streams = streams
        self.batch_size = batch_size
        self._seconds = seconds
        self._images: list[Tensor] = []
        self._owners: list[tuple[Assembly, int]] = []
        self._filled = 0
        self._in_flight: deque[tuple[Future[NDArray[Any]], list[tuple[Assembly, int]]]] = deque()
        self._assemblies: dict[str, Assembly] = {}

    def add(self, block: FrameBlock) -> None:
        """Take a block of frames; its memory may be reused when this returns."""
        assembly = self._assembly(block.video_id, block.attempt)
        assembly.pts_seconds.append(block.pts_seconds.copy())
        assembly.frame_index.append(block.frame_index.copy())
        assembly.num_rows += len(block.frames)
        for frames in torch.split(torch.from_numpy(block.frames), self._num_prepared(block)):
            images = self._prepare(frames)
            while len(images):
                room = max(1, self.batch_size - self._filled)  # a stream may have halved the batch meanwhile
                self._take(assembly, images[:room])
                images = images[room:]

    def finish(self, outcome: DecodeOutcome) -> None:
        """Note how a video's decoding ended; rows of its earlier attempts are void."""
        self._assembly(outcome.video_id, outcome.attempt).outcome = outcome

    def flush(self) -> None:
        """Encode what is waiting for a full batch, padded with zeros, and wait for all batches."""
        if self._filled:
            self._encode()
        self._collect(0)

    def stop(self) -> None:
        """Wait only for the batches that are being encoded; drop what waits."""
        for encoded, _ in self._in_flight:
            encoded.cancel()
        self._in_flight = deque(batch for batch in self._in_flight if not batch[0].cancelled())
        self._collect(0)

    def whole(self) -> Iterator[tuple[DecodeOutcome, Assembly]]:
        """Yield, once each, the videos whose rows are all encoded."""
        for video_id in [video_id for video_id, assembly in self._assemblies.items() if assembly.is_whole]:
            assembly = self._assemblies.pop(video_id)
            if assembly.outcome is not None:
                yield assembly.outcome, assembly

    def _assembly(self, video_id: str, attempt: int) -> Assembly:
        found = self._assemblies.get(video_id)
        if found is None or found.attempt != attempt:
            found = Assembly(attempt, self._spool(), len(self._framing.views))
            self._assemblies[video_id] = found
        return found

    def _num_prepared(self, block: FrameBlock) -> int:
        """Choose how many frames to resize at a time: one takes up V squares, or as many as it is longer than wide."""
        height, width = block.frames.shape[1:3]
        squares = max(len(self._framing.views), max(height, width) / min(height, width))
        return max(1, int(_PREPARED / squares))

    def _prepare(self, frames: Tensor) -> Tensor:
        """Cut (n, H, W, 3) frames into (n * V, 3, S, S), the views of a frame one after another."""
        began = time.perf_counter()
        images = self._encoder.prepare(frames, self._framing)
        if images.untyped_storage().data_ptr() == frames.untyped_storage().data_ptr():
            images = images.clone()  # nothing was resized: it is still a view of memory that will be reused
        self._seconds.preparing += time.perf_counter() - began
        return images.flatten(0, 1)

    def _take(self, assembly: Assembly, images: Tensor) -> None:
        if self._images and self._images[0].shape[1:] != images.shape[1:]:
            self._encode()  # uncropped frames of another size
        self._images.append(images)
        self._owners.append((assembly, len(images)))
        self._filled += len(images)
        if self._filled >= self.batch_size:
            self._encode()

    def _encode(self) -> None:
        encoded = self._streams.submit(self._encode_padded, torch.cat(self._images))
        self._in_flight.append((encoded, self._owners))
        self._images, self._owners, self._filled = [], [], 0
        self._collect(self._streams.count)  # one more waits, so that no stream ever does

    def _encode_padded(self, images: Tensor) -> NDArray[Any]:
        """Encode in padded batches; where memory runs out, go on with half the batch, which `batch_size` tells."""
        parts = []
        while len(images):
            size = self.batch_size
            batch = images[:size]
            lacking = size - len(batch) if self._encoder.wants_full_batches else 0
            padding = images.new_zeros((lacking, *images.shape[1:]))
            try:
                rows = self._encoder.encode_images(torch.cat([batch, padding]))[: len(batch)]
                parts.append(rows.cpu().numpy() if isinstance(rows, Tensor) else rows)
                images = images[len(batch) :]
            except torch.OutOfMemoryError:
                if size == 1:
                    raise
                torch.cuda.empty_cache()
                self.batch_size = min(
                    self.batch_size, size // 2
                )  # another stream may have halved it meanwhile
        return np.concatenate(parts)

    def _collect(self, keep: int) -> None:
        """Bring finished batches to the host, all but the ``keep`` newest."""
        while len(self._in_flight) > keep:
            encoded, owners = self._in_flight.popleft()
            began = time.perf_counter()
            rows = encoded.result()
            self._seconds.encoding += time.perf_counter() - began
            start = 0
            for assembly, count in owners:
                assembly.append(rows[start : start + count])
                start += count
