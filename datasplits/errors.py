"""What can be wrong with a dataset. `cli` adds what to type."""

from collections.abc import Sequence
from pathlib import Path


class DatasetError(Exception):
    """Base of the errors of datasets: `str()` says what is wrong, where, and what exists."""


class UnknownDataset(DatasetError):
    """No dataset of this name."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"no dataset is called {name!r}. Known: {', '.join(known)}.")
        self.name = name
        self.known = tuple(known)


class RootMissing(DatasetError):
    """The folder of a dataset's videos is not there."""

    def __init__(self, dataset: str, path: Path, layout: str) -> None:
        super().__init__(
            f"no folder {path}, where the videos of {dataset} are looked for.\nExpected: {layout}"
        )
        self.dataset = dataset
        self.path = path
        self.layout = layout


class ManifestRootMissing(DatasetError):
    """The folder that a manifest's paths should be relative to is not there."""

    def __init__(self, manifest: Path, path: Path) -> None:
        super().__init__(f"no folder {path}, where the videos that {manifest} lists are looked for.")
        self.manifest = manifest
        self.path = path


class AnnotationsMissing(DatasetError):
    """Official lists that are needed, and not found."""

    def __init__(self, dataset: str, looked_in: Sequence[Path], what: str) -> None:
        places = ", ".join(map(str, looked_in))
        super().__init__(f"{dataset} needs {what}; looked in {places}.")
        self.dataset = dataset
        self.looked_in = tuple(looked_in)
        self.what = what


class ManifestUnreadable(DatasetError):
    """A manifest or list with wrong rows.

    Attributes:
        path: the file.
        problems: one line each, with the row's line number; the first of them, where there are many.
        num_problems: all of them.
    """

    def __init__(self, path: Path, problems: Sequence[str], num_problems: int | None = None) -> None:
        self.num_problems = num_problems or len(problems)
        rest = self.num_problems - len(problems)
        more = f"\n… and {rest:,} more" if rest else ""
        super().__init__(f"{path} cannot be used:\n" + "\n".join(problems) + more)
        self.path = path
        self.problems = tuple(problems)


class VideoCollision(DatasetError):
    """Two files that would have one video id."""

    def __init__(self, video_id: str, first: str, second: str) -> None:
        super().__init__(f"{first} and {second} would both be video {video_id!r}. Rename or remove one.")
        self.video_id = video_id
        self.paths = (first, second)


class OutsideRoot(DatasetError):
    """A path that leads out of the dataset's folder."""

    def __init__(self, path: str, root: Path) -> None:
        super().__init__(f"{path!r} leads out of {root}: videos must lie inside the root.")
        self.path = path
        self.root = root


class NoVideos(DatasetError):
    """A folder without a single video."""

    def __init__(self, root: Path, suffixes: Sequence[str]) -> None:
        super().__init__(f"no video under {root}. Known suffixes: {', '.join(suffixes)}.")
        self.root = root


class SplitLeak(DatasetError):
    """The same video to train on and to test on."""

    def __init__(self, split: str, video_ids: Sequence[str]) -> None:
        shown = ", ".join(video_ids[:5]) + (f" and {len(video_ids) - 5} more" if len(video_ids) > 5 else "")
        super().__init__(f"split {split} has {len(video_ids)} video(s) in two roles: {shown}.")
        self.split = split
        self.video_ids = tuple(video_ids)


class BadOption(DatasetError):
    """An option that the dataset does not have, or a value that it cannot take."""

    def __init__(self, dataset: str, why: str) -> None:
        super().__init__(f"{why}.")
        self.dataset = dataset


class UnmatchedNames(DatasetError):
    """Class names that a dataset does not have."""

    def __init__(self, names: Sequence[str], num_classes: int) -> None:
        super().__init__(f"none of the {num_classes} classes is called {', '.join(map(repr, names))}.")
        self.names = tuple(names)
        self.num_classes = num_classes


class UnknownName(DatasetError):
    """No template set, class-text rule or class list of this name."""

    def __init__(self, kind: str, name: str, known: Sequence[str]) -> None:
        super().__init__(f"no {kind} is called {name!r}. Known: {', '.join(known)}.")
        self.kind = kind
        self.name = name
        self.known = tuple(known)


class PublishedNumbersUnreadable(DatasetError):
    """A file of published numbers that is missing, or breaks a rule of docs/published.md."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} holds no usable published numbers: {why}.")
        self.path = path
        self.why = why
