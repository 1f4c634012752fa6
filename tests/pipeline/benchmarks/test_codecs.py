"""What codecs do to features, from their definitions; how fast they are depends on the machine."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from vlp.pipeline.benchmarks.codecs import CODECS, bench_codecs
from vlp.stores.features import FeatureStore

frames = st.tuples(st.integers(1, 40), st.integers(1, 9)).flatmap(
    lambda shape: arrays(np.float16, shape, elements=st.floats(-300, 300, width=16))
)


@given(features=frames, seed=st.integers(0, 99))
@pytest.mark.parametrize("name", ["raw", "zstd"])
def test_raw_and_zstd_give_back_the_same_bits(name: str, features: NDArray[np.float16], seed: int) -> None:
    index = np.random.default_rng(seed).integers(len(features), size=7)
    assert CODECS[name](features).rows(index).tobytes() == features[index].tobytes()


@given(features=frames)
@pytest.mark.parametrize("name", ["int8", "int8_zstd"])
def test_int8_is_off_by_half_a_level_at_most(name: str, features: NDArray[np.float16]) -> None:
    given_back = CODECS[name](features).rows(np.arange(len(features))).astype(np.float64)
    wide = features.astype(np.float64)
    largest = np.maximum(np.abs(wide).max(axis=1, keepdims=True), np.finfo(np.float16).tiny)
    rounding = np.abs(given_back) * 2**-10 + 2**-24  # of the float16 that is given back
    assert np.all(np.abs(given_back - wide) <= largest / 127 / 2 * 1.001 + rounding)


def test_blocks_hold_a_mebibyte_and_are_read_where_a_clip_lies() -> None:
    features = np.random.default_rng(0).normal(size=(5000, 512)).astype(np.float16)
    for name in ("zstd", "int8_zstd"):
        packed = CODECS[name](features)
        index = np.array([0, 1023, 1024, 2048, 4999])
        whole = packed.rows(np.arange(5000))
        np.testing.assert_array_equal(packed.rows(index), whole[index])
    assert CODECS["int8"](features).num_bytes == 5000 * (512 + 4)


def test_every_figure_is_there(make_store: Callable[..., FeatureStore]) -> None:
    rng = np.random.default_rng(0)
    store = make_store({f"v{number}": rng.normal(size=(20, 1, 32)) for number in range(3)}, meaning={})
    asked: list[NDArray[np.float32]] = []

    def top1_of(means: NDArray[np.float32]) -> float:
        asked.append(means)
        return 0.5

    found = bench_codecs(store, sorted(store.videos()), top1_of, num_frames=4, seconds=0.0)
    assert (found.num_videos, found.num_rows, found.embed_dim) == (3, 60, 32)
    assert list(found.codecs) == list(CODECS)
    raw = found.codecs["raw"]
    assert (raw.bytes_over_raw, raw.clips_over_raw) == (1.0, 1.0)
    assert raw.least_cosine == pytest.approx(1.0)
    assert found.codecs["int8"].bytes_over_raw == pytest.approx((32 + 4) / 64)
    assert 0.99 < found.codecs["int8"].least_cosine < 1.0
    assert all(figures.clips_over_raw > 0 and figures.top1 == 0.5 for figures in found.codecs.values())
    expected = np.stack(
        [store.read(name).features[:, 0].mean(axis=0, dtype=np.float32) for name in store.videos()]
    )
    np.testing.assert_array_equal(asked[0], expected)
