"""What a method sees of a batch of videos."""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True)
class Clips:
    """One clip of each of B videos.

    Attributes:
        embeddings: (B, T, D) raw frame embeddings, not normalised, in any floating dtype.
        gaps: (B,) int64, timeline steps between neighbouring frames of the clip; None where the
            sampling rule has no gap, as with frames spread evenly over a video.

    Raises:
        ValueError: if a shape is another.
    """

    embeddings: Tensor
    gaps: Tensor | None = None

    def __post_init__(self) -> None:
        if self.embeddings.ndim != 3:
            raise ValueError(f"embeddings have shape {tuple(self.embeddings.shape)}, not (B, T, D)")
        if self.gaps is not None and self.gaps.shape != self.embeddings.shape[:1]:
            raise ValueError(
                f"gaps have shape {tuple(self.gaps.shape)}, not ({self.embeddings.shape[0]},), one a clip"
            )

    def to(self, device: torch.device) -> Self:
        """Move to a device."""
        gaps = None if self.gaps is None else self.gaps.to(device)
        return type(self)(self.embeddings.to(device), gaps)
