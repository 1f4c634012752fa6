"""MAKA against the paper's equations, one video, class, frame and sentence at a time."""

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from vlp.pipeline.parts.late_interaction import BUDGET_BYTES, maka_similarity, sentence_table


def unit(*shape: int, seed: int) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double(), dim=-1)


def by_the_equations(frames: Tensor, features: Tensor, counts: Sequence[int]) -> Tensor:
    """Equations 3 to 6 in loops."""
    classes = features.split(list(counts))
    rows = []
    for video in frames:
        row = []
        for sentences in classes:
            v2t = sum(max(v @ c for c in sentences) for v in video) / len(video)
            t2v = sum(max(v @ c for v in video) for c in sentences) / len(sentences)
            row.append((v2t + t2v) / 2)
        rows.append(torch.stack([torch.as_tensor(value) for value in row]))
    return torch.stack(rows)


@settings(max_examples=25, deadline=None)
@given(
    counts=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    num_videos=st.integers(1, 4),
    num_frames=st.integers(1, 4),
    budget=st.sampled_from([1, 100, 300, 1000, BUDGET_BYTES]),
    seed=st.integers(0, 1000),
)
def test_similarities_and_gradients_are_those_of_the_equations(
    counts: list[int], num_videos: int, num_frames: int, budget: int, seed: int
) -> None:
    frames = unit(num_videos, num_frames, 5, seed=seed).requires_grad_()
    features = unit(sum(counts), 5, seed=seed + 1).requires_grad_()
    weighed = torch.randn(num_videos, len(counts), generator=torch.Generator().manual_seed(seed)).double()

    expected = by_the_equations(frames, features, counts)
    by_hand = torch.autograd.grad((expected * weighed).sum(), (frames, features))
    table = sentence_table(features, counts)
    found = maka_similarity(frames, table.features, table.weights, budget_bytes=budget)
    gradients = torch.autograd.grad((found * weighed).sum(), (frames, features))

    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients, by_hand)


@pytest.mark.parametrize("budget", [1, 4 * 3 * 4 * 2, 4 * 3 * 4 * 9, BUDGET_BYTES])
def test_no_block_of_cosines_exceeds_the_budget(budget: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from vlp.pipeline.parts import late_interaction

    sizes, block = [], late_interaction._block

    def noted(frames: Tensor, features: Tensor, weights: Tensor) -> Tensor:
        sizes.append(4 * frames.shape[0] * frames.shape[1] * features.shape[0] * features.shape[1])
        return block(frames, features, weights)

    monkeypatch.setattr(late_interaction, "_block", noted)
    frames, features = unit(7, 3, 5, seed=0).float(), unit(6 * 4, 5, seed=1).float()
    table = sentence_table(features, [4] * 6)
    maka_similarity(frames, table.features, table.weights, budget_bytes=budget)
    one_pair = 4 * 3 * 4
    assert max(sizes) <= max(budget, one_pair)
    assert sum(sizes) == 7 * 6 * one_pair


def test_what_is_kept_for_the_gradient_is_smaller_than_the_cosines() -> None:
    frames, features = unit(4, 16, 8, seed=0).requires_grad_(), unit(10 * 32, 8, seed=1)
    table = sentence_table(features, [32] * 10)
    kept: list[int] = []

    def keep(tensor: Tensor) -> Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        maka_similarity(frames, table.features, table.weights)
    assert max(kept) < 4 * 16 * 10 * 32


def test_a_frame_that_is_a_sentence_reaches_it_and_order_does_not_matter() -> None:
    frames = unit(2, 6, 8, seed=0)
    table = sentence_table(frames[0], [6])
    assert float(maka_similarity(frames[:1], table.features, table.weights)) == pytest.approx(1.0)
    other = sentence_table(frames[0].flip(0), [6])
    torch.testing.assert_close(
        maka_similarity(frames.flip(1), other.features, other.weights),
        maka_similarity(frames, table.features, table.weights),
    )


def test_repetitions_weigh_nothing_and_are_the_class_s_own() -> None:
    features = unit(4, 5, seed=0)
    table = sentence_table(features, [1, 3])
    assert table.features.shape == (2, 3, 5)
    assert torch.equal(table.features[0], features[:1].expand(3, 5))
    assert torch.equal(table.features[1], features[1:])
    torch.testing.assert_close(table.weights, torch.tensor([[1.0, 0, 0], [1 / 3] * 3]).double())


@pytest.mark.parametrize("counts", [[], [0, 4], [2, 3], [5, -1]])
def test_counts_that_do_not_share_out_the_sentences_are_refused(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="do not share out 4 sentences"):
        sentence_table(unit(4, 5, seed=0), counts)
