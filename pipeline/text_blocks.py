"""A causal pre-LN Transformer over many short sequences that begin with the same rows.

The rows are packed, without padding: the P shared ones first, then those of all sequences, group by group, a group
being c sequences of l own rows each. Everything but attention is one matrix product over all of them; the shared rows'
keys and values are never repeated. Weights are open_clip's `ResidualAttentionBlock`.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


def packed_block(block: Any, x: Tensor, num_shared: int, shapes: Sequence[tuple[int, int]]) -> Tensor:
    """Apply one block.

    Args:
        block: open_clip's.
        x: (P + Σ c·l, W) packed rows.
        num_shared: P.
        shapes: (c, l) of every group.

    Returns:
        As ``x``.
    """
    attention = block.attn
    heads = attention.num_heads
    normed = layer_norm(block.ln_1, x)
    qkv = linear(normed, attention.in_proj_weight, attention.in_proj_bias)
    lead, *groups = _split(qkv, num_shared, shapes)
    lead_q, lead_k, lead_v = (_by_head(rows, 1, heads) for rows in lead.chunk(3, dim=-1))
    mixed = [_attend(lead_q, lead_k, lead_v, None, None)]
    for rows, (count, _) in zip(groups, shapes, strict=True):
        q, k, v = (_by_head(part, count, heads) for part in rows.chunk(3, dim=-1))
        mixed.append(_attend(q, k, v, lead_k, lead_v))
    x = x + _scale(block.ls_1, linear(torch.cat(mixed), attention.out_proj.weight, attention.out_proj.bias))
    mixed_rows: Tensor = x + _scale(block.ls_2, _feed_forward(block, x))
    return mixed_rows


def packed_last_block(block: Any, x: Tensor, num_shared: int, shapes: Sequence[tuple[int, int]]) -> Tensor:
    """Apply the last block to the last row of every sequence only: the others give keys and values.

    Args:
        block: open_clip's.
        x: (P + Σ c·l, W) packed rows.
        num_shared: P.
        shapes: (c, l) of every group.

    Returns:
        (Σ c, W), group by group.
    """
    attention, width = block.attn, x.shape[-1]
    weight, bias, heads = attention.in_proj_weight, attention.in_proj_bias, attention.num_heads
    normed = layer_norm(block.ln_1, x)
    last = torch.cat(_last_rows(normed, num_shared, shapes))
    queries = torch.split(linear(last, weight[:width], bias[:width]), [count for count, _ in shapes])
    lead, *groups = _split(linear(normed, weight[width:], bias[width:]), num_shared, shapes)
    lead_k, lead_v = (_by_head(rows, 1, heads) for rows in lead.chunk(2, dim=-1))
    mixed = []
    for query, rows, (count, _) in zip(queries, groups, shapes, strict=True):
        k, v = (_by_head(part, count, heads) for part in rows.chunk(2, dim=-1))
        mixed.append(_attend(_by_head(query, count, heads), k, v, lead_k, lead_v))
    ends = torch.cat(_last_rows(x, num_shared, shapes))
    ends = ends + _scale(
        block.ls_1, linear(torch.cat(mixed), attention.out_proj.weight, attention.out_proj.bias)
    )
    mixed_ends: Tensor = ends + _scale(block.ls_2, _feed_forward(block, ends))
    return mixed_ends


def _split(rows: Tensor, num_shared: int, shapes: Sequence[tuple[int, int]]) -> tuple[Tensor, ...]:
    """Take the shared rows and those of every group apart; the gradients are joined in one step, not added up."""
    return torch.split(rows, [num_shared, *(count * length for count, length in shapes)])


def _last_rows(rows: Tensor, num_shared: int, shapes: Sequence[tuple[int, int]]) -> list[Tensor]:
    groups = _split(rows, num_shared, shapes)[1:]
    return [part.reshape(*shape, -1)[:, -1] for part, shape in zip(groups, shapes, strict=True)]


def _by_head(rows: Tensor, count: int, heads: int) -> Tensor:
    """(c·l, W) to (heads, c, l, W / heads), in one piece: a product over heads takes it as it is."""
    length, width = rows.shape[0] // count, rows.shape[1] // heads
    return rows.reshape(count, length, heads, width).permute(2, 0, 1, 3).contiguous()


def _attend(q: Tensor, k: Tensor, v: Tensor, lead_k: Tensor | None, lead_v: Tensor | None) -> Tensor:
    """Mix values by causal attention over own rows, and over shared rows that lie before all of them.

    Args:
        q: (heads, c, m, d), the last m of l rows.
        k: (heads, c, l, d).
        v: as ``k``.
        lead_k: (heads, 1, P, d), the same for all sequences and never repeated for them; None for no shared rows.
        lead_v: as ``lead_k``.

    Returns:
        (c·m, heads·d).
    """
    q = q * q.shape[-1] ** -0.5
    scores = _hide_later(q @ k.transpose(-2, -1))
    if lead_k is None or lead_v is None:
        mixed = scores.softmax(dim=-1) @ v
    else:
        to_lead = _over_lead(q, lead_k[:, 0].transpose(-2, -1))
        chances = torch.cat([to_lead, scores], dim=-1).softmax(dim=-1)
        of_lead, of_own = torch.split(chances, [lead_k.shape[2], k.shape[2]], dim=-1)
        mixed = _over_lead(of_lead, lead_v[:, 0]) + of_own @ v
    return mixed.permute(1, 2, 0, 3).flatten(0, 1).flatten(-2)


def _over_lead(rows: Tensor, lead: Tensor) -> Tensor:
    """Multiply (heads, c, m, a) rows by what all sequences share, (heads, a, b), in one product a head."""
    return (rows.flatten(1, 2) @ lead).reshape(*rows.shape[:-1], lead.shape[-1])


def _hide_later(scores: Tensor) -> Tensor:
    """Close (…, m, l) scores of the last m of l rows to what comes behind each."""
    m, length = scores.shape[-2:]
    later = torch.ones(m, length, dtype=torch.bool, device=scores.device).triu(length - m + 1)
    return scores.masked_fill(later, float("-inf"))


def _feed_forward(block: Any, x: Tensor) -> Tensor:
    mlp = block.mlp
    hidden = mlp.gelu(linear(layer_norm(block.ln_2, x), mlp.c_fc.weight, mlp.c_fc.bias))
    return linear(hidden, mlp.c_proj.weight, mlp.c_proj.bias)


def _scale(scale: Any, x: Tensor) -> Tensor:
    """Weigh the channels where the model does (LayerScale), in the dtype of ``x``."""
    return x * scale.gamma.to(x.dtype) if hasattr(scale, "gamma") else x


def layer_norm(norm: Any, x: Tensor) -> Tensor:
    """Normalise in the dtype of ``x``, with the frozen weights of a LayerNorm."""
    weight, bias = norm.weight.to(x.dtype), norm.bias.to(x.dtype)
    return F.layer_norm(x, norm.normalized_shape, weight, bias, norm.eps)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Apply frozen weights in the dtype of the prompts; no gradient of them is computed."""
    return F.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))
