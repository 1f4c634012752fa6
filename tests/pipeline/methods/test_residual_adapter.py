"""The adapter against CLIP as it is, and against the paper's equation."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vlp.datasplits.errors import DatasetError
from vlp.pipeline.clips import Clips
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.methods import residual_adapter, zero_shot
from vlp.pipeline.methods.residual_adapter import Config, ResidualAdapter, build
from vlp.pipeline.settings import resolve
from vlp.pipeline.trained import is_open_vocabulary

CLASSES = ("Archery", "BrushHair", "yo-yo")


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")


def made(encoder: Any, seed: int = 0, names: Sequence[str] = CLASSES, **settings: Any) -> ResidualAdapter:
    torch.manual_seed(seed)
    return build(Config(**settings), encoder, names)


def clips(num_videos: int = 9, num_frames: int = 3, seed: int = 1) -> Clips:
    return Clips(10 * torch.randn(num_videos, num_frames, 16, generator=torch.Generator().manual_seed(seed)))


def reading(template_set: str, encoder: FrozenEncoder) -> zero_shot.ZeroShot:
    return zero_shot.build(zero_shot.Config(template_set=template_set), encoder, CLASSES)


@pytest.mark.parametrize("template_set", ["single", "none", "ensemble"])
def test_at_ratio_0_it_is_clip_with_the_same_template(template_set: str, encoder: FrozenEncoder) -> None:
    adapter = made(encoder, ratio=0.0, template_set=template_set)
    assert torch.equal(adapter(clips()), reading(template_set, encoder)(clips()))


@pytest.mark.parametrize("ratio", [0.2, 0.6, 1.0])
def test_logits_are_those_of_the_papers_equation(ratio: float, encoder: FrozenEncoder) -> None:
    adapter, zero = made(encoder, ratio=ratio), reading("single", encoder)
    down, up = (layer.weight.detach().double().numpy() for layer in (adapter.down, adapter.up))
    video = clips().embeddings.double().numpy().mean(axis=1)
    mixed = ratio * np.maximum(video @ down.T, 0) @ up.T + (1 - ratio) * video
    mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
    expected = float(zero.logit_scale) * mixed @ zero.class_features.double().numpy().T
    with torch.no_grad():
        np.testing.assert_allclose(adapter(clips()).numpy(), expected, atol=1e-4)


def test_the_length_of_a_feature_does_not_matter(encoder: FrozenEncoder) -> None:
    adapter = made(encoder, ratio=0.5)
    longer = Clips(30 * clips().embeddings)
    torch.testing.assert_close(adapter(longer), adapter(clips()), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("reduction", "hidden"), [(1, 16), (4, 4), (16, 1), (100, 1)])
def test_the_bottleneck_is_the_width_over_the_reduction(
    reduction: int, hidden: int, encoder: FrozenEncoder
) -> None:
    adapter = made(encoder, reduction=reduction)
    shapes = {name: tuple(parameter.shape) for name, parameter in adapter.named_parameters()}
    assert shapes == {"down.weight": (hidden, 16), "up.weight": (16, hidden)}
    assert set(adapter.state_dict()) == set(shapes)


def test_a_step_lowers_the_loss_and_leaves_clip_and_the_texts_as_they_are(encoder: FrozenEncoder) -> None:
    before = {name: tensor.clone() for name, tensor in encoder.clip.state_dict().items()}
    adapter, labels = made(encoder), torch.arange(9) % 3
    texts = adapter.class_features.clone()
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=residual_adapter.RECIPE.learning_rate)
    first = F.cross_entropy(adapter(clips()), labels)
    first.backward()
    assert all(p.grad is not None and p.grad.any() for p in adapter.parameters())
    optimizer.step()
    assert F.cross_entropy(adapter(clips()), labels) < first
    assert torch.equal(adapter.class_features, texts)
    after = encoder.clip.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_trained_weights_serve_new_names(encoder: FrozenEncoder) -> None:
    trained = made(encoder, seed=1)
    names = ("juggling balls", "yo-yo", "Archery", "BrushHair")
    other = made(encoder, seed=2, names=names)
    assert not torch.equal(other(clips())[:, 1], trained(clips())[:, 2])
    other.load_state_dict(trained.state_dict())
    new, old = other(clips()), trained(clips())
    assert new.shape == (9, 4)
    torch.testing.assert_close(new[:, 1:], old[:, [2, 0, 1]])


def test_a_seed_gives_the_initial_weights(encoder: FrozenEncoder) -> None:
    assert torch.equal(made(encoder, seed=3).down.weight, made(encoder, seed=3).down.weight)
    assert not torch.equal(made(encoder, seed=3).down.weight, made(encoder, seed=4).down.weight)


def test_frames_are_taken_in_half_precision_and_scored_in_full(encoder: FrozenEncoder) -> None:
    half = Clips(clips().embeddings.half())
    adapter = made(encoder)
    assert torch.equal(adapter(half), adapter(Clips(half.embeddings.float())))
    unmixed, expected = made(encoder, ratio=0.0), reading("single", encoder)(half)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert adapter(half).dtype == torch.float32
        assert torch.equal(unmixed(half), expected)


def test_names_that_are_cut_are_reported_as_they_were_given(encoder: FrozenEncoder) -> None:
    long_name = "_".join(["Very"] * 80)
    assert made(encoder, names=["Archery", long_name]).truncated == (long_name,)


@pytest.mark.parametrize("ratio", [-0.1, 1.1, math.inf, math.nan])
def test_a_ratio_that_is_no_share_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match=r"ratio \(.*\) must lie between 0 and 1"):
        Config(ratio=ratio)


def test_no_bottleneck_is_refused() -> None:
    with pytest.raises(ValueError, match=r"reduction \(0\) must be at least 1"):
        Config(reduction=0)


def test_unknown_template_sets_and_rules_are_refused_on_creation() -> None:
    with pytest.raises(DatasetError, match="nonsense"):
        Config(template_set="nonsense")
    with pytest.raises(DatasetError, match="nonsense"):
        Config(class_text="nonsense")


def test_no_class_is_refused(encoder: FrozenEncoder) -> None:
    with pytest.raises(ValueError, match="0 classes"):
        build(Config(), encoder, ())


def test_the_vocabulary_is_open() -> None:
    assert is_open_vocabulary(resolve("residual_adapter"))
    assert residual_adapter.RECIPE.optimizer == "adamw"
