"""`vlp bench pixels`: what each codec of stored pixels costs in bytes, time and likeness.

Likeness is the cosine between an encoder's features of frames that were stored and read, and of the same frames that
never were. Both sides cut the centre of the frame with a short side of 256, so that nothing but the codec differs where
the encoder takes 224.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vlp.pipeline.decoding.pool import DecodePool
from vlp.pipeline.decoding.results import DecodeRequest, FrameBlock
from vlp.pipeline.decoding.timeline import Timeline
from vlp.pipeline.encoders import FrozenEncoder
from vlp.pipeline.errors import PipelineError
from vlp.pipeline.framing import CENTRE, Framing
from vlp.pipeline.pixel_format import CODECS, PixelFormat
from vlp.pipeline.pixels import PixelCoder
from vlp.stores.pixels import decode_picture

_CENTRE_OF_256 = Framing.parse("1", "short256-center224")


@dataclass(frozen=True)
class CodecFigures:
    """What one codec costs.

    Args:
        bytes_per_frame: on disk.
        raw_over_stored: how many times smaller that is than the pixels.
        encode_frames_per_second, decode_frames_per_second: on one core.
        min_cosine, mean_cosine: over all frames, of stored against direct features.
    """

    bytes_per_frame: float
    raw_over_stored: float
    encode_frames_per_second: float
    decode_frames_per_second: float
    min_cosine: float
    mean_cosine: float


@dataclass(frozen=True)
class PixelsBench:
    """What one run of the bench measured.

    Args:
        num_videos, num_frames: that were stored.
        codecs: figures by the name that `--codec` takes.
    """

    num_videos: int
    num_frames: int
    codecs: dict[str, CodecFigures]


def bench_pixels(paths: Sequence[Path], encoder: FrozenEncoder, *, num_frames: int) -> PixelsBench:
    """Store and read frames of videos by every codec.

    Args:
        paths: of the videos.
        encoder: whose features are compared.
        num_frames: of each video, evenly spread.

    Raises:
        PipelineError: if no video can be decoded.
    """
    videos = _frames(paths, num_frames)
    if not videos:
        raise PipelineError("none of the videos can be decoded.")
    direct = [_features(encoder, frames) for frames in videos]
    codecs = {codec: _figures(PixelCoder(PixelFormat(codec)), videos, encoder, direct) for codec in CODECS}
    return PixelsBench(len(videos), sum(map(len, videos)), codecs)


def _frames(paths: Sequence[Path], num_frames: int) -> list[Tensor]:
    """Decode (n, H, W, 3) frames of each video that can be decoded."""
    blocks: dict[str, list[NDArray[np.uint8]]] = {}
    with DecodePool(Timeline(num_frames=num_frames), num_children=1) as pool:
        for block in pool.run(DecodeRequest(str(path), path) for path in paths):
            if isinstance(block, FrameBlock):
                blocks.setdefault(f"{block.video_id}:{block.attempt}", []).append(block.frames.copy())
                block.release()
    return [torch.from_numpy(np.concatenate(parts)) for parts in blocks.values()]


def _features(encoder: FrozenEncoder, frames: Tensor) -> Tensor:
    images = encoder.prepare(frames, _CENTRE_OF_256).flatten(0, 1)
    return torch.cat([encoder.encode_images(image[None]).float() for image in images])


def _figures(
    coder: PixelCoder, videos: Sequence[Tensor], encoder: FrozenEncoder, direct: Sequence[Tensor]
) -> CodecFigures:
    resized = [coder.prepare(frames, CENTRE)[:, 0] for frames in videos]
    encode_seconds, encoded = _timed(lambda: [coder.encode_images(images)[:, 0] for images in resized])
    decode_seconds, decoded = _timed(
        lambda: [np.stack([decode_picture(picture) for picture in pictures]) for pictures in encoded]
    )
    cosines = torch.cat(
        [
            torch.nn.functional.cosine_similarity(_features(encoder, torch.from_numpy(frames)), features)
            for frames, features in zip(decoded, direct, strict=True)
        ]
    )
    num_frames = len(cosines)
    num_bytes = sum(len(picture) for pictures in encoded for picture in pictures)
    return CodecFigures(
        bytes_per_frame=num_bytes / num_frames,
        raw_over_stored=sum(images.numel() for images in resized) / num_bytes,
        encode_frames_per_second=num_frames / encode_seconds,
        decode_frames_per_second=num_frames / decode_seconds,
        min_cosine=float(cosines.min()),
        mean_cosine=float(cosines.mean()),
    )


def _timed(work: Callable[[], list[Any]]) -> tuple[float, list[Any]]:
    """Count the CPU seconds of this thread, which others on the machine do not change."""
    began = time.thread_time()
    done = work()
    return max(time.thread_time() - began, 1e-9), done
