"""Timing several works against one another within one run: neighbours in time share the machine's mood."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

FEWEST_ROUNDS = 9

_Item = TypeVar("_Item")


def interleaved(
    works: Sequence[Callable[[_Item], object]], items: Sequence[_Item], seconds: float
) -> list[list[float]]:
    """Time passes over all items, one work after another, round after round; the first round warms up.

    Args:
        works: what is done with each item.
        items: such as batches.
        seconds: how long to measure, about; `FEWEST_ROUNDS` are measured in any case.

    Returns:
        For each work the seconds of its passes, one a round.
    """
    rounds = [[wall_seconds(work, items) for work in works]]
    began = time.perf_counter()
    while len(rounds) <= FEWEST_ROUNDS or time.perf_counter() - began < seconds:
        rounds.append([wall_seconds(work, items) for work in works])
    return [list(walls) for walls in zip(*rounds[1:], strict=True)]


def wall_seconds(work: Callable[[_Item], object], items: Sequence[_Item]) -> float:
    """Time one pass over all items."""
    began = time.perf_counter()
    for item in items:
        work(item)
    return time.perf_counter() - began


def speed_ratio(bare: Sequence[float], ours: Sequence[float]) -> float:
    """Median over rounds of our speed over the bare one's.

    Args:
        bare: seconds of its passes, one a round.
        ours: the same of ours, in the same rounds.

    Example:
        >>> speed_ratio([2.0, 4.0, 9.0], [1.0, 4.0, 3.0])
        2.0
    """
    return statistics.median(theirs / mine for theirs, mine in zip(bare, ours, strict=True))
