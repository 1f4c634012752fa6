"""Stage 1 on one device: videos become committed features, told as events.

Decode children fill byte-bounded slots while this process resizes, batches across videos and encodes; a video
is handed to the store when its last row is encoded. The children start first: they decode the first videos
while this process loads the encoder.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np

from vlp.datasplits.errors import OutsideRoot
from vlp.pipeline.batching import Assembly, BatchAssembler, ImageEncoder
from vlp.pipeline.beginning import begin_store, choices_here, resumed_precision
from vlp.pipeline.decoding.pool import DecodePool
from vlp.pipeline.decoding.results import DecodeOutcome, DecodeRequest, FrameBlock
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.errors import WeightsUnusable
from vlp.pipeline.events import BatchShrunk, Event, StageSeconds, Started, Stopped, VideoFinished
from vlp.pipeline.framing import Framing
from vlp.pipeline.pixel_format import PixelFormat
from vlp.pipeline.pixels import PixelCoder
from vlp.pipeline.planning import ExtractionPlan, Settings
from vlp.pipeline.stopping import Interrupted, StopRequest
from vlp.pipeline.streams import EncodeStreams
from vlp.stores.errors import NonFiniteFeatures
from vlp.stores.features import ExtractedVideo, FailedVideo, FeatureStore
from vlp.stores.spool import Spool


class Sink(Protocol):
    """Where whole videos go: the store's writer, or nothing at all for an estimate."""

    def spool(self) -> Spool:
        """Make room for the rows of one video."""
        ...

    def add(self, video: ExtractedVideo) -> None:
        """Take a whole video."""
        ...

    def fail(self, video: FailedVideo) -> None:
        """Take note of a video that gave no features."""
        ...

    def record_batch_size(self, batch_size: int) -> None:
        """Note that batches have become smaller."""
        ...


def run_extraction(
    plan: ExtractionPlan,
    spec: EncoderSpec | PixelFormat,
    settings: Settings,
    *,
    seconds: StageSeconds,
    stop: StopRequest,
    encoder: FrozenEncoder | None = None,
    loader: Callable[..., FrozenEncoder] = load_encoder,
    superseding: frozenset[str] = frozenset(),
    as_worker: bool = False,
) -> Iterator[Event]:
    """Extract all that is pending into the plan's store.

    Args:
        plan: what to do.
        spec: the encoder, or how pixels are stored.
        settings: how to do it.
        seconds: filled in while it runs.
        stop: asked between any two blocks of frames.
        encoder: reused if already loaded on the right device.
        loader: called as `load_encoder` is.
        superseding: videos whose stored rows are damaged and give way to the new ones.
        as_worker: whether another run holds the part, has handed out these videos, and keeps the index.

    Yields:
        Events; `Stopped` last if a signal ended the run. What is whole is committed in every case.

    Raises:
        StoreError: if the store cannot be opened, locked or written.
        PipelineError: if the encoder cannot be loaded.
    """
    device, batch_size, precision = choices_here(spec, settings)
    part = None if as_worker else (plan.part.index, plan.part.count)
    try:
        with stop.interrupting():  # another writer's lock may have to be outwaited
            if as_worker:  # begun by the run: a worker that does not see it must not begin its own
                store = FeatureStore.open(plan.store)
            else:
                store = begin_store(plan, settings, batch_size=batch_size, precision=precision)
            if isinstance(spec, EncoderSpec):
                precision = resumed_precision(settings.precision, store, device)
            opened = store.writer(part=part, device=str(device), precision=precision, superseding=superseding)
    except Interrupted:
        yield Stopped(stop.signal or 0)
        return

    def load() -> ImageEncoder:
        if encoder is not None and (encoder.device, encoder.precision) == (device, precision):
            return encoder
        if isinstance(spec, PixelFormat):
            return PixelCoder(spec)
        loaded = loader(spec, device=str(device), precision=precision)
        described = replace(loaded.description, model=plan.description.model)  # a folder has many names
        if described != plan.description:
            raise WeightsUnusable(
                loaded.weights_file, "it changed after this run was planned; run the command again"
            )
        return loaded

    with (
        opened as writer,
        DecodePool(plan.timeline, num_children=settings.children) as pool,
    ):
        yield Started(str(device), precision, store.batch_size, settings.children)
        refused: list[DecodeOutcome] = []
        yield from extract(
            _requests(plan, refused),
            pool,
            load,
            writer,
            batch_size=store.batch_size,
            framing=plan.framing,
            attempts=lambda video_id: plan.attempts.get(video_id, 0),
            seconds=seconds,
            stop=stop,
        )
        for outcome in refused if stop.signal is None else ():  # a stopped run leaves them for the next one
            attempts = plan.attempts.get(outcome.video_id, 0) + 1
            yield _settle(outcome, Assembly(outcome.attempt, writer.spool()), writer, attempts)


def _requests(plan: ExtractionPlan, refused: list[DecodeOutcome]) -> Iterator[DecodeRequest]:
    """Ask for each pending video when its turn comes; one whose path leads out of the root is refused."""
    for video in plan.pending:
        try:
            yield DecodeRequest(video.video_id, plan.manifest.absolute(video))
        except OutsideRoot as error:
            refused.append(DecodeOutcome(video.video_id, 1, "failed", "outside-root", str(error)))


def extract(
    requests: Iterator[DecodeRequest],
    pool: DecodePool,
    load: Callable[[], ImageEncoder],
    sink: Sink,
    *,
    batch_size: int,
    framing: Framing,
    attempts: Callable[[str], int],
    seconds: StageSeconds,
    stop: StopRequest,
) -> Iterator[Event]:
    """Decode, encode and hand over every requested video.

    Args:
        requests: videos, drawn lazily.
        pool: decode children.
        load: loads the encoder; called once the children have begun to decode.
        sink: takes whole videos and failures.
        batch_size: B.
        framing: which views of a frame.
        attempts: earlier attempts at a video, by id.
        seconds: filled in while it runs.
        stop: asked between any two blocks.

    Yields:
        `VideoFinished` for every video; `BatchShrunk`; `Stopped` last, if a signal ended the run.
    """
    blocks = pool.run(requests)
    block = stop.wait_for(blocks)
    encoder = load()
    with EncodeStreams(encoder.device.type) as streams:
        assembler = BatchAssembler(encoder, batch_size, seconds, streams, framing, sink.spool)
        while block is not None:
            if isinstance(block, FrameBlock):
                assembler.add(block)
                block.release()
            else:
                seconds.decoding_cpu += block.decode_cpu_seconds
                assembler.finish(block)
            if assembler.batch_size < batch_size:
                batch_size = assembler.batch_size
                sink.record_batch_size(batch_size)
                yield BatchShrunk(batch_size)
            yield from _hand_over(assembler, sink, attempts, seconds)
            began = time.perf_counter()
            block = stop.wait_for(blocks)
            seconds.waiting += time.perf_counter() - began
        if stop.signal is None:
            assembler.flush()
        else:
            assembler.stop()
        yield from _hand_over(assembler, sink, attempts, seconds)
    if stop.signal is not None:
        yield Stopped(stop.signal)


def _hand_over(
    assembler: BatchAssembler, sink: Sink, attempts: Callable[[str], int], seconds: StageSeconds
) -> Iterator[VideoFinished]:
    for outcome, assembly in assembler.whole():
        began = time.perf_counter()
        event = _settle(outcome, assembly, sink, attempts(outcome.video_id) + 1)
        seconds.writing += time.perf_counter() - began
        yield event


def _settle(outcome: DecodeOutcome, assembly: Assembly, sink: Sink, num_attempts: int) -> VideoFinished:
    reason, detail = outcome.reason, outcome.detail
    if outcome.status != "failed":
        try:
            sink.add(_extracted(outcome, assembly, num_attempts))
            return _finished(outcome, outcome.status, reason, detail, assembly.num_rows)
        except NonFiniteFeatures as error:
            reason, detail = "non-finite", str(error)
    failed = FailedVideo(outcome.video_id, reason or "unknown", detail, num_attempts)
    sink.fail(failed)
    return _finished(outcome, "failed", failed.reason, detail, 0)


def _finished(
    outcome: DecodeOutcome, status: str, reason: str | None, detail: str, num_rows: int
) -> VideoFinished:
    return VideoFinished(
        video_id=outcome.video_id,
        status=status,
        reason=reason,
        detail=detail,
        num_rows=num_rows,
        num_expected=outcome.num_expected,
        num_decoded=outcome.num_decoded,
    )


def _extracted(outcome: DecodeOutcome, assembly: Assembly, num_attempts: int) -> ExtractedVideo:
    sizes = np.array(assembly.picture_bytes, dtype=np.int64) if assembly.picture_bytes else None
    return ExtractedVideo(
        video_id=outcome.video_id,
        features=assembly.rows,
        pts_seconds=np.concatenate(assembly.pts_seconds),
        frame_index=np.concatenate(assembly.frame_index),
        num_expected=outcome.num_expected,
        num_decoded=outcome.num_decoded,
        native_fps=outcome.native_fps,
        duration_seconds=outcome.duration_seconds,
        status=outcome.status,
        reason=outcome.reason,
        decoder=outcome.decoder,
        source_sha256=outcome.source_sha256,
        attempts=num_attempts,
        sizes=sizes,
    )
