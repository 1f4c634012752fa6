from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlp.pipeline.bank import tolerated_differences, video_features
from vlp.pipeline.encoder_spec import EncoderDescription, Preprocess
from vlp.stores.errors import StoreMismatch, VideoMissing
from vlp.stores.features import FeatureStore

MakeStore = Callable[..., FeatureStore]

DESCRIPTION = EncoderDescription(
    model="tiny",
    pretrained="random",
    weights_sha256="a" * 64,
    activation="gelu",
    embed_dim=4,
    context_length=77,
    preprocess=Preprocess(32, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "bicubic", "shortest"),
)
SAME = {"weights": "a" * 64, "activation": "gelu", "embed_dim": 4}


def random_features(num_frames: int, num_views: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(num_frames, num_views, 4)).astype(np.float16)


def test_each_row_is_the_mean_of_all_frames_of_its_video_a_view(make_store: MakeStore) -> None:
    videos = {"long": random_features(40, 3, seed=1), "short": random_features(1, 3, seed=2)}
    means = video_features(make_store(videos, meaning=SAME), ["short", "long", "short"])
    assert means.shape == (3, 3, 4)
    assert means.dtype == np.float32
    for row, video_id in zip(means, ["short", "long", "short"], strict=True):
        np.testing.assert_allclose(row, videos[video_id].astype(np.float64).mean(axis=0), atol=1e-6)


def test_frames_are_summed_in_float32_not_in_the_stores_float16(make_store: MakeStore) -> None:
    """In float16 the running sum of ones stops growing at 2048."""
    ones = np.ones((5_000, 1, 4), dtype=np.float16)
    assert video_features(make_store({"long": ones}, meaning=SAME), ["long"]).tolist() == [[[1.0] * 4]]


@given(num_stored=st.integers(1, 30), num_frames=st.integers(1, 12))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_number_of_frames_takes_the_middle_of_each_part(
    make_store: MakeStore, num_stored: int, num_frames: int
) -> None:
    video_id = f"video-{num_stored}"
    features = random_features(num_stored, seed=num_stored)
    store = make_store({video_id: features}, meaning=SAME)
    middles = [int(num_stored * (i + 0.5) / num_frames) for i in range(num_frames)]
    expected = features[middles].astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(
        video_features(store, [video_id], num_frames=num_frames)[0], expected, atol=1e-6
    )


@pytest.mark.parametrize(("timeline", "rows"), [("fps:10", [0, 1, 1, 1, 2]), ("native", [0, 0, 1, 2, 2])])
def test_frames_are_spread_over_time_where_the_timeline_has_a_rate(
    make_store: MakeStore, timeline: str, rows: list[int]
) -> None:
    """Three frames: at 0 s, at 0.1 s for 0.3 s, and at 0.4 s; five instants at 10 fps."""
    features = random_features(3)
    store = make_store(
        {"video": features}, meaning={**SAME, "timeline": timeline}, pts_seconds={"video": [0.0, 0.1, 0.4]}
    )
    expected = features[rows].astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(video_features(store, ["video"], num_frames=5)[0], expected, atol=1e-6)


def test_a_video_that_is_not_stored_is_named(make_store: MakeStore) -> None:
    store = make_store({"here": random_features(2)}, meaning=SAME)
    with pytest.raises(VideoMissing, match="'gone'"):
        video_features(store, ["here", "gone"])


def test_texts_of_the_stores_own_model_fit(make_store: MakeStore) -> None:
    store = make_store({"video": random_features(2)}, meaning={**SAME, "preprocess": {"size": 1}})
    assert tolerated_differences(store, DESCRIPTION) == ()


def test_texts_of_another_model_are_refused_unless_allowed(make_store: MakeStore) -> None:
    store = make_store({"video": random_features(2)}, meaning={**SAME, "activation": "quick_gelu"})
    with pytest.raises(StoreMismatch, match="activation") as caught:
        tolerated_differences(store, DESCRIPTION)
    assert tolerated_differences(store, DESCRIPTION, allow_mismatch=True) == caught.value.differences


def test_texts_of_another_width_are_refused_even_when_allowed(make_store: MakeStore) -> None:
    wide = np.ones((1, 1, 8), dtype=np.float16)
    store = make_store({"video": wide}, meaning={**SAME, "embed_dim": 8})
    with pytest.raises(StoreMismatch, match="embed_dim: 8 here, 4 asked"):
        tolerated_differences(store, DESCRIPTION, allow_mismatch=True)
