"""A causal pre-LN Transformer over many short sequences that begin with the same rows.

There are B leads of P rows, and every lead goes on with the same C sequences of own rows; B is 1 where nothing but the
sequences differs. The rows are packed, without padding: those of the leads first, then the own ones of all sequences,
group by group, a group being c sequences of l own rows each, once a lead. Everything but attention is one matrix
product over all of them; a lead's keys and values are never repeated. Weights are open_clip's
`ResidualAttentionBlock`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Packing:
    """Where the rows of each sequence lie.

    Attributes:
        num_leads: B.
        num_shared: P.
        shapes: (c, l) of every group.
        later: for P and for the l of every group: (l, l), true for a row that lies behind and is hidden.
    """

    num_leads: int
    num_shared: int
    shapes: tuple[tuple[int, int], ...]
    later: tuple[Tensor, ...]

    @classmethod
    def of(cls, lead: Tensor, groups: Sequence[tuple[Tensor, Tensor]]) -> "Packing":
        """Pack as `pack` does.

        Args:
            lead: (B, P, W), what the sequences begin with.
            groups: what those of a group go on with, whatever the lead: (c, n, W) own rows, and (c, m, W) rows after
                them, or (1, m, W) where these are the same for all of the group.
        """
        shapes = tuple((len(own), own.shape[1] + after.shape[1]) for own, after in groups)
        lengths = [lead.shape[1], *(length for _, length in shapes)]
        later = [
            torch.ones(length, length, dtype=torch.bool, device=lead.device).triu(1) for length in lengths
        ]
        return cls(len(lead), lead.shape[1], shapes, tuple(later))

    @property
    def counts(self) -> list[int]:
        """Number of sequences of every group, B·c."""
        return [self.num_leads * count for count, _ in self.shapes]

    def split(self, rows: Tensor) -> tuple[Tensor, ...]:
        """Take the leads' rows and those of every group apart; their gradients are joined in one step, not added."""
        sizes = [count * length for count, (_, length) in zip(self.counts, self.shapes, strict=True)]
        return torch.split(rows, [self.num_leads * self.num_shared, *sizes])

    def leads(self, rows: Tensor) -> Tensor:
        """Take the leads' rows, as (B, P, W)."""
        return rows[: self.num_leads * self.num_shared].reshape(self.num_leads, self.num_shared, -1)

    def sequences(self, rows: Tensor) -> list[Tensor]:
        """Take the own rows of every group apart, as (B·c, l, W)."""
        parts = self.split(rows)[1:]
        return [
            part.reshape(-1, length, rows.shape[-1])
            for part, (_, length) in zip(parts, self.shapes, strict=True)
        ]


def pack(lead: Tensor, groups: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Put all rows below one another: (B·P + Σ B·c·l, W)."""
    rows = [lead.flatten(0, 1)]
    for own, after in groups:
        sequences = torch.cat([own, after.expand(len(own), -1, -1)], dim=1)
        rows.append(sequences.expand(len(lead), -1, -1, -1).reshape(-1, lead.shape[-1]))
    return torch.cat(rows)


def pack_attention_input(block: Any, lead: Tensor, groups: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
    """Give the `attention_input` of the rows that `pack` gives, that of repeated ones computed once."""
    pieces = [lead, *(part for group in groups for part in group)]
    flat = attention_input(block, torch.cat([piece.flatten(0, -2) for piece in pieces]))
    rows = torch.split(flat, [piece.shape[:-1].numel() for piece in pieces])
    lead, *parts = (
        row.reshape(*piece.shape[:-1], row.shape[-1]) for row, piece in zip(rows, pieces, strict=True)
    )
    return pack(lead, list(zip(parts[::2], parts[1::2], strict=True)))


def attention_input(block: Any, x: Tensor) -> Tensor:
    """Give (…, 3W) queries, keys and values of (…, W) rows; each row's depend on it alone."""
    normed = layer_norm(block.ln_1, x)
    return linear(normed, block.attn.in_proj_weight, block.attn.in_proj_bias)


def packed_block(block: Any, x: Tensor, qkv: Tensor, packing: Packing) -> Tensor:
    """Apply one block.

    Args:
        block: open_clip's.
        x: (B·P + Σ B·c·l, W) packed rows.
        qkv: (B·P + Σ B·c·l, 3W), their `attention_input`.
        packing: where they lie.

    Returns:
        As ``x``.
    """
    heads = block.attn.num_heads
    lead, *groups = packing.split(qkv)
    lead_later, *group_later = packing.later
    lead_q, lead_k, lead_v = (_by_head(rows, packing.num_leads, heads) for rows in lead.chunk(3, dim=-1))
    mixed = [_attend(lead_q, lead_k, lead_v, lead_later, None)]
    for rows, count, later in zip(groups, packing.counts, group_later, strict=True):
        q, k, v = (_by_head(part, count, heads) for part in rows.chunk(3, dim=-1))
        mixed.append(_attend(q, k, v, later, (lead_k, lead_v)))
    x = _add_linear(x, torch.cat(mixed), block.attn.out_proj, block.ls_1)
    return _add_linear(x, _hidden(block, x), block.mlp.c_proj, block.ls_2)


def packed_last_block(block: Any, x: Tensor, packing: Packing) -> Tensor:
    """Apply the last block to the last row of every sequence only.

    One query a sequence is so few that no key and no value is computed: a query is taken through the weights of the
    keys instead, to be compared with the rows themselves, and the mean of the rows through the weights of the values.
    The bias of the keys adds the same to every score of a query, and falls out of the softmax.

    Args:
        block: open_clip's.
        x: (B·P + Σ B·c·l, W) packed rows.
        packing: where they lie.

    Returns:
        (Σ B·c, W), group by group.
    """
    attention, width = block.attn, x.shape[-1]
    to_q, to_k, to_v = attention.in_proj_weight.to(x.dtype).view(3, attention.num_heads, -1, width)
    bias_q, _, bias_v = attention.in_proj_bias.to(x.dtype).chunk(3)
    normed = layer_norm(block.ln_1, x)
    lead, groups = packing.leads(normed), packing.sequences(normed)
    last = torch.cat([rows[:, -1] for rows in groups])
    q = (last @ to_q.flatten(0, 1).T + bias_q) * to_k.shape[1] ** -0.5
    through_keys = (q.unflatten(-1, to_k.shape[:2]).transpose(0, 1) @ to_k).transpose(0, 1)
    means = []
    for query, rows in zip(torch.split(through_keys, packing.counts), groups, strict=True):
        to_lead = _by_lead(query, lead.transpose(1, 2))
        chances = torch.cat([to_lead, query @ rows.transpose(1, 2)], dim=-1).softmax(dim=-1)
        of_lead, of_own = torch.split(chances, [lead.shape[1], rows.shape[1]], dim=-1)
        means.append(_by_lead(of_lead, lead) + of_own @ rows)
    values = torch.cat(means).transpose(0, 1) @ to_v.transpose(1, 2)
    ends = torch.cat([rows[:, -1] for rows in packing.sequences(x)])
    ends = _add_linear(ends, values.transpose(0, 1).flatten(1) + bias_v, attention.out_proj, block.ls_1)
    return _add_linear(ends, _hidden(block, ends), block.mlp.c_proj, block.ls_2)


def _by_head(rows: Tensor, count: int, heads: int) -> Tensor:
    """(c·l, W) to (heads, c, l, W / heads), in one piece: a product over heads takes it as it is."""
    length, width = rows.shape[0] // count, rows.shape[1] // heads
    return rows.reshape(count, length, heads, width).permute(2, 0, 1, 3).contiguous()


def _attend(q: Tensor, k: Tensor, v: Tensor, later: Tensor, lead: tuple[Tensor, Tensor] | None) -> Tensor:
    """Mix values by causal attention over own rows, and over shared rows that lie before all of them.

    Args:
        q: (heads, c, l, d).
        k: as ``q``.
        v: as ``q``.
        later: (l, l), true where a row is hidden.
        lead: keys and values of the leads, (heads, B, P, d), where c counts the sequences of all leads, one lead's
            after another's; None for none.

    Returns:
        (c·l, heads·d).
    """
    q = q * q.shape[-1] ** -0.5
    scores = (q @ k.transpose(-2, -1)).masked_fill(later, float("-inf"))
    if lead is None:
        mixed = scores.softmax(dim=-1) @ v
    else:
        lead_k, lead_v = lead
        chances = torch.cat([_by_lead(q, lead_k.transpose(-2, -1)), scores], dim=-1).softmax(dim=-1)
        of_lead, of_own = torch.split(chances, [lead_k.shape[2], k.shape[2]], dim=-1)
        mixed = _by_lead(of_lead, lead_v) + of_own @ v
    return mixed.permute(1, 2, 0, 3).flatten(0, 1).flatten(-2)


def _by_lead(rows: Tensor, lead: Tensor) -> Tensor:
    """Multiply (…, B·c, m, a) rows, those of a lead one after another, by the leads' (…, B, a, b), in B products."""
    of_one = rows.reshape(*lead.shape[:-2], -1, rows.shape[-1])
    return (of_one @ lead).reshape(*rows.shape[:-1], lead.shape[-1])


def _hidden(block: Any, x: Tensor) -> Tensor:
    hidden: Tensor = block.mlp.gelu(
        linear(layer_norm(block.ln_2, x), block.mlp.c_fc.weight, block.mlp.c_fc.bias)
    )
    return hidden


def _add_linear(x: Tensor, rows: Tensor, layer: Any, scale: Any) -> Tensor:
    """Add a linear map of ``rows`` to ``x``, its channels weighed where the model does so (LayerScale)."""
    weight, bias = layer.weight.to(x.dtype), layer.bias.to(x.dtype)
    if hasattr(scale, "gamma"):
        gamma = scale.gamma.to(x.dtype)
        weight, bias = weight * gamma[:, None], bias * gamma
    return torch.addmm(x, rows, weight.T).add_(bias)


def layer_norm(norm: Any, x: Tensor) -> Tensor:
    """Normalise in the dtype of ``x``, with the frozen weights of a LayerNorm."""
    weight, bias = norm.weight.to(x.dtype), norm.bias.to(x.dtype)
    return F.layer_norm(x, norm.normalized_shape, weight, bias, norm.eps)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Apply frozen weights in the dtype of the prompts; no gradient of them is computed."""
    return F.linear(x, weight.to(x.dtype), None if bias is None else bias.to(x.dtype))
