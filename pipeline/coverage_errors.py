"""What forbids a score: splits, roles, labels and videos that are not as a protocol needs them. Imports no torch."""

from collections.abc import Iterable, Mapping, Sequence

from vlp.pipeline.errors import PipelineError
from vlp.stores.places import Place

ALL_SPLITS = "all"


class UnknownSplit(PipelineError):
    """The dataset has no split of this name."""

    def __init__(self, dataset: str, split: str, known: Sequence[str]) -> None:
        has = (
            f"Known: {', '.join([*known, ALL_SPLITS])}."
            if known
            else "It has no splits: all its videos are scored."
        )
        super().__init__(f"{dataset} has no split {split!r}. {has}")
        self.dataset = dataset
        self.split = split
        self.known = tuple(known)


class EmptyRole(PipelineError):
    """No video of the split has this role."""

    def __init__(self, dataset: str, split: str | None, role: str, num_videos: Mapping[str, int]) -> None:
        there = ", ".join(f"{name} ({count})" for name, count in num_videos.items()) or "none"
        super().__init__(f"{_place(dataset, split)} has no {role} video. Roles there: {there}.")
        self.dataset = dataset
        self.split = split
        self.role = role
        self.num_videos = dict(num_videos)


class NotOneLabel(PipelineError):
    """Videos that carry no label, or several, where the protocol needs one."""

    def __init__(self, dataset: str, video_id: str, labels: Sequence[str], num_videos: int) -> None:
        carries = f"{len(labels)} labels ({', '.join(labels)})" if labels else "no label"
        super().__init__(
            f"{num_videos} video(s) of {dataset} have not exactly one label, such as {video_id!r}: {carries}."
        )
        self.dataset = dataset
        self.video_id = video_id
        self.labels = tuple(labels)
        self.num_videos = num_videos


class NoLabels(PipelineError):
    """Not one label on the videos that are to be trained on or scored by their labels."""

    def __init__(self, dataset: str, split: str | None, role: str) -> None:
        super().__init__(f"no {role} video of {_place(dataset, split)} has a label.")
        self.dataset = dataset
        self.split = split
        self.role = role


class NoCaptions(PipelineError):
    """Videos without a sentence, where the protocol needs one."""

    def __init__(self, dataset: str, video_id: str, num_videos: int) -> None:
        super().__init__(f"{num_videos} video(s) of {dataset} have no caption, such as {video_id!r}.")
        self.dataset = dataset
        self.video_id = video_id
        self.num_videos = num_videos


class ClassAbsent(PipelineError):
    """Classes without a video among those that are to be scored."""

    def __init__(self, dataset: str, split: str | None, role: str, classes: Sequence[str]) -> None:
        super().__init__(f"{_place(dataset, split)} has no {role} video of: {_some(classes)}.")
        self.dataset = dataset
        self.split = split
        self.role = role
        self.classes = tuple(classes)


class DuplicateVideos(PipelineError):
    """The same file, by the hash of its bytes, to train on and to test on."""

    def __init__(self, dataset: str, split: str | None, role: str, pairs: Sequence[tuple[str, str]]) -> None:
        shown = _some([f"{train} = {test}" for train, test in pairs])
        super().__init__(
            f"{_place(dataset, split)} has {len(pairs)} video(s) in both train and {role}: {shown}."
        )
        self.dataset = dataset
        self.split = split
        self.role = role
        self.pairs = tuple(pairs)


class NoFeatures(PipelineError):
    """None of the videos to score has features in the store."""

    def __init__(self, store: Place, dataset: str, split: str | None, reasons: Mapping[str, int]) -> None:
        why = ", ".join(f"{reason} ({count})" for reason, count in reasons.items())
        super().__init__(f"{store} holds none of the videos of {_place(dataset, split)}: {why}.")
        self.store = store
        self.dataset = dataset
        self.split = split
        self.reasons = dict(reasons)


def _place(dataset: str, split: str | None) -> str:
    return dataset if split is None else f"{dataset} ({split})"


def _some(names: Iterable[str], shown: int = 5) -> str:
    listed = list(names)
    more = f" and {len(listed) - shown} more" if len(listed) > shown else ""
    return ", ".join(listed[:shown]) + more
