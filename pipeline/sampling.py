"""Which stored frames of a video make up a clip.

A store keeps each distinct source frame that is shown at some instant k / fps once, with the time it
appears; here instants become rows again, so that a clip is index arithmetic over what is stored.

Source of `segment_centres`: TSN (Wang et al., ECCV 2016, arXiv:1608.00859), the test rule of its
release (yjxiong/tsn-pytorch, dataset.py, _get_test_indices). Departures: indices
start at 0; exact integers, as floats pick one frame earlier for 5% of (N, T)
with N <= 3000 and T <= 64, though never for T = 8, 16 or 32.
"""

import numpy as np
from numpy.typing import NDArray

TOLERANCE_SECONDS = 1e-6
"""An instant this close before a frame's time counts as reached: k / fps and a time stamp are both
rounded floats of the same rational number, while no frame lasts a microsecond."""


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
    for name, count in (("num_video_frames", num_video_frames), ("num_frames", num_frames)):
        if count < 1:
            raise ValueError(f"{name} ({count}) must be at least 1")
    segment = np.arange(num_frames, dtype=np.int64)
    return (2 * segment + 1) * num_video_frames // (2 * num_frames)


def rows_at(pts_seconds: NDArray[np.float64], instants_seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """Find the row shown at each instant: the last one whose time is not after it.

    Args:
        pts_seconds: (n,) times at which the stored frames appear, strictly increasing.
        instants_seconds: (T,) times asked for, in any order.

    Returns:
        (T,) row indices in [0, n). An instant up to `TOLERANCE_SECONDS` before a frame shows that
        frame; one before the first frame shows the first; one after the last shows the last.

    Raises:
        ValueError: if there is no row, or the times do not increase strictly.

    Example:
        >>> rows_at(np.array([0.0, 0.04, 0.08]), np.array([0.0, 0.039, 0.04, 9.0])).tolist()
        [0, 0, 1, 2]
    """
    if pts_seconds.size == 0:
        raise ValueError("pts_seconds is empty: there is no row to show")
    if np.any(np.diff(pts_seconds) <= 0):
        raise ValueError("pts_seconds must increase strictly")
    after = np.searchsorted(pts_seconds, instants_seconds + TOLERANCE_SECONDS, side="right")
    return np.maximum(after - 1, 0).astype(np.int64)


def timeline_instants(
    pts_seconds: NDArray[np.float64], *, native_fps: float, fps: float
) -> NDArray[np.float64]:
    """List the instants k / fps at which the stored frames are shown.

    They run from the first stored frame to the end of the last, which lasts 1 / native_fps; so a video
    that was decoded in part has the instants of that part only, and repeats no frame to fill the rest.

    Args:
        pts_seconds: (n,) times at which the stored frames appear, strictly increasing.
        native_fps: frame rate of the source; 0 if unknown, and then the last frame lasts 1 / fps.
        fps: rate of the timeline that the store was made with.

    Returns:
        (N,) times in seconds, N >= 1.

    Raises:
        ValueError: if there is no row, or ``fps`` is not positive.

    Example:
        >>> timeline_instants(np.array([0.0, 0.5]), native_fps=2.0, fps=4.0).tolist()
        [0.0, 0.25, 0.5, 0.75]
    """
    if pts_seconds.size == 0:
        raise ValueError("pts_seconds is empty: no frame is shown at any instant")
    if not fps > 0:
        raise ValueError(f"fps ({fps}) must be positive")
    end_seconds = float(pts_seconds[-1]) + 1 / (native_fps if native_fps > 0 else fps)
    first = int(np.ceil((float(pts_seconds[0]) - TOLERANCE_SECONDS) * fps))
    stop = int(np.ceil((end_seconds - TOLERANCE_SECONDS) * fps))
    return np.arange(first, max(stop, first + 1), dtype=np.float64) / fps


def uniform_clip(
    pts_seconds: NDArray[np.float64], num_frames: int, *, native_fps: float, fps: float | None
) -> NDArray[np.int64]:
    """Choose the rows of a clip spread evenly over the whole video.

    Args:
        pts_seconds: (n,) times at which the stored frames appear, strictly increasing.
        num_frames: T, frames in the clip.
        native_fps: frame rate of the source; 0 if unknown.
        fps: rate of the store's timeline; None when every row is one step (`native` and `frames:N`).

    Returns:
        (T,) row indices in [0, n), never decreasing.

    Raises:
        ValueError: as `segment_centres`, `timeline_instants` and `rows_at`.

    Example:
        >>> times = np.array([0.0, 0.1, 0.2, 0.9])  # the third frame is shown for 0.7 s of 1 s
        >>> uniform_clip(times, 4, native_fps=10.0, fps=None).tolist()
        [0, 1, 2, 3]
        >>> uniform_clip(times, 4, native_fps=10.0, fps=10.0).tolist()
        [1, 2, 2, 2]
    """
    if fps is None:
        return segment_centres(pts_seconds.size, num_frames)
    instants_seconds = timeline_instants(pts_seconds, native_fps=native_fps, fps=fps)
    return rows_at(pts_seconds, instants_seconds[segment_centres(instants_seconds.size, num_frames)])
