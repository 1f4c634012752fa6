"""What `vlp demo` learns from the cache of the toy set: prompts, then time; from all videos, from few, for new classes.

Three seeds a row, the same class names in every row as the hand-written templates. The recipe is the demo's own, for
256 short videos: 20 epochs, and frames spread over the whole video; the table of positions starts at the features' own
scale, since at the paper's 0.01 a Transformer on so few videos memorises them before it looks at their order.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from vlp.datasplits.manifest import Manifest
from vlp.pipeline.base_to_novel import base_to_novel
from vlp.pipeline.coverage import cover_classes
from vlp.pipeline.encoders import FrozenEncoder
from vlp.pipeline.metrics.intervals import mean_interval
from vlp.pipeline.settings import resolve
from vlp.pipeline.toy.actions import TIME_ONLY_ACTIONS
from vlp.pipeline.trial_results import TrialsResult
from vlp.pipeline.trials import Laboratory, closed_set, few_shot
from vlp.stores.features import FeatureStore

NUM_SEEDS = 3
PROMPTS = "learnt prompts"
PROMPTS_TEMPORAL = "learnt prompts and a temporal Transformer"
RECIPE = (
    "recipe.sampling=segments",
    "recipe.num_frames=8",
    "recipe.num_test_clips=1",
    "recipe.batch_size=32",
    "recipe.num_epochs=20",
    "recipe.schedule=cosine",
)
PROMPT_SETTINGS = (*RECIPE, "recipe.learning_rate=0.01", "method.num_layers=0")
TEMPORAL_SETTINGS = (
    *RECIPE,
    "recipe.learning_rate=0.003",
    "method.num_layers=2",
    "method.max_frames=8",
    "method.table_std=1.0",
)
LEARNERS: dict[str, tuple[str, tuple[str, ...]]] = {
    "Tip-Adapter": ("tip_adapter", ()),
    "linear probe": ("linear_probe", ()),
    PROMPTS: ("ju2022", PROMPT_SETTINGS),
    PROMPTS_TEMPORAL: ("ju2022", TEMPORAL_SETTINGS),
}
"""What learns, by which method, with which settings other than the paper's."""


@dataclass(frozen=True)
class LearntRow:
    """Accuracy of one learner on the test videos, one fraction a seed.

    Attributes:
        what: who learns.
        top1: of all test videos.
        time_only: of the actions that only the order of frames tells apart.
        one_frame: of the others.
    """

    what: str
    top1: tuple[float, ...]
    time_only: tuple[float, ...]
    one_frame: tuple[float, ...]

    def to_json(self) -> dict[str, object]:
        """Return plain data: means, halves of their 95% intervals, and the fraction of every seed."""
        summary: dict[str, object] = {"what": self.what}
        for name in ("top1", "time_only", "one_frame"):
            summary[name], summary[f"{name}_interval"] = mean_interval(getattr(self, name))
            summary[f"{name}_by_seed"] = list(getattr(self, name))
        return summary


@dataclass(frozen=True)
class ToySet:
    """The toy set, extracted.

    Attributes:
        store: its features.
        encoder: the toy CLIP.
        actions: the set with its actions as labels.
    """

    store: FeatureStore
    encoder: FrozenEncoder
    actions: Manifest

    def laboratory(self, method: str, overrides: tuple[str, ...]) -> Laboratory:
        """Set a method up on the set."""
        return Laboratory(self.actions, self.store, self.encoder, resolve(method, overrides=overrides))


@contextmanager
def on_one_thread() -> Iterator[None]:
    """Keep torch to one thread: operations on the toy set are so short that waiting for a second one takes longer."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def learn_closed_set(toy: ToySet, tell: Callable[[str], None]) -> Iterator[LearntRow]:
    """Train each learner on the training videos with `NUM_SEEDS` seeds, and test it; a row as soon as it is there."""
    trained = cover_classes(toy.actions, toy.store, role="train")
    tested = cover_classes(toy.actions, toy.store)
    in_time = np.array([video.labels[0] in TIME_ONLY_ACTIONS for video in tested[0].found])
    for what, (method, overrides) in LEARNERS.items():
        tell(f"Training: {what}, {NUM_SEEDS} seeds")
        laboratory = toy.laboratory(method, overrides)
        hits = []
        for seed in range(NUM_SEEDS):
            result = closed_set(laboratory, trained, tested, seed=seed, tell=lambda _: None)
            hits.append(np.array([video.label == video.predicted for video in result.splits[0].videos]))
        yield LearntRow(
            what,
            top1=tuple(float(hit.mean()) for hit in hits),
            time_only=tuple(float(hit[in_time].mean()) for hit in hits),
            one_frame=tuple(float(hit[~in_time].mean()) for hit in hits),
        )


def learn_from_few(toy: ToySet, tell: Callable[[str], None]) -> tuple[TrialsResult, TrialsResult]:
    """Learn prompts from 5 videos a class, then for classes that are new at test: 5-shot C-way, and base-to-novel."""
    laboratory = toy.laboratory("ju2022", PROMPT_SETTINGS)
    (trained,) = cover_classes(toy.actions, toy.store, role="train")
    (tested,) = cover_classes(toy.actions, toy.store)
    tell(f"Training: 5-shot, {NUM_SEEDS} rounds")
    few = few_shot(laboratory, trained, tested, shots=5, rounds=NUM_SEEDS, seed=0, tell=lambda _: None)
    tell(f"Training: base-to-novel, {NUM_SEEDS} seeds")
    novel = base_to_novel(laboratory, trained, tested, shots=8, rounds=NUM_SEEDS, seed=0, tell=lambda _: None)
    return few, novel
