"""The text bench on a handful of names: that it measures what it says."""

import pytest
import torch
from torch import Tensor

from vlp.pipeline.benchmarks import text
from vlp.pipeline.benchmarks.text import bench_text
from vlp.pipeline.errors import DeviceUnavailable
from vlp.pipeline.text_tower import ClassTokens, PromptableTextTower


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "_TOWER", {**text._TOWER, "width": 64, "heads": 2, "layers": 2})
    monkeypatch.setattr(text, "_TURNS", 1)


def test_both_sides_take_the_same_step(small: None) -> None:
    result = bench_text(num_classes=6, device="cpu")
    assert result.num_classes == 6
    assert result.max_grad_error < 1e-4
    assert 0 < result.memory_ratio < 1
    assert result.speedup > 0
    assert result.speedup_suffix > 0
    assert result.speedup_per_video > 0
    assert result.speedup_per_video_truncated > 0
    assert result.seconds_scored_per_video > 0


def test_the_plain_path_against_itself_is_equal(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def plain_each(tower: PromptableTextTower, tokens: ClassTokens, prefixes: Tensor) -> Tensor:
        nothing = prefixes[0, :0]
        return torch.stack([tower.encode_plain(tokens, prefix, nothing) for prefix in prefixes])

    monkeypatch.setattr(PromptableTextTower, "encode", PromptableTextTower.encode_plain)
    monkeypatch.setattr(PromptableTextTower, "encode_each", plain_each)
    result = bench_text(num_classes=3, device="cpu")
    assert result.memory_ratio == 1
    assert result.max_grad_error < 1e-6


def test_a_tower_that_is_wrong_shows_in_the_gradients(small: None, monkeypatch: pytest.MonkeyPatch) -> None:
    right = PromptableTextTower.encode

    def wrong(tower: PromptableTextTower, tokens: ClassTokens, prefix: Tensor, suffix: Tensor) -> Tensor:
        return right(tower, tokens, prefix.flip(0), suffix)

    monkeypatch.setattr(PromptableTextTower, "encode", wrong)
    assert bench_text(num_classes=3, device="cpu").max_grad_error > 1e-2


def test_prompts_of_each_video_that_are_mixed_up_show_in_the_gradients(
    small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = PromptableTextTower.encode_each

    def wrong(tower: PromptableTextTower, tokens: ClassTokens, prefixes: Tensor) -> Tensor:
        return right(tower, tokens, prefixes.flip(0))

    monkeypatch.setattr(PromptableTextTower, "encode_each", wrong)
    assert bench_text(num_classes=3, device="cpu").max_grad_error > 1e-2


def test_saved_bytes_are_counted_once_and_without_the_weights() -> None:
    weight = torch.randn(50, 50)
    inputs = torch.randn(10, 50, requires_grad=True)

    def step() -> list[torch.Tensor]:
        hidden = (inputs @ weight).exp()  # exp keeps its result: 10 x 50 floats
        return list(torch.autograd.grad((hidden + hidden.sin()).sum(), [inputs]))  # sin keeps the same tensor

    frozen = frozenset({weight.untyped_storage().data_ptr()})
    _, num_bytes = text._with_saved_bytes(step, frozen)
    assert num_bytes == 10 * 50 * 4


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(DeviceUnavailable):
        bench_text(num_classes=2, device="cuda:99")
