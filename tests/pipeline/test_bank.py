from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlp.pipeline import placements
from vlp.pipeline.bank import (
    FeatureBank,
    tolerated_differences,
    video_features,
)
from vlp.pipeline.encoder_spec import EncoderDescription, Preprocess
from vlp.pipeline.errors import DeviceUnavailable
from vlp.pipeline.placements import choose_placement, copy_videos, map_videos, send_videos
from vlp.stores.errors import StoreDamaged, StoreMismatch, VideoMissing
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


PLACEMENTS = ("memory-map", "ram")


def filled(make_store: MakeStore, num_views: int = 1, **more) -> tuple[FeatureStore, dict[str, np.ndarray]]:
    """Three videos in one segment, then two in another: 7, 40, 1, 20 and 5 frames."""
    videos = {
        f"video-{frames}": random_features(frames, num_views, seed=frames) for frames in (7, 40, 1, 20, 5)
    }
    ids = list(videos)
    make_store({video_id: videos[video_id] for video_id in ids[:3]}, meaning=SAME, **more)
    return make_store({video_id: videos[video_id] for video_id in ids[3:]}, meaning=SAME, **more), videos


def test_the_store_of_these_tests_has_two_segments(make_store: MakeStore) -> None:
    store, _ = filled(make_store)
    assert len({entry.segment for entry in store.videos().values()}) == 2


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize("num_views", [1, 3])
@pytest.mark.parametrize("listed", [(0, 1, 2, 3, 4), (4, 0, 3), (1, 2), (3,)])
def test_gathered_rows_are_the_stored_ones(
    make_store: MakeStore, placement: str, num_views: int, listed: tuple[int, ...]
) -> None:
    """Of batches within one segment and across two."""
    store, stored = filled(make_store, num_views)
    ids = [list(stored)[place] for place in listed]
    bank = FeatureBank(store, ids, placement=placement)
    rng = np.random.default_rng(0)
    videos = rng.integers(len(ids), size=50)
    steps = rng.integers(0, bank.num_steps[videos][:, None], size=(50, 6))
    views = rng.integers(num_views, size=50)

    gathered = bank.gather(videos, steps, views)

    expected = [stored[ids[v]][s, w] for v, s, w in zip(videos, steps, views, strict=True)]
    assert (bank.placement, bank.device.type, gathered.dtype) == (placement, "cpu", torch.float16)
    assert np.array_equal(gathered.numpy(), np.stack(expected))
    first = np.stack([stored[ids[v]][s, 0] for v, s in zip(videos, steps, strict=True)])
    assert np.array_equal(bank.gather(videos, steps).numpy(), first)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_changing_a_gathered_clip_leaves_the_bank_as_it_was(make_store: MakeStore, placement: str) -> None:
    store, stored = filled(make_store)
    bank = FeatureBank(store, list(stored), placement=placement)
    for videos in (np.array([0, 0]), np.array([0, 4])):
        before = bank.gather(videos, np.zeros((2, 1), dtype=np.int64)).clone()
        bank.gather(videos, np.zeros((2, 1), dtype=np.int64)).zero_()
        assert torch.equal(bank.gather(videos, np.zeros((2, 1), dtype=np.int64)), before)


def test_a_bank_knows_its_videos_in_the_order_in_which_they_are_listed(make_store: MakeStore) -> None:
    store, _ = filled(make_store, num_views=3)
    bank = FeatureBank(store, ["video-40", "video-5"])
    assert (bank.num_videos, bank.num_views, bank.embed_dim) == (2, 3, 4)
    assert bank.video_ids == ("video-40", "video-5")
    assert bank.num_steps.tolist() == [40, 5]
    assert bank.positions(["video-5", "video-40", "video-5"]).tolist() == [1, 0, 1]
    with pytest.raises(KeyError, match="video-7"):
        bank.positions(["video-7"])


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_clip_shows_the_row_of_each_instant(make_store: MakeStore, placement: str) -> None:
    """Three frames: at 0 s, at 0.1 s for 0.3 s, and at 0.4 s; five instants at 10 fps."""
    features = random_features(3, num_views=2)
    store = make_store({"video": features}, meaning=SAME, pts_seconds={"video": [0.0, 0.1, 0.4]})
    bank = FeatureBank(store, ["video"], placement=placement)
    assert bank.num_steps.tolist() == [5]
    gathered = bank.gather(np.array([0]), np.arange(5)[None], np.array([1]))
    assert np.array_equal(gathered[0].numpy(), features[[0, 1, 1, 1, 2], 1])


def test_without_a_rate_each_row_is_a_step(make_store: MakeStore) -> None:
    store = make_store(
        {"video": random_features(3)},
        meaning={**SAME, "timeline": "native"},
        pts_seconds={"video": [0.0, 0.1, 0.4]},
    )
    assert FeatureBank(store, ["video"]).num_steps.tolist() == [3]


@pytest.mark.parametrize("placement", PLACEMENTS)
@pytest.mark.parametrize(("video", "step", "view"), [(0, 7, 0), (0, -1, 0), (5, 0, 0), (0, 0, 2), (0, 0, -1)])
def test_what_is_not_there_is_refused(
    make_store: MakeStore, placement: str, video: int, step: int, view: int
) -> None:
    store, stored = filled(make_store, num_views=2)
    bank = FeatureBank(store, list(stored), placement=placement)
    with pytest.raises(IndexError):
        bank.gather(np.array([1, video]), np.array([[0], [step]]), np.array([0, view]))


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_an_empty_batch_is_empty(make_store: MakeStore, placement: str) -> None:
    store, stored = filled(make_store)
    bank = FeatureBank(store, list(stored), placement=placement)
    none = np.empty(0, dtype=np.int64)
    assert bank.gather(none, none.reshape(0, 6), none).shape == (0, 6, 4)
    assert bank.means(none).shape == (0, 1, 4)


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_means_are_those_of_the_stored_rows_however_long_each_is_shown(
    make_store: MakeStore, placement: str
) -> None:
    videos = {"a": random_features(3, 2, seed=1), "b": random_features(5_000, 2, seed=2)}
    store = make_store(videos, meaning=SAME, pts_seconds={"a": [0.0, 0.1, 9.0]})
    bank = FeatureBank(store, ["b", "a"], placement=placement)
    some = bank.means(np.array([1, 1]))
    assert (some.shape, some.dtype) == ((2, 2, 4), torch.float32)
    expected = np.stack([videos[v].astype(np.float64).mean(axis=0) for v in ("b", "a")])
    np.testing.assert_allclose(some.numpy(), expected[[1, 1]], atol=1e-6)
    np.testing.assert_allclose(bank.means().numpy(), expected, atol=1e-6)


def test_a_tensor_on_a_device_gives_what_the_memory_map_gives(make_store: MakeStore) -> None:
    store, stored = filled(make_store, num_views=2)
    views = [store.read(video_id).features for video_id in stored]
    mapped, first_mapped = map_videos(views)
    sent, first_sent = send_videos(views, torch.device("cpu"))
    copied, first_copied = copy_videos(views)
    assert first_sent.tolist() == first_copied.tolist() == [0, 14, 94, 96, 136]
    videos, rows = np.array([4, 1, 2]), np.array([[0, 9], [3, 79], [1, 0]])[:, :1]
    for one, first in ((sent, first_sent), (copied, first_copied)):
        assert torch.equal(
            one.take(videos, first[videos][:, None] + rows),
            mapped.take(videos, first_mapped[videos][:, None] + rows),
        )
        for video, frames in enumerate(stored.values()):
            ours = one.mean(video, slice(first[video], first[video] + 2 * len(frames)), 2)
            there = slice(first_mapped[video], first_mapped[video] + 2 * len(frames))
            torch.testing.assert_close(ours, mapped.mean(video, there, 2), rtol=0, atol=1e-6)


def test_videos_that_own_their_memory_can_be_mapped_too() -> None:
    owned = [random_features(3, 2, seed=1), random_features(9, 2, seed=2)[4:]]
    rows, first = map_videos(owned)
    taken = rows.take(np.array([0, 1]), first[:, None] + np.array([[5], [1]]))
    assert np.array_equal(taken[:, 0].numpy(), np.stack([owned[0][2, 1], owned[1][0, 1]]))


def test_a_bank_goes_to_a_gpu_or_to_memory_only_where_it_takes_at_most_half_of_what_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1_000))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [choose_placement(size) for size in (500, 501)] == ["ram", "memory-map"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (200, 10**9))
    assert [choose_placement(size) for size in (100, 101, 501)] == ["cuda:0", "ram", "memory-map"]


def test_auto_says_what_it_chose(make_store: MakeStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store, stored = filled(make_store)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert FeatureBank(store, list(stored)).placement == "ram"
    monkeypatch.setattr(placements, "SHARE_OF_FREE", 0.0)
    assert FeatureBank(store, list(stored)).placement == "memory-map"


@pytest.mark.parametrize("placement", ["cuda:99", "floppy"])
def test_a_device_that_is_not_there_is_refused(make_store: MakeStore, placement: str) -> None:
    store, stored = filled(make_store)
    with pytest.raises(DeviceUnavailable, match=f"no device '{placement}'"):
        FeatureBank(store, list(stored), placement=placement)


def test_a_bank_of_nothing_and_a_video_listed_twice_are_refused(make_store: MakeStore) -> None:
    store, _ = filled(make_store)
    with pytest.raises(ValueError, match="at least one video"):
        FeatureBank(store, [])
    with pytest.raises(ValueError, match="'video-7' is listed twice"):
        FeatureBank(store, ["video-1", "video-7", "video-7"])
    with pytest.raises(VideoMissing, match="'gone'"):
        FeatureBank(store, ["video-7", "gone"])


@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_flipped_bit_is_found_when_the_bank_opens(make_store: MakeStore, placement: str) -> None:
    store, stored = filled(make_store)
    segment = store.videos()["video-40"].segment
    shard = store.path / "segments" / segment / "features" / "c" / "0" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[7 * 8 + 100] ^= 1  # a byte of video-40, which follows 7 rows of 8 bytes
    shard.chmod(0o644)
    shard.write_bytes(content)
    FeatureBank(store, ["video-7"], placement=placement)
    with pytest.raises(StoreDamaged, match="video-40"):
        FeatureBank(store, list(stored), placement=placement)
