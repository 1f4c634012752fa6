"""The sentences that stand for a class: hand-written templates around its name, or those of a file (`text_prompts`)."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from vlp.datasplits.class_prompts import read_prompts
from vlp.datasplits.class_text import class_text
from vlp.datasplits.templates import template_set as templates_of
from vlp.pipeline.text import TextEncoder, TextFeatures, class_features, sentence_features

_JOINED = "a video of {action}. {sentence}"


def joined(action: str, sentence: str) -> str:
    """Put a sentence behind the action that it is about (AP-CLIP, section 3.2.2; the order is our choice).

    Example:
        >>> joined("archery", "An arrow flies.")
        'a video of archery. An arrow flies.'
    """
    return _JOINED.replace("{action}", action).replace("{sentence}", sentence)


def class_sentences(
    class_names: Sequence[str], *, rule: str, template_set: str, text_prompts: str | None
) -> list[tuple[str, ...]]:
    """Give the sentences of each class.

    Args:
        class_names: C names as the dataset spells them.
        rule: that turns a name into words.
        template_set: name of a set in `vlp.datasplits.templates`, used where there is no file.
        text_prompts: a file of sentences, or the name of shipped ones, in place of the templates; None for none.

    Raises:
        UnknownName: for a rule or set that is not there.
        PromptsMissing, PromptsUnreadable, ClassesWithoutSentences: as `read_prompts` and `PromptsFile.sentences`.

    Example:
        >>> class_sentences(["YoYo"], rule="natural", template_set="video", text_prompts=None)
        [('a video of yo yo.',)]
    """
    words = [class_text(name, rule=rule) for name in class_names]
    if text_prompts is None:
        templates = templates_of(template_set)
        return [tuple(template.replace("{}", word) for template in templates) for word in words]
    found = read_prompts(text_prompts).sentences(class_names)
    return [tuple(joined(word, one.text) for one in some) for word, some in zip(words, found, strict=True)]


def described_classes(
    encoder: TextEncoder,
    class_names: Sequence[str],
    *,
    rule: str,
    template_set: str,
    text_prompts: str | None,
) -> TextFeatures:
    """Encode each class as the mean of the unit features of its sentences, normalised again.

    Args:
        encoder: a frozen CLIP.
        class_names: C names as the dataset spells them.
        rule: as for `class_sentences`.
        template_set: as for `class_sentences`.
        text_prompts: as for `class_sentences`.

    Returns:
        (C, D) unit features, and the classes of which a sentence was cut.

    Raises:
        ValueError: if there is no class.
        DatasetError: as `class_sentences`.
    """
    if text_prompts is None:
        words = [class_text(name, rule=rule) for name in class_names]
        return class_features(encoder, words, templates_of(template_set))
    sentences = class_sentences(class_names, rule=rule, template_set=template_set, text_prompts=text_prompts)
    encoded = sentence_features(encoder, [text for found in sentences for text in found])
    counts = [len(found) for found in sentences]
    means = averaging(counts).to(encoded.features) @ encoded.features
    return TextFeatures(F.normalize(means, dim=-1), classes_of(encoded.truncated, counts))


def classes_of(rows: Sequence[int], counts: Sequence[int]) -> tuple[int, ...]:
    """Say which classes some of P rows are of, each once and in order; rows of one class stand together.

    Example:
        >>> classes_of([0, 2, 3], [1, 1, 2])
        (0, 2)
    """
    owners = [index for index, count in enumerate(counts) for _ in range(count)]
    return tuple(sorted({owners[row] for row in rows}))


def averaging(counts: Sequence[int]) -> Tensor:
    """Give the matrix (C, P) that averages the P rows of C classes, which stand together in order.

    Example:
        >>> averaging([1, 2])
        tensor([[1.0000, 0.0000, 0.0000],
                [0.0000, 0.5000, 0.5000]])
    """
    owners = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    return (owners == torch.arange(len(counts))[:, None]) / torch.tensor(counts)[:, None]


def text_prompts_record(config: Any) -> dict[str, str] | None:
    """Say which sentences a method's settings name, with the SHA-256 of what they are now; None for none.

    Raises:
        PromptsMissing, PromptsUnreadable: as `read_prompts`.
    """
    source = getattr(config, "text_prompts", None)
    return None if source is None else {"source": str(source), "sha256": read_prompts(str(source)).sha256}
