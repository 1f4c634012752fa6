"""One video from its file to a sink of frames: which decoder, which frames, and was it all."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vlp.pipeline.decoding.probe import OpenVideo
from vlp.pipeline.decoding.promise import promised_frames, verdict
from vlp.pipeline.decoding.results import Status
from vlp.pipeline.decoding.sources import Disagreement, ShownFrame, decord_frames, pyav_frames
from vlp.pipeline.decoding.timeline import Timeline


class Sink(Protocol):
    """Takes the kept frames of one video."""

    def start(self, decoder: str, num_expected: int) -> None:
        """Begin an attempt: frames taken before are void."""

    def add(self, pixels: NDArray[np.uint8], pts_seconds: float, frame_index: int) -> None:
        """Take one (H, W, 3) frame."""


@dataclass(frozen=True)
class Decoded:
    """What was decoded of a video; the fields are those of `DecodeOutcome`."""

    status: Status
    reason: str | None
    detail: str
    num_expected: int
    num_decoded: int
    duration_seconds: float
    decoder: str


def decode_video(video: OpenVideo, timeline: Timeline, sink: Sink, *, may_use_decord: bool) -> Decoded:
    """Decode a video into a sink.

    decord goes first where it is known to be right; any disagreement starts again with PyAV. Where
    ``frames:N`` was computed from a count that turned out wrong, the right one starts again, too.

    Raises:
        UnreadableVideo: a frame is too large, or memory ran out.
    """
    promised = promised_frames(video.evidence)
    note = ""
    if may_use_decord and video.suits_decord:
        sink.start("decord", promised)
        try:
            num_decoded, end = _keep(decord_frames(video), video, timeline, sink, promised)
            return _judged(video, num_decoded, end, "decord", note)
        except Disagreement as disagreement:
            note = f"PyAV, as {disagreement}"
    sink.start("pyav", promised)
    num_decoded, end = _keep(pyav_frames(video), video, timeline, sink, promised)
    if timeline.num_frames is not None and num_decoded not in (0, promised):
        sink.start("pyav", num_decoded)
        num_decoded, end = _keep(pyav_frames(video), video, timeline, sink, num_decoded)
    return _judged(video, num_decoded, end, "pyav", note)


def _keep(
    frames: Iterator[ShownFrame], video: OpenVideo, timeline: Timeline, sink: Sink, num_frames: int
) -> tuple[int, int]:
    """Give the sink what the timeline keeps; returns the number of frames decoded and the last one's end."""
    clock = video.clock
    keep = timeline.selector(unit_seconds=clock.unit_seconds, num_frames=num_frames)
    alive: Callable[[], None] = video.alive
    num_decoded = end = 0
    for start, end, pixels in frames:
        alive()
        if keep(num_decoded, start, end):
            sink.add(pixels(), clock.seconds(start), num_decoded)
        num_decoded += 1
    return num_decoded, end


def _judged(video: OpenVideo, num_decoded: int, end: int, decoder: str, note: str) -> Decoded:
    num_errors = video.num_errors if decoder == "pyav" else 0
    status, reason, num_expected = verdict(video.evidence, num_decoded=num_decoded, num_errors=num_errors)
    counts = f"{num_decoded} of {num_expected} frames"
    if num_errors:
        counts += f", {num_errors} packets refused"
    detail = counts if status != "ok" else f"{num_decoded} frames"
    return Decoded(
        status=status,
        reason=reason,
        detail=f"{detail}; {note}" if note else detail,
        num_expected=num_expected,
        num_decoded=num_decoded,
        duration_seconds=video.clock.seconds(end),
        decoder=decoder,
    )
