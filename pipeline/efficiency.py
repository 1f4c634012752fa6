"""How much a method computes, counted by torch's own counter: products and convolutions, two operations each.

What is computed once for a list of classes (their text features) and what every clip adds are told apart by scoring a
clip twice: a method that keeps its text features computes them the first time only.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vlp.pipeline.clips import Clips

Result = TypeVar("Result")


@dataclass(frozen=True)
class ScoringCost:
    """Floating-point operations to score clips, the image encoder apart.

    Attributes:
        flops_once: for the list of classes.
        flops_per_clip: for every clip.
    """

    flops_once: int
    flops_per_clip: int


def cost_of_scoring(method: nn.Module, num_frames: int, embed_dim: int, device: torch.device) -> ScoringCost:
    """Count what a trained method computes for a clip; it is left in evaluation mode.

    Args:
        method: from B clips to logits.
        num_frames: T.
        embed_dim: D.
        device: where the method is.
    """
    method.eval()
    clips = Clips(torch.zeros(1, num_frames, embed_dim), torch.ones(1, dtype=torch.int64)).to(device)
    with torch.no_grad():
        first, second = (count_flops(lambda: method(clips))[1] for _ in range(2))
    return ScoringCost(flops_once=first - second, flops_per_clip=second)


def count_flops(work: Callable[[], Result]) -> tuple[Result, int]:
    """Run something, and count its operations. Its last bits may be others than without."""
    with _taken_apart(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        result = work()
    return result, counter.get_total_flops()


@contextmanager
def _taken_apart() -> Iterator[None]:
    """Run Transformer layers and LSTMs as the products that they are: fused, the counter overlooks them."""
    known: Any = torch.backends
    before = known.mha.get_fastpath_enabled(), known.mkldnn.enabled, known.cudnn.enabled
    known.mha.set_fastpath_enabled(False)
    known.mkldnn.enabled = known.cudnn.enabled = False
    try:
        yield
    finally:
        known.mha.set_fastpath_enabled(before[0])
        known.mkldnn.enabled, known.cudnn.enabled = before[1:]
