import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from scipy.special import softmax

from vlp.pipeline.metrics.views import Aggregation, aggregate_views

logits = arrays(
    np.float64,
    array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=5),
    elements=st.floats(-40, 40),
)
hows = st.sampled_from(["probabilities", "logits"])


@given(values=logits)
def test_they_are_the_mean_of_scipys_softmax(values: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(aggregate_views(values), softmax(values, axis=-1).mean(axis=1), atol=1e-12)
    np.testing.assert_allclose(aggregate_views(values).sum(axis=-1), 1)


@given(values=logits, how=hows, seed=st.integers(0, 99))
def test_neither_the_order_of_views_nor_their_repetition_matters(
    values: NDArray[np.float64], how: Aggregation, seed: int
) -> None:
    expected = aggregate_views(values, how)
    order = np.random.default_rng(seed).permutation(values.shape[1])
    np.testing.assert_allclose(aggregate_views(values[:, order], how), expected, atol=1e-9)
    np.testing.assert_allclose(aggregate_views(np.repeat(values, 3, axis=1), how), expected, atol=1e-9)


@given(values=logits, how=hows)
def test_one_view_ranks_classes_as_it_is(values: NDArray[np.float64], how: Aggregation) -> None:
    one = values[:, :1]
    chosen = aggregate_views(one, how).argmax(axis=-1)
    best = one[:, 0].max(axis=-1)
    np.testing.assert_allclose(
        np.take_along_axis(one[:, 0], chosen[:, None], axis=-1)[:, 0], best, atol=1e-12
    )


@given(values=logits, shift=st.floats(-20, 20))
def test_a_constant_added_to_a_views_logits_changes_no_probability(
    values: NDArray[np.float64], shift: float
) -> None:
    np.testing.assert_allclose(aggregate_views(values + shift), aggregate_views(values), atol=1e-9)


def test_a_sure_view_outweighs_others_in_the_mean_of_logits_only() -> None:
    views = [[[0.0, 9.0], [2.0, 0.0], [2.0, 0.0]]]
    assert aggregate_views(views).argmax() == 0
    assert aggregate_views(views, "logits").argmax() == 1


def test_logits_too_large_for_an_exponential_are_no_trouble() -> None:
    assert aggregate_views([[[1000.0, 0.0]]]).tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("values", [[[1.0]], np.ones((1, 0, 2)), np.ones((1, 2, 0)), [[[float("nan")]]]])
def test_other_tables_are_refused(values: object) -> None:
    with pytest.raises(ValueError, match="logits"):
        aggregate_views(values)  # type: ignore[arg-type]
