"""Attention of texts over videos, against torch's own."""

import pytest
import torch
from torch import nn

from vlp.pipeline.parts.cross_attention import CrossAttention


def test_it_is_torchs_attention_plus_its_input() -> None:
    torch.manual_seed(0)
    ours = CrossAttention(16, 4, projections=True)
    torchs = nn.MultiheadAttention(16, 4, batch_first=True)
    assert ours.in_proj is not None
    assert ours.out_proj is not None
    with torch.no_grad():
        torchs.in_proj_weight.copy_(ours.in_proj.weight)
        torchs.in_proj_bias.copy_(ours.in_proj.bias.normal_())
        torchs.out_proj.load_state_dict(ours.out_proj.state_dict())
    x, tokens = torch.randn(3, 5, 16), torch.randn(3, 7, 16)
    torch.testing.assert_close(ours(x, tokens), x + torchs(x, tokens, tokens)[0])


def test_without_projections_a_single_key_is_added_as_it_is() -> None:
    ours = CrossAttention(16, 4, projections=False)
    assert list(ours.parameters()) == []
    x, token = torch.randn(3, 5, 16), torch.randn(3, 1, 16)
    torch.testing.assert_close(ours(x, token), x + token)


def test_without_projections_each_head_mixes_its_own_channels() -> None:
    x, tokens = torch.randn(1, 2, 8), torch.randn(1, 3, 8)
    expected = torch.empty(1, 2, 8)
    for head in (slice(0, 4), slice(4, 8)):
        chances = (x[..., head] @ tokens[..., head].transpose(1, 2) / 2).softmax(dim=-1)
        expected[..., head] = x[..., head] + chances @ tokens[..., head]
    torch.testing.assert_close(CrossAttention(8, 2, projections=False)(x, tokens), expected)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match=r"num_heads \(3\) does not divide"):
        CrossAttention(16, 3, projections=True)
