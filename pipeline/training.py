"""The only training loop: any method, from cached features, told as events.

    for event in train(method, module, recipe, data, seed=0, device=device, run=run): ...

What is random is a function of the seed and the place (epoch, step), never of what ran before: a run that was killed
and started again goes through the same numbers as one that was left alone, and ends in the same bits. torch's global
generator is seeded anew at every step, for dropout and for methods that draw candidates.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vlp.pipeline.bank import draw_clips
from vlp.pipeline.checkpoints import Progress, load_progress, save_progress, trained_tensors
from vlp.pipeline.clips import Clips
from vlp.pipeline.errors import PipelineError
from vlp.pipeline.metrics.accuracy import predictions
from vlp.pipeline.optimisation import deterministic, make_optimizer, make_schedule, trainable_parameters
from vlp.pipeline.parts.class_targets import class_targets
from vlp.pipeline.recipe import Recipe
from vlp.pipeline.scoring import score_videos
from vlp.pipeline.settings import method_module
from vlp.pipeline.stopping import StopRequest
from vlp.pipeline.text import TextEncoder
from vlp.pipeline.training_data import LabelledVideos, clip_rng, hold_out, order_of, share_right
from vlp.pipeline.training_events import (
    EpochEnded,
    StepTaken,
    TrainingEnded,
    TrainingEvent,
    TrainingStarted,
    TrainingStopped,
)
from vlp.stores.runs import RunDirectory

CHECKPOINT_SECONDS = 20.0
Loss = Callable[[nn.Module, Clips, Tensor], Tensor]


class LossNotFinite(PipelineError):
    """The loss became NaN or infinite."""

    def __init__(self, step: int, loss: float) -> None:
        super().__init__(f"the loss is {loss} at step {step}: the learning rate is likely too high.")
        self.step = step
        self.loss = loss


def build_method(
    name: str, config: Any, encoder: TextEncoder, class_names: Sequence[str], seed: int
) -> nn.Module:
    """Build a method with the initial weights of a seed.

    Args:
        name: one of `METHODS`.
        config: its `Config`.
        encoder: a frozen CLIP.
        class_names: C names as the dataset spells them.
        seed: of the initial weights.
    """
    torch.manual_seed(seed)
    method: nn.Module = method_module(name).build(config, encoder, class_names)
    return method


def train(
    method: nn.Module,
    module: ModuleType,
    recipe: Recipe,
    data: LabelledVideos,
    *,
    seed: int,
    device: torch.device,
    run: RunDirectory | None = None,
    stop: StopRequest | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> Iterator[TrainingEvent]:
    """Train a method; it holds the weights of the best epoch, or of the last, when the iterator ends.

    Args:
        method: as its file's `build` gave it.
        module: its file: `loss` and `fit`, where it has them, replace and precede what is done here.
        recipe: how.
        data: on what.
        seed: of order, clips and what is set aside.
        device: where.
        run: keeps metrics and checkpoints, and is gone on with where it has a checkpoint; None keeps nothing.
        stop: ends the training after the step in hand.
        checkpoint_seconds: least time between two checkpoints.

    Yields:
        `TrainingStarted`, the steps and epochs, then `TrainingEnded`, or `TrainingStopped`.

    Raises:
        LossNotFinite: naming the step.
        NothingToTrain: for an optimiser without parameters.
        RunDamaged: if the checkpoint to go on from is not one of this method.
    """
    loop = _Loop(method.to(device), module, recipe, data, seed, device, run, stop or StopRequest())
    with deterministic(device):
        yield from loop.run_through(checkpoint_seconds)


def train_to_end(
    method: nn.Module,
    module: ModuleType,
    recipe: Recipe,
    data: LabelledVideos,
    *,
    seed: int,
    device: torch.device,
) -> TrainingEnded:
    """Train in memory, without telling; arguments and errors as `train`."""
    *_, last = train(method, module, recipe, data, seed=seed, device=device)
    if not isinstance(last, TrainingEnded):
        raise AssertionError("a training that nobody stops ends")
    return last


def _cross_entropy(method: nn.Module, clips: Clips, labels: Tensor) -> Tensor:
    return F.cross_entropy(method(clips), class_targets(labels))


@dataclass
class _Loop:
    """One training: what it is made of, and where it stands."""

    method: nn.Module
    module: ModuleType
    recipe: Recipe
    data: LabelledVideos
    seed: int
    device: torch.device
    run: RunDirectory | None
    stop: StopRequest
    progress: Progress = field(default_factory=Progress)

    def __post_init__(self) -> None:
        self.began = time.monotonic()
        aside = hold_out(self.data.labels, self.recipe.hold_out, self.seed)
        self.trained_on = self.data.only(np.flatnonzero(~aside))
        self.held_out = self.data.only(np.flatnonzero(aside)) if aside.any() else None
        self.loss: Loss = getattr(self.module, "loss", _cross_entropy)
        self.videos_per_step = self.recipe.batch_size * self.recipe.accumulate
        self.steps_per_epoch = -(-len(self.trained_on.videos) // self.videos_per_step)

    def run_through(self, checkpoint_seconds: float) -> Iterator[TrainingEvent]:
        if self.run is None or not self.run.has_state:
            self._fit()
        if self.recipe.optimizer == "none":
            yield from self._ended_without_steps()
            return
        optimizer = make_optimizer(self.method, self.recipe)
        self._resume(optimizer)
        schedule = make_schedule(optimizer, self.recipe, self.steps_per_epoch, done=self.progress.step)
        yield self._started()
        checkpointed = time.monotonic()
        while not self._is_over():
            taken = self._step(optimizer, schedule)
            yield taken
            if self.progress.step % self.steps_per_epoch == 0:
                yield self._end_epoch(taken.learning_rate)
            due = time.monotonic() - checkpointed >= checkpoint_seconds
            if self.run is not None and (due or self.stop.signal is not None):
                progress = replace(self.progress, seconds=self._seconds())
                save_progress(self.run, progress, self.method, optimizer)
                checkpointed = time.monotonic()
            if self.stop.signal is not None:
                yield TrainingStopped(self.stop.signal)
                return
        if self.progress.best_weights:
            self.method.load_state_dict(self.progress.best_weights)
        yield self._ended()

    def _fit(self) -> None:
        """Let the method compute what needs no gradient, from one clip a training video."""
        if not hasattr(self.module, "fit"):
            return
        rng = np.random.default_rng([self.seed, 0, 0])
        clips = draw_clips(self.data.bank, self.trained_on.videos, self.recipe, rng).to(self.device)
        labels = torch.from_numpy(self.trained_on.labels).to(self.device)
        self.module.fit(self.method, clips, labels, seed=self.seed)

    def _resume(self, optimizer: torch.optim.Optimizer) -> None:
        if self.run is None:
            return
        found = load_progress(self.run, self.method, optimizer)
        self.progress = found or self.progress
        self.run.drop_metrics_after(self.progress.step)

    def _is_over(self) -> bool:
        epochs_done = self.progress.step // self.steps_per_epoch
        out_of_patience = (
            self.recipe.patience is not None
            and self.held_out is not None  # with one video a class there is nothing to hold out
            and self.progress.step % self.steps_per_epoch == 0
            and epochs_done - (self.progress.best_epoch or 0) >= self.recipe.patience
        )
        return epochs_done >= self.recipe.num_epochs or (epochs_done > 0 and out_of_patience)

    def _step(
        self, optimizer: torch.optim.Optimizer, schedule: torch.optim.lr_scheduler.LRScheduler
    ) -> StepTaken:
        step = self.progress.step
        epoch = step // self.steps_per_epoch
        torch.manual_seed(int(np.random.default_rng([self.seed, 1, step]).integers(2**63)))
        self.method.train()
        optimizer.zero_grad(set_to_none=True)
        members = order_of(self.seed, epoch, len(self.trained_on.videos))[
            step % self.steps_per_epoch * self.videos_per_step :
        ][: self.videos_per_step]
        loss = sum(
            self._backward(members, begin, step) for begin in range(0, len(members), self.recipe.batch_size)
        )
        if not np.isfinite(loss):
            raise LossNotFinite(step + 1, loss)
        if self.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(trainable_parameters(self.method), self.recipe.clip_norm)
        learning_rate = float(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
        self.progress.step += 1
        self.progress.epoch_loss += loss * len(members)
        return StepTaken(epoch + 1, step + 1, loss, learning_rate)

    def _backward(self, members: NDArray[np.int64], begin: int, step: int) -> float:
        """Add the gradients of one batch, weighed by its share of the step's videos; give its share of the loss."""
        batch = self.trained_on.only(members[begin : begin + self.recipe.batch_size])
        rng = clip_rng(self.seed, step, begin)
        clips = draw_clips(batch.bank, batch.videos, self.recipe, rng).to(self.device)
        with self._autocast():
            loss = self.loss(self.method, clips, torch.from_numpy(batch.labels).to(self.device))
        share = loss * (len(batch.videos) / len(members))
        share.backward()  # type: ignore[no-untyped-call]  # torch ships it without types
        return float(share.detach())

    def _autocast(self) -> AbstractContextManager[Any]:
        on_gpu = self.device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.autocast("cuda", dtype=torch.bfloat16) if on_gpu else nullcontext()

    def _end_epoch(self, learning_rate: float) -> EpochEnded:
        progress = self.progress
        epoch = progress.step // self.steps_per_epoch
        progress.last_loss = progress.epoch_loss / len(self.trained_on.videos)
        progress.epoch_loss = 0.0
        top1 = self._held_out_top1()
        is_best = top1 is not None and (progress.best_top1 is None or top1 > progress.best_top1)
        if is_best:
            progress.best_top1, progress.best_epoch = top1, epoch
            progress.best_weights = trained_tensors(self.method)
        event = EpochEnded(epoch, progress.step, progress.last_loss, learning_rate, top1, is_best)
        if self.run is not None:
            self.run.append_metrics(
                {name: value for name, value in asdict(event).items() if name != "is_best"}
            )
        return event

    def _held_out_top1(self) -> float | None:
        if self.held_out is None:
            return None
        scores = score_videos(
            self.method, self.data.bank, self.held_out.videos, self.recipe, seed=self.seed, device=self.device
        )
        return share_right(predictions(scores), self.held_out.labels)

    def _seconds(self) -> float:
        return self.progress.seconds + time.monotonic() - self.began

    def _num_parameters(self) -> int:
        return sum(parameter.numel() for parameter in trainable_parameters(self.method))

    def _started(self) -> TrainingStarted:
        return TrainingStarted(
            num_videos=len(self.trained_on.videos),
            num_held_out=0 if self.held_out is None else len(self.held_out.videos),
            num_parameters=self._num_parameters(),
            num_epochs=self.recipe.num_epochs,
            steps_per_epoch=self.steps_per_epoch,
            step=self.progress.step,
        )

    def _ended(self) -> TrainingEnded:
        epochs_done = self.progress.step // self.steps_per_epoch
        return TrainingEnded(
            num_steps=self.progress.step,
            num_epochs=epochs_done,
            best_epoch=self.progress.best_epoch or epochs_done,
            loss=self.progress.last_loss,
            held_out_top1=self.progress.best_top1,
            num_parameters=self._num_parameters(),
            seconds=self._seconds(),
        )

    def _ended_without_steps(self) -> Iterator[TrainingEvent]:
        num_videos = len(self.trained_on.videos)
        num_held_out = 0 if self.held_out is None else len(self.held_out.videos)
        yield TrainingStarted(num_videos, num_held_out, 0, 0, 0, 0)
        yield TrainingEnded(0, 0, None, None, self._held_out_top1(), 0, self._seconds())
