"""Attention of one set of vectors over another, with a residual connection.

Source: Vaswani et al. (NeurIPS 2017, arXiv:1706.03762), section 3.2. Written out for the reasons that
`temporal_transformer` gives.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class CrossAttention(nn.Module):
    """x + attention(x, tokens, tokens).

    Args:
        width: D, a multiple of ``num_heads``.
        num_heads: of the attention.
        projections: learn the maps to queries, keys and values, and the one behind the heads; False uses the vectors
            as they are, and learns nothing.

    Raises:
        ValueError: if the heads do not divide the width.
    """

    def __init__(self, width: int, num_heads: int, *, projections: bool) -> None:
        super().__init__()
        if width % num_heads:
            raise ValueError(f"num_heads ({num_heads}) does not divide the width of the embeddings ({width})")
        self.num_heads = num_heads
        self.in_proj = nn.Linear(width, 3 * width) if projections else None
        self.out_proj = nn.Linear(width, width) if projections else None
        if self.in_proj is not None and self.out_proj is not None:
            nn.init.xavier_uniform_(self.in_proj.weight)
            nn.init.zeros_(self.in_proj.bias)
            nn.init.zeros_(self.out_proj.bias)

    def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
        """Let N vectors attend to M others: (B, N, D) and (B, M, D) to (B, N, D)."""
        q, k, v = (self._by_head(part) for part in self._projected(x, tokens))
        scores = q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)
        mixed: Tensor = (scores.softmax(dim=-1) @ v).transpose(1, 2).flatten(2)
        return x + (mixed if self.out_proj is None else self.out_proj(mixed))

    def _projected(self, x: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if self.in_proj is None:
            return x, tokens, tokens
        to_q, to_k, to_v = self.in_proj.weight.chunk(3)
        bias_q, bias_k, bias_v = self.in_proj.bias.chunk(3)
        return F.linear(x, to_q, bias_q), F.linear(tokens, to_k, bias_k), F.linear(tokens, to_v, bias_v)

    def _by_head(self, rows: Tensor) -> Tensor:
        return rows.reshape(*rows.shape[:-1], self.num_heads, -1).transpose(1, 2)
