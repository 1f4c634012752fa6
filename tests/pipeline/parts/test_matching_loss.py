"""The loss of ActionCLIP against the released code's values, and against its definition."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from vlp.pipeline.parts.matching_loss import matching_loss, matching_targets

KL_CASES = [
    case
    for case in json.loads(
        (Path(__file__).parents[2] / "golden" / "actionclip_klloss.json").read_text(encoding="utf-8")
    )["cases"]
    if "labels" in case and "target_rows" in case
]


@pytest.mark.parametrize("case", KL_CASES, ids=lambda case: f"{case['labels']}-{case['logit_scale']}")
def test_the_official_loss_and_its_gradient_are_the_releases(case: dict[str, Any]) -> None:
    labels = torch.tensor(case["labels"])
    targets = matching_targets((labels[:, None] == labels).float(), variant="official")
    np.testing.assert_allclose(targets.numpy(), case["target_rows"], atol=1e-6)
    logits = torch.tensor(case["logits_per_image"], requires_grad=True)
    total = matching_loss(logits, labels, variant="official")
    assert total.item() == pytest.approx(case["total"], rel=1e-5, abs=1e-6)
    one_way = F.kl_div(logits.log_softmax(dim=-1), targets, reduction="batchmean")
    assert one_way.item() == pytest.approx(case["loss_image"], rel=1e-5, abs=1e-6)
    (gradient,) = torch.autograd.grad(one_way, logits)
    np.testing.assert_allclose(gradient.numpy(), case["grad_logits_per_image"], atol=1e-6)


def test_the_papers_targets_are_spread_evenly_over_right_answers() -> None:
    labels = torch.tensor([3, 0, 3, 3])
    targets = matching_targets((labels[:, None] == labels).float(), variant="paper")
    third = 1 / 3
    expected = [[third, 0, third, third], [0, 1, 0, 0], [third, 0, third, third], [third, 0, third, third]]
    torch.testing.assert_close(targets, torch.tensor(expected))


def test_the_papers_loss_is_0_where_predictions_are_the_targets() -> None:
    labels = torch.tensor([0, 1, 0, 2])
    matched = torch.where(labels[:, None] == labels, 50.0, -50.0).requires_grad_()
    value = matching_loss(matched, labels, variant="paper")
    assert value.item() == pytest.approx(0, abs=1e-5)
    (gradient,) = torch.autograd.grad(value, matched)
    assert float(gradient.abs().max()) < 1e-5


def test_one_video_a_class_is_the_symmetric_cross_entropy() -> None:
    """KL(q || p) is cross-entropy where q is one-hot."""
    logits = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(5)
    expected = (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels)) / 2
    torch.testing.assert_close(matching_loss(logits, labels, variant="paper"), expected)


def test_marks_match_a_video_with_each_of_its_classes_and_leave_out_classes_of_no_video() -> None:
    logits = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    marks = torch.tensor([[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]])
    value = matching_loss(logits, marks, variant="paper")
    rows = [(0, {0: 0.5, 1: 0.5}), (1, {1: 1.0}), (2, {2: 1.0})]
    columns = [(0, {0: 1.0}), (1, {0: 0.5, 1: 0.5}), (2, {2: 1.0})]

    def divergence(scores: torch.Tensor, target: dict[int, float]) -> torch.Tensor:
        chances = scores.softmax(dim=-1)
        parts = [
            share * (torch.tensor(share).double().log() - chances[at].log()) for at, share in target.items()
        ]
        return torch.stack(parts).sum()

    by_row = torch.stack([divergence(logits[at], target) for at, target in rows]).mean()
    by_column = torch.stack([divergence(logits[:, at], target) for at, target in columns]).mean()
    torch.testing.assert_close(value, (by_row + by_column) / 2)
    value.backward()
    assert torch.isfinite(logits.grad).all() if logits.grad is not None else False


def test_marks_of_one_class_a_video_are_the_cross_entropies_of_classes() -> None:
    logits = torch.randn(4, 4, generator=torch.Generator().manual_seed(1))
    order = torch.tensor([2, 0, 3, 1])
    marks = F.one_hot(order, 4)
    expected = (F.cross_entropy(logits, order) + F.cross_entropy(logits.T, order.argsort())) / 2
    torch.testing.assert_close(matching_loss(logits, marks, variant="paper"), expected)
