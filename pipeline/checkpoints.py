"""Where a training stands, as tensors and plain numbers that a run keeps."""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vlp.stores.errors import RunDamaged
from vlp.stores.runs import STATE, RunDirectory

_WEIGHTS, _BEST, _OPTIMIZER = "weights.", "best.", "optimizer."


@dataclass
class Progress:
    """Where a training stands, without weights and optimiser.

    Attributes:
        step: optimiser steps taken.
        epoch_loss: sum over the videos of the epoch in hand.
        last_loss: mean over the last whole epoch.
        best_top1: on the held-out videos so far.
        best_epoch: which gave it.
        best_weights: of that epoch.
        seconds: spent so far.

    Raises:
        ValueError: for values of another kind.
    """

    step: int = 0
    epoch_loss: float = 0.0
    last_loss: float | None = None
    best_top1: float | None = None
    best_epoch: int | None = None
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    seconds: float = 0.0

    def __post_init__(self) -> None:
        counts = (self.step, 0 if self.best_epoch is None else self.best_epoch)
        measures = (self.last_loss, self.best_top1)
        numbers = (self.epoch_loss, self.seconds, *(number for number in measures if number is not None))
        if any(type(count) is not int or count < 0 for count in counts):
            raise ValueError(f"step {self.step!r}, best epoch {self.best_epoch!r}")
        if not all(type(number) is float and math.isfinite(number) for number in numbers):
            raise ValueError(f"losses, accuracies and seconds {numbers}")
        if not bool(self.best_weights) == (self.best_epoch is not None) == (self.best_top1 is not None):
            raise ValueError("a best epoch without its weights, or weights without their epoch")

    def facts(self) -> dict[str, Any]:
        """Return all but the weights."""
        return {name: value for name, value in vars(self).items() if name != "best_weights"}


def trained_tensors(method: nn.Module) -> dict[str, Tensor]:
    """Copy what a method has learnt: its state without the frozen CLIP, which is no part of it."""
    return {name: tensor.detach().clone() for name, tensor in method.state_dict().items()}


def as_arrays(tensors: dict[str, Tensor], prefix: str = "") -> dict[str, NDArray[Any]]:
    """Turn tensors into arrays in main memory, their names after a prefix."""
    return {prefix + name: tensor.detach().cpu().numpy() for name, tensor in tensors.items()}


def save_progress(
    run: RunDirectory, progress: Progress, method: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Write a checkpoint to go on from."""
    held = as_arrays(method.state_dict(), _WEIGHTS) | as_arrays(progress.best_weights, _BEST)
    for index, state in optimizer.state_dict()["state"].items():
        tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
        held |= as_arrays(tensors, f"{_OPTIMIZER}{index}.")
    run.write_state(held, progress.facts())


def load_progress(run: RunDirectory, method: nn.Module, optimizer: torch.optim.Optimizer) -> Progress | None:
    """Go on from a checkpoint: weights and optimiser take its values.

    Returns:
        Where the training stood; None where there is no checkpoint.

    Raises:
        RunDamaged: if the checkpoint is not one of this method.
    """
    found = run.read_state()
    if found is None:
        return None
    arrays, facts = found
    try:
        progress = Progress(**facts, best_weights=_part(arrays, _BEST))
        if progress.best_weights:
            method.load_state_dict(progress.best_weights)  # refused now, not at the end of the training
        method.load_state_dict(_part(arrays, _WEIGHTS))
        states: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _part(arrays, _OPTIMIZER).items():
            index, _, key = name.partition(".")
            states.setdefault(int(index), {})[key] = tensor
        _check_states(optimizer, states)
        optimizer.load_state_dict({**optimizer.state_dict(), "state": states})
    except (TypeError, ValueError, LookupError, RuntimeError) as error:
        raise RunDamaged(run.path / STATE, f"it is no checkpoint of this method ({error})") from error
    return progress


def _part(arrays: dict[str, NDArray[Any]], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): torch.from_numpy(array)
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def _check_states(optimizer: torch.optim.Optimizer, states: dict[int, dict[str, Tensor]]) -> None:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    adam = isinstance(optimizer, torch.optim.AdamW)
    names = {"step", "exp_avg", "exp_avg_sq"} if adam else {"momentum_buffer"}
    for index, state in states.items():
        if not 0 <= index < len(parameters) or state.keys() != names:
            raise ValueError(f"optimizer.{index} holds {', '.join(state)}")
        for key, tensor in state.items():
            if tensor.shape != (() if key == "step" else parameters[index].shape):
                raise ValueError(f"optimizer.{index}.{key} has shape {tuple(tensor.shape)}")
