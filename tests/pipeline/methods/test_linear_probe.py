"""The linear probe against scikit-learn's own classifier, and what its C is chosen by."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from vlp.pipeline.bank import FeatureBank
from vlp.pipeline.clips import Clips
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.errors import PipelineError
from vlp.pipeline.methods import linear_probe, zero_shot
from vlp.pipeline.methods.linear_probe import (
    INVERSE_STRENGTHS,
    ClassWithoutVideo,
    Config,
    LinearProbe,
    build,
    fit,
)
from vlp.pipeline.training import LabelledVideos, train_to_end

CLASSES = ("Archery", "BrushHair", "yo-yo")
WIDTH = 16
Draw = Callable[[int, int], tuple[Clips, torch.Tensor]]


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")


def blobs(
    num_videos: int, seed: int, num_classes: int = 3, num_frames: int = 4
) -> tuple[Clips, torch.Tensor]:
    """Classes that overlap, around centres that every seed shares, far from the origin and of uneven scale."""
    centres = torch.randn(num_classes, WIDTH, generator=torch.Generator().manual_seed(5)) + 3
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(num_videos) % num_classes
    noise = 2 * torch.randn(num_videos, num_frames, WIDTH, generator=generator)
    return Clips((centres[labels][:, None] + noise) * torch.linspace(0.3, 3, WIDTH)), labels


def faint(num_videos: int, seed: int) -> tuple[Clips, torch.Tensor]:
    """One small dimension tells everything, beside large ones that tell nothing: only a large C finds it."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(num_videos) % 3
    features = 5 * torch.randn(num_videos, 1, WIDTH, generator=generator)
    features[:, 0, 0] = 0.2 * (labels - 1) + 0.01 * torch.randn(num_videos, generator=generator)
    return Clips(features), labels


def mislabelled(num_videos: int, seed: int) -> tuple[Clips, torch.Tensor]:
    """Clear classes, a third of whose videos carry a wrong label: a large C learns these by heart."""
    clips, labels = blobs(num_videos, seed, num_frames=200)
    generator = torch.Generator().manual_seed(seed + 1000)
    wrong = torch.rand(num_videos, generator=generator) < 1 / 3
    shift = torch.randint(1, 3, (num_videos,), generator=generator)
    noise = torch.randn(num_videos, 1, WIDTH, generator=generator)
    return Clips(clips.embeddings.mean(dim=1, keepdim=True) + noise), torch.where(
        wrong, (labels + shift) % 3, labels
    )


def fitted(
    encoder: Any, clips: Clips, labels: torch.Tensor, *, seed: int = 0, num_classes: int = 3, **settings: Any
) -> LinearProbe:
    probe = build(Config(**settings), encoder, ("a", "b", "c", "d", "e")[:num_classes])
    fit(probe, clips, labels, seed=seed)
    return probe


def rows(clips: Clips) -> NDArray[np.float64]:
    mean: NDArray[np.float64] = clips.embeddings.mean(dim=1).double().numpy()
    return mean


def accuracy(probe: LinearProbe, clips: Clips, labels: torch.Tensor) -> float:
    return float((probe(clips).argmax(dim=1) == labels).double().mean())


@pytest.mark.parametrize("num_classes", [2, 3, 5])
@pytest.mark.parametrize("strength", [0.02, 1.0])
def test_probabilities_are_those_of_scikit_learn_on_the_raw_mean_frame(
    strength: float, num_classes: int, encoder: FrozenEncoder
) -> None:
    clips, labels = blobs(60, 0, num_classes)
    seen, _ = blobs(30, 1, num_classes)
    probe = fitted(encoder, clips, labels, num_classes=num_classes, inverse_strength=strength)
    reference = LogisticRegression(C=strength, max_iter=5000, tol=1e-8).fit(rows(clips), labels.numpy())
    expected = reference.predict_proba(rows(seen))
    np.testing.assert_allclose(probe(seen).softmax(dim=1).numpy(), expected, atol=1e-2)
    assert float(probe.inverse_strength) == pytest.approx(strength)
    assert int(probe.num_held_out) == 0
    assert 0 < int(probe.num_iterations) < 1000


def test_a_chosen_c_is_one_of_the_grid_and_is_fitted_on_all_videos(encoder: FrozenEncoder) -> None:
    clips, labels = blobs(60, 0)
    probe = fitted(encoder, clips, labels)
    strength = next(c for c in INVERSE_STRENGTHS if float(probe.inverse_strength) == pytest.approx(c))
    assert int(probe.num_held_out) == 20
    reference = LogisticRegression(C=strength, max_iter=5000, tol=1e-8).fit(rows(clips), labels.numpy())
    np.testing.assert_allclose(probe.weight.numpy(), reference.coef_, atol=2e-2)
    np.testing.assert_allclose(probe.bias.numpy(), reference.intercept_, atol=2e-2)


@pytest.mark.parametrize(
    ("draw", "is_right", "wrong"),
    [(mislabelled, lambda c: c < 0.11, 100.0)],
    ids=["small where labels are wrong"],
)
def test_the_chosen_c_is_what_serves_other_videos(
    draw: Draw, is_right: Callable[[float], bool], wrong: float, encoder: FrozenEncoder
) -> None:
    by_choice, by_wrong = [], []
    for seed in range(4):
        train, test = draw(90, seed), draw(600, seed + 100)
        probe = fitted(encoder, *train, seed=seed)
        assert is_right(float(probe.inverse_strength))
        by_choice.append(accuracy(probe, *test))
        by_wrong.append(accuracy(fitted(encoder, *train, inverse_strength=wrong), *test))
    assert np.mean(by_choice) > np.mean(by_wrong) + 0.02


@pytest.mark.parametrize(("num_of_last", "num_held_out"), [(1, 0), (2, 0), (3, 8)])
def test_with_fewer_than_three_videos_in_a_class_c_is_1_and_nothing_is_held_out(
    num_of_last: int, num_held_out: int, encoder: FrozenEncoder
) -> None:
    clips, labels = blobs(30, 0)
    kept = torch.cat([torch.nonzero(labels < 2)[:, 0], torch.nonzero(labels == 2)[:num_of_last, 0]])
    probe = fitted(encoder, Clips(clips.embeddings[kept]), labels[kept])
    assert int(probe.num_held_out) == num_held_out
    assert num_held_out or float(probe.inverse_strength) == 1


def test_one_video_of_each_class_is_enough(encoder: FrozenEncoder) -> None:
    clips, labels = blobs(3, 0)
    probe = fitted(encoder, clips, labels)
    assert probe(clips).argmax(dim=1).tolist() == labels.tolist()


def test_a_single_class_is_certain(encoder: FrozenEncoder) -> None:
    clips, labels = blobs(4, 0, num_classes=1)
    probe = fitted(encoder, clips, labels, num_classes=1)
    assert probe(clips).softmax(dim=1).tolist() == [[1.0]] * 4


def test_test_videos_have_no_say(encoder: FrozenEncoder, make_store: Any) -> None:
    """Whatever lies in the bank beside the training videos, the probe is the same in every bit."""
    clips, labels = blobs(60, 0)
    states = []
    for case, noise in enumerate((0.0, 50.0)):
        features = clips.embeddings.numpy().copy()
        features[40:] += noise
        store = make_store(
            {f"video{number:02d}": video[:, None] for number, video in enumerate(features)},
            meaning={"case": case},
        )
        bank = FeatureBank(store, sorted(store.videos()))
        probe = build(Config(), encoder, CLASSES)
        data = LabelledVideos(bank, np.arange(40), labels[:40].numpy())
        ended = train_to_end(
            probe, linear_probe, linear_probe.RECIPE, data, seed=0, device=torch.device("cpu")
        )
        assert ended.num_steps == 0
        assert int(probe.num_held_out) == 14
        states.append(probe.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_one_seed_gives_the_same_bits_also_where_it_was_fitted_before(encoder: FrozenEncoder) -> None:
    probe = fitted(encoder, *faint(30, 1), seed=4)
    fit(probe, *blobs(60, 0), seed=3)
    again = fitted(encoder, *blobs(60, 0), seed=3)
    assert all(torch.equal(a, b) for a, b in zip(probe.buffers(), again.buffers(), strict=True))


def test_what_has_not_converged_is_taken_and_said_in_a_number(
    encoder: FrozenEncoder, recwarn: pytest.WarningsRecorder
) -> None:
    clips, labels = blobs(60, 0)
    probe = fitted(encoder, clips, labels, inverse_strength=100.0, max_iterations=3)
    assert int(probe.num_iterations) == 3
    assert float(probe.weight.abs().sum()) > 0
    assert not recwarn.list
    assert int(fitted(encoder, clips, labels, inverse_strength=100.0).num_iterations) < 1000


def test_saved_weights_need_no_fit(encoder: FrozenEncoder) -> None:
    seen, _ = blobs(9, 1)
    probe = fitted(encoder, *blobs(60, 0))
    fresh = build(Config(), encoder, ("a", "b", "c"))
    assert not fresh(seen).any()
    fresh.load_state_dict({name: tensor.clone() for name, tensor in probe.state_dict().items()})
    assert torch.equal(fresh(seen), probe(seen))
    assert {"weight", "bias"} < set(probe.state_dict())
    assert list(probe.parameters()) == []


def test_weights_of_another_number_of_classes_do_not_fit(encoder: FrozenEncoder) -> None:
    state = fitted(encoder, *blobs(60, 0)).state_dict()
    with pytest.raises(RuntimeError, match="size mismatch for weight"):
        build(Config(), encoder, ("a", "b")).load_state_dict(state)


@pytest.mark.parametrize("absent", [0, 1, 2])
def test_a_class_without_a_training_video_is_named(absent: int, encoder: FrozenEncoder) -> None:
    clips, labels = blobs(30, 0)
    probe = build(Config(), encoder, CLASSES)
    kept = labels != absent
    said = re.escape(f"{CLASSES[absent]!r} (class {absent})")
    with pytest.raises(ClassWithoutVideo, match=said) as caught:
        fit(probe, Clips(clips.embeddings[kept]), labels[kept], seed=0)
    assert (caught.value.class_name, caught.value.index) == (CLASSES[absent], absent)
    assert isinstance(caught.value, PipelineError)
    assert not probe.weight.any()


@pytest.mark.parametrize("strength", [0.0, -1.0, math.inf, math.nan])
def test_a_strength_without_a_meaning_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match=r"inverse_strength \(.*\) must be positive and finite"):
        Config(inverse_strength=strength)


def test_no_iterations_are_refused() -> None:
    with pytest.raises(ValueError, match=r"max_iterations \(0\) must be at least 1"):
        Config(max_iterations=0)


def test_no_class_is_refused(encoder: FrozenEncoder) -> None:
    with pytest.raises(ValueError, match="no class"):
        build(Config(), encoder, ())


def test_another_method_is_refused(encoder: FrozenEncoder) -> None:
    other = zero_shot.build(zero_shot.Config(), encoder, CLASSES)
    with pytest.raises(TypeError, match="ZeroShot is no LinearProbe"):
        fit(other, *blobs(6, 0), seed=0)


def test_it_knows_its_training_classes_only_and_takes_no_steps() -> None:
    recipe = linear_probe.RECIPE
    assert linear_probe.Config().open_vocabulary is False
    assert (recipe.optimizer, recipe.sampling, recipe.num_test_clips) == ("none", "whole", 1)
