"""`vlp bench extract`: extraction against its own stages, against a plain loop, against the bare encoder.

All figures come from one run on one machine, and are ratios. The plain loop is what a research script does:
open a video, decode it, preprocess each frame with the model's PIL transform, encode, save a `.npy`, go on.
"""

import os
import resource
import tempfile
import time
import warnings
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import PRECISIONS, FrozenEncoder, load_encoder
from vlp.pipeline.events import StageSeconds
from vlp.pipeline.extraction import run_extraction
from vlp.pipeline.open_clip_port import open_clip
from vlp.pipeline.planning import ExtractionPlan, Settings
from vlp.pipeline.preprocess import normalise
from vlp.pipeline.stopping import StopRequest
from vlp.pipeline.streams import EncodeStreams

_ENCODER_SECONDS = 4.0
_GEMM_SIDE = 2048


@dataclass(frozen=True)
class ExtractionBench:
    """What one run of the bench measured.

    Args:
        num_videos, num_frames: what was extracted.
        frames_per_second: stored frames by wall time of our extraction, without loading the model.
        wall_over_cpu: our wall time over (CPU-seconds of this process and the children / cores): 1.0 is no stall.
        speedup_over_plain_loop: wall time of the plain loop over ours, same precision, same cores.
        encoder_over_best_loop: images/s of our encode streams over the best bare loop's, eager or compiled.
        best_loop: which of the two that was.
        mfu: share of the machine's measured matrix-multiply peak that the bare encoder reaches.
        stage_seconds: where our extraction's time went.
    """

    num_videos: int
    num_frames: int
    frames_per_second: float
    wall_over_cpu: float
    speedup_over_plain_loop: float
    encoder_over_best_loop: float
    best_loop: str
    mfu: float
    stage_seconds: dict[str, float]


def bench_extraction(plan: ExtractionPlan, spec: EncoderSpec, settings: Settings) -> ExtractionBench:
    """Extract the plan's videos twice, by `run_extraction` and by the plain loop, and time the bare encoder.

    Args:
        plan: what to extract; its store is written to a temporary folder, and removed.
        spec: the encoder.
        settings: device, precision, batch size and children.
    """
    encoder = load_encoder(spec, device=settings.device, precision=settings.precision)
    with tempfile.TemporaryDirectory(prefix="vlp-bench-") as folder:
        scratch = replace(plan, store=Path(folder) / "bench.vlp", pending=plan.listed, kept_failures=())
        _plain_loop(
            replace(scratch, pending=scratch.pending[:2]), encoder, Path(folder)
        )  # warms caches and kernels
        seconds = StageSeconds()
        wall, cpu, num_frames = _timed_extraction(scratch, spec, settings, encoder, seconds)
        plain_wall = _wall(lambda: _plain_loop(scratch, encoder, Path(folder)))
    ours = _streamed_images_per_second(encoder)
    loops = _bare_loops(encoder)
    best = max(loops, key=lambda name: loops[name])
    return ExtractionBench(
        num_videos=len(plan.listed),
        num_frames=num_frames,
        frames_per_second=num_frames / wall,
        wall_over_cpu=wall / (cpu / len(os.sched_getaffinity(0))),
        speedup_over_plain_loop=plain_wall / wall,
        encoder_over_best_loop=ours / loops[best],
        best_loop=best,
        mfu=loops[best] * _flops_per_image(encoder) / _peak_flops(encoder),
        stage_seconds=asdict(seconds),
    )


def _timed_extraction(
    plan: ExtractionPlan, spec: EncoderSpec, settings: Settings, encoder: FrozenEncoder, seconds: StageSeconds
) -> tuple[float, float, int]:
    cpu_before, wall_before = _cpu_seconds(), time.perf_counter()
    num_frames = 0
    with StopRequest() as stop:
        for event in run_extraction(plan, spec, settings, seconds=seconds, stop=stop, encoder=encoder):
            num_frames += getattr(event, "num_rows", 0)
    return time.perf_counter() - wall_before, _cpu_seconds() - cpu_before, num_frames


def _cpu_seconds() -> float:
    """CPU time of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _wall(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _plain_loop(plan: ExtractionPlan, encoder: FrozenEncoder, folder: Path) -> None:
    transform = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(**_preprocess_cfg(encoder)), is_train=False
    )
    for number, video in enumerate(plan.pending):
        with av.open(str(plan.manifest.root / video.path), metadata_errors="ignore") as container:
            stream = container.streams.video[0]
            frames = list(container.decode(stream))
            images = [transform(frames[position].to_image()) for position in _shown(plan, frames, stream)]
        np.save(folder / f"{number}.npy", _encode_plainly(encoder, images))


def _shown(plan: ExtractionPlan, frames: Sequence[Any], stream: Any) -> list[int]:
    """Apply the plan's timeline to decoded frames, as `Timeline` defines it."""
    starts = [frame.pts for frame in frames]
    unit_seconds = Fraction(stream.time_base)
    ends = [*starts[1:], starts[-1] + round(1 / (unit_seconds * Fraction(stream.average_rate)))]
    keep = plan.timeline.selector(unit_seconds=unit_seconds, num_frames=len(frames))
    spans = zip(starts, ends, strict=True)
    return [
        index for index, (start, end) in enumerate(spans) if keep(index, start - starts[0], end - starts[0])
    ]


def _preprocess_cfg(encoder: FrozenEncoder) -> dict[str, object]:
    stated = asdict(encoder.description.preprocess)
    return {"size": stated.pop("image_size"), **stated}


@torch.inference_mode()
def _encode_plainly(encoder: FrozenEncoder, images: Sequence[Tensor]) -> np.ndarray:
    dtype = PRECISIONS[encoder.precision]
    chunks = torch.split(torch.stack(list(images)), 32)
    parts = [encoder.clip.visual(chunk.to(encoder.device, dtype)).float().cpu() for chunk in chunks]
    return torch.cat(parts).numpy()


def _streamed_images_per_second(encoder: FrozenEncoder) -> float:
    """Images/s from uint8, through the streams that extraction encodes with."""
    images = _noise(encoder)
    encoder.encode_images(images).cpu()
    with EncodeStreams(encoder.device.type) as streams:
        in_flight = deque(streams.submit(encoder.encode_images, images) for _ in range(streams.count + 1))
        began, num_images = time.perf_counter(), 0
        while time.perf_counter() - began < _ENCODER_SECONDS:
            num_images += len(in_flight.popleft().result().cpu())
            in_flight.append(streams.submit(encoder.encode_images, images))
        return num_images / (time.perf_counter() - began)


def _noise(encoder: FrozenEncoder) -> Tensor:
    size = encoder.description.preprocess.image_size
    return torch.randint(0, 256, (32, 3, size, size), dtype=torch.uint8, device=encoder.device)


def _bare_loops(encoder: FrozenEncoder) -> dict[str, float]:
    """Images/s of the image tower on tensors that are ready: as it is, and compiled where a compiler is found."""
    batch = normalise(_noise(encoder), encoder.description.preprocess, PRECISIONS[encoder.precision])
    loops: dict[str, float] = {}
    with torch.inference_mode():
        loops["eager"] = _images_per_second((encoder.clip.visual, batch), _ENCODER_SECONDS)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's compiler warns of its own deprecations
            compiled = torch.compile(encoder.clip.visual)
            loops["compiled"] = _images_per_second((compiled, batch), _ENCODER_SECONDS)
    except torch._dynamo.exc.TorchDynamoException:  # no public name; a machine without g++
        pass
    return loops


def _images_per_second(loop: tuple[Callable[[Tensor], Tensor] | nn.Module, Tensor], seconds: float) -> float:
    forward, batch = loop
    forward(batch).cpu()
    began, num_images = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        forward(batch).cpu()
        num_images += len(batch)
    return num_images / (time.perf_counter() - began)


def _flops_per_image(encoder: FrozenEncoder) -> float:
    size = encoder.description.preprocess.image_size
    image = torch.zeros(1, 3, size, size, device=encoder.device, dtype=PRECISIONS[encoder.precision])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        encoder.clip.visual(image)
    return float(counter.get_total_flops())


def _peak_flops(encoder: FrozenEncoder) -> float:
    """FLOP/s of a large matrix product in the encoder's precision: what the machine can do at best."""
    side = torch.randn(_GEMM_SIDE, _GEMM_SIDE, device=encoder.device).to(PRECISIONS[encoder.precision])
    products_per_second = _images_per_second((lambda batch: side @ batch, side), 1.0) / _GEMM_SIDE
    return 2.0 * _GEMM_SIDE**3 * products_per_second
