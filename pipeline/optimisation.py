"""Optimiser and learning rate of a recipe; both are torch's own."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from vlp.pipeline.errors import PipelineError
from vlp.pipeline.recipe import Recipe


class NothingToTrain(PipelineError):
    """A method without parameters that gradients move, and an optimiser to move them."""

    def __init__(self, optimizer: str) -> None:
        super().__init__(
            f"gradients move nothing of this method: recipe.optimizer can be none, not {optimizer}."
        )
        self.optimizer = optimizer


def make_optimizer(method: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Make the recipe's optimiser over the parameters of a method that need gradients.

    Those that the method took over from CLIP, its `pretrained_parameters` where it has such, move at their own rate.

    Raises:
        NothingToTrain: if none does.
    """
    if not (parameters := trainable_parameters(method)):
        raise NothingToTrain(recipe.optimizer)
    named: Callable[[], Sequence[nn.Parameter]] = getattr(method, "pretrained_parameters", tuple)
    pretrained = {id(parameter) for parameter in named()}
    rate = recipe.learning_rate if recipe.tower_learning_rate is None else recipe.tower_learning_rate
    groups: list[dict[str, Any]] = [
        {"params": [parameter for parameter in parameters if id(parameter) not in pretrained]},
        {"params": [parameter for parameter in parameters if id(parameter) in pretrained], "lr": rate},
    ]
    return optimizer_of([group for group in groups if group["params"]], recipe)


def optimizer_of(
    tensors: Sequence[Tensor] | Sequence[dict[str, Any]], recipe: Recipe
) -> torch.optim.Optimizer:
    """Make the recipe's optimiser.

    Args:
        tensors: what it moves, or groups of it with settings of their own.
        recipe: "adamw" or "sgd", with its settings.
    """
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            tensors, lr=recipe.learning_rate, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
    return torch.optim.AdamW(
        tensors, lr=recipe.learning_rate, betas=recipe.betas, weight_decay=recipe.weight_decay
    )


def trainable_parameters(method: nn.Module) -> list[nn.Parameter]:
    """List the parameters that need gradients, in the module's order."""
    return [parameter for parameter in method.parameters() if parameter.requires_grad]


def make_schedule(
    optimizer: torch.optim.Optimizer, recipe: Recipe, steps_per_epoch: int, *, done: int = 0
) -> torch.optim.lr_scheduler.LRScheduler:
    """Make the recipe's schedule, which is a function of the step alone.

    Args:
        optimizer: fresh; the learning rates of its groups move together.
        recipe: "constant" or "cosine", with its warm-up.
        steps_per_epoch: optimiser steps.
        done: steps taken before, by a run that this one goes on with.
    """
    for group in optimizer.param_groups:
        group["initial_lr"] = group["lr"]
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, share_of_learning_rate(recipe, steps_per_epoch), last_epoch=done - 1
    )


def share_of_learning_rate(recipe: Recipe, steps_per_epoch: int) -> Callable[[int], float]:
    """Give the share of the learning rate at a step, counted from 0.

    Warm-up: (step + 1) / W over the first W steps. Cosine: ½(1 + cos πx), x from 0 behind the warm-up to 1 at the end.
    """
    num_steps = recipe.num_epochs * steps_per_epoch
    warmup_steps = round(recipe.warmup_epochs * steps_per_epoch)

    def share(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        if recipe.schedule == "constant":
            return 1.0
        progress = (step - warmup_steps) / max(num_steps - warmup_steps, 1)
        return (1 + math.cos(math.pi * min(progress, 1.0))) / 2

    return share


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Have a GPU add up in one order, where it has such a kernel; a CPU does so anyhow."""
    if device.type != "cuda":
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for
    before = torch.are_deterministic_algorithms_enabled()
    warned = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)
