"""What an extraction will cost, before it starts: frames, bytes, time, and whether the disk holds them."""

import math
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from vlp.datasplits.errors import OutsideRoot
from vlp.datasplits.manifest import Video
from vlp.pipeline.decoding.pool import DecodePool
from vlp.pipeline.decoding.results import DecodeRequest, VideoInfo
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.errors import PipelineError
from vlp.pipeline.events import StageSeconds, VideoFinished
from vlp.pipeline.pixel_format import PixelFormat
from vlp.pipeline.planning import ExtractionPlan, Settings, spread_sample
from vlp.stores.features import ExtractedVideo, FailedVideo
from vlp.stores.layout import Layout, layout_of
from vlp.stores.places import Place
from vlp.stores.spool import Spool
from vlp.stores.storage import free_bytes

_BYTES_A_NUMBER = 2
# pts_seconds, frame_index and a share of the commit's JSON.
_BYTES_A_ROW_BESIDE = 16
_PROBED_BEFORE_A_RUN = 32
_PROBED_BY_A_DRY_RUN = 2000
_MEASURED_VIDEOS = 3
_DISK_MARGIN = 1.05


class DiskTooSmall(PipelineError):
    """The features will not fit on the disk of the cache."""

    def __init__(self, folder: Place, needed_bytes: int, free_bytes: int) -> None:
        super().__init__(
            f"the features need about {needed_bytes / 1e9:,.2f} GB, and {folder} has {free_bytes / 1e9:,.2f} GB free."
        )
        self.folder = folder
        self.needed_bytes = needed_bytes
        self.free_bytes = free_bytes


@dataclass(frozen=True)
class Estimate:
    """What is known before a run.

    Args:
        num_videos: to extract.
        num_probed, num_unreadable: files whose packets were looked at, and how many of them cannot be read.
        num_frames: frames that will be stored.
        num_views: V, squares of each that will be encoded.
        num_bytes: they take on disk.
        free_bytes: of the disk they go to; None of a bucket.
        is_sampled: whether frames and bytes are scaled up from a sample.
        num_measured: videos extracted, without storing them, to measure the speed.
        frames_per_second: stored frames a second, all views of each encoded.
        seconds: the whole run at that speed.
    """

    num_videos: int
    num_probed: int
    num_unreadable: int
    num_frames: int
    num_views: int
    num_bytes: int
    free_bytes: int | None
    is_sampled: bool
    num_measured: int = 0
    frames_per_second: float = 0.0
    seconds: float = 0.0


class _Discarded:
    """A sink that keeps nothing.

    Args:
        layout: of the rows that come.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def spool(self) -> Spool:
        """Make room for the rows of one video."""
        return Spool(self._layout.dtype, self._layout.item_shape)

    def add(self, video: ExtractedVideo) -> None:
        """Drop a whole video."""

    def fail(self, video: FailedVideo) -> None:
        """Drop a failure."""

    def record_batch_size(self, batch_size: int) -> None:
        """Nothing is stored that it would describe."""


def check_disk(plan: ExtractionPlan) -> Estimate:
    """Estimate the bytes from a few videos, and refuse a disk that cannot hold them.

    Raises:
        DiskTooSmall: before anything is written.
    """
    found = _probe(plan, _PROBED_BEFORE_A_RUN)
    if found.free_bytes is not None and found.num_bytes * _DISK_MARGIN > found.free_bytes:
        raise DiskTooSmall(plan.store, found.num_bytes, found.free_bytes)
    return found


def estimate(plan: ExtractionPlan, spec: EncoderSpec | PixelFormat, settings: Settings) -> Estimate:
    """Probe the videos, and extract a few without storing them to learn the speed."""
    found = _probe(plan, _PROBED_BY_A_DRY_RUN)
    sample = spread_sample(plan.pending, _MEASURED_VIDEOS)
    rate = _measured_rate(plan, spec, settings, sample) if sample else 0.0
    seconds = found.num_frames / rate if rate else 0.0
    return Estimate(
        **{**vars(found), "num_measured": len(sample), "frames_per_second": rate, "seconds": seconds}
    )


def _probe(plan: ExtractionPlan, most: int) -> Estimate:
    sample = spread_sample(plan.pending, most) if plan.pending else []
    with DecodePool(plan.timeline, num_children=1) as pool:
        readable = [found.info for found in pool.probe(_requests(plan, sample)) if found.info]
    share = len(plan.pending) / max(len(sample), 1)
    num_bytes = sum(info.num_selected * _row_bytes(plan, info) for info in readable)
    return Estimate(
        num_videos=len(plan.pending),
        num_probed=len(sample),
        num_unreadable=len(sample) - len(readable),
        num_frames=math.ceil(sum(info.num_selected for info in readable) * share),
        num_views=len(plan.framing.views),
        num_bytes=math.ceil(num_bytes * share),
        free_bytes=free_bytes(plan.store),
        is_sampled=len(sample) < len(plan.pending),
    )


def _row_bytes(plan: ExtractionPlan, info: VideoInfo) -> int:
    if isinstance(plan.description, PixelFormat):
        return plan.description.estimated_bytes(info.height, info.width) + _BYTES_A_ROW_BESIDE
    num_views = len(plan.framing.views)
    return num_views * plan.description.embed_dim * _BYTES_A_NUMBER + _BYTES_A_ROW_BESIDE


def _requests(plan: ExtractionPlan, videos: Iterable[Video]) -> list[DecodeRequest]:
    """Ask for videos; one whose path leads out of the root is left to the run, which fails it."""
    requests = []
    for video in videos:
        with suppress(OutsideRoot):
            requests.append(DecodeRequest(video.video_id, plan.manifest.absolute(video)))
    return requests


def _measured_rate(
    plan: ExtractionPlan, spec: EncoderSpec | PixelFormat, settings: Settings, sample: list[Video]
) -> float:
    from vlp.pipeline.batching import ImageEncoder
    from vlp.pipeline.encoders import load_encoder
    from vlp.pipeline.extraction import extract
    from vlp.pipeline.pixels import PixelCoder
    from vlp.pipeline.stopping import StopRequest

    if isinstance(spec, PixelFormat):
        encoder: ImageEncoder = PixelCoder(spec)
    else:
        encoder = load_encoder(spec, device=settings.device, precision=settings.precision)
    with StopRequest() as stop, DecodePool(plan.timeline, num_children=settings.children) as pool:
        began = time.perf_counter()
        events = extract(
            iter(_requests(plan, sample)),
            pool,
            lambda: encoder,
            _Discarded(layout_of(plan.meaning, len(plan.framing.views), plan.width)),
            batch_size=settings.batch_size or 16,
            framing=plan.framing,
            attempts=lambda _: 0,
            seconds=StageSeconds(),
            stop=stop,
        )
        num_rows = sum(event.num_rows for event in events if isinstance(event, VideoFinished))
        return num_rows / (time.perf_counter() - began)
