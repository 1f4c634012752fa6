"""The baselines against CLIP's own calls."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from vlp.datasplits.errors import DatasetError
from vlp.pipeline.clips import Clips
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.methods import zero_shot
from vlp.pipeline.methods.zero_shot import SENTENCES, Config, build

CLASSES = ("ApplyEyeMakeup", "Archery", "brush_hair")


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")


def test_logits_are_clips_own_for_the_mean_frame_and_the_filled_template(encoder: FrozenEncoder) -> None:
    frames = torch.randn(2, 5, 16)
    texts = ["a photo of apply eye makeup.", "a photo of archery.", "a photo of brush hair."]
    with torch.no_grad():
        text = encoder.clip.encode_text(encoder.tokenizer(texts), normalize=True)
        expected = encoder.clip.logit_scale.exp() * F.normalize(frames.mean(dim=1), dim=-1) @ text.T
    logits = build(Config(), encoder, CLASSES)(Clips(frames))
    torch.testing.assert_close(logits, expected, atol=1e-4, rtol=0)


def test_a_temperature_replaces_the_learnt_one(encoder: FrozenEncoder) -> None:
    frames = torch.randn(2, 5, 16)
    cosines = build(Config(logit_scale=1.0), encoder, CLASSES)(Clips(frames))
    assert cosines.abs().max() <= 1 + 1e-6
    hot = build(Config(logit_scale=1 / 0.07), encoder, CLASSES)(Clips(frames))
    torch.testing.assert_close(hot, cosines / 0.07, atol=1e-5, rtol=0)


def test_sentences_are_encoded_as_they_are(encoder: FrozenEncoder) -> None:
    sentences = ["A man_in Red walks", "a Dog"]
    with torch.no_grad():
        text = encoder.clip.encode_text(encoder.tokenizer(sentences), normalize=True)
    torch.testing.assert_close(build(SENTENCES, encoder, sentences)(Clips(text[:, None, :])), text @ text.T)


def test_names_that_are_cut_are_reported_as_they_were_given(encoder: FrozenEncoder) -> None:
    long_name = "_".join(["Very"] * 80)
    assert build(Config(), encoder, ["Archery", long_name]).truncated == (long_name,)


def test_nothing_is_trained_and_the_frozen_clip_stays_as_it_is(encoder: FrozenEncoder) -> None:
    before = {name: tensor.clone() for name, tensor in encoder.clip.state_dict().items()}
    method = build(Config(), encoder, CLASSES)
    method(Clips(torch.randn(1, 2, 16)))
    assert list(method.parameters()) == []
    after = encoder.clip.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert zero_shot.READS == "embedding"


def test_scores_can_enter_a_graph(encoder: FrozenEncoder) -> None:
    frames = torch.randn(1, 2, 16, requires_grad=True)
    build(Config(), encoder, CLASSES)(Clips(frames)).sum().backward()
    assert frames.grad is not None


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan])
def test_a_temperature_without_a_meaning_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match=r"logit_scale \(.*\) must be positive and finite"):
        Config(logit_scale=scale)


def test_unknown_template_sets_and_rules_are_refused_on_creation() -> None:
    with pytest.raises(DatasetError, match="nonsense"):
        Config(template_set="nonsense")
    with pytest.raises(DatasetError, match="nonsense"):
        Config(class_text="nonsense")
