"""Many small trainings at once: the trials of K-shot N-way classification.

The parameters of a chunk of trials are stacked, and one step moves them all: AdamW and SGD treat every number by
itself, so that each trial learns what it would have learnt alone. Every trial scores all candidate classes and looks
at its own N only. Methods whose loss is another than cross-entropy, or that are fitted in closed form, go one after
another.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from vlp.pipeline.bank import draw_clips
from vlp.pipeline.clips import Clips
from vlp.pipeline.coverage import label_indices
from vlp.pipeline.learning import Learner
from vlp.pipeline.metrics.accuracy import predictions
from vlp.pipeline.optimisation import make_schedule, optimizer_of
from vlp.pipeline.protocols import Episode
from vlp.pipeline.training import LossNotFinite, build_method
from vlp.pipeline.training_data import LabelledVideos, clip_rng, order_of

_CHUNK = 50
_PARAMETER_BYTES = 1 << 30
_COPIES = 4  # a parameter, its gradient, AdamW's two moments


def episode_accuracies(
    learner: Learner, classes: Sequence[str], episodes: Sequence[Episode], seed: int
) -> list[float]:
    """Train and test every trial.

    Args:
        learner: method and features.
        classes: C candidates that the trials' classes are drawn from.
        episodes: the trials, each with equally many training videos.
        seed: trial t trains with seed + t.

    Returns:
        Fraction of the test videos that is right, for each trial.

    Raises:
        LossNotFinite: naming the step.
    """
    if not can_be_stacked(learner):
        return [_alone(learner, episode, seed + number) for number, episode in enumerate(episodes)]
    accuracies: list[float] = []
    while len(accuracies) < len(episodes):
        done = len(accuracies)
        size = _chunk_size(learner, classes, seed)
        accuracies += _chunk(learner, classes, episodes[done : done + size], seed + done)
    return accuracies


def can_be_stacked(learner: Learner) -> bool:
    """Tell whether the trials of a method can be trained together."""
    recipe = learner.settings.recipe
    plain = recipe.optimizer != "none" and recipe.hold_out == 0 and recipe.clip_norm is None
    return plain and recipe.accumulate == 1 and bool(getattr(learner.settings.module, "STACKS", False))


def _alone(learner: Learner, episode: Episode, seed: int) -> float:
    method = learner.train(episode.train, episode.classes, seed)
    return _accuracy(learner, method, episode, episode.classes, seed)


def _chunk_size(learner: Learner, classes: Sequence[str], seed: int) -> int:
    settings = learner.settings
    method = build_method(settings.method, settings.config, learner.encoder, classes, seed)
    num_bytes = sum(4 * parameter.numel() for parameter in method.parameters()) * _COPIES
    return max(1, min(_CHUNK, _PARAMETER_BYTES // max(num_bytes, 1)))


def _chunk(learner: Learner, classes: Sequence[str], episodes: Sequence[Episode], seed: int) -> list[float]:
    settings, device = learner.settings, learner.encoder.device
    methods = [
        build_method(settings.method, settings.config, learner.encoder, classes, seed + number)
        .to(device)
        .train()
        for number in range(len(episodes))
    ]
    template = methods[0]
    parameters, buffers = stack_module_state(methods)
    parameters = {name: tensor.detach().requires_grad_() for name, tensor in parameters.items()}
    _train(learner, template, parameters, buffers, classes, episodes, seed)
    accuracies = []
    for number, episode in enumerate(episodes):
        state = {name: tensor[number].detach() for name, tensor in parameters.items()}
        template.load_state_dict(template.state_dict() | state)
        accuracies.append(_accuracy(learner, template, episode, classes, seed + number))
    return accuracies


def _train(
    learner: Learner,
    template: nn.Module,
    parameters: dict[str, Tensor],
    buffers: dict[str, Tensor],
    classes: Sequence[str],
    episodes: Sequence[Episode],
    seed: int,
) -> None:
    recipe, device = learner.settings.recipe, learner.encoder.device
    data = [learner.labelled(episode.train, classes) for episode in episodes]
    num_videos = len(data[0].videos)
    steps_per_epoch = -(-num_videos // recipe.batch_size)
    absent = torch.tensor([[name not in episode.classes for name in classes] for episode in episodes])
    optimizer = optimizer_of(list(parameters.values()), recipe)
    schedule = make_schedule(optimizer, recipe, steps_per_epoch)

    def loss(
        params: Any, held: Any, clips: tuple[Tensor, Tensor | None], labels: Tensor, hidden: Tensor
    ) -> Tensor:
        logits: Tensor = functional_call(template, (params, held), (Clips(*clips),))
        return F.cross_entropy(logits.masked_fill(hidden, float("-inf")), labels)

    for step in range(recipe.num_epochs * steps_per_epoch):
        embeddings, gaps, labels = _batches(data, learner, seed, step, steps_per_epoch)
        clip_axes = (0, None if gaps is None else 0)
        together = vmap(loss, in_dims=(0, 0, clip_axes, 0, 0), randomness="different")
        losses = together(parameters, buffers, (embeddings, gaps), labels.to(device), absent.to(device))
        total = losses.sum()
        if not torch.isfinite(total):
            raise LossNotFinite(step + 1, float(total.detach()))
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(total)
        optimizer.step()
        schedule.step()


def _batches(
    data: Sequence[LabelledVideos], learner: Learner, seed: int, step: int, steps_per_epoch: int
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Draw the same batch of every trial as it would draw alone: (R, b, T, D), (R, b), (R, b)."""
    recipe, drawn, labels = learner.settings.recipe, [], []
    for number, videos in enumerate(data):
        order = order_of(seed + number, step // steps_per_epoch, len(videos.videos))
        begin = step % steps_per_epoch * recipe.batch_size
        batch = videos.only(order[begin : begin + recipe.batch_size])
        drawn.append(draw_clips(batch.bank, batch.videos, recipe, clip_rng(seed + number, step, 0)))
        labels.append(batch.labels)
    embeddings = torch.stack([clips.embeddings for clips in drawn]).to(learner.encoder.device)
    gaps = [clips.gaps for clips in drawn if clips.gaps is not None]
    stacked = torch.stack(gaps).to(learner.encoder.device) if gaps else None
    return embeddings, stacked, torch.from_numpy(np.stack(labels))


def _accuracy(
    learner: Learner, method: nn.Module, episode: Episode, classes: Sequence[str], seed: int
) -> float:
    columns = [list(classes).index(name) for name in episode.classes]
    scores = learner.score(method, episode.test, seed)[:, columns]
    return float((predictions(scores) == label_indices(episode.test, episode.classes)).mean())
