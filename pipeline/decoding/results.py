"""What goes into a decode pool and what comes out of it."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Status = Literal["ok", "short", "failed"]


@dataclass(frozen=True)
class Limits:
    """What one child may use before it is killed and its video tried once more elsewhere.

    Args:
        no_progress_seconds: without a frame, a packet or a hashed mebibyte, while it could work.
        total_seconds: for one video, plus the two allowances below; time spent waiting for the
            consumer does not count.
        total_seconds_per_frame: added for each frame that the file promises.
        total_seconds_per_mebibyte: added for each mebibyte of the file.
        rss_bytes: resident memory of the child, slots not counted.
        recycle_after: videos after which a child is replaced by a fresh one.
        max_frame_bytes: of one RGB frame; a larger one fails with ``too-large``.

    Raises:
        ValueError: if one is not above 0.
    """

    no_progress_seconds: float = 30.0
    total_seconds: float = 600.0
    total_seconds_per_frame: float = 0.5
    total_seconds_per_mebibyte: float = 5.0
    rss_bytes: int = 2 << 30
    recycle_after: int = 500
    max_frame_bytes: int = 128 << 20

    def __post_init__(self) -> None:
        for limit in fields(self):
            if not getattr(self, limit.name) > 0:
                raise ValueError(f"{limit.name} ({getattr(self, limit.name)}) must be above 0")


@dataclass(frozen=True)
class DecodeRequest:
    """A video to decode; ``video_id`` comes back with everything that is said about it."""

    video_id: str
    path: Path


@dataclass(frozen=True)
class FrameBlock:
    """Some kept frames of one video, in order; blocks of different videos interleave.

    Attributes:
        video_id: of the request.
        attempt: rows with another number than the video's final outcome are void.
        frames: (n, H, W, 3) uint8 RGB, upright; a view of shared memory, valid until `release`.
        pts_seconds: (n,) float64, strictly increasing, from the earliest frame that the file shows.
        frame_index: (n,) int32, strictly increasing, counts decoded source frames.
    """

    video_id: str
    attempt: int
    frames: NDArray[np.uint8]
    pts_seconds: NDArray[np.float64]
    frame_index: NDArray[np.int32]
    on_release: Callable[[], None] = field(repr=False, compare=False)

    def release(self) -> None:
        """Give the memory of ``frames`` back; from any thread, and more than once does no harm."""
        self.on_release()


@dataclass(frozen=True)
class DecodeOutcome:
    """How the decoding of one video ended; follows the video's last block.

    Attributes:
        video_id: of the request.
        attempt: the attempt whose rows count.
        status: ``ok``; ``short``: fewer frames than the file promises; ``failed``: none of the rows count.
        reason: None where ``ok``; short: truncated, damaged; failed: also missing, empty, not-a-file,
            permission, not-a-video, no-video-stream, unsupported-codec, no-frames, too-large, crashed,
            stalled, deadline, memory.
        detail: one line for a person.
        num_expected: source frames that the file promises; an estimate where it only promises bytes.
        num_decoded: source frames that were decoded, kept or not.
        native_fps: average rate of the stream; 0 where unknown.
        duration_seconds: end of the last decoded frame's display.
        decoder: ``decord`` or ``pyav``; empty where none was reached.
        source_sha256: of the file's bytes, hexadecimal; empty where they could not be read.
        decode_cpu_seconds: of the child, for this video.
    """

    video_id: str
    attempt: int
    status: Status
    reason: str | None
    detail: str
    num_expected: int = 0
    num_decoded: int = 0
    native_fps: float = 0.0
    duration_seconds: float = 0.0
    decoder: str = ""
    source_sha256: str = ""
    decode_cpu_seconds: float = 0.0


@dataclass(frozen=True)
class VideoInfo:
    """What a file says about itself before any of it is decoded.

    Attributes:
        num_frames: source frames that it promises.
        num_selected: those that the timeline would keep.
        width: of the upright frame, pixels.
        height: of the upright frame, pixels.
        native_fps: average rate; 0 where unknown.
        duration_seconds: end of the last frame's display.
        container: FFmpeg's name of the format.
        codec: FFmpeg's name of the codec.
        decoder: the one that would be tried first.
    """

    num_frames: int
    num_selected: int
    width: int
    height: int
    native_fps: float
    duration_seconds: float
    container: str
    codec: str
    decoder: str


@dataclass(frozen=True)
class ProbeOutcome:
    """What was found out about one video without decoding it: ``info``, or a reason and a detail."""

    video_id: str
    info: VideoInfo | None
    reason: str | None = None
    detail: str = ""
