"""Counted operations against those that the sizes say."""

import pytest
import torch
from torch import Tensor, nn

from vlp.pipeline.clips import Clips
from vlp.pipeline.efficiency import cost_of_scoring, count_flops

T, D = 3, 8


def attention(width: int, rows: int) -> int:
    """Four projections, and two products of all rows with all rows."""
    return 2 * rows * 4 * width**2 + 2 * 2 * rows**2 * width


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        (nn.Linear(D, 5), 2 * T * D * 5),
        (nn.LSTM(D, D, batch_first=True), 2 * T * 4 * 2 * D * D),
        (nn.Conv1d(T, T, 3, padding=1, groups=T), 2 * T * D * 3),
        (nn.TransformerEncoderLayer(D, 2, 16, batch_first=True), attention(D, T) + 2 * T * 2 * D * 16),
    ],
    ids=["linear", "lstm", "convolution", "transformer"],
)
@pytest.mark.parametrize("inference", [False, True])
def test_operations_are_those_of_the_sizes(module: nn.Module, expected: int, inference: bool) -> None:
    module.eval()
    with torch.inference_mode(mode=inference):
        assert count_flops(lambda: module(torch.zeros(1, T, D)))[1] == expected


def test_what_is_run_gives_its_result_and_the_settings_are_left_as_they_were() -> None:
    def backends() -> tuple[bool, ...]:
        known = torch.backends
        return known.mha.get_fastpath_enabled(), known.mkldnn.enabled, known.cudnn.enabled

    before = backends()
    assert count_flops(lambda: "done") == ("done", 0)
    with pytest.raises(ZeroDivisionError):
        count_flops(lambda: 1 // 0)
    assert backends() == before
    assert before[0]


class KeepsTexts(nn.Module):
    """Computes 40 operations of text once, and 2 T D of a clip."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: Tensor | None = None

    def forward(self, clips: Clips) -> Tensor:
        if self.texts is None:
            self.texts = torch.zeros(1, 4) @ torch.zeros(4, 5)
        return clips.embeddings[0] @ torch.zeros(D, 1)


def test_what_is_kept_is_counted_once() -> None:
    cost = cost_of_scoring(KeepsTexts(), T, D, torch.device("cpu"))
    assert (cost.flops_once, cost.flops_per_clip) == (40, 2 * T * D)
