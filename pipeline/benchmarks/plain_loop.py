"""What extraction is measured against, in a process of its own: a research script's loop, and the bare image tower.

The loop opens a video, decodes it, preprocesses each frame with the model's PIL transform, encodes, saves a `.npy`,
goes on. Our own process lets OpenMP's threads wait asleep, since decode children share its cores; whoever encodes
alone is faster with OpenMP's default, so that is what this process has.
"""

import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from av.error import FFmpegError
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import PRECISIONS, FrozenEncoder, load_encoder
from vlp.pipeline.errors import PipelineError
from vlp.pipeline.open_clip_port import open_clip
from vlp.pipeline.planning import ExtractionPlan
from vlp.pipeline.preprocess import normalise

_GEMM_SIDE = 2048
_DEFAULT_SPINS = "300000"
# What this process holds once it has been started: the encoder, and its image tower as it is and compiled.
_loaded: list[FrozenEncoder] = []
_compiled: dict[str, Callable[[Tensor], Tensor]] = {}


class PlainProcess:
    """A process that has loaded the encoder and runs the plain loop and the bare towers when asked.

    Args:
        spec: the encoder.
        device, precision: of both sides of the comparison.
    """

    def __init__(self, spec: EncoderSpec, *, device: str, precision: str) -> None:
        self._pool = ProcessPoolExecutor(
            1, mp_context=get_context("spawn"), initializer=_load, initargs=(spec, device, precision)
        )
        with _waiting_as_usual():
            self._pool.submit(os.getpid).result()

    def __enter__(self) -> "PlainProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def extract_seconds(self, plan: ExtractionPlan, folder: Path) -> float:
        """Time the plain loop over the plan's pending videos; it writes into ``folder``.

        Raises:
            PipelineError: if it cannot read one of them.
        """
        try:
            return self._pool.submit(_plain_loop, plan, folder).result()
        except FFmpegError as error:
            raise PipelineError(f"the plain loop cannot read {error.filename}: {error.strerror}.") from error

    def images_per_second(self, images: Tensor, seconds: float) -> dict[str, float]:
        """Time the image tower on tensors that are ready: as it is, and compiled where a compiler is found.

        Args:
            images: (B, 3, S, S) uint8.
            seconds: how long to measure each.
        """
        return self._pool.submit(_bare_loops, images.numpy(), seconds).result()

    def peak_share(self, images_per_second: float) -> float:
        """Give the share of the machine's best matrix product, in FLOP/s, that so many images a second are."""
        return self._pool.submit(_peak_share, images_per_second).result()


@contextmanager
def _waiting_as_usual() -> Iterator[None]:
    before = os.environ.get("GOMP_SPINCOUNT")
    os.environ["GOMP_SPINCOUNT"] = _DEFAULT_SPINS  # outweighs the policy that our package sets
    try:
        yield
    finally:
        os.environ.pop("GOMP_SPINCOUNT")
        if before is not None:
            os.environ["GOMP_SPINCOUNT"] = before


def _load(spec: EncoderSpec, device: str, precision: str) -> None:
    _loaded.append(load_encoder(spec, device=device, precision=precision))


def _plain_loop(plan: ExtractionPlan, folder: Path) -> float:
    (encoder,) = _loaded
    transform = open_clip.transform.image_transform_v2(
        open_clip.transform.PreprocessCfg(**_preprocess_cfg(encoder)), is_train=False
    )
    began = time.perf_counter()
    for number, video in enumerate(plan.pending):
        with av.open(str(plan.manifest.root / video.path), metadata_errors="ignore") as container:
            stream = container.streams.video[0]
            frames = list(container.decode(stream))
            images = [transform(frames[position].to_image()) for position in _shown(plan, frames, stream)]
        np.save(folder / f"{number}.npy", _encode(encoder, images))
    return time.perf_counter() - began


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
def _encode(encoder: FrozenEncoder, images: Sequence[Tensor]) -> np.ndarray:
    dtype = PRECISIONS[encoder.precision]
    chunks = torch.split(torch.stack(list(images)), 32)
    parts = [encoder.clip.visual(chunk.to(encoder.device, dtype)).float().cpu() for chunk in chunks]
    return torch.cat(parts).numpy()


def _bare_loops(images: np.ndarray, seconds: float) -> dict[str, float]:
    (encoder,) = _loaded
    on_device = torch.from_numpy(images).to(encoder.device)
    batch = normalise(on_device, encoder.description.preprocess, PRECISIONS[encoder.precision])
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's compiler warns of its own deprecations
        return {
            name: _batches_per_second(tower, batch, seconds) * len(batch)
            for name, tower in _towers(batch).items()
        }


def _towers(batch: Tensor) -> dict[str, Callable[[Tensor], Tensor]]:
    (encoder,) = _loaded
    if not _compiled:
        _compiled["eager"] = encoder.clip.visual
        try:
            compiled: Callable[[Tensor], Tensor] = torch.compile(encoder.clip.visual)
            compiled(batch)
            _compiled["compiled"] = compiled
        except torch._dynamo.exc.TorchDynamoException:  # no public name; a machine without g++
            pass
    return _compiled


def _batches_per_second(forward: Callable[[Tensor], Tensor], batch: Tensor, seconds: float) -> float:
    forward(batch).cpu()
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        forward(batch).cpu()
        count += 1
    return count / (time.perf_counter() - began)


def _peak_share(images_per_second: float) -> float:
    (encoder,) = _loaded
    size = encoder.description.preprocess.image_size
    image = torch.zeros(1, 3, size, size, device=encoder.device, dtype=PRECISIONS[encoder.precision])
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        encoder.clip.visual(image)
    side = torch.randn(_GEMM_SIDE, _GEMM_SIDE, device=encoder.device).to(PRECISIONS[encoder.precision])
    peak_flops = 2.0 * _GEMM_SIDE**3 * _batches_per_second(lambda batch: side @ batch, side, 1.0)
    return images_per_second * float(counter.get_total_flops()) / peak_flops
