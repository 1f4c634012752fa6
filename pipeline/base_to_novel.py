"""Base-to-novel: a method learns some classes and is asked for others, whose names alone it is given."""

from collections.abc import Sequence
from typing import Any

from vlp.datasplits.manifest import Manifest, Video
from vlp.pipeline.coverage import Coverage, label_indices
from vlp.pipeline.errors import PipelineError
from vlp.pipeline.learning import Learner
from vlp.pipeline.metrics.accuracy import predictions
from vlp.pipeline.metrics.intervals import harmonic_mean
from vlp.pipeline.protocols import ClassOverlap, base_and_novel, draw_shots, overlap
from vlp.pipeline.published_lists import Draws
from vlp.pipeline.trained import ClosedVocabulary, is_open_vocabulary
from vlp.pipeline.trial_results import Trial, TrialsResult
from vlp.pipeline.trials import Laboratory, Tell, drawn_json


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


def halves_of(manifest: Manifest, trained: Coverage) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Divide the classes into base and novel ones, by the videos that a split lists for training."""
    counts = dict.fromkeys(manifest.classes, 0)
    for video in manifest.videos_in(str(trained.split), "train") or manifest.videos:
        counts[video.labels[0]] += 1
    return base_and_novel(manifest.classes, counts)


def _top1(learner: Learner, method: Any, videos: Sequence[Video], classes: Sequence[str], seed: int) -> float:
    scores = learner.score(method, videos, seed)
    return float((predictions(scores) == label_indices(videos, classes)).mean())
