"""Opens a file that nobody vouches for, and finds out what is in it.

Only a regular file is opened, once, and read through its descriptor; only the demuxers of `CONTAINERS` may
look at it and only the `file` protocol may be used, so that playlists and descriptions (m3u8, concat, sdp)
reach neither another file nor the network.
"""

import os
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray

from vlp.pipeline.decoding.clock import Clock, DisplaySpans, make_clock
from vlp.pipeline.decoding.container_size import promised_bytes
from vlp.pipeline.decoding.errors import UnreadableVideo
from vlp.pipeline.decoding.files import cut_container, open_regular
from vlp.pipeline.decoding.promise import Evidence, frames_in, promised_frames
from vlp.pipeline.decoding.results import VideoInfo
from vlp.pipeline.decoding.rgb import RgbConverter
from vlp.pipeline.decoding.timeline import Timeline

CONTAINERS = "mov,mp4,matroska,webm,avi,mpegts,mpeg,asf,flv,ogg,mxf,dv,nut,ivf,m4v,mpegvideo,h264,hevc,obu"
DECORD_CONTAINERS = {"mov", "matroska"}
DECORD_CODECS = {"h264", "hevc", "vp9", "av1"}
DECORD_FRAMES = 20_000  # it keeps some 300 bytes of each: a long video is PyAV's, which keeps none
_KEPT_BYTES = 32 << 20  # packets of files up to this size are read once,
_KEPT_PACKETS = 10_000  # unless there are more: each takes some 700 bytes beside its own

Alive = Callable[[], None]


@dataclass(frozen=True)
class _Packets:
    """The video packets of a file: how many, and when they are shown."""

    num_packets: int
    num_shown: int
    pts: NDArray[np.int64] | None
    dts: NDArray[np.int64]
    last_duration: int | None
    error: str


class OpenVideo:
    """A video file that was demuxed once from end to end.

    Attributes:
        path: a name of the open descriptor, safe to give to another library.
        evidence: what the frames will be counted against.
        clock: of its frames.
        rate_fps: average rate; None where unknown.
        num_errors: packets that the decoder refused since the last `decoded_frames`.
    """

    def __init__(self, file: BinaryIO, *, max_frame_bytes: int, alive: Alive) -> None:
        self._file = file
        self.alive = alive
        self._kept: list[Any] | None = []
        self.num_errors = 0
        self.path = f"/proc/self/fd/{file.fileno()}"
        self.size_bytes = os.fstat(file.fileno()).st_size
        self._open()
        stream = self._stream
        if stream.width * stream.height * 3 > max_frame_bytes:
            raise UnreadableVideo("too-large", f"frames of {stream.width}x{stream.height} pixels")
        self.rate_fps: Fraction | None = stream.average_rate or stream.guessed_rate
        self._packets = self._demux()
        self.clock: Clock = make_clock(
            None if "avi" in self._names else self._packets.pts,
            time_base=stream.time_base,
            rates_fps=(stream.base_rate, self.rate_fps),
        )
        self.evidence = self._evidence()
        self.num_video_streams = len(_video_streams(self._container))
        self._is_fresh = True

    def close(self) -> None:
        """Close the container; the descriptor belongs to the caller."""
        self._container.close()

    @property
    def _names(self) -> list[str]:
        return list(self._container.format.name.split(","))

    def _open(self) -> None:
        options = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}
        try:
            self._container = av.open(self.path, metadata_errors="ignore", options=options)
        except FFmpegError as error:
            raise self._unreadable(error) from error
        videos = _video_streams(self._container)
        if not videos:
            why = UnreadableVideo("no-video-stream", f"{self._container.format.name} without a video stream")
            raise self._cut() or why
        best = self._container.streams.best("video")
        self._stream = best if best in videos else videos[0]
        if self._stream.codec_context is None:
            raise UnreadableVideo("unsupported-codec", "FFmpeg has no decoder for the video stream")
        self._stream.thread_count = 1

    def _unreadable(self, error: FFmpegError) -> UnreadableVideo:
        if isinstance(error, MemoryError):
            return UnreadableVideo("memory", "out of memory while opening")
        reason = UnreadableVideo("not-a-video", f"no known video container: {error.strerror}")
        return self._cut() or reason

    def _cut(self) -> UnreadableVideo | None:
        cut = cut_container(self._file, self.size_bytes)
        return UnreadableVideo("truncated", f"{cut} file that ends before its header says") if cut else None

    def _demux(self) -> _Packets:
        pts, dts = array("q"), array("q")  # a film has hundreds of thousands of packets
        num_packets = num_without = 0
        last, error = None, ""
        if self.size_bytes > _KEPT_BYTES:
            self._kept = None
        try:
            for packet in self._container.demux(self._stream):
                self.alive()
                if not packet.size:
                    continue
                self._keep(packet)
                num_packets += 1
                if packet.dts is not None:
                    dts.append(packet.dts)
                if packet.size > 1 and not packet.is_discard:
                    if packet.pts is None:
                        num_without += 1
                    else:
                        pts.append(packet.pts)
                    last = packet.duration
        except FFmpegError as failure:
            error = str(failure.strerror)
        num_shown = len(pts) + num_without
        shown = None if num_without else _ascending(pts)
        return _Packets(num_packets, num_shown, shown, np.sort(np.array(dts, np.int64)), last, error)

    def _keep(self, packet: Any) -> None:
        if self._kept is not None:
            self._kept.append(packet)
            if len(self._kept) > _KEPT_PACKETS:
                self._kept = None

    def _evidence(self) -> Evidence:
        packets, stream = self._packets, self._stream
        times = packets.dts if packets.pts is None or "avi" in self._names else packets.pts
        tick = stream.time_base
        start = stream.start_time or 0
        read = (
            (int(times[-1]) + (packets.last_duration or self.clock.period) - start) * tick
            if len(times)
            else None
        )
        duration = stream.duration * tick if stream.duration else None
        if duration is None and self._container.duration and len(self._container.streams) == 1:
            duration = Fraction(self._container.duration, av.time_base)
        header = stream.frames
        return Evidence(
            container=self._container.format.name,
            codec=self.codec,
            header_frames=header,
            num_packets=packets.num_packets,
            num_shown=packets.num_shown,
            declared_frames=header or frames_in(duration, self.rate_fps),
            read_frames=frames_in(read, self.rate_fps) if "avi" in self._names or not header else 0,
            size_bytes=self.size_bytes,
            promised_bytes=promised_bytes(self._file, self._container.format.name, self.size_bytes),
            read_failed=bool(packets.error),
        )

    @property
    def codec(self) -> str:
        """FFmpeg's name of the codec (not of one of its decoders)."""
        return str(self._stream.codec_context.codec.canonical_name)

    @property
    def spans(self) -> DisplaySpans | None:
        """When each frame is shown by the packets, in units; None where they do not say."""
        packets = self._packets
        times = packets.dts if self.clock.uses_decode_times else packets.pts
        if times is None or len(times) == 0:
            return None
        return DisplaySpans(self.clock, times, packets.last_duration)

    @property
    def suits_decord(self) -> bool:
        """Whether this is of the kinds where decord in order is known to be right."""
        return (
            not DECORD_CONTAINERS.isdisjoint(self._names)
            and self.codec in DECORD_CODECS
            and self._packets.pts is not None
            and self.num_video_streams == 1
            and self.evidence.num_packets <= DECORD_FRAMES
            and self.evidence.num_shown == self.evidence.num_packets
            and self.evidence.header_frames in (0, self.evidence.num_packets)
            and not self.evidence.is_cut
            and not self.evidence.read_failed
        )

    def decoded_frames(self) -> Iterator[Any]:
        """Decode from the beginning with PyAV: `av.VideoFrame` in display order.

        Packets that the decoder refuses are counted in `num_errors` and passed over.
        """
        self.num_errors = 0
        for packet in self._packets_from_start():
            if packet is None or packet.size:
                self.alive()
                yield from self._decode(packet)

    def _decode(self, packet: Any) -> list[Any]:
        try:
            return list(self._stream.codec_context.decode(packet))
        except MemoryError as error:
            raise UnreadableVideo("memory", "out of memory while decoding") from error
        except FFmpegError:
            self.num_errors += 1
            return []

    def _packets_from_start(self) -> Iterator[Any]:
        if self._kept is not None and self._is_fresh:
            self._is_fresh = False
            yield from self._kept
        else:
            self._container.close()
            self._open()
            yield from self._read_again()
        yield None  # flush

    def _read_again(self) -> Iterator[Any]:
        try:
            yield from (packet for packet in self._container.demux(self._stream) if packet.size)
        except FFmpegError:
            return  # the first reading recorded it

    def first_frame(self) -> NDArray[np.uint8] | None:
        """Decode the first frame, upright; None where nothing can be decoded."""
        frame = next(self.decoded_frames(), None)
        return None if frame is None else RgbConverter().convert(frame)

    def info(self, timeline: Timeline) -> VideoInfo:
        """Say what decoding would give."""
        promised = promised_frames(self.evidence)
        first = self.first_frame()
        height, width = (self._stream.height, self._stream.width) if first is None else first.shape[:2]
        period, unit = self.clock.period, self.clock.unit_seconds
        spans = self.spans
        even = ((index * period, (index + 1) * period) for index in range(promised))
        return VideoInfo(
            num_frames=promised,
            num_selected=timeline.count(spans or even, unit_seconds=unit, num_frames=promised),
            width=width,
            height=height,
            native_fps=float(self.rate_fps or 0),
            duration_seconds=self.clock.seconds(spans.end if spans else promised * period),
            container=self.evidence.container,
            codec=self.codec,
            decoder="decord" if self.suits_decord else "pyav",
        )


@contextmanager
def open_video(path: Path, *, max_frame_bytes: int, alive: Alive) -> Iterator[OpenVideo]:
    """Open and demux a file.

    Args:
        path: of the file; anything but a regular file is refused before it is opened.
        max_frame_bytes: of one RGB frame.
        alive: called for every packet.

    Raises:
        UnreadableVideo: with a reason, if no video can be had from it.
    """
    with open_regular(path) as file:
        video = OpenVideo(file, max_frame_bytes=max_frame_bytes, alive=alive)
        try:
            yield video
        finally:
            video.close()


def _video_streams(container: Any) -> list[Any]:
    """Video streams that move: a cover picture is not one."""
    pictures = av.stream.Disposition.attached_pic
    return [stream for stream in container.streams.video if not stream.disposition & pictures]


def _ascending(pts: "array[int]") -> NDArray[np.int64] | None:
    """Sort presentation times; None where there are none, or two are the same."""
    ordered = np.sort(np.array(pts, np.int64))
    return ordered if len(ordered) > 0 and bool((np.diff(ordered) > 0).all()) else None


def probe(path: Path, timeline: Timeline, *, max_frame_bytes: int, alive: Alive = lambda: None) -> VideoInfo:
    """Say what is in a file and what the timeline would keep of it; decodes the first frame only.

    Reads a file that nobody vouches for: call it in a child, through `DecodePool.probe`.

    Raises:
        UnreadableVideo: with a reason, if no video can be had from it.
    """
    with open_video(path, max_frame_bytes=max_frame_bytes, alive=alive) as video:
        return video.info(timeline)
