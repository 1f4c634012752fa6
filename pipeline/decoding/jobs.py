"""A request on its way through a child, and the child's final answer to it."""

import os
import re
from dataclasses import dataclass

from vlp.pipeline.decoding import wire
from vlp.pipeline.decoding.results import (
    DecodeOutcome,
    DecodeRequest,
    FrameBlock,
    Limits,
    ProbeOutcome,
    Status,
    VideoInfo,
)
from vlp.pipeline.decoding.wire import GarbledMessage, Message

Event = FrameBlock | DecodeOutcome | ProbeOutcome

MANY = 1 << 60
_STATUSES: dict[str, Status] = {"ok": "ok", "short": "short", "failed": "failed"}


@dataclass
class Job:
    """A request: which attempt it is at, and what is known of the file by now."""

    request: DecodeRequest
    is_probe: bool
    attempt: int = 1
    is_retry: bool = False
    num_expected: int = 0
    size_bytes: int = 0

    def message(self) -> Message:
        """What the child is told."""
        path = os.path.abspath(self.request.path)  # noqa: PTH100 - resolve() follows links, absolute() keeps ..
        kind = "probe" if self.is_probe else "decode"
        return {"type": kind, "path": path, "attempt": self.attempt, "may_use_decord": not self.is_retry}

    def total_seconds(self, limits: Limits) -> float:
        """How long it may be worked on."""
        num_frames = min(self.num_expected, self.size_bytes)  # a damaged header may promise anything
        return (
            limits.total_seconds
            + limits.total_seconds_per_frame * num_frames
            + limits.total_seconds_per_mebibyte * self.size_bytes / (1 << 20)
        )

    def failed(self, reason: str, detail: str) -> DecodeOutcome | ProbeOutcome:
        """The outcome when no child could answer."""
        if self.is_probe:
            return ProbeOutcome(self.request.video_id, None, reason, detail)
        return DecodeOutcome(self.request.video_id, self.attempt, "failed", reason, detail)

    def answer(self, message: Message) -> DecodeOutcome | ProbeOutcome:
        """Read the child's last word on this job.

        Raises:
            GarbledMessage: it is not one.
        """
        kind = message.get("type")
        if kind == "done" and not self.is_probe:
            return _outcome(self, message)
        if kind == "info" and self.is_probe:
            return ProbeOutcome(self.request.video_id, _info(message))
        if kind == "unreadable" and self.is_probe:
            return self.failed(wire.text(message, "reason", 40), wire.text(message, "detail"))
        raise GarbledMessage(f"{kind!r} is no answer")


def _outcome(job: Job, message: Message) -> DecodeOutcome:
    status = _STATUSES.get(wire.text(message, "status"))
    sha256 = wire.text(message, "source_sha256")
    if status is None or not re.fullmatch(r"(?:[0-9a-f]{64})?", sha256):
        raise GarbledMessage("an outcome that is none")
    return DecodeOutcome(
        video_id=job.request.video_id,
        attempt=wire.integer(message, "attempt", job.attempt, job.attempt),
        status=status,
        reason=None if status == "ok" else wire.text(message, "reason", 40),
        detail=wire.text(message, "detail"),
        num_expected=wire.integer(message, "num_expected", 0, MANY),
        num_decoded=wire.integer(message, "num_decoded", 0, MANY),
        native_fps=wire.number(message, "native_fps"),
        duration_seconds=wire.number(message, "duration_seconds"),
        decoder=wire.text(message, "decoder", 20),
        source_sha256=sha256,
        decode_cpu_seconds=wire.number(message, "decode_cpu_seconds"),
    )


def _info(message: Message) -> VideoInfo:
    return VideoInfo(
        num_frames=wire.integer(message, "num_frames", 0, MANY),
        num_selected=wire.integer(message, "num_selected", 0, MANY),
        width=wire.integer(message, "width", 0, MANY),
        height=wire.integer(message, "height", 0, MANY),
        native_fps=wire.number(message, "native_fps"),
        duration_seconds=wire.number(message, "duration_seconds"),
        container=wire.text(message, "container"),
        codec=wire.text(message, "codec"),
        decoder=wire.text(message, "decoder"),
    )
