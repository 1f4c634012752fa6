"""Protocols of many trainings: over splits, K-shot C-way, K-shot N-way trials, base-to-novel.

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
from vlp.pipeline.errors import PipelineError
from vlp.pipeline.evaluation import frames_of, method_json
from vlp.pipeline.learning import Learner
from vlp.pipeline.metrics.accuracy import predictions, top_k
from vlp.pipeline.metrics.intervals import harmonic_mean
from vlp.pipeline.protocols import (
    ClassOverlap,
    base_and_novel,
    draw_episodes,
    draw_shots,
    overlap,
)
from vlp.pipeline.published_lists import Draws
from vlp.pipeline.results import AccuracyResult, provenance_json, score_split
from vlp.pipeline.settings import MethodSettings
from vlp.pipeline.trained import ClosedVocabulary, is_open_vocabulary
from vlp.pipeline.trial_results import Trial, TrialsResult
from vlp.stores.features import FeatureStore, VideoEntry


class UnfitDraw(PipelineError):
    """A drawn training video of a class that is not to be trained on."""

    def __init__(self, video_id: str, label: str, num_videos: int) -> None:
        super().__init__(
            f"{num_videos} of the drawn videos are of no base class, such as {video_id!r} of {label!r}: these draws "
            "are for another division of the classes."
        )
        self.video_id = video_id
        self.label = label
        self.num_videos = num_videos


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


def base_to_novel(
    laboratory: Laboratory,
    trained: Coverage,
    tested: Coverage,
    *,
    shots: int,
    rounds: Draws | int,
    seed: int,
    tell: Tell,
) -> TrialsResult:
    """Train on K videos of each base class; score base and novel, each among its own names only.

    Args:
        laboratory: dataset, features, encoder, method.
        trained: the training videos of the first split.
        tested: its test videos.
        shots: K.
        rounds: how many draws, or those of published lists, whose K is their own.
        seed: of the first; the others follow.
        tell: is told what is being done.

    Raises:
        ClassOverlap: if a base and a novel name read the same.
        ClosedVocabulary: if the method cannot take the novel names.
        TooFewVideos: naming base classes with fewer than K.
    """
    base, novel = halves_of(laboratory.manifest, trained)
    same = overlap(base, novel)
    if same:
        raise ClassOverlap(laboratory.manifest.dataset, same)
    if not is_open_vocabulary(laboratory.settings):
        raise ClosedVocabulary(laboratory.settings.method, novel)
    drawn = (
        [draw_shots(trained.found, base, shots, seed + number) for number in range(rounds)]
        if isinstance(rounds, int)
        else [of_classes(videos, base) for videos in rounds.rounds]
    )
    tests = {names: [v for v in tested.found if v.labels[0] in set(names)] for names in (base, novel)}
    learner = laboratory.learner(*drawn, tested.found)
    trials = []
    for number, videos in enumerate(drawn, seed):
        tell(f"Seed {number}: {len(videos):,} videos of {len(base)} base classes")
        method = learner.train(videos, base, number)
        values = {"base": _top1(learner, method, tests[base], base, number)}
        renamed = learner.renamed(method, novel, number)
        values["novel"] = _top1(learner, renamed, tests[novel], novel, number)
        values["harmonic_mean"] = harmonic_mean(values["base"], values["novel"])
        trials.append(Trial(number, values))
    provenance = {
        **laboratory.provenance("base-to-novel"),
        "seed": seed,
        "split": tested.split,
        "shots": shots if isinstance(rounds, int) else None,
        **drawn_json(rounds),
        "base_classes": list(base),
        "novel_classes": list(novel),
        "num_expected": tested.num_expected,
        "num_found": len(tested.found),
    }
    return TrialsResult(provenance, tuple(trials))


def of_classes(videos: Sequence[Video], classes: Sequence[str]) -> tuple[Video, ...]:
    """Take drawn videos that must be of some classes.

    Raises:
        UnfitDraw: naming one that is of another.
    """
    others = [video for video in videos if video.labels[0] not in set(classes)]
    if others:
        raise UnfitDraw(others[0].video_id, others[0].labels[0], len(others))
    return tuple(videos)


def drawn_json(rounds: Draws | int) -> dict[str, Any]:
    """Say who drew the training videos, and which of them have no features."""
    if isinstance(rounds, int):
        return {"drawn": "seeded"}
    return {"drawn": "published lists", "drawn_without_features": list(rounds.missing)}


def halves_of(manifest: Manifest, trained: Coverage) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Divide the classes into base and novel ones, by the videos that a split lists for training."""
    counts = dict.fromkeys(manifest.classes, 0)
    for video in manifest.videos_in(str(trained.split), "train") or manifest.videos:
        counts[video.labels[0]] += 1
    return base_and_novel(manifest.classes, counts)


def _top1(learner: Learner, method: Any, videos: Sequence[Video], classes: Sequence[str], seed: int) -> float:
    scores = learner.score(method, videos, seed)
    return float((predictions(scores) == label_indices(videos, classes)).mean())
