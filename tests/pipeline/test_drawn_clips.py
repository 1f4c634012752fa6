from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from vlp.pipeline.bank import FeatureBank, draw_clips, drawn_test_clips
from vlp.pipeline.clip_dataset import ClipDataset
from vlp.pipeline.recipe import Recipe
from vlp.stores.features import FeatureStore

MakeStore = Callable[..., FeatureStore]

RECIPES = {
    "random-gap": Recipe(num_frames=4, gaps=(2, 3), num_test_clips=3),
    "random-gap-official": Recipe(
        sampling="random-gap-official", num_frames=4, gaps=(1, 2), num_test_clips=3
    ),
    "segments": Recipe(sampling="segments", num_frames=4, num_test_clips=3),
    "uniform": Recipe(sampling="uniform", num_frames=4, num_test_clips=3),
    "whole": Recipe(sampling="whole", num_frames=1, num_test_clips=1),
}


def numbered(make_store: MakeStore, num_views: int) -> FeatureBank:
    """A bank whose features say where they are from: video, step, view, 0."""
    videos = {}
    for video, frames in enumerate((30, 9, 64)):
        features = np.zeros((frames, num_views, 4))
        features[..., 0] = video
        features[..., 1] = np.arange(frames)[:, None]
        features[..., 2] = np.arange(num_views)
        videos[f"video-{video}"] = features
    return FeatureBank(make_store(videos, meaning={}), list(videos), placement="ram")


@pytest.mark.parametrize("rule", RECIPES)
def test_a_training_clip_is_of_its_video_and_of_one_view(make_store: MakeStore, rule: str) -> None:
    bank = numbered(make_store, num_views=3)
    videos = np.tile([2, 0, 1], 40)
    clips = draw_clips(bank, videos, RECIPES[rule], np.random.default_rng(0))
    frames = clips.embeddings.numpy()
    assert frames.shape == (120, RECIPES[rule].num_frames, 4)
    assert (frames[..., 0] == videos[:, None]).all()
    assert (frames[..., 2] == frames[:, :1, 2]).all()
    assert {*frames[:, 0, 2].tolist()} == {0, 1, 2}
    assert (clips.gaps is not None) == rule.startswith("random-gap")


def test_gaps_are_the_distances_between_frames(make_store: MakeStore) -> None:
    bank = numbered(make_store, num_views=1)
    clips = draw_clips(bank, np.tile([0, 2], 20), RECIPES["random-gap"], np.random.default_rng(0))
    distances = np.diff(clips.embeddings[..., 1].float().numpy(), axis=1)
    assert clips.gaps is not None
    assert (distances == clips.gaps.numpy()[:, None]).all()
    assert {*clips.gaps.tolist()} == {2, 3}


@pytest.mark.parametrize("rule", ["random-gap", "random-gap-official", "segments"])
def test_random_rules_differ_between_draws_and_repeat_with_the_generator(
    make_store: MakeStore, rule: str
) -> None:
    bank, rng = numbered(make_store, num_views=1), np.random.default_rng(5)
    videos = np.tile([0, 2], 10)
    first, second = (draw_clips(bank, videos, RECIPES[rule], rng).embeddings for _ in range(2))
    again = draw_clips(bank, videos, RECIPES[rule], np.random.default_rng(5)).embeddings
    assert not torch.equal(first, second)
    assert torch.equal(first, again)


def test_segments_draw_within_segments_and_uniform_takes_their_middles(make_store: MakeStore) -> None:
    bank = numbered(make_store, num_views=1)
    videos = np.full(200, 2)  # 64 steps, 16 a segment
    drawn = draw_clips(bank, videos, RECIPES["segments"], np.random.default_rng(0)).embeddings[..., 1].numpy()
    assert (drawn // 16 == np.arange(4)).all()
    assert {*(drawn[:, 0]).tolist()} == {*range(16)}
    middles = draw_clips(bank, videos, RECIPES["uniform"], np.random.default_rng(0)).embeddings[..., 1]
    assert (middles.numpy() == [8, 24, 40, 56]).all()


@pytest.mark.parametrize("num_views", [1, 2])
@pytest.mark.parametrize("rule", RECIPES)
def test_test_clips_come_by_video_then_clip_then_view(
    make_store: MakeStore, rule: str, num_views: int
) -> None:
    bank, recipe = numbered(make_store, num_views), RECIPES[rule]
    clips = drawn_test_clips(bank, np.array([2, 0]), recipe, np.random.default_rng(0))
    shape = (2, recipe.num_test_clips, num_views, recipe.num_frames)
    frames = clips.embeddings.numpy().reshape(*shape, 4)
    assert (frames[..., 0] == np.array([2, 0])[:, None, None, None]).all()
    assert (frames[..., 2] == np.arange(num_views)[:, None]).all()
    assert (frames[..., 1] == frames[:, :, :1, :, 1]).all()  # every view shows the same frames
    if clips.gaps is not None:
        gaps = clips.gaps.numpy().reshape(shape[:3])
        assert (gaps == gaps[:, :, :1]).all()


@pytest.mark.parametrize("rule", ["segments", "uniform"])
def test_test_clips_of_fixed_rules_are_spread_over_the_video(make_store: MakeStore, rule: str) -> None:
    """64 steps for 3 clips of 4 frames: middles of 12 segments, dealt out in turn."""
    clips = drawn_test_clips(
        numbered(make_store, 1), np.array([2]), RECIPES[rule], np.random.default_rng(0)
    ).embeddings[..., 1]
    middles = [int((2 * i + 1) * 64 / 24) for i in range(12)]
    assert clips.tolist() == [middles[0::3], middles[1::3], middles[2::3]]


@pytest.mark.parametrize("rule", ["random-gap", "random-gap-official"])
def test_test_clips_of_random_rules_differ(make_store: MakeStore, rule: str) -> None:
    bank = numbered(make_store, 1)
    clips = drawn_test_clips(bank, np.array([2] * 10), RECIPES[rule], np.random.default_rng(0)).embeddings
    assert len({tuple(clip) for clip in clips[..., 1].tolist()}) > 10


def test_whole_is_the_mean_of_all_rows_as_a_clip_of_one_frame(make_store: MakeStore) -> None:
    bank = numbered(make_store, 2)
    clips = drawn_test_clips(bank, np.array([1, 2]), RECIPES["whole"], np.random.default_rng(0))
    assert clips.gaps is None
    assert clips.embeddings.tolist() == [
        [[1.0, 4.0, 0.0, 0.0]],
        [[1.0, 4.0, 1.0, 0.0]],
        [[2.0, 31.5, 0.0, 0.0]],
        [[2.0, 31.5, 1.0, 0.0]],
    ]


def test_the_dataset_gives_clips_that_depend_on_seed_epoch_and_item_alone(make_store: MakeStore) -> None:
    bank, labels = numbered(make_store, 1), np.array([5, 6, 7])
    data = ClipDataset(bank, np.array([2, 0, 1]), labels, RECIPES["random-gap"], seed=3)
    clip, gap, label = data[1]
    assert (len(data), clip.shape, label) == (3, (4, 4), 6)
    assert clip[:, 0].tolist() == [0.0] * 4
    assert np.diff(clip[:, 1].float()).tolist() == [gap] * 3
    assert torch.equal(data[1][0], clip)
    assert torch.equal(data[-2][0], clip)
    epochs = []
    for data.epoch in range(8):
        epochs.append(tuple(data[0][0][:, 1].tolist()))
    assert len({*epochs}) > 1
    with pytest.raises(IndexError):
        data[3]


def test_a_dataloader_collates_the_dataset(make_store: MakeStore) -> None:
    bank = numbered(make_store, 1)
    data = ClipDataset(bank, np.array([2, 0, 1]), np.array([5, 6, 7]), RECIPES["uniform"], seed=0)
    clips, gaps, labels = next(iter(DataLoader(data, batch_size=3)))
    assert (clips.shape, gaps.tolist(), labels.tolist()) == ((3, 4, 4), [0, 0, 0], [5, 6, 7])


def test_a_dataset_needs_a_label_a_video(make_store: MakeStore) -> None:
    with pytest.raises(ValueError, match="2 videos, 1 labels"):
        ClipDataset(numbered(make_store, 1), np.array([0, 1]), np.array([0]), RECIPES["uniform"], seed=0)
