"""Tip-Adapter-F: it begins as Tip-Adapter, and its keys alone move."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vlp.datasplits.errors import DatasetError
from vlp.pipeline.bank import FeatureBank
from vlp.pipeline.clips import Clips
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.methods import tip_adapter, tip_adapter_f, zero_shot
from vlp.pipeline.methods.tip_adapter_f import Config, build, fit
from vlp.pipeline.parts.cached_videos import CachedVideos
from vlp.pipeline.training import LabelledVideos, train_to_end

CLASSES = ("Archery", "BrushHair", "yo-yo")


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")


def videos(num_videos: int = 12, seed: int = 0) -> tuple[Clips, torch.Tensor]:
    """Classes that overlap, around directions that every seed shares."""
    directions = torch.randn(3, 16, generator=torch.Generator().manual_seed(5))
    labels = torch.arange(num_videos) % 3
    noise = torch.randn(num_videos, 3, 16, generator=torch.Generator().manual_seed(seed))
    return Clips(7 * (directions[labels][:, None] + 2 * noise)), labels


def filled(encoder: Any, num_videos: int = 12) -> CachedVideos:
    method = build(Config(), encoder, CLASSES)
    fit(method, *videos(num_videos), seed=0)
    return method


@pytest.fixture
def data(make_store: Any) -> LabelledVideos:
    clips, labels = videos(24)
    store = make_store(
        {f"video{number:02d}": video[:, None] for number, video in enumerate(clips.embeddings.numpy())},
        meaning={"kind": "made up"},
    )
    return LabelledVideos(FeatureBank(store, sorted(store.videos())), np.arange(24), labels.numpy())


def test_before_the_first_step_it_is_tip_adapter(encoder: FrozenEncoder) -> None:
    plain = tip_adapter.build(tip_adapter.Config(), encoder, CLASSES)
    tip_adapter.fit(plain, *videos(), seed=0)
    test, _ = videos(7, 9)
    assert torch.equal(filled(encoder)(test), plain(test))


def test_the_keys_get_gradients_and_nothing_else_does(encoder: FrozenEncoder) -> None:
    method, (clips, labels) = filled(encoder), videos()
    assert [name for name, _ in method.named_parameters()] == ["keys"]
    F.cross_entropy(method(clips), labels).backward()
    assert method.keys.grad is not None
    assert (method.keys.grad.abs().sum(dim=1) > 0).all()
    assert [name for name, buffer in method.named_buffers() if buffer.requires_grad] == []


def test_gradients_are_those_of_the_papers_equation(encoder: FrozenEncoder) -> None:
    """By differences of the loss in double precision, of an equation written out here."""
    method, (clips, labels) = filled(encoder), videos(9, 4)
    F.cross_entropy(method(clips), labels).backward()
    queries = F.normalize(clips.embeddings.double().mean(dim=1), dim=-1)
    texts = method.logit_scale.double() * queries @ method.class_features.double().T
    values = torch.eye(3, dtype=torch.float64)[method.labels]

    def loss(keys: torch.Tensor) -> float:
        cached = torch.exp(-method.beta.double() * (1 - queries @ keys.T)) @ values
        return float(F.cross_entropy(texts + method.alpha.double() * cached, labels))

    keys, step = method.keys.detach().double(), 1e-5
    assert method.keys.grad is not None
    for row, column in ((0, 0), (5, 3), (11, 15)):
        moved = torch.zeros_like(keys)
        moved[row, column] = step
        expected = (loss(keys + moved) - loss(keys - moved)) / (2 * step)
        assert float(method.keys.grad[row, column]) == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_training_moves_the_keys_lowers_the_loss_and_leaves_clip_and_the_rest_as_they_are(
    data: LabelledVideos, encoder: FrozenEncoder
) -> None:
    before = {name: tensor.clone() for name, tensor in encoder.clip.state_dict().items()}
    cpu = torch.device("cpu")
    begun, ended = build(Config(), encoder, CLASSES), build(Config(), encoder, CLASSES)
    clips, labels = Clips(data.bank.means()[:, 0][:, None]), torch.from_numpy(data.labels)
    fit(begun, clips, labels, seed=0)
    told = train_to_end(ended, tip_adapter_f, tip_adapter_f.RECIPE, data, seed=0, device=cpu)
    assert (told.num_steps, told.num_epochs, told.num_parameters) == (20, 20, 24 * 16)
    assert not torch.equal(ended.keys, begun.keys)
    for name in ("labels", "alpha", "beta", "num_folds"):
        assert torch.equal(ended.get_buffer(name), begun.get_buffer(name))
    assert F.cross_entropy(ended(clips), labels) < F.cross_entropy(begun(clips), labels)
    after = encoder.clip.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_one_seed_gives_the_same_bits(data: LabelledVideos, encoder: FrozenEncoder) -> None:
    states = []
    for _ in range(2):
        method = build(Config(), encoder, CLASSES)
        train_to_end(method, tip_adapter_f, tip_adapter_f.RECIPE, data, seed=3, device=torch.device("cpu"))
        states.append(method.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_a_saved_cache_is_loaded_into_the_parameter_that_an_optimizer_holds(encoder: FrozenEncoder) -> None:
    """So that a run that goes on moves the keys it has loaded."""
    test, _ = videos(7, 9)
    trained, other = filled(encoder), build(Config(), encoder, CLASSES)
    optimizer = torch.optim.AdamW(other.parameters(), lr=0.1)
    other.load_state_dict(trained.state_dict())
    assert torch.equal(other(test), trained(test))
    F.cross_entropy(other(test), torch.zeros(7, dtype=torch.int64)).backward()
    optimizer.step()
    assert not torch.equal(other.keys, trained.keys)


def test_it_can_be_filled_anew(encoder: FrozenEncoder) -> None:
    method = filled(encoder, 30)
    fit(method, *videos(12), seed=0)
    again = filled(encoder, 12)
    old, new = method.state_dict(), again.state_dict()
    assert all(torch.equal(old[name], new[name]) for name in new)


def test_under_autocast_scores_lose_nothing(encoder: FrozenEncoder) -> None:
    method, (clips, _) = filled(encoder), videos()
    expected = method(clips)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(method(clips), expected)


def test_the_recipe_is_the_releases() -> None:
    recipe = tip_adapter_f.RECIPE
    assert (recipe.optimizer, recipe.learning_rate, recipe.weight_decay) == ("adamw", 1e-3, 0.01)
    assert (recipe.batch_size, recipe.num_epochs, recipe.schedule) == (256, 20, "cosine")
    assert (recipe.sampling, recipe.num_test_clips) == ("whole", 1)
    assert tip_adapter_f.Config().open_vocabulary is False


def test_unknown_template_sets_and_rules_are_refused_on_creation() -> None:
    with pytest.raises(DatasetError, match="nonsense"):
        Config(template_set="nonsense")
    with pytest.raises(DatasetError, match="nonsense"):
        Config(class_text="nonsense")


def test_no_class_and_another_method_are_refused(encoder: FrozenEncoder) -> None:
    with pytest.raises(ValueError, match="0 classes"):
        build(Config(), encoder, ())
    other = zero_shot.build(zero_shot.Config(), encoder, CLASSES)
    with pytest.raises(TypeError, match="ZeroShot has no cache"):
        fit(other, *videos(6), seed=0)
