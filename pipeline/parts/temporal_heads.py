"""From the frame embeddings of a clip to one video feature: the post-network prompts of ActionCLIP.

Paper: ActionCLIP (Wang et al., 2021, arXiv:2109.08472), section 3.3 and figure 3(c). Original code:
sallymmx/ActionCLIP@31c34df, modules/Visual_Prompt.py.

A head is a module from (B, T, D) to (B, D). Of the class-token Transformer's last layer only the token's own row is
computed, and dropout draws numbers of 16 bits: on a CPU a step takes three quarters of the time.

Departures from the release: `Conv1d` moves the frames' axis, where the release reinterprets memory and mixes time with
channels; positions are as many as a clip has frames, not 77.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlp.pipeline.errors import ClipLengthUnsuitable
from vlp.pipeline.parts.temporal_transformer import TemporalTransformer

_INIT_STD = 0.02
_FEED_FORWARD = 2048
_DROPOUT = 0.1
_LOTS = 1 << 16


class MeanPool(nn.Module):
    """The mean of the frames; nothing is learnt."""

    def forward(self, frames: Tensor) -> Tensor:
        """Pool (B, T, D) frames to (B, D)."""
        return frames.mean(dim=1)


class Conv1d(nn.Module):
    """Frames plus a convolution over time, channel by channel, that begins as a shift.

    At first a quarter of the channels takes the frame before, a quarter the frame after, and half its own.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.shift = nn.Conv1d(width, width, kernel_size=3, padding=1, groups=width, bias=False)
        quarter = width // 4
        taken = torch.ones(width, dtype=torch.long)
        taken[:quarter] = 0
        taken[width - quarter :] = 2
        with torch.no_grad():
            self.shift.weight.copy_(F.one_hot(taken, 3)[:, None])

    def forward(self, frames: Tensor) -> Tensor:
        """Pool (B, T, D) frames to (B, D)."""
        shifted: Tensor = self.shift(frames.transpose(1, 2)).transpose(1, 2)
        return (frames + shifted).mean(dim=1)


class Lstm(nn.Module):
    """Frames plus the states of an LSTM of one layer that reads them in order.

    Args:
        width: D, also of its state.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(width, width, batch_first=True)

    def forward(self, frames: Tensor) -> Tensor:
        """Pool (B, T, D) frames to (B, D)."""
        states: Tensor = self.lstm(frames)[0]
        return (frames + states).mean(dim=1)


class Transformer(nn.Module):
    """Frames plus what a pre-LN Transformer makes of them and their positions.

    Args:
        width: D.
        num_layers: blocks.
        num_heads: of each.
        num_frames: T.

    Raises:
        ValueError: if the heads do not divide the width.
    """

    def __init__(self, width: int, *, num_layers: int, num_heads: int, num_frames: int) -> None:
        super().__init__()
        self.temporal = TemporalTransformer(
            width, num_layers=num_layers, num_heads=num_heads, num_frames=num_frames, table_std=_INIT_STD
        )
        for name, layer in self.temporal.named_modules():
            if isinstance(layer, nn.Linear) and not name.endswith("in_proj"):
                _init_linear(layer)

    def forward(self, frames: Tensor) -> Tensor:
        """Pool (B, T, D) frames to (B, D).

        Raises:
            ClipLengthUnsuitable: if T is another than there are positions.
        """
        _check_length(frames, len(self.temporal.positions))
        mixed: Tensor = self.temporal(frames)
        return (frames + mixed).mean(dim=1)


class ClassTokenTransformer(nn.Module):
    """What a post-LN Transformer gathers from the frames in a learnt token before them; nothing is added to it.

    Args:
        width: D.
        num_layers: torch's encoder layers, with ReLU and dropout.
        num_heads: of each.
        num_frames: T.

    Raises:
        ValueError: if the heads do not divide the width.
    """

    def __init__(self, width: int, *, num_layers: int, num_heads: int, num_frames: int) -> None:
        super().__init__()
        if width % num_heads:
            raise ValueError(f"num_heads ({num_heads}) does not divide the width of the embeddings ({width})")
        self.token = nn.Parameter(_INIT_STD * torch.randn(width))
        self.positions = nn.Parameter(_INIT_STD * torch.randn(1 + num_frames, width))
        layer = nn.TransformerEncoderLayer(width, num_heads, _FEED_FORWARD, _DROPOUT, batch_first=True)
        layer.dropout = layer.dropout1 = layer.dropout2 = Dropout(_DROPOUT)
        self.encoder = nn.TransformerEncoder(
            layer, num_layers, norm=nn.LayerNorm(width), enable_nested_tensor=False
        )
        for made in self.encoder.modules():
            if isinstance(made, nn.Linear):
                _init_linear(made)

    def forward(self, frames: Tensor) -> Tensor:
        """Pool (B, T, D) frames to (B, D).

        Raises:
            ClipLengthUnsuitable: if T is another than there are positions.
        """
        _check_length(frames, len(self.positions) - 1)
        tokens = torch.cat([self.token.expand(len(frames), 1, -1), frames], dim=1) + self.positions
        *before, last = self.encoder.layers
        for layer in before:
            tokens = layer(tokens)
        norm: Any = self.encoder.norm
        read: Tensor = norm(_first_row(last, tokens))
        return read


def _first_row(layer: Any, tokens: Tensor) -> Tensor:
    """Give what torch's post-LN layer makes of the first of (B, T, D) tokens alone: (B, D)."""
    attended = layer.self_attn(tokens[:, :1], tokens, tokens, need_weights=False)[0]
    row = layer.norm1(tokens[:, 0] + layer.dropout1(attended[:, 0]))
    hidden = layer.linear2(layer.dropout(layer.activation(layer.linear1(row))))
    normed: Tensor = layer.norm2(row + layer.dropout2(hidden))
    return normed


class Dropout(nn.Dropout):
    """Dropout as torch's, at under half its time on a CPU: four lots are drawn with one number of 64 bits.

    Args:
        rate: share of the numbers that become 0, taken to the nearest of 65,536 parts; the others grow in proportion.
    """

    def __init__(self, rate: float) -> None:
        super().__init__(rate)
        self.dropped = round(rate * _LOTS)

    def forward(self, x: Tensor) -> Tensor:
        """Drop some of x, of any shape, in training."""
        if not self.training:
            return x
        drawn = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device).random_(-(1 << 63), None)
        kept = drawn.view(torch.int16)[: x.numel()].view(x.shape) >= self.dropped - _LOTS // 2
        return x * (kept * (_LOTS / (_LOTS - self.dropped))).to(x.dtype)


_POOLING: dict[str, Callable[[int], nn.Module]] = {"conv1d": Conv1d, "lstm": Lstm}
_WITH_POSITIONS: dict[str, type[Transformer] | type[ClassTokenTransformer]] = {
    "transf": Transformer,
    "transf_cls": ClassTokenTransformer,
}
HEADS = ("meanp", *_POOLING, *_WITH_POSITIONS)
"""What `temporal_head` builds."""


def temporal_head(name: str, width: int, *, num_layers: int, num_heads: int, num_frames: int) -> nn.Module:
    """Build a head.

    Args:
        name: one of `HEADS`.
        width: D.
        num_layers: of "transf" and "transf_cls", as what follows; the others have no use for it.
        num_heads: of their attention.
        num_frames: T, the positions they have.

    Raises:
        KeyError: if there is no such head.
        ValueError: if the heads of attention do not divide the width.
    """
    if name == "meanp":
        return MeanPool()
    if name in _POOLING:
        return _POOLING[name](width)
    return _WITH_POSITIONS[name](width, num_layers=num_layers, num_heads=num_heads, num_frames=num_frames)


def _check_length(frames: Tensor, num_positions: int) -> None:
    if frames.shape[1] != num_positions:
        raise ClipLengthUnsuitable(
            "the head", frames.shape[1], num_positions, "max_frames", unless="it has no positions"
        )


def _init_linear(layer: nn.Linear) -> None:
    nn.init.normal_(layer.weight, std=_INIT_STD)
    nn.init.zeros_(layer.bias)
