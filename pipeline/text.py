"""Sentences, and class names filled into hand-written templates, become unit text features.

Source: CLIP (Radford et al., ICML 2021, arXiv:2103.00020), section 3.1.4 and its released notebook
"Prompt_Engineering_for_ImageNet": a class is the mean of the L2-normalised features of its sentences,
normalised again. Departure: every batch of sentences is padded to one size, so that a class's feature
does not depend, in its last bits, on which other classes were asked for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BATCH_SIZE = 32


class TextEncoder(Protocol):
    """What this module and the methods need of a frozen CLIP."""

    @property
    def clip(self) -> nn.Module:
        """open_clip's module."""

    @property
    def tokenizer(self) -> Callable[..., Tensor]:
        """N texts (and `context_length=`) to (n, context_length) tokens, cut to fit with EOT kept."""

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """N texts to (n, D) raw float32 features."""


@dataclass(frozen=True)
class TextFeatures:
    """Unit features of sentences or classes.

    Attributes:
        features: (n, D) float32, rows of length 1, on the encoder's device.
        truncated: indices, in order, of those whose text was too long for the encoder and was cut.
    """

    features: Tensor
    truncated: tuple[int, ...]


def sentence_features(encoder: TextEncoder, sentences: Sequence[str]) -> TextFeatures:
    """Encode each sentence as it is.

    Args:
        encoder: a frozen CLIP.
        sentences: n texts; those too long are cut to fit, with EOT kept.

    Returns:
        (n, D) unit features, and which sentences were cut.

    Raises:
        ValueError: if there is no sentence.
    """
    if not sentences:
        raise ValueError("no sentence to encode")
    batches = [_encode_padded(encoder, batch) for batch in _batches(sentences)]
    return TextFeatures(F.normalize(torch.cat(batches), dim=-1), too_long(encoder, sentences))


def class_features(encoder: TextEncoder, names: Sequence[str], templates: Sequence[str]) -> TextFeatures:
    """Encode each class as the mean of the unit features of its sentences, normalised again.

    Args:
        encoder: a frozen CLIP.
        names: C class texts.
        templates: K sentences in which ``{}`` stands for the class text.

    Returns:
        (C, D) unit features, and which classes had a sentence that was cut.

    Raises:
        ValueError: if there is no class or no template.
    """
    if not names or not templates:
        raise ValueError(f"{len(names)} classes and {len(templates)} templates: both must be at least 1")
    sentences = [template.replace("{}", name) for name in names for template in templates]
    encoded = sentence_features(encoder, sentences)
    mean = encoded.features.view(len(names), len(templates), -1).mean(dim=1)
    truncated = sorted({sentence // len(templates) for sentence in encoded.truncated})
    return TextFeatures(F.normalize(mean, dim=-1), tuple(truncated))


def learnt_logit_scale(encoder: TextEncoder) -> Tensor:
    """Give the factor on cosines that CLIP was trained to, 1 / τ: a scalar."""
    learnt = encoder.clip.logit_scale
    if not isinstance(learnt, Tensor):
        raise TypeError(f"{type(encoder.clip).__name__}.logit_scale is no tensor")
    return learnt.detach().float().exp().reshape(()).clone()


def too_long(encoder: TextEncoder, sentences: Sequence[str]) -> tuple[int, ...]:
    """Find the sentences that the encoder's tokenizer cuts.

    A tokenizer does not say when it cuts. Given one more position, a sentence that fits leaves it as the
    empty sentence does (padding), and one that is cut puts a token there.

    Args:
        encoder: a frozen CLIP.
        sentences: n texts.

    Returns:
        Indices in [0, n), increasing.
    """
    num_positions = encoder.tokenizer([""]).shape[1]
    longer = encoder.tokenizer(["", *sentences], context_length=num_positions + 1)[:, num_positions]
    cut = longer[1:] != longer[0]
    return tuple(int(index) for index in torch.nonzero(cut).flatten())


def _batches(sentences: Sequence[str]) -> list[Sequence[str]]:
    return [sentences[start : start + BATCH_SIZE] for start in range(0, len(sentences), BATCH_SIZE)]


def _encode_padded(encoder: TextEncoder, batch: Sequence[str]) -> Tensor:
    padding = [""] * (BATCH_SIZE - len(batch))
    return encoder.encode_text([*batch, *padding])[: len(batch)]
