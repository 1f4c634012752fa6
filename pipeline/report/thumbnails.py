"""A strip of a few frames of a video, as one small JPEG.

Frames are decoded in the children that extraction uses, within narrower limits: a broken or hostile video costs a note
on the page, not the page.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlp.pipeline.decoding.pool import DecodePool
from vlp.pipeline.decoding.results import DecodeOutcome, DecodeRequest, FrameBlock, Limits
from vlp.pipeline.decoding.timeline import Timeline

HEIGHT = 84
MOST_BYTES = 24 << 10
_MOST_WIDTH_OF_FRAME = 3 * HEIGHT
_QUALITIES = (82, 60, 35, 10, 1)
_LIMITS = Limits(no_progress_seconds=20.0, total_seconds=60.0)


@dataclass(frozen=True)
class Strip:
    """Frames of a video, or why there are none.

    Attributes:
        jpeg: the picture, at most `MOST_BYTES`; None where no frame could be decoded.
        width, height: of the picture, pixels.
        note: why there is no picture, or why it shows only a part of the video; empty otherwise.
    """

    jpeg: bytes | None
    width: int = 0
    height: int = 0
    note: str = ""


def film_strips(
    requests: Sequence[DecodeRequest], *, num_frames: int = 3, num_children: int = 2
) -> dict[str, Strip]:
    """Cut frames, evenly spread, out of each of several videos.

    Args:
        requests: the videos.
        num_frames: of each.
        num_children: how many are decoded at once.

    Returns:
        By id, one for every request.

    Raises:
        ChildrenBroken: if no decode child starts.
    """
    if not requests:
        return {}
    frames: dict[tuple[str, int], list[Image.Image]] = {}
    strips: dict[str, Strip] = {}
    timeline = Timeline(num_frames=num_frames)
    with DecodePool(timeline, num_children=min(num_children, len(requests)), limits=_LIMITS) as pool:
        for event in pool.run(requests):
            if isinstance(event, FrameBlock):
                kept = frames.setdefault((event.video_id, event.attempt), [])
                kept += [_small(frame) for frame in event.frames[: num_frames - len(kept)]]
                event.release()
            else:
                strips[event.video_id] = _strip(event, frames.get((event.video_id, event.attempt), []))
    return strips


def _small(frame: NDArray[np.uint8]) -> Image.Image:
    picture = Image.fromarray(frame)
    width = round(picture.width * HEIGHT / picture.height)
    return picture.resize((min(max(width, 1), _MOST_WIDTH_OF_FRAME), HEIGHT), Image.Resampling.BICUBIC)


def _strip(outcome: DecodeOutcome, frames: Sequence[Image.Image]) -> Strip:
    if outcome.status == "failed" or not frames:
        reason = outcome.reason or "no frame"
        return Strip(None, note=f"{reason}: {outcome.detail}" if outcome.detail else reason)
    strip = Image.new("RGB", (sum(frame.width for frame in frames), HEIGHT))
    left = 0
    for frame in frames:
        strip.paste(frame, (left, 0))
        left += frame.width
    note = "" if outcome.status == "ok" else f"decoded in part ({outcome.reason})"
    return Strip(_jpeg(strip), strip.width, strip.height, note)


def _jpeg(picture: Image.Image) -> bytes:
    """Encode in the best quality that fits; the lowest fits any picture of this size."""
    written = b""
    for quality in _QUALITIES:
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=quality)
        written = stream.getvalue()
        if len(written) <= MOST_BYTES:
            break
    return written
