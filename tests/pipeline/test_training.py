"""The training loop: what it promises of seeds, kills, schedules and the choice of the best epoch."""

import math
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from vlp.pipeline.bank import FeatureBank
from vlp.pipeline.clips import Clips
from vlp.pipeline.optimisation import make_optimizer, make_schedule, share_of_learning_rate
from vlp.pipeline.recipe import Recipe
from vlp.pipeline.stopping import StopRequest
from vlp.pipeline.training import LossNotFinite, train, train_to_end
from vlp.pipeline.training_data import LabelledVideos, hold_out
from vlp.pipeline.training_events import (
    EpochEnded,
    StepTaken,
    TrainingEnded,
    TrainingStarted,
    TrainingStopped,
)
from vlp.stores.errors import RunDamaged
from vlp.stores.features import FeatureStore
from vlp.stores.runs import RunDirectory

CPU = torch.device("cpu")
DRIVER = Path(__file__).parent / "train_driver.py"
RECIPE = Recipe(
    sampling="segments", num_frames=4, num_test_clips=1, learning_rate=0.05, batch_size=5, num_epochs=3
)
NUM_CLASSES = 3


class Classifier(nn.Module):
    """A linear map of the mean frame, with dropout: what the loop's randomness must reach."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.dropout = dropout
        self.linear = nn.Linear(16, NUM_CLASSES)

    def forward(self, clips: Clips) -> Tensor:
        pooled = F.dropout(clips.embeddings.float().mean(dim=1), self.dropout, self.training)
        logits: Tensor = self.linear(pooled)
        return logits


MODULE: Any = SimpleNamespace()  # a method's file without `loss` and `fit`


@pytest.fixture
def store(make_store: Any) -> FeatureStore:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(NUM_CLASSES, 16))
    videos = {
        f"{label}/{number:02d}": (centres[label] + 0.7 * rng.normal(size=(12, 16)))[:, None, :]
        for label in range(NUM_CLASSES)
        for number in range(8)
    }
    stored: FeatureStore = make_store(videos, meaning={"kind": "made up"})
    return stored


@pytest.fixture
def data(store: FeatureStore) -> LabelledVideos:
    ids = sorted(store.videos())
    labels = np.array([int(video_id.split("/")[0]) for video_id in ids])
    return LabelledVideos(FeatureBank(store, ids, placement="ram"), np.arange(len(ids)), labels)


def trained(
    data: LabelledVideos, recipe: Recipe = RECIPE, *, seed: int = 0, dropout: float = 0.3
) -> Classifier:
    method = Classifier(dropout)
    train_to_end(method, MODULE, recipe, data, seed=seed, device=CPU)
    return method


def weights(method: nn.Module) -> list[Tensor]:
    return [tensor.clone() for tensor in method.state_dict().values()]


def equal(one: nn.Module, other: nn.Module) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


def test_the_loss_falls_and_every_epoch_sees_every_video_once(data: LabelledVideos) -> None:
    events = list(train(Classifier(), MODULE, RECIPE, data, seed=0, device=CPU))
    assert events[0] == TrainingStarted(24, 0, 16 * 3 + 3, 3, 5, 0)
    steps = [event for event in events if isinstance(event, StepTaken)]
    epochs = [event for event in events if isinstance(event, EpochEnded)]
    assert [step.step for step in steps] == list(range(1, 16))
    assert [(epoch.epoch, epoch.step) for epoch in epochs] == [(1, 5), (2, 10), (3, 15)]
    assert epochs[-1].loss < epochs[0].loss
    sizes = [5, 5, 5, 5, 4]
    mean = sum(size * step.loss for size, step in zip(sizes, steps[:5], strict=True)) / 24
    assert epochs[0].loss == pytest.approx(mean)
    assert events[-1] == TrainingEnded(15, 3, 3, epochs[-1].loss, None, 51)


def test_one_seed_gives_the_same_bits_and_another_others(data: LabelledVideos) -> None:
    torch.manual_seed(123)
    first = trained(data)
    torch.manual_seed(456)  # what ran before must not matter
    assert equal(first, trained(data))
    assert not equal(first, trained(data, seed=1))


def test_two_halves_of_a_batch_make_the_step_of_the_whole(data: LabelledVideos) -> None:
    plain = replace(RECIPE, sampling="uniform", batch_size=6)
    whole = trained(data, plain, dropout=0.0)
    halves = trained(data, replace(plain, batch_size=3, accumulate=2), dropout=0.0)
    for one, other in zip(weights(whole), weights(halves), strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


def test_gradients_are_clipped_to_a_norm(data: LabelledVideos) -> None:
    plain = replace(RECIPE, optimizer="sgd", momentum=0.0, weight_decay=0.0, num_epochs=1, batch_size=24)
    before = weights(Classifier())
    moved = [
        torch.cat(
            [(a - b).flatten() for a, b in zip(weights(trained(data, r, dropout=0.0)), before, strict=True)]
        )
        for r in (plain, replace(plain, clip_norm=0.01))
    ]
    assert float(moved[1].norm()) == pytest.approx(0.01 * RECIPE.learning_rate, rel=1e-3)
    torch.testing.assert_close(F.normalize(moved[0], dim=0), F.normalize(moved[1], dim=0), atol=1e-4, rtol=0)


@given(
    step=st.integers(0, 199), warmup=st.integers(0, 3), per_epoch=st.integers(1, 40), epochs=st.integers(4, 9)
)
def test_the_learning_rate_warms_up_and_falls_as_a_cosine(
    step: int, warmup: int, per_epoch: int, epochs: int
) -> None:
    recipe = Recipe(schedule="cosine", warmup_epochs=float(warmup), num_epochs=epochs)
    share, total, ramp = share_of_learning_rate(recipe, per_epoch), epochs * per_epoch, warmup * per_epoch
    if step < ramp:
        assert share(step) == pytest.approx((step + 1) / ramp)
    elif step <= total:
        assert share(step) == pytest.approx(0.5 * (1 + math.cos(math.pi * (step - ramp) / (total - ramp))))
    constant = share_of_learning_rate(replace(recipe, schedule="constant"), per_epoch)
    assert constant(ramp + step) == 1.0


def test_a_schedule_that_is_gone_on_with_gives_the_rates_of_one_from_the_start() -> None:
    recipe = Recipe(schedule="cosine", warmup_epochs=0.5, num_epochs=4, learning_rate=0.3)
    rates = []
    for done in (0, 7):
        optimizer = make_optimizer(Classifier(), recipe)
        schedule = make_schedule(optimizer, recipe, 5, done=done)
        found = []
        for _ in range(done, 12):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.step()
        rates.append(found)
    assert rates[0][7:] == rates[1]


class WithTower(Classifier):
    """The classifier, whose bias stands for what was taken over from CLIP."""

    def pretrained_parameters(self) -> list[nn.Parameter]:
        return [self.linear.bias]


def moved(data: LabelledVideos, method: Classifier, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """How far a step of plain gradient descent moves weights and biases."""
    before = weights(method)
    plain = replace(recipe, optimizer="sgd", momentum=0.0, weight_decay=0.0, num_epochs=1, batch_size=24)
    train_to_end(method, MODULE, plain, data, seed=0, device=CPU)
    weight, bias = (one - other for one, other in zip(weights(method), before, strict=True))
    return weight, bias


def test_what_comes_from_clip_moves_at_its_own_rate(data: LabelledVideos) -> None:
    weight, bias = moved(data, WithTower(), replace(RECIPE, tower_learning_rate=RECIPE.learning_rate / 10))
    same_weight, same_bias = moved(data, WithTower(), RECIPE)
    assert torch.equal(weight, same_weight)
    torch.testing.assert_close(10 * bias, same_bias, atol=1e-6, rtol=1e-4)
    plain = moved(data, Classifier(), replace(RECIPE, tower_learning_rate=0.0))  # it has no such parameters
    assert torch.equal(plain[1], same_bias)


def test_both_rates_warm_up_and_fall_together_also_when_gone_on_with() -> None:
    recipe = Recipe(
        schedule="cosine", warmup_epochs=1, num_epochs=4, learning_rate=0.3, tower_learning_rate=0.03
    )
    share = share_of_learning_rate(recipe, 5)
    for done in (0, 7):
        optimizer = make_optimizer(WithTower(), recipe)
        make_schedule(optimizer, recipe, 5, done=done)
        rates = [group["lr"] for group in optimizer.param_groups]
        assert rates == pytest.approx([0.3 * share(done), 0.03 * share(done)])


@given(labels=st.lists(st.integers(0, 3), min_size=1, max_size=60), share=st.floats(0, 0.95))
def test_a_share_of_every_class_is_held_out_and_never_all_of_it(labels: list[int], share: float) -> None:
    truth = np.array(labels)
    aside = hold_out(truth, share, seed=3)
    for label in set(labels):
        count = labels.count(label)
        assert aside[truth == label].sum() == min(round(share * count), count - 1)
    assert np.array_equal(aside, hold_out(truth, share, seed=3))


def test_the_best_epoch_on_held_out_videos_is_kept(data: LabelledVideos) -> None:
    recipe = replace(RECIPE, hold_out=0.25, num_epochs=6, learning_rate=1.0)
    method = Classifier()
    kept: dict[int, list[Tensor]] = {}
    ended: TrainingEnded | None = None
    tops: dict[int, float] = {}
    for event in train(method, MODULE, recipe, data, seed=0, device=CPU):
        if isinstance(event, EpochEnded):
            kept[event.epoch] = weights(method)
            tops[event.epoch] = float(event.held_out_top1 or 0.0)
        ended = event if isinstance(event, TrainingEnded) else ended
    assert ended is not None
    best = max(tops, key=lambda epoch: (tops[epoch], -epoch))  # the first of those that are best
    assert (ended.best_epoch, ended.held_out_top1) == (best, tops[best])
    assert all(torch.equal(a, b) for a, b in zip(weights(method), kept[best], strict=True))


def test_patience_ends_a_training_that_no_longer_improves(data: LabelledVideos) -> None:
    recipe = replace(RECIPE, hold_out=0.25, num_epochs=50, learning_rate=0.0, patience=3)
    ended = train_to_end(Classifier(), MODULE, recipe, data, seed=0, device=CPU)
    assert (ended.num_epochs, ended.best_epoch) == (4, 1)


def test_a_loss_that_is_no_number_ends_the_training_by_name(data: LabelledVideos) -> None:
    module: Any = SimpleNamespace(loss=lambda method, clips, _: method(clips).sum() * math.nan)
    with pytest.raises(LossNotFinite, match="the loss is nan at step 1: the learning rate"):
        train_to_end(Classifier(), module, RECIPE, data, seed=0, device=CPU)


def test_a_methods_own_fit_and_loss_take_their_place(data: LabelledVideos) -> None:
    seen: list[tuple[int, int]] = []

    def fit(method: nn.Module, clips: Clips, labels: Tensor, *, seed: int) -> None:
        seen.append((len(labels), seed))

    module: Any = SimpleNamespace(fit=fit)
    ended = train_to_end(Classifier(), module, replace(RECIPE, optimizer="none"), data, seed=4, device=CPU)
    assert seen == [(24, 4)]
    assert (ended.num_steps, ended.best_epoch, ended.loss) == (0, None, None)


def test_a_stop_leaves_a_checkpoint_that_is_gone_on_from(data: LabelledVideos, tmp_path: Path) -> None:
    alone = trained(data, dropout=0.3)
    run = RunDirectory.create(tmp_path / "run", {"seed": 0})
    stop = StopRequest()
    seen = 0
    for event in train(Classifier(0.3), MODULE, RECIPE, data, seed=0, device=CPU, run=run, stop=stop):
        seen += isinstance(event, StepTaken)
        if seen == 7:
            stop.signal = signal.SIGTERM
    assert event == TrainingStopped(signal.SIGTERM)
    resumed = Classifier(0.3)
    first = next(events := train(resumed, MODULE, RECIPE, data, seed=0, device=CPU, run=run))
    assert isinstance(first, TrainingStarted)
    assert first.step == 7
    assert len([event for event in events if isinstance(event, StepTaken)]) == 8
    assert equal(alone, resumed)
    assert [row["epoch"] for row in run.metrics()] == [1, 2, 3]


def test_a_checkpoint_of_another_method_is_refused(data: LabelledVideos, tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", {"seed": 0})
    good: dict[str, Any] = {
        "step": 1,
        "epoch_loss": 0.0,
        "last_loss": None,
        "best_top1": None,
        "best_epoch": None,
    }
    shapes = {"weights.linear.weight": (3, 16), "weights.linear.bias": (3,)}
    damages: list[tuple[dict[str, tuple[int, ...]], dict[str, Any]]] = [
        ({}, good),
        ({**shapes, "weights.linear.weight": (2, 16)}, good),
        (shapes, {**good, "step": -1}),
        (shapes, {**good, "step": "many"}),
        (shapes, {**good, "extra": 1}),
        ({**shapes, "optimizer.0.exp_avg": (1,)}, good),
        ({**shapes, "optimizer.9.exp_avg": (1,)}, good),
    ]
    for tensors, facts in damages:
        run.write_state({name: np.zeros(shape, dtype=np.float32) for name, shape in tensors.items()}, facts)
        with pytest.raises(RunDamaged, match="no checkpoint of this method"):
            list(train(Classifier(), MODULE, RECIPE, data, seed=0, device=CPU, run=run))


def test_a_training_needs_videos(data: LabelledVideos) -> None:
    with pytest.raises(ValueError, match="0 videos"):
        LabelledVideos(data.bank, data.videos[:0], data.labels[:0])
    with pytest.raises(ValueError, match="2 videos and 1 labels"):
        LabelledVideos(data.bank, data.videos[:2], data.labels[:1])


@pytest.fixture(scope="module")
def driven(tiny_folder: Path) -> Any:
    """Give a function that trains in a process of its own until it is killed, or to the end."""

    def drive(store: FeatureStore, run: Path, method: str, kill_at: int = 0) -> int:
        command = [
            sys.executable,
            str(DRIVER),
            str(store.path),
            str(run),
            str(tiny_folder),
            method,
            str(kill_at),
        ]
        return subprocess.run(command, check=False, timeout=240).returncode

    return drive


@pytest.mark.parametrize("method", ["ju2022", pytest.param("tip_adapter_f", marks=pytest.mark.full)])
def test_a_run_killed_at_any_step_ends_as_one_that_was_left_alone(
    method: str, driven: Any, store: FeatureStore, tmp_path: Path
) -> None:
    alone, killed = tmp_path / "alone", tmp_path / "killed"
    assert driven(store, alone, method) == 0
    for kill_at in (
        1,
        3,
        6,
    ):  # before the first step, in an epoch, at its end: each goes on where the last was cut
        assert driven(store, killed, method, kill_at) == -signal.SIGKILL
    assert driven(store, killed, method) == 0
    left, went_on = RunDirectory.open(alone), RunDirectory.open(killed)
    assert went_on.metrics() == left.metrics()
    assert len(left.metrics()) == 3
    ours, theirs = left.read_weights()[0], went_on.read_weights()[0]
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    timeless = [{k: v for k, v in (run.summary() or {}).items() if k != "seconds"} for run in (left, went_on)]
    assert timeless[0] == timeless[1]
    assert not went_on.has_state
