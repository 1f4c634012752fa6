"""What a running extraction tells, and the totals kept of it. Imports no torch."""

from dataclasses import dataclass, field, fields


@dataclass(frozen=True)
class VideoFinished:
    """One video is settled: encoded and handed to the store, or failed."""

    video_id: str
    status: str
    reason: str | None
    detail: str
    num_rows: int
    num_expected: int
    num_decoded: int


@dataclass(frozen=True)
class VideoEncoded:
    """A worker has encoded one more video; whether it is stored, `VideoFinished` will tell. Once a video."""

    video_id: str
    num_rows: int


@dataclass(frozen=True)
class WorkerLost:
    """A worker died, or made no progress; what it had not stored is tried again elsewhere."""

    worker: str
    why: str
    num_videos: int


@dataclass(frozen=True)
class SchedulerLost:
    """The Dask scheduler went away; the run waits for it."""

    address: str


@dataclass(frozen=True)
class Stopped:
    """A signal ended the run; what was whole has been committed."""

    signal: int


@dataclass(frozen=True)
class Started:
    """How the run goes about it: children are starting to decode, the encoder is being loaded."""

    device: str
    precision: str
    batch_size: int
    num_children: int
    num_workers: int = 1


@dataclass(frozen=True)
class BatchShrunk:
    """The device ran out of memory: from here on, features may differ in the last bits from an undisturbed run."""

    batch_size: int


Event = Started | VideoEncoded | VideoFinished | BatchShrunk | WorkerLost | SchedulerLost | Stopped


@dataclass
class StageSeconds:
    """Where the time goes: this process waiting for frames, and its own work; CPU of the children beside it."""

    waiting: float = 0.0
    preparing: float = 0.0
    encoding: float = 0.0
    writing: float = 0.0
    decoding_cpu: float = 0.0

    def add(self, other: "StageSeconds") -> None:
        """Count another process's time in."""
        for name in (item.name for item in fields(self)):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def bottleneck(self) -> str:
        """Name the stage that the others wait for."""
        if self.waiting > self.preparing + self.encoding:
            return "decoding"
        return "writing" if self.writing > self.preparing + self.encoding else "encoding"


@dataclass
class Counts:
    """Running totals of one extraction."""

    ok: int = 0
    short: int = 0
    failed: int = 0
    num_rows: int = 0
    num_frames_decoded: int = 0
    reasons: dict[str, int] = field(default_factory=dict)

    def add(self, event: VideoFinished) -> None:
        """Count one settled video."""
        setattr(self, event.status, getattr(self, event.status) + 1)
        self.num_rows += event.num_rows
        self.num_frames_decoded += event.num_decoded
        if event.reason is not None:
            self.reasons[event.reason] = self.reasons.get(event.reason, 0) + 1
