"""Videos whose frames carry their numbers, and a way to decode them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from vlp.pipeline.decoding.pool import DecodeOutcome, DecodePool, DecodeRequest, FrameBlock
from vlp.pipeline.decoding.timeline import Timeline

DATA = Path(__file__).parent / "data"
PALE, DARK = (235, 200, 120), (20, 40, 90)


def barcode(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """Draw ``number`` (0-255) as ten stripes: pale, eight bits, dark; inverted in the lower half."""
    bits = [1, *(number >> bit & 1 for bit in range(7, -1, -1)), 0]
    stripe = np.arange(width) * len(bits) // width
    upper = np.array([PALE if bit else DARK for bit in bits], np.uint8)[stripe]
    lower = np.array([DARK if bit else PALE for bit in bits], np.uint8)[stripe]
    return np.stack([upper if row < height // 2 else lower for row in range(height)])


def number_on(frame: NDArray[np.uint8]) -> int:
    """Read the number of an upright barcode; fails on anything else (turned, mirrored, torn)."""
    height, width, _ = frame.shape
    brightness = frame.astype(int).sum(axis=2)
    middles = [(2 * stripe + 1) * width // 20 for stripe in range(10)]
    upper = [bool(brightness[height // 4, x] > 360) for x in middles]
    lower = [bool(brightness[3 * height // 4, x] > 360) for x in middles]
    assert upper == [not bit for bit in lower], "the halves do not mirror each other"
    assert (upper[0], upper[9]) == (True, False), "not upright"
    return sum(bit << (7 - place) for place, bit in enumerate(upper[1:9]))


@dataclass(frozen=True)
class DecodedVideo:
    """What a pool delivered of one video: the rows of the attempt that counts."""

    outcome: DecodeOutcome
    frames: list[NDArray[np.uint8]]
    pts_seconds: list[float]
    frame_index: list[int]

    @property
    def numbers(self) -> list[int]:
        return [number_on(frame) for frame in self.frames]


def collect(pool: DecodePool, requests: Sequence[DecodeRequest]) -> dict[str, DecodedVideo]:
    """Decode and sort the rows by video, dropping void attempts; checks the order of events."""
    blocks: dict[tuple[str, int], list[tuple[Any, Any, Any]]] = {}
    videos: dict[str, DecodedVideo] = {}
    for event in pool.run(requests):
        assert event.video_id not in videos, "an event after the video's outcome"
        if isinstance(event, FrameBlock):
            rows = (event.frames.copy(), event.pts_seconds.copy(), event.frame_index.copy())
            blocks.setdefault((event.video_id, event.attempt), []).append(rows)
            event.release()
        else:
            rows_of_it = [] if event.status == "failed" else blocks.get((event.video_id, event.attempt), [])
            videos[event.video_id] = DecodedVideo(
                event,
                [frame for frames, _, _ in rows_of_it for frame in frames],
                [float(time) for _, times, _ in rows_of_it for time in times],
                [int(index) for _, _, indices in rows_of_it for index in indices],
            )
    assert sorted(videos) == sorted(request.video_id for request in requests)
    return videos


Decode = Callable[..., DecodedVideo]


@pytest.fixture(scope="session")
def decode() -> Iterator[Decode]:
    """Decode one file: ``decode(path, "fps:30")``; the children are shared by the session's tests."""
    pools: dict[str, DecodePool] = {}

    def one(path: Path, timeline: str = "native") -> DecodedVideo:
        if timeline not in pools:
            pools[timeline] = DecodePool(Timeline.parse(timeline), num_children=1)
        return collect(pools[timeline], [DecodeRequest("video", path)])["video"]

    yield one
    for pool in pools.values():
        pool.close()


@pytest.fixture(scope="session")
def collect_from() -> Callable[[DecodePool, Sequence[DecodeRequest]], dict[str, DecodedVideo]]:
    return collect


@pytest.fixture(scope="session")
def read_number() -> Callable[[NDArray[np.uint8]], int]:
    return number_on


@pytest.fixture(scope="session")
def data() -> Path:
    return DATA


@pytest.fixture(scope="session")
def render(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write numbered frames with PyAV: ``render("a.mp4", num_frames=30, pts=[...], codec="h264")``."""
    folder = tmp_path_factory.mktemp("rendered")

    def write(
        name: str,
        *,
        num_frames: int,
        codec: str = "libx264",
        fps: Fraction = Fraction(25),
        size: tuple[int, int] = (96, 64),
        pts: Sequence[int] | None = None,
        time_base: Fraction | None = None,
        options: dict[str, str] | None = None,
    ) -> Path:
        path = folder / name
        with av.open(path, "w") as container:
            stream = container.add_stream(codec, rate=fps, options=options or {})
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            stream.codec_context.time_base = time_base or 1 / fps
            for number in range(num_frames):
                frame = av.VideoFrame.from_ndarray(barcode(number % 256, *size), format="rgb24")
                frame.pts = number if pts is None else pts[number]
                frame.time_base = time_base or 1 / fps
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path

    return write
