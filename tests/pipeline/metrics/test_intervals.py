"""Intervals of means against tabulated quantiles."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlp.pipeline.metrics.intervals import harmonic_mean, mean_interval

T_975 = {2: 12.706, 3: 4.303, 10: 2.262, 200: 1.972}  # Student's t, n - 1 degrees of freedom, printed tables


@pytest.mark.parametrize("n", T_975)
def test_half_the_interval_is_t_times_the_standard_error(n: int) -> None:
    values = [0.5 + 0.1 * (-1) ** index for index in range(n)]
    mean = sum(values) / n
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
    found = mean_interval(values)
    assert found[0] == pytest.approx(mean)
    assert found[1] == pytest.approx(T_975[n] * deviation / math.sqrt(n), rel=1e-3)


def test_one_value_has_no_interval_and_none_no_mean() -> None:
    assert mean_interval([0.25]) == (0.25, None)
    with pytest.raises(ValueError, match="no value"):
        mean_interval([])


@given(st.floats(0.001, 1), st.floats(0.001, 1))
def test_the_harmonic_mean_is_the_inverse_of_the_mean_of_inverses(base: float, novel: float) -> None:
    assert harmonic_mean(base, novel) == pytest.approx(2 / (1 / base + 1 / novel))
    assert min(base, novel) - 1e-12 <= harmonic_mean(base, novel) <= max(base, novel) + 1e-12


def test_nothing_right_on_either_side_is_zero() -> None:
    assert harmonic_mean(0.0, 0.0) == 0.0
    assert harmonic_mean(0.9, 0.0) == 0.0
