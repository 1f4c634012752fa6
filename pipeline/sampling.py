"""Which steps of each video's timeline make up a clip; pure, and vectorised over B videos.

A step is one instant of the store's timeline; `instants.py` says which stored row is shown there. Every
random rule draws whole numbers from an `IntegerSource`, such as `numpy.random.default_rng(seed)`.

Sources, by rule:

- `random_gap_clips`: Ju et al., ECCV 2022 (arXiv:2112.04478), §4: T frames at a random gap from a random
  start. Ours, where the text is silent: the last legal start is included; what a video that is too short gives.
- `official_random_gap_clips`: its release (ju-chen/Efficient-Prompt@1f69a18, src/data.py,
  readFeatureHMDB51._select_indices), exactly.
- `random_segment_clips`, `official_segment_centres`: ActionCLIP's release (sallymmx/ActionCLIP@31c34df,
  datasets/datasets.py, _sample_indices and _get_val_indices). Departures: steps start at 0; exact integers.
- `segment_centres`: TSN (Wang et al., ECCV 2016, arXiv:1608.00859), the test rule of its
  release (yjxiong/tsn-pytorch, dataset.py, _get_test_indices). Departures: indices
  start at 0; exact integers, as floats pick one frame earlier for 5% of (N, T)
  with N <= 3000 and T <= 64, though never for T = 8, 16 or 32.
- `spread_clips`: ours; several clips that together are the centres of finer segments.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class IntegerSource(Protocol):
    """Where the random rules get whole numbers; `numpy.random.Generator` is one."""

    def integers(self, high: NDArray[np.int64], /) -> NDArray[np.int64]:
        """Draw a number in [0, high) for each element of ``high``, all of them at least 1."""
        ...


def segment_centres(num_video_frames: int, num_frames: int) -> NDArray[np.int64]:
    """Take the middle frame of each of ``num_frames`` equal segments.

    Args:
        num_video_frames: N, frames in the video (a count, not seconds).
        num_frames: T, frames in the clip.

    Returns:
        (T,) frame indices in [0, N), never decreasing; they repeat when T > N.

    Raises:
        ValueError: if N < 1 or T < 1.

    Example:
        >>> segment_centres(10, 5).tolist()
        [1, 3, 5, 7, 9]
        >>> segment_centres(2, 4).tolist()  # short video: frames repeat
        [0, 0, 1, 1]
    """
    _require_positive(num_video_frames=num_video_frames, num_frames=num_frames)
    segment = np.arange(num_frames, dtype=np.int64)
    return (2 * segment + 1) * num_video_frames // (2 * num_frames)


def spread_clips(num_steps: NDArray[np.int64], num_frames: int, num_clips: int) -> NDArray[np.int64]:
    """Spread each of several clips evenly over the whole video.

    The video is cut into T * K equal segments; clip k takes the middles of segments k, k + K, k + 2K, ...
    One clip is the `segment_centres` of each video.

    Args:
        num_steps: (B,) N, steps of each video.
        num_frames: T, frames in a clip.
        num_clips: K, clips a video.

    Returns:
        (B, K, T) steps in [0, N), never decreasing within a clip.

    Raises:
        ValueError: if an N, T or K is below 1.

    Example:
        >>> spread_clips(np.array([8, 4]), num_frames=2, num_clips=2).tolist()
        [[[1, 5], [3, 7]], [[0, 2], [1, 3]]]
    """
    _require_positive(num_clips=num_clips)
    _require_videos(num_steps, num_frames)
    num_segments = num_frames * num_clips
    middle = 2 * np.arange(num_segments, dtype=np.int64).reshape(num_frames, num_clips).T + 1
    return middle * num_steps[:, None, None] // (2 * num_segments)


def official_segment_centres(num_steps: NDArray[np.int64], num_frames: int) -> NDArray[np.int64]:
    """Take the test frames of ActionCLIP's release.

    Half a frame earlier than `segment_centres`, since it takes a frame for its first instant; in a video of no
    more than T steps it takes the start of each segment.

    Args:
        num_steps: (B,) N, steps of each video.
        num_frames: T, frames in a clip; above 1.

    Returns:
        (B, T) steps in [0, N), never decreasing.

    Raises:
        ValueError: if an N is below 1 or T below 2, for which the release takes frame N // 2.

    Example:
        >>> official_segment_centres(np.array([9, 3]), num_frames=4).tolist()
        [[0, 2, 5, 7], [0, 0, 1, 2]]
    """
    _require_videos(num_steps, num_frames)
    if num_frames == 1:
        raise ValueError("num_frames (1) must be at least 2 for this rule")
    total, segment = num_steps[:, None], np.arange(num_frames, dtype=np.int64)
    centres = ((2 * segment + 1) * total - num_frames) // (2 * num_frames)
    return np.where(total > num_frames, centres, segment * total // num_frames)


def random_segment_clips(
    num_steps: NDArray[np.int64], num_frames: int, rng: IntegerSource
) -> NDArray[np.int64]:
    """Take a random frame of each of T equal segments.

    A video of no more than T steps gives each of its steps once and fills the rest with random ones, in order.

    Args:
        num_steps: (B,) N, steps of each video.
        num_frames: T, frames in a clip.
        rng: drawn from once, for (B, T) numbers; where there is nothing to choose it is asked for one below 1.

    Returns:
        (B, T) steps in [0, N), never decreasing.

    Raises:
        ValueError: if an N or T is below 1.

    Example:
        >>> random_segment_clips(np.array([4, 2]), 4, np.random.default_rng(0))[0].tolist()
        [0, 1, 2, 3]
    """
    _require_videos(num_steps, num_frames)
    total, place = num_steps[:, None], np.arange(num_frames, dtype=np.int64)
    tick, next_tick = place * total // num_frames, (place + 1) * total // num_frames
    own_step = place < total
    fits = total > num_frames
    first = np.where(fits, tick, np.where(own_step, place, 0))
    num_choices = np.where(fits, next_tick - tick, np.where(own_step, 1, total))
    return np.sort(first + rng.integers(num_choices), axis=1)


def random_gap_clips(
    num_steps: NDArray[np.int64], num_frames: int, gaps: Sequence[int], rng: IntegerSource
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Take T frames at a random gap from a random start.

    The gap is one of those whose clip fits into the video, each entry of ``gaps`` as likely as another; then
    every start that fits is as likely as another. If no gap fits, frames lie as far apart as fits, below the
    smallest gap, and that one is reported, as the nearest that a method knows. A video shorter than T
    gives all its steps, then the last one again.

    Args:
        num_steps: (B,) N, steps of each video.
        num_frames: T, frames in a clip.
        gaps: steps between neighbouring frames; one that is listed twice is twice as likely.
        rng: drawn from twice, for (B,) numbers: gaps, then starts.

    Returns:
        (B, T) steps in [0, N), never decreasing, and (B,) gaps, each one of ``gaps``.

    Raises:
        ValueError: if an N, T or gap is below 1, or there is no gap.

    Example:
        >>> steps, gaps = random_gap_clips(np.array([7, 2]), 4, [2], np.random.default_rng(0))
        >>> steps.tolist(), gaps.tolist()  # only start 0 fits; too short
        ([[0, 2, 4, 6], [0, 1, 1, 1]], [2, 2])
    """
    _require_videos(num_steps, num_frames)
    ordered = np.sort(_positive_gaps(gaps))
    reach = num_frames - 1
    num_fitting = np.searchsorted(reach * ordered, num_steps)
    gap = ordered[rng.integers(np.maximum(num_fitting, 1))]
    densest = np.maximum((num_steps - 1) // max(reach, 1), 1)
    stride = np.where(num_fitting > 0, gap, densest)
    start = rng.integers(np.maximum(num_steps - reach * stride, 1))
    steps = start[:, None] + stride[:, None] * np.arange(num_frames, dtype=np.int64)
    return np.minimum(steps, num_steps[:, None] - 1), gap


def official_random_gap_clips(
    num_steps: NDArray[np.int64], num_frames: int, gaps: Sequence[int], rng: IntegerSource
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Take T frames as the release of Ju et al. does.

    The N steps from a random phase below the gap are thinned to round(N / gap), evenly, so that neighbours are
    about a gap apart. When that leaves no more than T, all N steps are taken instead, at gap 1. T neighbours of
    that list are the clip; the last legal start is never drawn. A video of no more than T steps gives all of
    them, then the last one again.

    Args:
        num_steps: (B,) N, steps of each video.
        num_frames: T, frames in a clip.
        gaps: the release's are (1, 2, 3, 3, 3, 4) for HMDB51; each entry is as likely as another.
        rng: drawn from three times, for (B,) numbers: which gap, the phase, the start.

    Returns:
        (B, T) steps in [0, N), never decreasing, and (B,) gaps, each one of ``gaps`` or 1.

    Raises:
        ValueError: if an N, T or gap is below 1, or there is no gap.

    Example:
        >>> steps, gaps = official_random_gap_clips(np.array([5, 2]), 4, [2], np.random.default_rng(0))
        >>> steps.tolist(), gaps.tolist()  # half of 5 is too few, and start 1 is never drawn; too short
        ([[0, 1, 2, 3], [0, 1, 1, 1]], [1, 1])
    """
    _require_videos(num_steps, num_frames)
    listed_gaps = _positive_gaps(gaps)
    drawn = listed_gaps[rng.integers(np.full(num_steps.shape, listed_gaps.size, dtype=np.int64))]
    phase = rng.integers(drawn)
    num_thinned = np.rint((1 / drawn) * num_steps).astype(np.int64)  # half to even, as Python's round
    thin = num_thinned > num_frames
    num_listed, phase, gap = (
        np.where(thin, num_thinned, num_steps),
        np.where(thin, phase, 0),
        np.where(thin, drawn, 1),
    )
    start = rng.integers(np.maximum(num_listed - num_frames, 1))
    place = start[:, None] + np.arange(num_frames, dtype=np.int64)
    spacing = (num_steps - 1 - phase) / np.maximum(num_listed - 1, 1)  # numpy.linspace's arithmetic
    steps = np.floor(place * spacing[:, None] + phase[:, None]).astype(np.int64)
    return np.minimum(steps, num_steps[:, None] - 1), gap


def _positive_gaps(gaps: Sequence[int]) -> NDArray[np.int64]:
    if not gaps or min(gaps) < 1:
        raise ValueError(f"gaps {tuple(gaps)} must hold at least one step, all of them positive")
    return np.asarray(gaps, dtype=np.int64)


def _require_videos(num_steps: NDArray[np.int64], num_frames: int) -> None:
    _require_positive(num_frames=num_frames)
    if num_steps.size and num_steps.min() < 1:
        raise ValueError(f"num_steps ({num_steps.min()}) must be at least 1 in every video")


def _require_positive(**counts: int) -> None:
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} ({count}) must be at least 1")
