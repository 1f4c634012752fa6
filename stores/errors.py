"""What can be wrong with a store. `cli` adds what to type.

Every error keeps its facts as attributes; `str()` says what is wrong, where, and what exists.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vlp.stores.places import Place


class StoreError(Exception):
    """Base of the errors of stores."""


class StoreMissing(StoreError):
    """There is no store at ``path``."""

    def __init__(self, path: "Place") -> None:
        super().__init__(f"no store at {path}: it has no zarr.json.")
        self.path = path


class StoreVersion(StoreError):
    """The store, or a commit in it, was written in a form that this version does not read."""

    def __init__(self, path: "Place", found: int, known: int) -> None:
        super().__init__(f"{path} has schema {found}; this version of vlp reads schema {known}.")
        self.path = path
        self.found = found
        self.known = known


class StoreDamaged(StoreError):
    """What lies on disk is not what was written.

    Attributes:
        path: the store.
        segment: the damaged segment, or None when it is the store's own description.
        video_ids: the videos that cannot be trusted, as far as known.
        what: one line: which file, and what about it.
    """

    def __init__(
        self, path: "Place", what: str, *, segment: str | None = None, video_ids: Sequence[str] = ()
    ):
        place = f"{path}, segment {segment}" if segment else f"{path}"
        super().__init__(f"damaged: {place}: {what}{_videos(video_ids)}.")
        self.path = path
        self.segment = segment
        self.video_ids = tuple(video_ids)
        self.what = what


class StoreMismatch(StoreError):
    """The store holds features of another meaning than the ones asked for."""

    def __init__(self, path: "Place", differences: Sequence[str]) -> None:
        super().__init__(f"{path} holds other features than asked for: {'; '.join(differences)}.")
        self.path = path
        self.differences = tuple(differences)


class LevelMismatch(StoreError):
    """The store is of another level than what was to be read from it."""

    def __init__(self, path: "Place", found: str, asked: str) -> None:
        super().__init__(f"{path} is a store of level {found}, not {asked}.")
        self.path = path
        self.found = found
        self.asked = asked


class StoreAmbiguous(StoreError):
    """Several stores fit; one must be named.

    Attributes:
        path: the cache that was searched.
        candidates: the stores.
        distinctions: of each, what it says of its features that not all of them say.
    """

    def __init__(
        self, path: "Place", candidates: Sequence["Place"], distinctions: Sequence[Sequence[str]]
    ) -> None:
        lines = [
            f"{candidate} ({'; '.join(said)})"
            for candidate, said in zip(candidates, distinctions, strict=True)
        ]
        super().__init__("\n".join([f"several stores under {path} fit:", *lines]))
        self.path = path
        self.candidates = tuple(candidates)
        self.distinctions = tuple(map(tuple, distinctions))


class FeaturesMissing(StoreError):
    """No store under ``path`` holds features of this dataset by this model.

    Attributes:
        path: the cache that was searched.
        dataset: as asked for.
        model: as asked for; None for any.
        pretrained: as asked for; None for any.
        found: what exists: "hmdb51 (ViT-B-32/openai)".
    """

    def __init__(
        self,
        path: "Place",
        dataset: str,
        model: str | None,
        found: Sequence[str],
        *,
        pretrained: str | None = None,
    ) -> None:
        encoder = "/".join(name for name in (model, pretrained) if name) or "any model"
        existing = ", ".join(found) if found else "nothing"
        super().__init__(f"no embeddings of {dataset} by {encoder} under {path}.\nFound: {existing}.")
        self.path = path
        self.dataset = dataset
        self.model = model
        self.pretrained = pretrained
        self.found = tuple(found)


class VideoMissing(StoreError):
    """The store has no committed features of this video."""

    def __init__(self, path: "Place", video_id: str, num_videos: int) -> None:
        super().__init__(f"{path} holds no features of {video_id!r} (it holds {num_videos} videos).")
        self.path = path
        self.video_id = video_id
        self.num_videos = num_videos


class PartLocked(StoreError):
    """Another writer is at work on the same part.

    Attributes:
        path: the lock file.
        unit: what is locked: "part-0of4", "compact", "create".
        pid, host, started: the holder; None where its note could not be read.
    """

    def __init__(self, path: "Place", unit: str, *, pid: int | None, host: str | None, started: str | None):
        holder = f"process {pid} on {host}, since {started}" if pid is not None else "another process"
        super().__init__(f"{unit} is being written by {holder} (lock {path}).")
        self.path = path
        self.unit = unit
        self.pid = pid
        self.host = host
        self.started = started


class StoreFull(StoreError):
    """The disk, or the quota, is full. What was committed before stays readable."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"no space left on the disk of {path}; what was committed before is whole.")
        self.path = path


class StoreUnwritable(StoreError):
    """The disk refused to write, for a reason other than space."""

    def __init__(self, path: "Place", reason: str) -> None:
        super().__init__(f"cannot write {path}: {reason}.")
        self.path = path
        self.reason = reason


class NonFiniteFeatures(StoreError, ValueError):
    """The features of a video hold NaN or infinite values; they are not stored."""

    def __init__(self, video_id: str, num_values: int) -> None:
        super().__init__(f"{video_id!r}: {num_values} feature values are NaN or infinite.")
        self.video_id = video_id
        self.num_values = num_values


class StoreImported(StoreError):
    """The features of a store were made elsewhere: nothing here can extract more of them."""

    def __init__(self, path: "Place") -> None:
        super().__init__(f"the features of {path} were imported: how they were extracted is not known here.")
        self.path = path


class ExportInTheWay(StoreError):
    """The folder of an export holds something else."""

    def __init__(self, path: Path, found: str) -> None:
        super().__init__(f"{path} is no place for this export: it holds {found}.")
        self.path = path
        self.found = found


class NothingToImport(StoreError):
    """No file of a folder can be imported; ``refused`` says why, by file."""

    def __init__(self, path: Path, refused: Mapping[str, str], *, is_folder: bool = True) -> None:
        shown = "; ".join(f"{name}: {what}" for name, what in [*refused.items()][:3])
        found = f"{len(refused)} .npy files, all refused: {shown}" if refused else "no .npy file"
        why = f"it holds {found}" if is_folder else "there is no such folder"
        super().__init__(f"nothing to import from {path}: {why}.")
        self.path = path
        self.refused = dict(refused)


class RunMissing(StoreError):
    """There is no run at this place."""

    def __init__(self, path: Path, found: Sequence[str]) -> None:
        there = f"Found: {', '.join(found)}." if found else f"The folder {path.parent.absolute()} holds none."
        super().__init__(f"no run at {path}. {there}")
        self.path = path
        self.found = tuple(found)


class RunDamaged(StoreError):
    """A file of a run is not what a run writes."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path} is damaged: {what}.")
        self.path = path
        self.what = what


class RunMismatch(StoreError):
    """A run of this name exists, with other settings."""

    def __init__(self, path: Path, differences: Sequence[str]) -> None:
        shown = "; ".join(line if len(line) <= 200 else f"{line[:200]}…" for line in differences[:5])
        more = f"; and {len(differences) - 5} more" if len(differences) > 5 else ""
        super().__init__(f"{path} was trained with other settings: {shown}{more}.")
        self.path = path
        self.differences = tuple(differences)


class RunUnfinished(StoreError):
    """A run has no trained weights yet."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} has not been trained to its end.")
        self.path = path


def _videos(video_ids: Sequence[str]) -> str:
    if not video_ids:
        return ""
    more = f" and {len(video_ids) - 3} more" if len(video_ids) > 3 else ""
    return f" (videos {', '.join(video_ids[:3])}{more})"
