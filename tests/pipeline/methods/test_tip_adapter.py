"""Tip-Adapter against its equation, written out in NumPy, and against CLIP as it is."""

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
from vlp.pipeline.methods import tip_adapter, zero_shot
from vlp.pipeline.methods.tip_adapter import Config, build, fit
from vlp.pipeline.parts.cached_videos import CachedVideos
from vlp.pipeline.training import LabelledVideos, train_to_end

CLASSES = ("Archery", "BrushHair", "yo-yo")


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")


def videos(num_videos: int, seed: int, num_frames: int = 3) -> tuple[Clips, torch.Tensor]:
    """Classes that overlap, around directions that every seed shares."""
    directions = torch.randn(3, 16, generator=torch.Generator().manual_seed(5))
    labels = torch.arange(num_videos) % 3
    noise = torch.randn(num_videos, num_frames, 16, generator=torch.Generator().manual_seed(seed))
    return Clips(7 * (directions[labels][:, None] + 2 * noise)), labels


def filled(encoder: Any, num_videos: int = 12, seed: int = 0, **settings: Any) -> CachedVideos:
    method = build(Config(**settings), encoder, CLASSES)
    fit(method, *videos(num_videos, seed), seed=0)
    return method.eval()


@pytest.mark.parametrize("template_set", ["single", "ensemble"])
@pytest.mark.parametrize("num_videos", [3, 12])
def test_logits_are_those_of_the_papers_equation(
    num_videos: int, template_set: str, encoder: FrozenEncoder
) -> None:
    method = filled(encoder, num_videos, template_set=template_set)
    (train, labels), (test, _) = videos(num_videos, 0), videos(7, 9)

    def unit(rows: Any) -> Any:
        return rows / np.linalg.norm(rows, axis=-1, keepdims=True)

    keys = unit(train.embeddings.double().numpy().mean(axis=1))  # F, (N, D)
    values = np.eye(3)[labels.numpy()]  # L, (N, C)
    queries = unit(test.embeddings.double().numpy().mean(axis=1))
    zero = zero_shot.build(zero_shot.Config(template_set=template_set), encoder, CLASSES)
    classifier = zero.class_features.double().numpy().T  # W, (D, C)
    alpha, beta = float(method.alpha), float(method.beta)
    affinity = np.exp(-beta * (1 - queries @ keys.T))
    expected = float(zero.logit_scale) * queries @ classifier + alpha * affinity @ values
    logits = method(test)
    assert logits.dtype == torch.float32
    np.testing.assert_allclose(logits.numpy(), expected, atol=2e-4)


def test_without_weight_and_without_videos_the_cache_leaves_clip_as_it_is(encoder: FrozenEncoder) -> None:
    test, _ = videos(7, 9)
    zero = zero_shot.build(zero_shot.Config(), encoder, CLASSES)(test)
    weightless = filled(encoder)
    weightless.alpha.fill_(0)
    assert torch.equal(weightless(test), zero)
    assert torch.equal(build(Config(), encoder, CLASSES)(test), zero)


def test_other_videos_make_other_scores_and_their_order_does_not(encoder: FrozenEncoder) -> None:
    test, _ = videos(7, 9)
    method = filled(encoder)
    assert not torch.equal(method(test), filled(encoder, seed=1)(test))
    clips, labels = videos(12, 0)
    backwards = build(Config(), encoder, CLASSES)
    fit(backwards, Clips(clips.embeddings.flip(0)), labels.flip(0), seed=0)
    for name in ("alpha", "beta"):
        backwards.get_buffer(name).copy_(method.get_buffer(name))
    torch.testing.assert_close(backwards(test), method(test))


def test_keys_are_the_directions_of_the_mean_frames_and_values_their_classes(encoder: FrozenEncoder) -> None:
    clips, labels = videos(12, 0)
    method = filled(encoder)
    torch.testing.assert_close(method.keys, F.normalize(clips.embeddings.mean(dim=1), dim=-1))
    assert torch.equal(method.labels, labels)
    assert list(method.parameters()) == []
    assert set(method.state_dict()) == {"keys", "labels", "alpha", "beta", "num_folds"}


def test_one_video_a_class_takes_the_papers_alpha_and_beta_and_says_so(encoder: FrozenEncoder) -> None:
    method = filled(encoder, 3)
    assert (float(method.alpha), float(method.beta), int(method.num_folds)) == (1.0, 5.5, 0)
    assert int(filled(encoder, 12).num_folds) == 4


def test_a_class_without_a_video_is_still_known_by_its_text(encoder: FrozenEncoder) -> None:
    clips, labels = videos(12, 0)
    kept = labels != 1
    method = build(Config(), encoder, CLASSES)
    fit(method, Clips(clips.embeddings[kept]), labels[kept], seed=0)
    test, _ = videos(7, 9)
    zero = zero_shot.build(zero_shot.Config(), encoder, CLASSES)(test)
    torch.testing.assert_close(method(test)[:, 1], zero[:, 1])
    assert (method(test)[:, [0, 2]] > zero[:, [0, 2]]).all()


def test_test_videos_have_no_say(encoder: FrozenEncoder, make_store: Any) -> None:
    """Whatever lies in the bank beside the training videos, the cache, α and β are the same in every bit."""
    clips, labels = videos(60, 0)
    states = []
    for case, noise in enumerate((0.0, 50.0)):
        features = clips.embeddings.numpy().copy()
        features[40:] += noise
        store = make_store(
            {f"video{number:02d}": video[:, None] for number, video in enumerate(features)},
            meaning={"case": case},
        )
        bank = FeatureBank(store, sorted(store.videos()))
        method = build(Config(), encoder, CLASSES)
        data = LabelledVideos(bank, np.arange(40), labels[:40].numpy())
        train_to_end(method, tip_adapter, tip_adapter.RECIPE, data, seed=0, device=torch.device("cpu"))
        assert method.keys.shape == (40, 16)
        assert int(method.num_folds) == 5
        states.append(method.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_one_seed_gives_the_same_bits_also_where_it_was_filled_before(encoder: FrozenEncoder) -> None:
    method = filled(encoder, 30, seed=4)
    fit(method, *videos(12, 0), seed=0)
    again = filled(encoder, 12)
    assert all(torch.equal(a, b) for a, b in zip(method.buffers(), again.buffers(), strict=True))


@pytest.mark.parametrize("before", [None, 30])
def test_a_saved_cache_of_any_size_needs_no_videos(before: int | None, encoder: FrozenEncoder) -> None:
    test, _ = videos(7, 9)
    method = filled(encoder, 12)
    other = filled(encoder, before, seed=3) if before else build(Config(), encoder, CLASSES).eval()
    other.load_state_dict({name: tensor.clone() for name, tensor in method.state_dict().items()})
    assert torch.equal(other(test), method(test))


@pytest.mark.parametrize(
    ("change", "error", "why"),
    [
        ({"keys": torch.zeros(12, 8)}, RuntimeError, "size mismatch for keys"),
        ({"keys": torch.zeros(11, 16)}, RuntimeError, "size mismatch for (keys|labels)"),
        ({"labels": torch.full((12,), 3)}, ValueError, "labels up to 3 of 3 classes"),
        ({"labels": torch.full((12,), -1)}, ValueError, "labels .* of 3 classes"),
        ({"alpha": torch.zeros(2)}, RuntimeError, "size mismatch for alpha"),
        ({"labels": None}, RuntimeError, 'Missing key.* "labels"'),
        ({"extra": torch.zeros(1)}, RuntimeError, 'Unexpected key.* "extra"'),
    ],
)
def test_a_saved_cache_that_does_not_fit_is_refused(
    change: dict[str, torch.Tensor | None], error: type[Exception], why: str, encoder: FrozenEncoder
) -> None:
    merged = {**filled(encoder).state_dict(), **change}
    state = {name: tensor for name, tensor in merged.items() if tensor is not None}
    with pytest.raises(error, match=why):
        build(Config(), encoder, CLASSES).load_state_dict(state)


def test_names_that_are_cut_are_reported_as_they_were_given(encoder: FrozenEncoder) -> None:
    long_name = "_".join(["Very"] * 80)
    assert build(Config(), encoder, ["Archery", long_name]).truncated == (long_name,)


def test_unknown_template_sets_and_rules_are_refused_on_creation() -> None:
    with pytest.raises(DatasetError, match="nonsense"):
        Config(template_set="nonsense")
    with pytest.raises(DatasetError, match="nonsense"):
        Config(class_text="nonsense")


def test_no_class_is_refused(encoder: FrozenEncoder) -> None:
    with pytest.raises(ValueError, match="0 classes"):
        build(Config(), encoder, ())


def test_another_method_is_refused(encoder: FrozenEncoder) -> None:
    other = zero_shot.build(zero_shot.Config(), encoder, CLASSES)
    with pytest.raises(TypeError, match="ZeroShot has no cache"):
        fit(other, *videos(6, 0), seed=0)


def test_it_knows_its_training_classes_only_and_takes_no_steps() -> None:
    recipe = tip_adapter.RECIPE
    assert tip_adapter.Config().open_vocabulary is False
    assert (recipe.optimizer, recipe.sampling, recipe.num_test_clips) == ("none", "whole", 1)
