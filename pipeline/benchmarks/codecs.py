"""`vlp bench codecs`: what compressing features would save, cost and change.

Each codec packs the features of every video by itself, in RAM, and gives back clips of frames spread over a video, as
training reads them. All are read in turn within one run. Blocks of compressed codecs are of the store's own chunk size,
so that a clip decompresses what it would decompress there.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numcodecs import Zstd
from numpy.typing import NDArray

from vlp.pipeline.benchmarks.rounds import interleaved, speed_ratio
from vlp.pipeline.sampling import segment_centres
from vlp.stores.features import FeatureStore

NUM_CLIPS = 256
_BLOCK_BYTES = 1 << 20
_ZSTD_LEVEL = 3
_LARGEST_INT8 = 127

Rows = NDArray[np.float16]
Clip = tuple[int, NDArray[np.int64]]  # which video, which of its rows


class Packed(Protocol):
    """The frames of one video in some codec."""

    @property
    def num_bytes(self) -> int:
        """What it takes."""

    def rows(self, index: NDArray[np.int64]) -> Rows:
        """Give some frames back, (T, D)."""


@dataclass(frozen=True)
class Raw:
    """Frames as they are: float16."""

    features: Rows

    @property
    def num_bytes(self) -> int:
        """What it takes."""
        return self.features.nbytes

    def rows(self, index: NDArray[np.int64]) -> Rows:
        """Give some frames back, (T, D)."""
        return self.features[index]


@dataclass(frozen=True)
class Int8:
    """A scale a frame, by which its largest number becomes 127."""

    levels: NDArray[np.int8]
    scales: NDArray[np.float32]

    @classmethod
    def pack(cls, features: Rows) -> "Int8":
        """Round (n, D) frames to 255 levels each."""
        wide = features.astype(np.float32)
        scales = (
            np.maximum(np.abs(wide).max(axis=1, keepdims=True), np.finfo(np.float16).tiny) / _LARGEST_INT8
        )
        return cls(np.rint(wide / scales).astype(np.int8), scales)

    @property
    def num_bytes(self) -> int:
        """What it takes."""
        return self.levels.nbytes + self.scales.nbytes

    def rows(self, index: NDArray[np.int64]) -> Rows:
        """Give some frames back, (T, D)."""
        return (self.levels[index] * self.scales[index]).astype(np.float16)


class Compressed:
    """Another codec's rows in blocks under zstd.

    Args:
        features: (n, D) frames.
        kind: "raw" or "int8", what is compressed.
    """

    def __init__(self, features: Rows, kind: str) -> None:
        row_bytes = features.shape[1] * (2 if kind == "raw" else 1)
        self._rows_per_block = max(1, _BLOCK_BYTES // row_bytes)
        self._zstd, self._width = Zstd(level=_ZSTD_LEVEL), features.shape[1]
        packed = Int8.pack(features) if kind == "int8" else None
        self._scales = None if packed is None else packed.scales
        rows = features if packed is None else packed.levels
        self._dtype = rows.dtype
        starts = range(0, len(rows), self._rows_per_block)
        self._blocks = [self._zstd.encode(rows[at : at + self._rows_per_block]) for at in starts]

    @property
    def num_bytes(self) -> int:
        """What it takes."""
        scales = 0 if self._scales is None else self._scales.nbytes
        return sum(map(len, self._blocks)) + scales

    def rows(self, index: NDArray[np.int64]) -> Rows:
        """Give some frames back, (T, D), decompressing the blocks that hold them."""
        blocks = {number: self._block(number) for number in set((index // self._rows_per_block).tolist())}
        found = np.stack(
            [blocks[at // self._rows_per_block][at % self._rows_per_block] for at in index.tolist()]
        )
        if self._scales is None:
            return np.asarray(found, dtype=np.float16)
        return np.asarray(found * self._scales[index], dtype=np.float16)

    def _block(self, number: int) -> NDArray[np.float16 | np.int8]:
        held: NDArray[np.float16 | np.int8] = np.frombuffer(
            self._zstd.decode(self._blocks[number]), dtype=self._dtype
        )
        return held.reshape(-1, self._width)


CODECS: dict[str, Callable[[Rows], Packed]] = {
    "raw": Raw,
    "zstd": lambda features: Compressed(features, "raw"),
    "int8": Int8.pack,
    "int8_zstd": lambda features: Compressed(features, "int8"),
}


@dataclass(frozen=True)
class CodecFigures:
    """What one codec does.

    Attributes:
        bytes_over_raw: of all features.
        clips_over_raw: clips read a second, over those of raw.
        mean_cosine: of a frame with itself as it was.
        least_cosine: of the worst frame.
        top1: zero-shot accuracy from what is given back, as a fraction.
    """

    bytes_over_raw: float
    clips_over_raw: float
    mean_cosine: float
    least_cosine: float
    top1: float


@dataclass(frozen=True)
class CodecsBench:
    """What one run of the bench measured: the features, and each codec's figures by its name."""

    num_videos: int
    num_rows: int
    embed_dim: int
    codecs: Mapping[str, CodecFigures]


def bench_codecs(
    store: FeatureStore,
    video_ids: Sequence[str],
    top1_of: Callable[[NDArray[np.float32]], float],
    *,
    num_frames: int = 16,
    seconds: float = 6.0,
) -> CodecsBench:
    """Pack the first view of videos by every codec, and read clips of them.

    Args:
        store: where the features are.
        video_ids: B videos.
        top1_of: zero-shot accuracy of (B, D) mean embeddings.
        num_frames: T, frames a clip, evenly spread.
        seconds: how long to measure, about.

    Raises:
        VideoMissing, StoreDamaged: as `FeatureStore.read`.
    """
    videos = [np.array(store.read(video_id).features[:, 0]) for video_id in video_ids]
    packed = {name: [pack(features) for features in videos] for name, pack in CODECS.items()}
    rng = np.random.default_rng(0)
    clips = [
        (int(at), segment_centres(len(videos[at]), num_frames))
        for at in rng.integers(len(videos), size=NUM_CLIPS)
    ]
    walls = dict(
        zip(packed, interleaved([_read_from(held) for held in packed.values()], clips, seconds), strict=True)
    )
    figures = {}
    for name, held in packed.items():
        given_back = [one.rows(np.arange(len(raw))) for one, raw in zip(held, videos, strict=True)]
        cosines = np.concatenate([_cosines(one, raw) for one, raw in zip(given_back, videos, strict=True)])
        means = np.stack([one.mean(axis=0, dtype=np.float32) for one in given_back])
        figures[name] = CodecFigures(
            bytes_over_raw=sum(one.num_bytes for one in held) / sum(one.num_bytes for one in packed["raw"]),
            clips_over_raw=speed_ratio(walls["raw"], walls[name]),
            mean_cosine=float(cosines.mean()),
            least_cosine=float(cosines.min()),
            top1=top1_of(means),
        )
    return CodecsBench(len(videos), sum(map(len, videos)), store.embed_dim, figures)


def _read_from(held: Sequence[Packed]) -> Callable[[Clip], object]:
    return lambda clip: held[clip[0]].rows(clip[1])


def _cosines(given_back: Rows, raw: Rows) -> NDArray[np.float64]:
    one, other = given_back.astype(np.float64), raw.astype(np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.asarray((one * other).sum(axis=1) / np.maximum(lengths, np.finfo(np.float64).tiny))
