"""What a few repetitions say of their mean."""

from collections.abc import Sequence

import numpy as np
from scipy import stats


def mean_interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean of repetitions, and half of its 95% interval (Student's t).

    Args:
        values: n numbers, n >= 1.

    Returns:
        The mean, and t(0.975, n - 1) s / √n with the sample standard deviation s; None for a single value.

    Raises:
        ValueError: for no value.

    Example:
        >>> mean, half = mean_interval([0.5, 0.6, 0.7])
        >>> round(mean, 6), round(half, 4)  # 4.3027 * 0.1 / sqrt(3)
        (0.6, 0.2484)
    """
    if not values:
        raise ValueError("no value to average")
    mean = float(np.mean(values))
    if len(values) == 1:
        return mean, None
    spread = float(np.std(values, ddof=1)) / len(values) ** 0.5
    return mean, float(stats.t.ppf(0.975, len(values) - 1)) * spread


def harmonic_mean(base: float, novel: float) -> float:
    """2 b n / (b + n), and 0 when both are 0.

    Example:
        >>> harmonic_mean(0.8, 0.4)
        0.5333333333333333
    """
    return 2 * base * novel / (base + novel) if base + novel > 0 else 0.0
