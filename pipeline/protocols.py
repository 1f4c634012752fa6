"""Which videos and classes a protocol trains on and tests on: pure rules, seeded draws. Imports no torch.

A draw depends on its seed and on the set of videos, not on the order in which a list names them.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from vlp.datasplits.class_lists import resolve_names
from vlp.datasplits.class_text import readings
from vlp.datasplits.errors import UnmatchedNames
from vlp.datasplits.manifest import Manifest, Video
from vlp.pipeline.errors import PipelineError


class TooFewVideos(PipelineError):
    """Classes with fewer videos than the protocol draws."""

    def __init__(self, needed: int, num_videos: Mapping[str, int]) -> None:
        shown = ", ".join(f"{name} ({count})" for name, count in list(num_videos.items())[:5])
        more = f" and {len(num_videos) - 5} more" if len(num_videos) > 5 else ""
        super().__init__(f"{needed} videos a class are needed; fewer has: {shown}{more}.")
        self.needed = needed
        self.num_videos = dict(num_videos)


class TooFewClasses(PipelineError):
    """Fewer classes than the protocol draws."""

    def __init__(self, needed: int, num_classes: int) -> None:
        super().__init__(f"{needed} classes are needed, and there are {num_classes}.")
        self.needed = needed
        self.num_classes = num_classes


class UnknownClasses(PipelineError):
    """Class names that the dataset does not have."""

    def __init__(self, dataset: str, names: Sequence[str], known: Sequence[str]) -> None:
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        super().__init__(
            f"{dataset} has no class called: {shown}. It has {len(known)}, such as {', '.join(known[:5])}."
        )
        self.dataset = dataset
        self.names = tuple(names)
        self.known = tuple(known)


class ClassOverlap(PipelineError):
    """Classes trained on and tested on, where the protocol keeps them apart."""

    def __init__(self, dataset: str, names: Sequence[str]) -> None:
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        super().__init__(
            f"the run was trained on {len(names)} of the classes of {dataset} it is to be tested on: {shown}."
        )
        self.dataset = dataset
        self.names = tuple(names)


def only_classes(manifest: Manifest, classes: Sequence[str]) -> Manifest:
    """Keep the videos of some classes; these, in the order given, are the candidates.

    Args:
        manifest: the dataset.
        classes: names as the dataset spells them; or that read the same as words ("kick ball", kick_ball).

    Raises:
        UnknownClasses: naming those that the dataset does not have.
    """
    try:
        names = tuple(dict.fromkeys(resolve_names(classes, manifest.classes)))
    except UnmatchedNames as error:
        raise UnknownClasses(manifest.dataset, error.names, manifest.classes) from error
    kept = set(names)
    videos = tuple(video for video in manifest.videos if kept.issuperset(video.labels) and video.labels)
    return replace(manifest, videos=videos, classes=names)


def draw_class_sets(
    classes: Sequence[str], size: int, num_sets: int, seed: int
) -> tuple[tuple[str, ...], ...]:
    """Draw sets of classes, each by itself: the same for every number of sets, and for every order of the names.

    Args:
        classes: to draw from.
        size: classes a set.
        num_sets: how many.
        seed: of the draw.

    Returns:
        Sets in the order of ``classes``.

    Raises:
        TooFewClasses: if there are fewer than ``size``.
    """
    if len(classes) < size:
        raise TooFewClasses(size, len(classes))
    ordered, index = sorted(classes), {name: position for position, name in enumerate(classes)}
    sets = []
    for number in range(num_sets):
        places = np.random.default_rng([seed, number]).choice(len(ordered), size=size, replace=False)
        sets.append(tuple(sorted((ordered[place] for place in places.tolist()), key=index.__getitem__)))
    return tuple(sets)


def draw_shots(videos: Sequence[Video], classes: Sequence[str], shots: int, seed: int) -> tuple[Video, ...]:
    """Draw K training videos of every class.

    Args:
        videos: with one label each; those of other classes are passed over.
        classes: C names.
        shots: K.
        seed: of the draw.

    Returns:
        C * K videos, by class, then by id.

    Raises:
        TooFewVideos: naming the classes with fewer than K.
    """
    by_class = _by_class(videos)
    few = {name: len(by_class[name]) for name in classes if len(by_class[name]) < shots}
    if few:
        raise TooFewVideos(shots, few)
    drawn: list[Video] = []
    for name in classes:
        rng = np.random.default_rng([seed, *name.encode()])
        chosen = rng.choice(len(by_class[name]), size=shots, replace=False)
        drawn += [by_class[name][index] for index in sorted(chosen.tolist())]
    return tuple(drawn)


def base_and_novel(
    classes: Sequence[str], num_train: Mapping[str, int]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Divide classes as ViFi-CLIP's published lists do: the rarer half is novel.

    Sorted by (number of training videos in split 1, class index), the first ⌊C/2⌋ are novel, the rest base.

    Args:
        classes: C names in the dataset's own order.
        num_train: training videos of each class.

    Returns:
        Base, then novel, each in the order of that sorting.

    Example:
        >>> base_and_novel(("a", "b", "c"), {"a": 7, "b": 5, "c": 7})
        (('a', 'c'), ('b',))
    """
    index = {name: position for position, name in enumerate(classes)}
    ordered = sorted(classes, key=lambda name: (num_train[name], index[name]))
    half = len(classes) // 2
    return tuple(ordered[half:]), tuple(ordered[:half])


def overlap(trained: Sequence[str], tested: Sequence[str]) -> tuple[str, ...]:
    """List the tested names that were trained on, however each dataset spells them.

    Example:
        >>> overlap(["BrushingTeeth"], ["brushing_teeth", "archery"])
        ('brushing_teeth',)
    """
    known = {words for name in trained for words in readings(name)}
    return tuple(name for name in tested if not known.isdisjoint(readings(name)))


@dataclass(frozen=True)
class Episode:
    """One trial of K-shot N-way classification.

    Attributes:
        classes: the N drawn.
        train: N * K videos.
        test: all other videos of these classes.
    """

    classes: tuple[str, ...]
    train: tuple[Video, ...]
    test: tuple[Video, ...]


def draw_episodes(
    videos: Sequence[Video],
    classes: Sequence[str],
    *,
    ways: int,
    shots: int,
    trials: int,
    seed: int,
    most_videos: int | None = None,
) -> Iterator[Episode]:
    """Draw trials: N classes, K videos of each to train on, the rest of them to test on.

    Args:
        videos: with one label each.
        classes: to draw from.
        ways: N.
        shots: K.
        trials: how many.
        seed: trial t is the same for every number of trials.
        most_videos: of a class in all trials together, drawn once; None for all.

    Raises:
        TooFewClasses, TooFewVideos: a class needs K + 1 videos.
    """
    if len(classes) < ways:
        raise TooFewClasses(ways, len(classes))
    by_class = _by_class(videos)
    few = {name: len(by_class[name]) for name in classes if len(by_class[name]) <= shots}
    if few:
        raise TooFewVideos(shots + 1, few)
    if most_videos is not None:
        by_class = {name: _some_of(by_class[name], most_videos, name, seed) for name in classes}
    ordered = sorted(classes)
    for trial in range(trials):
        rng = np.random.default_rng([seed, trial])
        drawn = tuple(ordered[index] for index in rng.choice(len(ordered), size=ways, replace=False).tolist())
        train: list[Video] = []
        test: list[Video] = []
        for name in drawn:
            order = rng.permutation(len(by_class[name])).tolist()
            train += [by_class[name][index] for index in order[:shots]]
            test += [by_class[name][index] for index in order[shots:]]
        yield Episode(drawn, tuple(train), tuple(test))


def _some_of(videos: Sequence[Video], most: int, name: str, seed: int) -> list[Video]:
    order = np.random.default_rng([seed, *name.encode()]).permutation(len(videos)).tolist()
    return [videos[place] for place in sorted(order[:most])]


def _by_class(videos: Sequence[Video]) -> Mapping[str, list[Video]]:
    by_class: dict[str, list[Video]] = defaultdict(list)
    for video in sorted(videos, key=lambda video: video.video_id):
        if len(video.labels) == 1:
            by_class[video.labels[0]].append(video)
    return by_class
