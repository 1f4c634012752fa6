"""Which videos a worker is handed at once, and which of them are blamed when it is lost. Imports no Dask.

A unit whose worker is lost is halved at once: the halves without the guilty video end well, and the guilty one is alone
after log2 of the unit's videos. Alone, it may lose one worker, which can happen to anybody, but not two.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice

from vlp.datasplits.manifest import Video

_FEWEST, _MOST = 32, 256
_UNITS_PER_WORKER = 8
MOST_LOSSES = 2
_MOST_UNREADY = 3
_MOST_IN_A_ROW = 20  # one guilty video in a unit of 256 costs 10 at most


@dataclass(frozen=True)
class Unit:
    """Videos that go to a worker together.

    Args:
        videos: at least one.
        num_losses: workers already lost while they worked on its only video.
    """

    videos: tuple[Video, ...]
    num_losses: int = 0


def unit_size(num_videos: int, num_workers: int) -> int:
    """Choose how many videos make a unit.

    Enough units that no worker waits long for the last one, of 32 to 256 videos, so that starting one costs little;
    fewer where there are fewer videos a worker than that.

    Example:
        >>> unit_size(13320, 8), unit_size(650_000, 8), unit_size(1000, 8), unit_size(10, 4)
        (209, 256, 32, 3)
    """
    wanted = -(-num_videos // (_UNITS_PER_WORKER * num_workers))
    share = -(-num_videos // num_workers)
    return max(1, min(share, _MOST, max(_FEWEST, wanted)))


class Losses:
    """Workers lost without anything going well in between: beyond a measure, no video is to blame."""

    def __init__(self) -> None:
        self.num_in_a_row = 0
        self._num_unready = 0

    def note_ready(self) -> None:
        """A worker has loaded the encoder."""
        self._num_unready = 0

    def note_end(self) -> None:
        """A unit has ended by itself."""
        self.num_in_a_row = self._num_unready = 0

    def add(self, *, was_ready: bool, num_workers: int) -> bool:
        """Count a lost worker; returns whether these are too many, which is more where more work at once.

        Args:
            was_ready: whether it had loaded the encoder.
            num_workers: how many there are.
        """
        self.num_in_a_row += 1
        self._num_unready += not was_ready
        too_many = self.num_in_a_row >= _MOST_IN_A_ROW + 2 * num_workers
        return too_many or self._num_unready >= max(_MOST_UNREADY, num_workers)


class Backlog:
    """The units that are not yet handed out.

    Args:
        videos: drawn only as units are taken.
        size: videos a unit.
    """

    def __init__(self, videos: Iterable[Video], size: int) -> None:
        self._videos = iter(videos)
        self._size = size
        self._returned: deque[Unit] = deque()

    @property
    def is_empty(self) -> bool:
        """Whether all units are with workers or done."""
        if not self._returned:
            videos = tuple(islice(self._videos, self._size))
            self._returned.extend([Unit(videos)] if videos else [])
        return not self._returned

    def take(self) -> Unit | None:
        """Hand out a unit; None when all are with workers or done."""
        return None if self.is_empty else self._returned.popleft()

    def give_back(self, unit: Unit, left: Sequence[Video]) -> None:
        """Take a unit back that was not to blame for its end, as far as its videos are not stored."""
        if left:
            self._returned.appendleft(Unit(tuple(left), unit.num_losses if len(unit.videos) == 1 else 0))

    def blame(self, unit: Unit, left: Sequence[Video]) -> Video | None:
        """Take a unit back whose worker was lost; returns the guilty video once it is known.

        Args:
            unit: what the worker was handed.
            left: its videos that are not stored.
        """
        if len(left) > 1:
            middle = len(left) // 2
            self._returned.extendleft((Unit(tuple(left[middle:])), Unit(tuple(left[:middle]))))
        elif left:
            num_losses = 1 + (unit.num_losses if len(unit.videos) == 1 else 0)
            if num_losses >= MOST_LOSSES:
                return left[0]
            self._returned.appendleft(Unit(tuple(left), num_losses))
        return None
