"""Scores from their definition: the mean over test clips and views."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vlp.pipeline.bank import FeatureBank, drawn_test_clips
from vlp.pipeline.clips import Clips
from vlp.pipeline.recipe import Recipe
from vlp.pipeline.scoring import score_videos

CPU = torch.device("cpu")
RECIPE = Recipe(sampling="random-gap", num_frames=4, gaps=(1, 2), num_test_clips=3)


class FirstDimensions(nn.Module):
    """Logits that are three numbers of the last frame: what is averaged shows."""

    def forward(self, clips: Clips) -> Tensor:
        assert not self.training
        return 3 * clips.embeddings.float()[:, -1, :3]


@pytest.fixture
def bank(make_store: Any) -> FeatureBank:
    rng = np.random.default_rng(0)
    videos = {f"v{number}": rng.normal(size=(20 + number, 2, 8)) for number in range(6)}
    return FeatureBank(make_store(videos, meaning={"kind": "made up"}), sorted(videos), placement="ram")


def score(bank: FeatureBank, videos: list[int], recipe: Recipe = RECIPE, seed: int = 0) -> np.ndarray:
    return score_videos(FirstDimensions(), bank, np.array(videos), recipe, seed=seed, device=CPU)


@pytest.mark.parametrize("aggregation", ["probabilities", "logits"])
def test_a_score_is_the_mean_over_clips_and_views(aggregation: Any, bank: FeatureBank) -> None:
    recipe = Recipe(sampling="uniform", num_frames=4, num_test_clips=3, aggregation=aggregation)
    clips = drawn_test_clips(bank, np.array([4]), recipe, np.random.default_rng(0))
    assert len(clips.embeddings) == 3 * 2
    logits = 3 * clips.embeddings.double()[:, -1, :3]
    values = logits.softmax(dim=1) if aggregation == "probabilities" else logits
    np.testing.assert_allclose(score(bank, [4], recipe)[0], values.mean(dim=0).numpy(), rtol=1e-5)


class TwoReadings(FirstDimensions):
    """Two similarities with every class, of which the larger is the logit: that of a mean is no mean of those."""

    def similarities(self, clips: Clips) -> Tensor:
        last = clips.embeddings.float()[:, -1]
        return torch.stack([last[:, :3], last[:, 3:6]], dim=1)

    def logits_of(self, similarities: Tensor) -> Tensor:
        return similarities.amax(dim=1)


def test_similarities_are_averaged_before_the_method_makes_logits_of_them(bank: FeatureBank) -> None:
    recipe = Recipe(sampling="uniform", num_frames=4, num_test_clips=3, aggregation="similarities")
    last = drawn_test_clips(bank, np.array([4]), recipe, np.random.default_rng(0)).embeddings.double()[:, -1]
    mean = last.mean(dim=0)
    expected = torch.maximum(mean[:3], mean[3:6]).softmax(dim=0)
    found = score_videos(TwoReadings(), bank, np.array([4]), recipe, seed=0, device=CPU)
    np.testing.assert_allclose(found[0], expected.numpy(), rtol=1e-5)
    plain = (3 * mean[:3]).softmax(dim=0)  # a method without such: its mean logits, as probabilities
    np.testing.assert_allclose(score(bank, [4], recipe)[0], plain.numpy(), rtol=1e-5)


def test_aggregated_frames_are_one_clip_of_all_clips_and_views(bank: FeatureBank) -> None:
    class MeanOfFrames(torch.nn.Module):
        def forward(self, clips: Clips) -> torch.Tensor:
            assert clips.embeddings.shape[1] == 4 * 3 * 2
            return clips.embeddings.float().mean(dim=1)[:, :3]

    recipe = Recipe(sampling="uniform", num_frames=4, num_test_clips=3, aggregation="frames")
    found = score_videos(MeanOfFrames(), bank, np.array([1, 4]), recipe, seed=0, device=CPU)
    for place, video in enumerate((1, 4)):
        clips = drawn_test_clips(bank, np.array([video]), recipe, np.random.default_rng(0))
        expected = clips.embeddings.float().flatten(0, 1).mean(dim=0)[:3].double().softmax(dim=0)
        np.testing.assert_allclose(found[place], expected.numpy(), rtol=1e-5)


def test_frames_of_clips_with_gaps_are_not_joined() -> None:
    with pytest.raises(ValueError, match="aggregation frames joins clips"):
        Recipe(aggregation="frames")


def test_a_videos_score_does_not_depend_on_the_others(bank: FeatureBank) -> None:
    together = score(bank, [0, 1, 2, 3, 4, 5])
    assert np.array_equal(score(bank, [3, 5, 0]), together[[3, 5, 0]])
    assert np.allclose(together.sum(axis=1), 1.0)


def test_random_clips_follow_the_seed(bank: FeatureBank) -> None:
    assert np.array_equal(score(bank, [1, 2]), score(bank, [1, 2]))
    assert not np.array_equal(score(bank, [1, 2]), score(bank, [1, 2], seed=1))


def test_small_batches_give_the_same_scores(bank: FeatureBank, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = score(bank, [0, 1, 2, 3, 4])
    monkeypatch.setattr("vlp.pipeline.scoring._BATCH_BYTES", 1)
    np.testing.assert_allclose(score(bank, [0, 1, 2, 3, 4]), whole, rtol=1e-6)
    uniform = replace(RECIPE, sampling="uniform")
    np.testing.assert_allclose(score(bank, [2], uniform), score(bank, [1, 2], uniform)[1:], rtol=1e-6)
