"""The nearest tokens against the definition, and against the words that vectors were taken from."""

from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from torch import Tensor

from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import load_encoder
from vlp.pipeline.prompt_semantics import NearestWord, nearest_words
from vlp.pipeline.report.figures import semantics_table
from vlp.pipeline.text_tower import PromptableTextTower


def spelt(token_ids: object) -> list[str]:
    assert isinstance(token_ids, list)
    return [f"<{token}>" for token in token_ids]


def cosine(one: Tensor, other: Tensor) -> float:
    return float(one @ other / one.norm() / other.norm())


def test_the_token_with_the_highest_cosine_is_named() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors, vocabulary = (torch.randn(count, 8, generator=generator) for count in (5, 40))
    vocabulary[3] *= 1000  # long is not near
    rows = nearest_words(vectors, vocabulary, spelt)
    assert [row.vector for row in rows] == [1, 2, 3, 4, 5]
    for vector, row in zip(vectors, rows, strict=True):
        cosines = [cosine(vector, token) for token in vocabulary]
        assert row.word == f"<{max(range(40), key=cosines.__getitem__)}>"
        assert row.cosine == pytest.approx(max(cosines), abs=1e-6)


def test_vectors_taken_from_words_are_nearest_to_them_at_any_length(tiny_folder: Path) -> None:
    encoder = load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")
    tower = PromptableTextTower(encoder)
    taken = encoder.tokenizer(["archery bowling"])[0, 1:3]
    rows = nearest_words(0.01 * tower.token_embeddings()[taken], tower.token_embeddings(), tower.words)
    assert [row.word for row in rows] == ["archery", "bowling"]
    assert [row.cosine for row in rows] == pytest.approx([1, 1])


def test_no_vector_gives_no_row() -> None:
    assert nearest_words(torch.empty(0, 8), torch.randn(4, 8), spelt) == ()


def test_learnt_vectors_are_read_without_their_gradients() -> None:
    learnt = torch.nn.Parameter(torch.eye(3)[1:])
    assert [row.word for row in nearest_words(learnt, torch.eye(3), spelt)] == ["<1>", "<2>"]


def test_rows_are_what_the_report_shows() -> None:
    table = semantics_table({"rows": [asdict(NearestWord(1, "giggle", 0.25))]})
    assert table.rows == (("1", "giggle", "0.250"),)


def test_a_vocabulary_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match="vectors of width 8, and a vocabulary of 9"):
        nearest_words(torch.randn(2, 8), torch.randn(4, 9), spelt)
