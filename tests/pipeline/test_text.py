"""Text features against open_clip's own calls, one sentence at a time."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.text import BATCH_SIZE, class_features, sentence_features, too_long

NUM_POSITIONS = 77
# "a" is one token; with the marks of start and end, 75 of them fill all 77 positions.
FITS = " ".join(["a"] * (NUM_POSITIONS - 2))


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")


def encoded_alone(encoder: FrozenEncoder, sentence: str) -> Tensor:
    with torch.no_grad():
        feature: Tensor = encoder.clip.encode_text(encoder.tokenizer([sentence]), normalize=True)
    return feature[0]


@pytest.mark.parametrize("num_sentences", [1, BATCH_SIZE, BATCH_SIZE + 1])
def test_sentences_are_encoded_as_alone_and_in_order(encoder: FrozenEncoder, num_sentences: int) -> None:
    sentences = [f"a cat number {number}" for number in range(num_sentences)]
    encoded = sentence_features(encoder, sentences)
    assert encoded.features.shape == (num_sentences, 16)
    for feature, sentence in zip(encoded.features, sentences, strict=True):
        torch.testing.assert_close(feature, encoded_alone(encoder, sentence), atol=1e-6, rtol=0)
    assert encoded.truncated == ()


def test_a_class_is_the_normalised_mean_of_its_unit_sentences(encoder: FrozenEncoder) -> None:
    names, templates = ["archery", "sky diving", "{odd} name"], ["a photo of {}.", "{}", "{} or {}, twice"]
    encoded = class_features(encoder, names, templates)
    for feature, name in zip(encoded.features, names, strict=True):
        sentences = [f"a photo of {name}.", name, f"{name} or {name}, twice"]
        mean = torch.stack([encoded_alone(encoder, sentence) for sentence in sentences]).mean(dim=0)
        torch.testing.assert_close(feature, F.normalize(mean, dim=0), atol=1e-6, rtol=0)


def test_a_class_has_the_same_bits_whichever_classes_are_beside_it(encoder: FrozenEncoder) -> None:
    alone = class_features(encoder, ["archery"], ["a photo of {}."]).features[0]
    others = [f"class {number}" for number in range(BATCH_SIZE + 3)]
    among = class_features(encoder, [*others, "archery"], ["a photo of {}."]).features[-1]
    assert torch.equal(alone, among)


def test_the_longest_sentence_that_fits_is_not_called_cut(encoder: FrozenEncoder) -> None:
    assert too_long(encoder, ["", FITS, f"{FITS} a", "short", f"{FITS} a a a"]) == (2, 4)


def test_a_sentence_that_is_cut_keeps_its_end_mark(encoder: FrozenEncoder) -> None:
    encoded = sentence_features(encoder, [f"{FITS} lost words", FITS])
    assert encoded.truncated == (0,)
    assert torch.equal(encoded.features[0], encoded.features[1])


def test_a_class_is_reported_once_when_any_of_its_sentences_is_cut(encoder: FrozenEncoder) -> None:
    names = ["short", FITS, f"{FITS} a"]
    assert class_features(encoder, names, ["{}", "a {}", "{} and more"]).truncated == (1, 2)
    assert class_features(encoder, names, ["{}"]).truncated == (2,)


@pytest.mark.parametrize(("names", "templates"), [([], ["{}"]), (["x"], [])])
def test_no_class_and_no_template_are_refused(
    encoder: FrozenEncoder, names: Sequence[str], templates: Sequence[str]
) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{len(names)} classes and {len(templates)} templates")):
        class_features(encoder, names, templates)


def test_no_sentence_is_refused(encoder: FrozenEncoder) -> None:
    with pytest.raises(ValueError, match="no sentence to encode"):
        sentence_features(encoder, [])
