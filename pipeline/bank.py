"""Features of a list of videos: read from a store once, gathered clip by clip.

bank = FeatureBank(store, video_ids)                    # in GPU memory or RAM where they fit, else mapped
clips = draw_clips(bank, videos, recipe, rng)           # one random clip of each, for a training step
clips = drawn_test_clips(bank, videos, recipe, rng)     # every clip and view of each, for a test
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vlp.pipeline.clips import Clips
from vlp.pipeline.decoding.timeline import Timeline
from vlp.pipeline.encoder_spec import EncoderDescription
from vlp.pipeline.encoders import choose_device
from vlp.pipeline.instants import StepTable, step_rows, uniform_clip
from vlp.pipeline.placements import (
    AUTO,
    MEMORY_MAP,
    RAM,
    FeatureRows,
    choose_placement,
    copy_videos,
    map_videos,
    send_videos,
)
from vlp.pipeline.recipe import Recipe
from vlp.pipeline.sampling import (
    official_random_gap_clips,
    random_gap_clips,
    random_segment_clips,
    spread_clips,
)
from vlp.stores.errors import StoreMismatch
from vlp.stores.features import FeatureStore, VideoFeatures
from vlp.stores.fingerprint import JSON, differences
from vlp.stores.importing import UNKNOWN


class FeatureBank:
    """Features of a list of videos, ready to be gathered.

    Opening reads every video once, so that the store compares it with its checksums.

    Args:
        store: where the features are.
        video_ids: which videos, each once; their places in this list are what other calls name them by.
        placement: "memory-map" gathers from the store's files; "ram" copies all features into memory first;
            "cuda:0" and the like copy them to that device; "auto" is the first GPU, or RAM, when they take up no
            more than `SHARE_OF_FREE` of what is free there, and else the memory map.

    Attributes:
        video_ids: of the N videos.
        num_videos, num_views, embed_dim: N, V, D.
        num_steps: (N,) int64, steps of each video's timeline.
        placement: as given; never "auto".
        device: where gathered clips are.

    Raises:
        VideoMissing, StoreDamaged: as `FeatureStore.read`.
        DeviceUnavailable: if the machine lacks the device.
        ValueError: if no video is listed, or one twice.
    """

    def __init__(self, store: FeatureStore, video_ids: Sequence[str], *, placement: str = AUTO) -> None:
        self.video_ids = tuple(video_ids)
        self._position = {video_id: position for position, video_id in enumerate(self.video_ids)}
        self._check_ids()
        if placement not in (AUTO, MEMORY_MAP, RAM):
            choose_device(placement)  # refused before anything is read
        self.num_videos = len(self.video_ids)
        self.num_views, self.embed_dim = store.num_views, store.embed_dim
        videos = [store.read(video_id) for video_id in self.video_ids]
        views = [video.features for video in videos]
        self.placement = (
            choose_placement(sum(view.nbytes for view in views)) if placement == AUTO else placement
        )
        self._rows, self._first_row = _place(views, self.placement)
        self._num_rows = np.array([len(view) for view in views], dtype=np.int64) * self.num_views
        self.device = self._rows.device
        fps = timeline_fps(store)
        tables = [step_rows(v.pts_seconds, native_fps=v.entry.native_fps, fps=fps) for v in videos]
        self._steps = StepTable(tables, self._first_row, row_stride=self.num_views)
        self.num_steps = self._steps.num_steps
        self._means = torch.empty(self.num_videos, self.num_views, self.embed_dim, device=self.device)
        self._has_mean = np.zeros(self.num_videos, dtype=np.bool_)

    def positions(self, video_ids: Sequence[str]) -> NDArray[np.int64]:
        """Find the places of videos in the bank's list.

        Returns:
            (B,) numbers in [0, N).

        Raises:
            KeyError: for a video that is not in the bank.
        """
        return np.array([self._position[video_id] for video_id in video_ids], dtype=np.int64)

    def gather(
        self, videos: NDArray[np.int64], steps: NDArray[np.int64], views: NDArray[np.int64] | None = None
    ) -> Tensor:
        """Gather one clip of each of B videos.

        Args:
            videos: (B,) places in the bank's list.
            steps: (B, T) steps of each video's timeline.
            views: (B,) which crop; the first of each if None.

        Returns:
            (B, T, D) float16 on the bank's device; not a view of the bank's memory.

        Raises:
            IndexError: if a video, a step or a view is not there.
        """
        rows = self._steps.rows(videos, steps)
        if views is not None:
            if views.size and not 0 <= views.min() <= views.max() < self.num_views:
                raise IndexError(f"views from {views.min()} to {views.max()}; there are {self.num_views}")
            rows += views[:, None]
        return self._rows.take(videos, rows)

    def means(self, videos: NDArray[np.int64] | None = None) -> Tensor:
        """Average all stored frames of each of B videos; computed once a video, then kept.

        Args:
            videos: (B,) places in the bank's list; all of it if None.

        Returns:
            (B, V, D) float32 on the bank's device: means of rows, each counted once, however long it is shown.
        """
        asked = np.arange(self.num_videos) if videos is None else videos
        for video in np.unique(asked[~self._has_mean[asked]]).tolist():
            first, num_rows = self._first_row[video], self._num_rows[video]
            self._means[video] = self._rows.mean(video, slice(first, first + num_rows), self.num_views)
            self._has_mean[video] = True
        return self._means[torch.from_numpy(asked).to(self.device)]

    def _check_ids(self) -> None:
        if not self.video_ids:
            raise ValueError("a bank needs at least one video")
        if len(self._position) < len(self.video_ids):
            twice = next(name for place, name in enumerate(self.video_ids) if self._position[name] != place)
            raise ValueError(f"{twice!r} is listed twice")


def draw_clips(
    bank: FeatureBank, videos: NDArray[np.int64], recipe: Recipe, rng: np.random.Generator
) -> Clips:
    """Draw a training clip of each of B videos: random frames, by the recipe's rule, of a random view.

    Args:
        bank: the features.
        videos: (B,) places in the bank's list.
        recipe: how clips are drawn.
        rng: of all randomness.

    Returns:
        B clips on the bank's device: float16, or float32 for "whole".
    """
    views = rng.integers(bank.num_views, size=len(videos)) if bank.num_views > 1 else None
    if recipe.sampling == "whole":
        means = bank.means(videos)
        chosen = np.zeros(len(videos), dtype=np.int64) if views is None else views
        return Clips(means[torch.arange(len(means)), torch.from_numpy(chosen)][:, None])
    if recipe.sampling == "segments":
        steps = random_segment_clips(bank.num_steps[videos], recipe.num_frames, rng)
        return Clips(bank.gather(videos, steps, views))
    steps, gaps = _clip_steps(bank.num_steps[videos], recipe, 1, rng)
    return _gathered(bank, videos, steps[:, 0], views, None if gaps is None else gaps[:, 0])


def drawn_test_clips(
    bank: FeatureBank, videos: NDArray[np.int64], recipe: Recipe, rng: np.random.Generator
) -> Clips:
    """Take the test clips of each of B videos: ``num_test_clips``, each in all V views of the store.

    The random-gap rules draw them at random; "segments" and "uniform" spread them over the video.

    Args:
        bank: the features.
        videos: (B,) places in the bank's list.
        recipe: how clips are drawn.
        rng: of all randomness.

    Returns:
        B * num_test_clips * V clips, all of a video together, in it all views of a clip together; on the bank's
        device, float16, or float32 for "whole".
    """
    if recipe.sampling == "whole":
        return Clips(bank.means(videos).flatten(0, 1)[:, None])
    steps, gaps = _clip_steps(bank.num_steps[videos], recipe, recipe.num_test_clips, rng)
    num_clips, num_views = steps.shape[0] * steps.shape[1], bank.num_views
    return _gathered(
        bank,
        videos.repeat(recipe.num_test_clips * num_views),
        steps.reshape(num_clips, -1).repeat(num_views, axis=0),
        np.tile(np.arange(num_views), num_clips),
        None if gaps is None else gaps.reshape(-1).repeat(num_views),
    )


def _clip_steps(
    num_steps: NDArray[np.int64], recipe: Recipe, num_clips: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    """Choose (B, K, T) steps and (B, K) gaps: at random at a random gap, or else spread evenly."""
    if recipe.sampling in ("segments", "uniform"):
        return spread_clips(num_steps, recipe.num_frames, num_clips), None
    official = recipe.sampling == "random-gap-official"
    rule = official_random_gap_clips if official else random_gap_clips
    steps, gaps = rule(num_steps.repeat(num_clips), recipe.num_frames, recipe.gaps, rng)
    return steps.reshape(-1, num_clips, recipe.num_frames), gaps.reshape(-1, num_clips)


def _gathered(
    bank: FeatureBank,
    videos: NDArray[np.int64],
    steps: NDArray[np.int64],
    views: NDArray[np.int64] | None,
    gaps: NDArray[np.int64] | None,
) -> Clips:
    embeddings = bank.gather(videos, steps, views)
    return Clips(embeddings, None if gaps is None else torch.from_numpy(gaps).to(bank.device))


def _place(views: Sequence[NDArray[np.float16]], placement: str) -> tuple[FeatureRows, NDArray[np.int64]]:
    if placement == MEMORY_MAP:
        return map_videos(views)
    device = torch.device("cpu") if placement == RAM else choose_device(placement)
    return copy_videos(views) if device.type == "cpu" else send_videos(views, device)


def tolerated_differences(
    store: FeatureStore, description: EncoderDescription, *, allow_mismatch: bool = False
) -> tuple[str, ...]:
    """Refuse to compare the frames of one model with the texts of another.

    Preprocessing is no part of it: however the frames were cropped, their features can be compared.

    Args:
        store: where the frames' features are.
        description: the encoder of the texts.
        allow_mismatch: return the differences instead of refusing them, as long as widths agree.

    Returns:
        One line for each difference: none when both are one model.

    Raises:
        StoreMismatch: names the differences.
    """
    asked: dict[str, JSON] = {
        "weights": description.weights_sha256,
        "activation": description.activation,
        "embed_dim": description.embed_dim,
    }
    found = differences({name: store.meaning.get(name) for name in asked}, asked)
    if found and not (allow_mismatch and store.embed_dim == description.embed_dim):
        raise StoreMismatch(store.path, found)
    return tuple(found)


def video_features(
    store: FeatureStore, video_ids: Sequence[str], *, num_frames: int | None = None
) -> NDArray[np.float32]:
    """Average the frames of each video.

    Args:
        store: where the features are.
        video_ids: B videos, all in the store.
        num_frames: T, frames a video, spread evenly over its length; None for all that are stored.

    Returns:
        (B, V, D) mean raw embeddings of each view; sums are taken in float32.

    Raises:
        VideoMissing, StoreDamaged: as `FeatureStore.read`.
        ValueError: if ``num_frames`` < 1.
    """
    fps = timeline_fps(store)
    means = np.empty((len(video_ids), store.num_views, store.embed_dim), dtype=np.float32)
    for position, video_id in enumerate(video_ids):
        video = store.read(video_id)
        frames = video.features if num_frames is None else video.features[_clip(video, num_frames, fps)]
        means[position] = frames.mean(axis=0, dtype=np.float32)
    return means


def _clip(video: VideoFeatures, num_frames: int, fps: float | None) -> NDArray[np.int64]:
    return uniform_clip(video.pts_seconds, num_frames, native_fps=video.entry.native_fps, fps=fps)


def timeline_fps(store: FeatureStore) -> float | None:
    """Tell the rate of a store's timeline; None where every row is one step, or nobody knows."""
    timeline = str(store.meaning["timeline"])
    if timeline == UNKNOWN:
        return None
    rate_fps = Timeline.parse(timeline).rate_fps
    return None if rate_fps is None else float(rate_fps)
