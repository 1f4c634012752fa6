"""How a method is trained and tested: which clips it sees, and how its weights move. Imports no torch.

A method's file gives the paper's values as its `RECIPE`; the command line may change any of them, and the
resolved values are saved with the run.
"""

from dataclasses import dataclass
from typing import Literal

SamplingRule = Literal["random-gap", "random-gap-official", "segments", "uniform", "whole"]
"""Names of the rules of `vlp.pipeline.sampling`; "whole" is the mean of all stored frames as a clip of one."""


@dataclass(frozen=True)
class Recipe:
    """Settings of one training and its test.

    Attributes:
        sampling: rule that chooses a clip's frames.
        num_frames: T, frames a clip; 1 for "whole".
        gaps: timeline steps between frames that "random-gap" draws from.
        num_test_clips: clips a video at test, averaged with the views of the store.
        aggregation: what is averaged over clips and views: "probabilities" (after the softmax); "logits", which then
            are the scores; "similarities", of whose mean the method makes its logits, and these become probabilities.
            "frames" averages nothing, and makes one clip of all of them, for methods that take any number of frames.
        optimizer: "adamw" or "sgd"; "none" where nothing is trained by gradients.
        learning_rate, weight_decay, betas, momentum: of the optimiser; betas of AdamW, momentum of SGD.
        tower_learning_rate: of parameters that a method took over from CLIP; None for ``learning_rate``.
        batch_size: videos a step.
        num_epochs: passes over the training videos; every epoch visits each video once.
        schedule: "constant" or "cosine" (to 0), after ``warmup_epochs`` of linear warm-up.
        warmup_epochs: may be a fraction.
        accumulate: batches whose gradients are averaged before a step.
        clip_norm: largest norm of all gradients together; None for no limit.
        hold_out: share of each class's training videos that is held out to choose the best epoch; 0 for none.
        patience: epochs without improvement on the held-out videos after which training ends; None never.

    Raises:
        ValueError: naming the field that cannot be.
    """

    sampling: SamplingRule = "random-gap"
    num_frames: int = 16
    gaps: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 10, 15)
    num_test_clips: int = 5
    aggregation: Literal["probabilities", "logits", "similarities", "frames"] = "probabilities"
    optimizer: Literal["adamw", "sgd", "none"] = "adamw"
    learning_rate: float = 1e-4
    tower_learning_rate: float | None = None
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    momentum: float = 0.9
    batch_size: int = 64
    num_epochs: int = 50
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_epochs: float = 0.0
    accumulate: int = 1
    clip_norm: float | None = None
    hold_out: float = 0.0
    patience: int | None = None

    def __post_init__(self) -> None:
        for name in ("num_frames", "num_test_clips", "batch_size", "num_epochs", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} ({getattr(self, name)}) must be at least 1")
        finite = ("learning_rate", "tower_learning_rate", "weight_decay", "warmup_epochs")
        limits = {**dict.fromkeys(finite, float("inf")), "hold_out": 1, "momentum": 1}
        values = [(name, getattr(self, name)) for name in limits if getattr(self, name) is not None]
        for name, value in (*values, ("betas", self.betas[0]), ("betas", self.betas[1])):
            if not 0 <= value < limits.get(name, 1):
                raise ValueError(f"{name} ({value}) must be at least 0 and below {limits.get(name, 1)}")
        if min(self.gaps, default=0) < 1:
            raise ValueError(f"gaps {self.gaps} must hold at least one step, all of them positive")
        if self.patience is not None and (self.patience < 1 or self.hold_out == 0):
            raise ValueError(f"patience ({self.patience}) needs hold_out above 0, and at least 1 epoch")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise ValueError(f"clip_norm ({self.clip_norm}) must be positive")
        if self.aggregation == "frames" and self.sampling.startswith("random-gap"):
            raise ValueError(
                f"aggregation frames joins clips, and those of sampling {self.sampling} have gaps"
            )
        if self.sampling == "whole" and (self.num_frames, self.num_test_clips) != (1, 1):
            raise ValueError(
                "sampling whole makes one clip of one frame: num_frames and num_test_clips are 1"
            )
