"""Which stored row is shown at each step of a store's timeline.

A store keeps each distinct source frame that is shown at some instant k / fps once, with the time it
appears; here instants become rows again, so that a clip is index arithmetic over what is stored. Where
the timeline has no rate (`native`, `frames:N`) every row is one step.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from vlp.pipeline.sampling import segment_centres

TOLERANCE_SECONDS = 1e-6
"""An instant this close before a frame's time counts as reached: k / fps and a time stamp are both
rounded floats of the same rational number, while no frame lasts a microsecond."""


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


def step_rows(pts_seconds: NDArray[np.float64], *, native_fps: float, fps: float | None) -> NDArray[np.int64]:
    """Find the row shown at each step of the timeline.

    Args:
        pts_seconds: (n,) times at which the stored frames appear, strictly increasing.
        native_fps: frame rate of the source; 0 if unknown.
        fps: rate of the store's timeline; None when every row is one step (`native` and `frames:N`).

    Returns:
        (N,) row indices in [0, n), never decreasing; N >= 1.

    Raises:
        ValueError: as `timeline_instants` and `rows_at`.

    Example:
        >>> times = np.array([0.0, 0.1, 0.4])  # the second frame is shown for 0.3 s
        >>> step_rows(times, native_fps=10.0, fps=10.0).tolist()
        [0, 1, 1, 1, 2]
        >>> step_rows(times, native_fps=10.0, fps=None).tolist()
        [0, 1, 2]
    """
    if fps is None:
        return np.arange(pts_seconds.size, dtype=np.int64)
    return rows_at(pts_seconds, timeline_instants(pts_seconds, native_fps=native_fps, fps=fps))


class StepTable:
    """The row of every step of many videos, looked up for many clips at once.

    Args:
        rows_of_videos: (N,) rows of each video's steps, as `step_rows` gives them.
        first_rows: (num_videos,) the number that each video's row 0 has in the table.
        row_stride: how much the number grows from one row to the next.

    Attributes:
        num_steps: (num_videos,) int64, N of each video.

    Example:
        >>> table = StepTable([np.array([0, 1, 1]), np.array([0])], np.array([10, 50]), row_stride=2)
        >>> table.rows(np.array([0, 1]), np.array([[0, 2], [0, 0]])).tolist()
        [[10, 12], [50, 50]]
    """

    def __init__(
        self, rows_of_videos: Sequence[NDArray[np.int64]], first_rows: NDArray[np.int64], *, row_stride: int
    ) -> None:
        self.num_steps = np.array([rows.size for rows in rows_of_videos], dtype=np.int64)
        first_step = np.cumsum(self.num_steps) - self.num_steps
        rows = np.concatenate(rows_of_videos) * row_stride + np.repeat(first_rows, self.num_steps)
        self._limit = self.num_steps.view(np.uint64)[:, None]
        self._first_step = first_step[:, None]
        self._rows = rows.astype(np.int64, copy=False)

    def rows(self, videos: NDArray[np.int64], steps: NDArray[np.int64]) -> NDArray[np.int64]:
        """Look up (B, T) steps of (B,) videos.

        Raises:
            IndexError: if a video or a step is not there.
        """
        # As unsigned numbers, negative steps lie beyond every end: one comparison finds both.
        outside = steps.view(np.uint64) >= self._limit.take(videos, 0)
        if np.count_nonzero(outside):
            clip, frame = np.argwhere(outside)[0]
            has = self.num_steps[videos[clip]]
            raise IndexError(f"no step {steps[clip, frame]} in video {videos[clip]}, which has {has}")
        return self._rows.take(self._first_step.take(videos, 0) + steps, mode="clip")


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
        ValueError: as `segment_centres` and `step_rows`.

    Example:
        >>> times = np.array([0.0, 0.1, 0.2, 0.9])  # the third frame is shown for 0.7 s of 1 s
        >>> uniform_clip(times, 4, native_fps=10.0, fps=None).tolist()
        [0, 1, 2, 3]
        >>> uniform_clip(times, 4, native_fps=10.0, fps=10.0).tolist()
        [1, 2, 2, 2]
    """
    rows = step_rows(pts_seconds, native_fps=native_fps, fps=fps)
    return rows[segment_centres(rows.size, num_frames)]
