"""Which words learnt vectors come closest to.

Source: Efficient-Prompt (Ju et al., ECCV 2022, arXiv:2112.04478), appendix B.3: for each vector the nearest of the
vocabulary's 49,408 token embeddings by cosine.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class NearestWord:
    """One row of the table; `dataclasses.asdict` of it is what the report reads.

    Attributes:
        vector: number of the learnt vector, from 1.
        word: the vocabulary's nearest entry, a whole word or a part of one.
        cosine: of the two.
    """

    vector: int
    word: str
    cosine: float


def nearest_words(
    vectors: Tensor, vocabulary: Tensor, words: Callable[[Sequence[int]], list[str]]
) -> tuple[NearestWord, ...]:
    """Find the nearest entry of the vocabulary for each learnt vector.

    Args:
        vectors: (k, W); k may be 0.
        vocabulary: (n, W) token embeddings, n at least 1.
        words: what tokens read, given their numbers in [0, n).

    Returns:
        k rows, in the order of the vectors; of two entries that are equally near, either.

    Raises:
        ValueError: if the widths differ.

    Example:
        >>> import torch
        >>> nearest_words(torch.tensor([[0.0, 2.0]]), torch.eye(2), lambda ids: ["ab"[id] for id in ids])
        (NearestWord(vector=1, word='b', cosine=1.0),)
    """
    if vectors.shape[1] != vocabulary.shape[1]:
        raise ValueError(f"vectors of width {vectors.shape[1]}, and a vocabulary of {vocabulary.shape[1]}")
    learnt, known = (F.normalize(rows.detach().float(), dim=-1) for rows in (vectors, vocabulary))
    nearest = (learnt @ known.T).max(dim=-1)
    rows = zip(words(nearest.indices.tolist()), nearest.values.tolist(), strict=True)
    return tuple(NearestWord(vector, word, cosine) for vector, (word, cosine) in enumerate(rows, start=1))
