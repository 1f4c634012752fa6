"""`vlp bench extract`: extraction against its own stages, against a plain loop, against the bare encoder.

All figures come from one run on one machine, and are ratios; the two sides of each take turns, and a ratio is the
median over the turns. `plain_loop.py` has the other side.
"""

import os
import resource
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from vlp.datasplits.errors import OutsideRoot
from vlp.pipeline.benchmarks.plain_loop import PlainProcess
from vlp.pipeline.benchmarks.rounds import speed_ratio
from vlp.pipeline.decoding.pool import DecodePool
from vlp.pipeline.decoding.results import DecodeRequest, FrameBlock
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.events import StageSeconds
from vlp.pipeline.extraction import run_extraction
from vlp.pipeline.planning import ExtractionPlan, Settings
from vlp.pipeline.stopping import StopRequest
from vlp.pipeline.streams import EncodeStreams

_ENCODER_SECONDS = 2.0
_TURNS = 3
_ENOUGH_SECONDS = 60.0
_NUM_IMAGES = 32


@dataclass(frozen=True)
class ExtractionBench:
    """What one run of the bench measured.

    Args:
        num_videos, num_frames: what was extracted.
        frames_per_second: stored frames by wall time of our extraction, without loading the model.
        wall_over_cpu: our wall time over (CPU-seconds of this process and the children / cores): 1.0 is no stall.
        speedup_over_plain_loop: wall time of the plain loop over ours, same precision, same cores.
        over_slower_stage: our frames/s over those of decoding alone or of encoding alone, whichever is less. On a CPU
            the two share the cores, and this lies well below 1.
        slower_stage: which of the two that was.
        encoder_over_best_loop: images/s of our encode streams over the best bare loop's, eager or compiled.
        best_loop: which of the two that was.
        mfu: share of the machine's measured matrix-multiply peak that the bare encoder reaches.
        stage_seconds: where our extraction's time went, in the last turn.
    """

    num_videos: int
    num_frames: int
    frames_per_second: float
    wall_over_cpu: float
    speedup_over_plain_loop: float
    over_slower_stage: float
    slower_stage: str
    encoder_over_best_loop: float
    best_loop: str
    mfu: float
    stage_seconds: dict[str, float]


@dataclass(frozen=True)
class _Turn:
    """One extraction by us, and one by the plain loop."""

    wall_seconds: float
    cpu_seconds: float
    num_frames: int
    stages: StageSeconds
    plain_seconds: float


def bench_extraction(plan: ExtractionPlan, spec: EncoderSpec, settings: Settings) -> ExtractionBench:
    """Extract the plan's videos by `run_extraction` and by the plain loop, in turns, and time the bare encoder.

    Args:
        plan: what to extract; its store is written to a temporary folder, and removed.
        spec: the encoder.
        settings: device, precision, batch size and children.
    """
    encoder = load_encoder(spec, device=settings.device, precision=settings.precision)
    with PlainProcess(spec, device=str(encoder.device), precision=encoder.precision) as plain:
        turns = _turns(plan, spec, settings, encoder, plain)
        streamed, loops = _encoders(encoder, plain)
        best = max(loops, key=lambda name: statistics.median(loops[name]))
        best_rate = statistics.median(loops[best])
        mfu = plain.peak_share(best_rate)
    rate = statistics.median(turn.num_frames / turn.wall_seconds for turn in turns)
    stages = {
        "decoding": _decoded_per_second(plan, settings),
        "encoding": statistics.median(streamed) / len(plan.framing.views),
    }
    slower = min(stages, key=lambda name: stages[name])
    cores = len(os.sched_getaffinity(0))
    return ExtractionBench(
        num_videos=len(plan.listed),
        num_frames=turns[-1].num_frames,
        frames_per_second=rate,
        wall_over_cpu=statistics.median(turn.wall_seconds * cores / turn.cpu_seconds for turn in turns),
        speedup_over_plain_loop=speed_ratio(
            [turn.plain_seconds for turn in turns], [turn.wall_seconds for turn in turns]
        ),
        over_slower_stage=rate / stages[slower],
        slower_stage=slower,
        encoder_over_best_loop=statistics.median(streamed) / best_rate,
        best_loop=best,
        mfu=mfu,
        stage_seconds=asdict(turns[-1].stages),
    )


def _turns(
    plan: ExtractionPlan, spec: EncoderSpec, settings: Settings, encoder: FrozenEncoder, plain: PlainProcess
) -> list[_Turn]:
    """Let the two take turns: three, or fewer where one takes longer than a minute."""
    turns: list[_Turn] = []
    began = time.perf_counter()
    while len(turns) < _TURNS and (not turns or time.perf_counter() - began < _ENOUGH_SECONDS):
        with tempfile.TemporaryDirectory(prefix="vlp-bench-") as name:
            folder = Path(name)
            scratch = replace(plan, store=folder / "bench.vlp", pending=plan.listed, kept_failures=())
            if not turns:  # warms caches and kernels
                plain.extract_seconds(replace(scratch, pending=scratch.pending[:2]), folder)
            turns.append(_turn(scratch, spec, settings, encoder, plain, folder))
    return turns


def _turn(
    plan: ExtractionPlan,
    spec: EncoderSpec,
    settings: Settings,
    encoder: FrozenEncoder,
    plain: PlainProcess,
    folder: Path,
) -> _Turn:
    cpu_before, wall_before = _cpu_seconds(), time.perf_counter()
    num_frames, stages = 0, StageSeconds()
    with StopRequest() as stop:
        for event in run_extraction(plan, spec, settings, seconds=stages, stop=stop, encoder=encoder):
            num_frames += getattr(event, "num_rows", 0)
    wall, cpu = time.perf_counter() - wall_before, _cpu_seconds() - cpu_before
    return _Turn(wall, cpu, num_frames, stages, plain.extract_seconds(plan, folder))


def _cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended: the plain loop's has not."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _encoders(encoder: FrozenEncoder, plain: PlainProcess) -> tuple[list[float], dict[str, list[float]]]:
    """Measure images/s in turns: of our streams from uint8; of the bare tower on tensors that are ready."""
    size = encoder.description.preprocess.image_size
    images = torch.randint(0, 256, (_NUM_IMAGES, 3, size, size), dtype=torch.uint8)
    streamed, loops = [], []
    for _ in range(_TURNS):
        streamed.append(_streamed_per_second(encoder, images))
        loops.append(plain.images_per_second(images, _ENCODER_SECONDS))
    return streamed, {name: [turn[name] for turn in loops] for name in loops[0]}


def _streamed_per_second(encoder: FrozenEncoder, host_images: Tensor) -> float:
    images = host_images.to(encoder.device)
    encoder.encode_images(images).cpu()
    num_images, began = 0, time.perf_counter()
    with EncodeStreams(encoder.device.type) as streams:
        while time.perf_counter() - began < _ENCODER_SECONDS:
            # Whole rounds: a round that is cut short would count a stream's half-done batch as time lost.
            for rows in [streams.submit(encoder.encode_images, images) for _ in range(2 * streams.count)]:
                num_images += len(rows.result().cpu())
        return num_images / (time.perf_counter() - began)


def _decoded_per_second(plan: ExtractionPlan, settings: Settings) -> float:
    """Stored frames a second when the children have all cores and nobody encodes."""
    requests = []
    for video in plan.listed:
        try:
            requests.append(DecodeRequest(video.video_id, plan.manifest.absolute(video)))
        except OutsideRoot:  # the run fails such a video too
            continue
    num_frames, began = 0, time.perf_counter()
    with DecodePool(plan.timeline, num_children=settings.children) as pool:
        for block in pool.run(iter(requests)):
            if isinstance(block, FrameBlock):
                num_frames += len(block.frames)
                block.release()
    return num_frames / (time.perf_counter() - began)
