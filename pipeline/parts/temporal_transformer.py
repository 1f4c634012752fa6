"""A Transformer over the frames of a clip: pre-LN blocks as in CLIP's own towers, without a mask.

Source: CLIP (Radford et al., ICML 2021, arXiv:2103.00020), `ResidualAttentionBlock` of openai/CLIP, clip/model.py.

Attention is written out, not torch's fused one: over some tens of frames it costs no more, its backward pass adds up
in one order, and `torch.func.vmap` takes it as it is. For the same reasons rows of a table are read by `embedding`: the
gradients of indexing are added up by all threads at once, and no two runs are the same.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TemporalBlock(nn.Module):
    """x + attention(LN(x)), then x + MLP(LN(x)), with QuickGELU and no dropout.

    Args:
        width: D, a multiple of ``num_heads``.
        num_heads: of the attention.
        init_std: standard deviation of all matrices, with biases at 0; None for the initial values of PyTorch's own
            `MultiheadAttention` and `Linear`. LayerNorms begin as the identity.
        feed_forward: width of the MLP over D.

    Raises:
        ValueError: if the heads do not divide the width.
    """

    def __init__(
        self, width: int, num_heads: int, *, init_std: float | None = None, feed_forward: int = 4
    ) -> None:
        super().__init__()
        if width % num_heads:
            raise ValueError(f"num_heads ({num_heads}) does not divide the width of the embeddings ({width})")
        self.num_heads = num_heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.in_proj, self.out_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.c_fc = nn.Linear(width, feed_forward * width)
        self.c_proj = nn.Linear(feed_forward * width, width)
        nn.init.xavier_uniform_(self.in_proj.weight)
        nn.init.zeros_(self.in_proj.bias)
        nn.init.zeros_(self.out_proj.bias)
        if init_std is not None:
            for linear in (self.in_proj, self.out_proj, self.c_fc, self.c_proj):
                nn.init.normal_(linear.weight, std=init_std)
                nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Mix T frames of B clips: (B, T, D) to (B, T, D)."""
        x = x + self.out_proj(self._attend(self.in_proj(self.ln_1(x))))
        hidden: Tensor = self.c_fc(self.ln_2(x))
        mixed: Tensor = x + self.c_proj(hidden * torch.sigmoid(1.702 * hidden))
        return mixed

    def _attend(self, projected: Tensor) -> Tensor:
        """Mix values, (B, T, 3 D) queries, keys and values to (B, T, D); each head sees D / heads of them."""
        by_head = (*projected.shape[:2], self.num_heads, -1)
        q, k, v = (part.reshape(by_head).transpose(1, 2) for part in projected.chunk(3, dim=-1))
        scores = q * q.shape[-1] ** -0.5 @ k.transpose(-2, -1)
        mixed: Tensor = scores.softmax(dim=-1) @ v
        return mixed.transpose(1, 2).flatten(2)


class TemporalTransformer(nn.Module):
    """Frames plus learnt vectors of their places, and of their gap, through blocks; no LayerNorm behind them.

    Args:
        width: D.
        num_layers: blocks.
        num_heads: of each.
        num_frames: T.
        gaps: steps between neighbouring frames that have a vector; () for none.
        table_std: standard deviation of the initial vectors of places and gaps.
        init_std: of the blocks, as `TemporalBlock`.

    Raises:
        ValueError: if the heads do not divide the width.
    """

    known_gaps: Tensor

    def __init__(
        self,
        width: int,
        *,
        num_layers: int,
        num_heads: int,
        num_frames: int,
        gaps: Sequence[int] = (),
        table_std: float,
        init_std: float | None = None,
    ) -> None:
        super().__init__()
        self.positions = nn.Parameter(table_std * torch.randn(num_frames, width))
        self.gap_vectors = nn.Parameter(table_std * torch.randn(len(gaps), width)) if gaps else None
        self.register_buffer("known_gaps", torch.tensor(sorted(gaps)), persistent=False)
        self.blocks = nn.Sequential(
            *(TemporalBlock(width, num_heads, init_std=init_std) for _ in range(num_layers))
        )

    def forward(self, frames: Tensor, gaps: Tensor | None = None) -> Tensor:
        """Mix the frames of clips.

        Args:
            frames: (B, T, D).
            gaps: (B,) steps between neighbouring frames; one without a vector takes that of the nearest gap, the
                smaller of two. None adds no vector.

        Returns:
            (B, T, D).
        """
        x = frames + self.positions
        if self.gap_vectors is not None and gaps is not None:
            nearest = (gaps[:, None] - self.known_gaps).abs().argmin(dim=1)
            x = x + F.embedding(nearest, self.gap_vectors)[:, None]
        mixed: Tensor = self.blocks(x)
        return mixed
