"""What a running training tells. Imports no torch."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TrainingStarted:
    """What lies ahead.

    Attributes:
        num_videos: trained on.
        num_held_out: set aside to choose the best epoch.
        num_parameters: that gradients move.
        num_epochs: to be done in all.
        steps_per_epoch: optimiser steps.
        step: done before, by a run that this one goes on with.
    """

    num_videos: int
    num_held_out: int
    num_parameters: int
    num_epochs: int
    steps_per_epoch: int
    step: int


@dataclass(frozen=True)
class StepTaken:
    """One optimiser step; ``step`` counts from 1 over all epochs."""

    epoch: int
    step: int
    loss: float
    learning_rate: float


@dataclass(frozen=True)
class EpochEnded:
    """All training videos were seen once more.

    Attributes:
        epoch: counted from 1.
        step: taken so far, in all epochs.
        loss: mean over the videos of the epoch.
        learning_rate: of its last step.
        held_out_top1: accuracy on those set aside; None where none are.
        is_best: whether it is the best so far on these.
    """

    epoch: int
    step: int
    loss: float
    learning_rate: float
    held_out_top1: float | None
    is_best: bool


@dataclass(frozen=True)
class TrainingStopped:
    """A signal ended the run; the same command goes on from here."""

    signal: int


@dataclass(frozen=True)
class TrainingEnded:
    """How it went.

    Attributes:
        num_steps: optimiser steps taken.
        num_epochs: epochs done; fewer than asked where patience ran out.
        best_epoch: whose weights were kept; None where no gradient step was taken.
        loss: mean over the last epoch; None where no gradient step was taken.
        held_out_top1: of the epoch kept; None without a held-out part.
        num_parameters: that gradients moved.
        seconds: spent in the loop, by all the processes that went on with the run.
    """

    num_steps: int
    num_epochs: int
    best_epoch: int | None
    loss: float | None
    held_out_top1: float | None
    num_parameters: int
    seconds: float = field(default=0.0, compare=False)


TrainingEvent = TrainingStarted | StepTaken | EpochEnded | TrainingStopped | TrainingEnded
