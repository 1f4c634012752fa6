"""Protocols of many trainings: over splits, K-shot C-way, K-shot N-way trials (`base_to_novel.py` has a fourth).

Features and encoder are loaded once for all of them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vlp.datasplits.manifest import Manifest, Video
from vlp.pipeline.bank import FeatureBank
from vlp.pipeline.coverage import Coverage, label_indices
from vlp.pipeline.coverage_errors import DuplicateVideos, NoFeatures
from vlp.pipeline.encoders import FrozenEncoder
from vlp.pipeline.episodes import episode_accuracies
from vlp.pipeline.evaluation import frames_of, method_json
from vlp.pipeline.learning import Learner
from vlp.pipeline.metrics.accuracy import top_k
from vlp.pipeline.protocols import draw_episodes, draw_shots
from vlp.pipeline.published_lists import Draws
from vlp.pipeline.results import AccuracyResult, provenance_json, score_split
from vlp.pipeline.settings import MethodSettings
from vlp.pipeline.trial_results import Trial, TrialsResult
from vlp.stores.features import FeatureStore, VideoEntry


@dataclass(frozen=True)
class Laboratory:
    """What all trainings of a protocol share.

    Attributes:
        manifest: the dataset.
        store: its features.
        encoder: that made them.
        settings: method and recipe.
        mismatch: differences between store and encoder that were let pass.
    """

    manifest: Manifest
    store: FeatureStore
    encoder: FrozenEncoder
    settings: MethodSettings
    mismatch: tuple[str, ...] = ()

    def learner(self, *videos: Sequence[Video]) -> Learner:
        """Load the features of some lists of videos."""
        ids = dict.fromkeys(video.video_id for listed in videos for video in listed)
        return Learner(self.settings, self.encoder, FeatureBank(self.store, list(ids)))

    def provenance(self, protocol: str) -> dict[str, Any]:
        """Say how the numbers are made."""
        return {
            **provenance_json(protocol, self.manifest, self.store, frames_of(self.settings), self.mismatch),
            **method_json(self.settings),
            "num_classes": len(self.manifest.classes),
        }


Tell = Callable[[str], None]


def closed_set(
    laboratory: Laboratory,
    trained: Sequence[Coverage],
    tested: Sequence[Coverage],
    *,
    seed: int,
    tell: Tell,
) -> AccuracyResult:
    """Train on each split's training videos, test on its test videos.

    Args:
        laboratory: dataset, features, encoder, method.
        trained: the training videos of every split.
        tested: the test videos of the same splits.
        seed: of every training.
        tell: is told what is being done.
    """
    learner = laboratory.learner(*(coverage.found for coverage in (*trained, *tested)))
    classes = laboratory.manifest.classes
    scores = []
    for train, test in zip(trained, tested, strict=True):
        tell(f"Training on {len(train.found):,} videos of {train.split or 'the dataset'}")
        method = learner.train(train.found, classes, seed)
        scores.append(score_split(test, learner.score(method, test.found, seed), classes))
    return AccuracyResult({**laboratory.provenance("closed-set"), "seed": seed}, tuple(scores))


def few_shot(
    laboratory: Laboratory,
    trained: Coverage,
    tested: Coverage,
    *,
    shots: int,
    rounds: Draws | int,
    seed: int,
    tell: Tell,
) -> TrialsResult:
    """K-shot C-way: train on K videos of every class, test on the whole test split.

    Args:
        laboratory: dataset, features, encoder, method.
        trained: the training videos of the split, to draw from.
        tested: its test videos.
        shots: K.
        rounds: how many draws, or those of published lists, whose K is their own.
        seed: round r draws and trains with seed + r.
        tell: is told what is being done.

    Raises:
        TooFewVideos: naming classes with fewer than K.
    """
    classes = laboratory.manifest.classes
    drawn = (
        [draw_shots(trained.found, classes, shots, seed + number) for number in range(rounds)]
        if isinstance(rounds, int)
        else list(rounds.rounds)
    )
    learner = laboratory.learner(*drawn, tested.found)
    labels = label_indices(tested.found, classes)
    trials = []
    for number, videos in enumerate(drawn):
        tell(f"Round {number + 1} of {len(drawn)}: {len(videos):,} videos")
        method = learner.train(videos, classes, seed + number)
        scores = learner.score(method, tested.found, seed + number)
        values = {"top1": top_k(scores, labels, 1)}
        if len(classes) >= 5:
            values["top5"] = top_k(scores, labels, 5)
        trials.append(Trial(seed + number, values))
    provenance = {
        **laboratory.provenance("few-shot"),
        "seed": seed,
        "split": tested.split,
        "shots": shots if isinstance(rounds, int) else None,
        "ways": len(classes),
        **drawn_json(rounds),
        "num_expected": tested.num_expected,
        "num_found": len(tested.found),
    }
    return TrialsResult(provenance, tuple(trials))


def episodes(
    laboratory: Laboratory,
    *,
    ways: int,
    shots: int,
    num_trials: int,
    seed: int,
    tell: Tell,
    allow_duplicates: bool = False,
    most_videos: int | None = None,
) -> TrialsResult:
    """K-shot N-way: train on K videos of each of N classes, test on the other videos of these.

    Args:
        laboratory: its manifest holds the classes to draw from.
        ways: N.
        shots: K.
        num_trials: how many.
        seed: of the draws; trial t trains with seed + t.
        tell: is told what is being done.
        allow_duplicates: draw from videos that are the same file too.
        most_videos: of a class in all trials together; None for all.

    Raises:
        TooFewClasses, TooFewVideos: if there are fewer than N classes, or K + 1 videos of one.
        NoFeatures: if no video has features.
        DuplicateVideos: naming videos that are the same file.
    """
    manifest, stored = laboratory.manifest, laboratory.store.videos()
    found = tuple(video for video in manifest.videos if len(video.labels) == 1 and video.video_id in stored)
    if not found:
        reasons = {"not extracted": len(manifest.videos)}
        raise NoFeatures(laboratory.store.path, manifest.dataset, None, reasons)
    same = _duplicates(found, stored)
    if same and not allow_duplicates:
        raise DuplicateVideos(manifest.dataset, None, "test", same)
    drawn = list(
        draw_episodes(
            found,
            manifest.classes,
            ways=ways,
            shots=shots,
            trials=num_trials,
            seed=seed,
            most_videos=most_videos,
        )
    )
    learner = laboratory.learner(found)
    tell(f"{num_trials:,} trials of {ways} classes, {shots} videos each")
    accuracies = episode_accuracies(learner, manifest.classes, drawn, seed)
    provenance = {
        **laboratory.provenance("few-shot"),
        "seed": seed,
        "split": None,
        "shots": shots,
        "ways": ways,
        "drawn": "seeded",
        "most_videos_a_class": most_videos,
        "num_expected": len(manifest.videos),
        "num_found": len(found),
    }
    trials = tuple(
        Trial(seed + number, {"top1": top1}, drawn[number].classes) for number, top1 in enumerate(accuracies)
    )
    return TrialsResult(provenance, trials)


def _duplicates(videos: Sequence[Video], stored: Mapping[str, VideoEntry]) -> tuple[tuple[str, str], ...]:
    """Pairs of videos with the same bytes, of which one could be trained on and the other tested."""
    first: dict[str, str] = {}
    pairs = []
    for video in videos:
        known = first.setdefault(stored[video.video_id].source_sha256, video.video_id)
        if known != video.video_id:
            pairs.append((known, video.video_id))
    return tuple(pairs)


def drawn_json(rounds: Draws | int) -> dict[str, Any]:
    """Say who drew the training videos, and which of them have no features."""
    if isinstance(rounds, int):
        return {"drawn": "seeded"}
    return {"drawn": "published lists", "drawn_without_features": list(rounds.missing)}
