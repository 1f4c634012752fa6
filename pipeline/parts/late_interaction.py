"""How alike the frames of a video and the sentences of a class are, each frame and sentence by its best partner.

Source: AP-CLIP (Jia et al., ACM MM 2024, doi:10.1145/3664647.3680690), section 3.3, equations 3 to 6, after FILIP (Yao
et al., ICLR 2022, arXiv:2111.07783). No code was released.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

BUDGET_BYTES = 64 << 20
"""Of the largest block of cosines that is held at once."""


@dataclass(frozen=True)
class SentenceTable:
    """Sentences of C classes, in a table with room for the class that has most.

    Attributes:
        features: (C, N, D), of length 1; a class of fewer than N sentences repeats its first, so that no best partner
            changes.
        weights: (C, N), 1 / n for each of a class's n sentences, 0 for repetitions.
    """

    features: Tensor
    weights: Tensor


@dataclass(frozen=True)
class SentenceMatch:
    """A sentence, and how like it a frame is.

    Attributes:
        text: the sentence as it was encoded.
        attribute: what it is about; None for a template, or where nothing was asked for.
        cosine: of frame and sentence.
    """

    text: str
    attribute: str | None
    cosine: float


def sentence_table(features: Tensor, counts: Sequence[int]) -> SentenceTable:
    """Set out the sentences of classes.

    Args:
        features: (P, D), of length 1; those of one class stand together, in the order of the classes.
        counts: C numbers of sentences, each at least 1; their sum is P.

    Raises:
        ValueError: if there is no class, a class has no sentence, or the counts do not add up to P.
    """
    if not counts or min(counts) < 1 or sum(counts) != len(features):
        raise ValueError(
            f"counts {list(counts)} do not share out {len(features)} sentences, one at least a class"
        )
    number = torch.tensor(counts)
    first = number.cumsum(0) - number
    place = torch.arange(int(number.max()))
    is_real = place < number[:, None]
    rows = (first[:, None] + torch.where(is_real, place, 0)).to(features.device)
    weights = is_real / number[:, None]
    return SentenceTable(features[rows], weights.to(features))


def maka_similarity(
    frames: Tensor, features: Tensor, weights: Tensor, *, budget_bytes: int = BUDGET_BYTES
) -> Tensor:
    """Average the best cosine of each frame, and of each sentence, and both averages (eqs. 4 to 6).

    No block of cosines larger than the budget is made, forwards or backwards; a single video against a single class may
    exceed it.

    Args:
        frames: (B, V, D), of length 1.
        features: (C, N, D) as in `SentenceTable`.
        weights: (C, N) as in `SentenceTable`.
        budget_bytes: of the largest block.

    Returns:
        (B, C) similarities between -1 and 1.

    Example:
        >>> frames = torch.tensor([[[1.0, 0.0], [0.0, 1.0]]])
        >>> table = sentence_table(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), [2, 1])
        >>> maka_similarity(frames, table.features, table.weights)
        tensor([[1.0000, 0.7500]])
    """
    pair_bytes = frames.shape[1] * features.shape[1] * frames.element_size()
    num_pairs = max(1, budget_bytes // pair_bytes)
    num_classes = min(len(features), num_pairs)
    num_videos = max(1, num_pairs // num_classes)
    rows = []
    for video in range(0, len(frames), num_videos):
        some = frames[video : video + num_videos]
        blocks = [
            _block(some, features[first : first + num_classes], weights[first : first + num_classes])
            for first in range(0, len(features), num_classes)
        ]
        rows.append(torch.cat(blocks, dim=1))
    return torch.cat(rows)


def _block(frames: Tensor, features: Tensor, weights: Tensor) -> Tensor:
    num_classes, num_sentences, width = features.shape
    cosines = (frames @ features.reshape(-1, width).T).view(*frames.shape[:2], num_classes, num_sentences)
    # max with places, not amax: only the places are kept for the gradient, not the cosines.
    by_frame = cosines.max(dim=3).values.mean(dim=1)
    by_sentence = (cosines.max(dim=1).values * weights).sum(dim=2)
    return (by_frame + by_sentence) / 2
