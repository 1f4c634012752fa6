"""`vlp bench bank`: clips from a bank against the bare NumPy gather of the same rows.

Both sides gather the same clips of the same features, in turn, within one run. The bare side is one `numpy.take`
of row numbers that are ready: from a plain array in RAM, and from a plain `numpy.memmap` of a file that holds the
same rows. The bank's side starts from videos and steps, checks them, turns them into rows and ends in a torch
tensor. Drawing the steps is on neither side; it is timed by itself.

The goal is stated for rows of 512, ViT-B's width. Features that are narrower, such as the toy encoder's, are
repeated sideways up to that in a temporary store: a gather of 16 rows of 256 bytes takes 0.2 µs, less than any
arithmetic on its 16 steps, and says nothing of how features are gathered.
"""

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlp.pipeline.bank import FeatureBank, timeline_fps
from vlp.pipeline.benchmarks.rounds import FEWEST_ROUNDS, interleaved, speed_ratio, wall_seconds
from vlp.pipeline.instants import StepTable, step_rows
from vlp.pipeline.placements import MEMORY_MAP, RAM
from vlp.pipeline.recipe import Recipe
from vlp.pipeline.sampling import random_gap_clips
from vlp.stores.features import ExtractedVideo, FeatureStore, VideoEntry, VideoFeatures

NUM_BATCHES = 64
MOST_BYTES = 512 << 20
"""Features beyond this are left out: three copies of them are held at once."""


@dataclass(frozen=True)
class BankBench:
    """What one run of the bench measured.

    Args:
        num_videos, num_rows, embed_dim, num_segments: what was gathered from.
        stored_embed_dim: width of the store's own features.
        ram_over_gather: clips/s of a bank in RAM over those of the bare gather from an array.
        disk_over_gather: clips/s of a memory-mapped bank over those of the bare gather from a memory map.
        clips_per_second: of the bank in RAM.
        disk_clips_per_second: of the memory-mapped bank, its pages in memory.
        sampling_clips_per_second: `random_gap_clips` alone.
    """

    num_videos: int
    num_rows: int
    embed_dim: int
    stored_embed_dim: int
    num_segments: int
    ram_over_gather: float
    disk_over_gather: float
    clips_per_second: float
    disk_clips_per_second: float
    sampling_clips_per_second: float


@dataclass(frozen=True)
class _Batch:
    """Clips of one batch: as a bank is asked for them, and as row numbers of all features in a row."""

    videos: NDArray[np.int64]
    steps: NDArray[np.int64]
    rows: NDArray[np.int64]


_Work = Callable[[_Batch], object]


def bench_bank(
    store: FeatureStore,
    *,
    num_frames: int = 16,
    batch_size: int = 64,
    seconds: float = 8.0,
    least_embed_dim: int = 512,
) -> BankBench:
    """Gather random clips from a store's features, by a bank and bare.

    Args:
        store: where the features are; its first videos, up to `MOST_BYTES`.
        num_frames: T, frames a clip.
        batch_size: B, clips a batch.
        seconds: how long to measure, about.
        least_embed_dim: the width to which narrower features are repeated; 1 measures them as they are.

    Raises:
        StoreDamaged: as `FeatureStore.read`.
        StoreFull, StoreUnwritable: if the temporary folder cannot hold the features.
        ValueError: if the store holds no video.
    """
    embed_dim = max(store.embed_dim, least_embed_dim)
    video_ids = _first_videos(store, embed_dim)
    with tempfile.TemporaryDirectory(prefix="vlp-bench-") as folder:
        wide = store if embed_dim == store.embed_dim else _widened(store, video_ids, embed_dim, Path(folder))
        return _measure(wide, video_ids, Path(folder), num_frames, batch_size, seconds, store.embed_dim)


def _measure(
    store: FeatureStore,
    video_ids: Sequence[str],
    folder: Path,
    num_frames: int,
    batch_size: int,
    seconds: float,
    stored_embed_dim: int,
) -> BankBench:
    held = FeatureBank(store, video_ids, placement=RAM)
    mapped = FeatureBank(store, video_ids, placement=MEMORY_MAP)
    features = np.concatenate(
        [store.read(video_id).features.reshape(-1, store.embed_dim) for video_id in video_ids]
    )
    features.tofile(folder / "rows")
    on_disk = np.memmap(folder / "rows", dtype=np.float16, mode="r", shape=features.shape)
    batches = _draw(store, held, num_frames, batch_size)
    works = [_bare(features), _banked(held), _bare(on_disk), _banked(mapped)]
    bare, ram, bare_disk, disk = interleaved(works, batches, seconds)
    entries = store.videos()
    num_clips = NUM_BATCHES * batch_size
    return BankBench(
        num_videos=len(video_ids),
        num_rows=len(features),
        embed_dim=store.embed_dim,
        stored_embed_dim=stored_embed_dim,
        num_segments=len({entries[video_id].segment for video_id in video_ids}),
        ram_over_gather=speed_ratio(bare, ram),
        disk_over_gather=speed_ratio(bare_disk, disk),
        clips_per_second=num_clips / statistics.median(ram),
        disk_clips_per_second=num_clips / statistics.median(disk),
        sampling_clips_per_second=num_clips / _sampling_seconds(held, batches, num_frames),
    )


def _first_videos(store: FeatureStore, embed_dim: int) -> list[str]:
    row_bytes = store.num_views * embed_dim * np.dtype(np.float16).itemsize
    chosen: list[str] = []
    left = MOST_BYTES
    for video_id, entry in store.videos().items():
        left -= entry.num_rows * row_bytes
        if chosen and left < 0:
            break
        chosen.append(video_id)
    return chosen


def _widened(store: FeatureStore, video_ids: Sequence[str], embed_dim: int, folder: Path) -> FeatureStore:
    """Copy videos into a store of a larger width, their features repeated sideways."""
    wide = FeatureStore.open_or_create(
        folder / "wide.vlp",
        meaning={**store.meaning, "repeated_to": embed_dim},
        dataset=store.dataset,
        model=store.model,
        pretrained=store.pretrained,
        num_views=store.num_views,
        embed_dim=embed_dim,
        batch_size=store.batch_size,
        precision=store.precision,
        tool_versions={},
    )
    with wide.writer(device="cpu", precision=store.precision) as writer:
        for video_id in video_ids:
            writer.add(_widened_video(store.read(video_id), embed_dim))
    return wide


def _widened_video(video: VideoFeatures, embed_dim: int) -> ExtractedVideo:
    times = -(-embed_dim // video.features.shape[-1])
    stated = {item.name for item in fields(ExtractedVideo)} & {item.name for item in fields(VideoEntry)}
    return ExtractedVideo(
        features=np.tile(video.features, times)[..., :embed_dim],
        pts_seconds=video.pts_seconds,
        frame_index=video.frame_index,
        **{name: getattr(video.entry, name) for name in stated},
    )


def _draw(store: FeatureStore, bank: FeatureBank, num_frames: int, batch_size: int) -> list[_Batch]:
    rate_fps = timeline_fps(store)
    stored = [store.read(video_id) for video_id in bank.video_ids]
    tables = [step_rows(v.pts_seconds, native_fps=v.entry.native_fps, fps=rate_fps) for v in stored]
    num_rows = np.array([len(video.features) * store.num_views for video in stored])
    table = StepTable(tables, np.cumsum(num_rows) - num_rows, row_stride=store.num_views)
    rng = np.random.default_rng(0)
    batches = []
    for _ in range(NUM_BATCHES):
        videos = rng.integers(bank.num_videos, size=batch_size)
        steps, _ = random_gap_clips(bank.num_steps[videos], num_frames, Recipe().gaps, rng)
        batches.append(_Batch(videos, steps, table.rows(videos, steps)))
    return batches


def _bare(features: NDArray[np.float16]) -> _Work:
    return lambda batch: np.take(features, batch.rows, axis=0)


def _banked(bank: FeatureBank) -> _Work:
    return lambda batch: bank.gather(batch.videos, batch.steps)


def _sampling_seconds(bank: FeatureBank, batches: Sequence[_Batch], num_frames: int) -> float:
    rng = np.random.default_rng(1)
    counts, gaps = bank.num_steps, Recipe().gaps
    walls = [
        wall_seconds(lambda batch: random_gap_clips(counts[batch.videos], num_frames, gaps, rng), batches)
        for _ in range(FEWEST_ROUNDS)
    ]
    return statistics.median(walls)
