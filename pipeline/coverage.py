"""Which listed videos a protocol scores, which of them have features, and what forbids a score.

Nothing here imports torch: a wrong split, a class without a video or a duplicate is said before any model
is loaded.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlp.datasplits.manifest import Manifest, Video
from vlp.pipeline.coverage_errors import (
    ALL_SPLITS,
    ClassAbsent,
    DuplicateVideos,
    EmptyRole,
    NoCaptions,
    NoFeatures,
    NoLabels,
    NotOneLabel,
    UnknownSplit,
)
from vlp.stores.features import FeatureStore, VideoEntry

_TRAIN = "train"
_NOT_EXTRACTED = "not extracted"


@dataclass(frozen=True)
class Coverage:
    """The videos of one split that a protocol scores, and those that it cannot.

    Attributes:
        split: name of the split; None for a dataset without splits.
        role: which of its videos ("test"); None for a dataset without splits.
        found: videos with features, in the manifest's order.
        missing: video id to why it has no features; they are not scored.
        num_short: how many of ``found`` were decoded in part.
        duplicates: (train id, tested id) of equal files, where these were allowed.
    """

    split: str | None
    role: str | None
    found: tuple[Video, ...]
    missing: Mapping[str, str]
    num_short: int
    duplicates: tuple[tuple[str, str], ...]

    @property
    def num_expected(self) -> int:
        """Videos listed."""
        return len(self.found) + len(self.missing)


def cover_classes(
    manifest: Manifest,
    store: FeatureStore,
    *,
    split: str | None = None,
    role: str | None = None,
    allow_duplicates: bool = False,
) -> tuple[Coverage, ...]:
    """Compare the labelled videos of the chosen splits with what the store holds.

    Args:
        manifest: the dataset.
        store: its features.
        split: a split's name; "all" for every split; None for the dataset's default, or every one where it has none. A
            dataset without splits is one: all its videos.
        role: which videos of a split are scored; the dataset's `test_role` if None.
        allow_duplicates: report files that are in train too instead of refusing them.

    Returns:
        One coverage a split, in the manifest's order.

    Raises:
        UnknownSplit, EmptyRole, NotOneLabel, ClassAbsent, DuplicateVideos, NoFeatures: as these say.
    """
    listings = _listings(manifest, split, role)
    for listing in listings:
        _check_labels(manifest, listing)
    return tuple(_cover(manifest, store, listing, allow_duplicates) for listing in listings)


def cover_labels(
    manifest: Manifest,
    store: FeatureStore,
    *,
    split: str | None = None,
    role: str | None = None,
    allow_duplicates: bool = False,
) -> tuple[Coverage, ...]:
    """Compare the videos of the chosen splits with what the store holds, where each has any number of labels.

    Args:
        manifest: the dataset.
        store: its features.
        split: as `cover_classes`.
        role: as `cover_classes`.
        allow_duplicates: as `cover_classes`.

    Returns:
        One coverage a split, in the manifest's order.

    Raises:
        UnknownSplit, EmptyRole, NoLabels, DuplicateVideos, NoFeatures: as these say.
    """
    listings = _listings(manifest, split, role)
    for listing in listings:
        if not any(video.labels for video in listing.videos):
            raise NoLabels(manifest.dataset, listing.split, listing.role or "listed")
    return tuple(_cover(manifest, store, listing, allow_duplicates) for listing in listings)


def cover_captions(
    manifest: Manifest,
    store: FeatureStore,
    *,
    split: str | None = None,
    role: str | None = None,
    allow_duplicates: bool = False,
) -> tuple[Coverage, ...]:
    """Compare the captioned videos of the chosen splits with what the store holds.

    Args:
        manifest: the dataset.
        store: its features.
        split: as `cover_classes`.
        role: as `cover_classes`.
        allow_duplicates: as `cover_classes`.

    Returns:
        One coverage a split, in the manifest's order.

    Raises:
        UnknownSplit, EmptyRole, NoCaptions, DuplicateVideos, NoFeatures: as these say.
    """
    listings = _listings(manifest, split, role)
    for listing in listings:
        silent = [video for video in listing.videos if not video.captions]
        if silent:
            raise NoCaptions(manifest.dataset, silent[0].video_id, len(silent))
    return tuple(_cover(manifest, store, listing, allow_duplicates) for listing in listings)


def label_indices(videos: Sequence[Video], classes: Sequence[str]) -> NDArray[np.int64]:
    """Index of each video's one label among the classes, (B,)."""
    index = {name: position for position, name in enumerate(classes)}
    return np.array([index[video.labels[0]] for video in videos], dtype=np.int64)


def label_marks(videos: Sequence[Video], classes: Sequence[str]) -> NDArray[np.float32]:
    """Mark the classes that each video shows: (B, C), 1 or 0."""
    index = {name: position for position, name in enumerate(classes)}
    marks = np.zeros((len(videos), len(classes)), dtype=np.float32)
    for row, video in enumerate(videos):
        marks[row, [index[name] for name in video.labels]] = 1
    return marks


@dataclass(frozen=True)
class _Listing:
    """The videos that a split lists to be scored; without splits both names are None."""

    split: str | None
    role: str | None
    videos: tuple[Video, ...]


def _listings(manifest: Manifest, split: str | None, role: str | None) -> list[_Listing]:
    names = tuple(manifest.split_names)
    split, role = split or manifest.default_split or ALL_SPLITS, role or manifest.test_role
    if split not in (ALL_SPLITS, *names):
        raise UnknownSplit(manifest.dataset, split, names)
    if not names:
        return [_Listing(None, None, _all_videos(manifest))]
    chosen = names if split == ALL_SPLITS else (split,)
    return [_Listing(name, role, _videos_of(manifest, name, role)) for name in chosen]


def _all_videos(manifest: Manifest) -> tuple[Video, ...]:
    if not manifest.videos:
        raise EmptyRole(manifest.dataset, None, "listed", {})
    return manifest.videos


def _videos_of(manifest: Manifest, split: str, role: str) -> tuple[Video, ...]:
    videos = manifest.videos_in(split, role)
    if not videos:
        roles = Counter(own for video in manifest.videos for name, own in video.splits if name == split)
        raise EmptyRole(manifest.dataset, split, role, roles)
    return videos


def _check_labels(manifest: Manifest, listing: _Listing) -> None:
    wrong = [video for video in listing.videos if len(video.labels) != 1]
    if wrong:
        raise NotOneLabel(manifest.dataset, wrong[0].video_id, wrong[0].labels, len(wrong))
    seen = {video.labels[0] for video in listing.videos}
    absent = [name for name in manifest.classes if name not in seen]
    if absent:
        raise ClassAbsent(manifest.dataset, listing.split, listing.role or "listed", absent)


def _cover(manifest: Manifest, store: FeatureStore, listing: _Listing, allow_duplicates: bool) -> Coverage:
    stored, failures = store.videos(), store.failures()
    duplicates = _duplicates(manifest, stored, listing)
    if duplicates and not allow_duplicates:
        raise DuplicateVideos(manifest.dataset, listing.split, str(listing.role), duplicates)
    missing = {
        video.video_id: failures[video.video_id].reason if video.video_id in failures else _NOT_EXTRACTED
        for video in listing.videos
        if video.video_id not in stored
    }
    if len(missing) == len(listing.videos):
        raise NoFeatures(store.path, manifest.dataset, listing.split, Counter(missing.values()))
    found = tuple(video for video in listing.videos if video.video_id in stored)
    return Coverage(
        split=listing.split,
        role=listing.role,
        found=found,
        missing=missing,
        num_short=sum(stored[video.video_id].status == "short" for video in found),
        duplicates=duplicates,
    )


def _duplicates(
    manifest: Manifest, stored: Mapping[str, VideoEntry], listing: _Listing
) -> tuple[tuple[str, str], ...]:
    """Pairs of a training and a tested video with the same bytes, among those with features."""
    if listing.split is None or listing.role == _TRAIN:
        return ()
    trained: dict[str, list[str]] = defaultdict(list)
    for video in manifest.videos_in(listing.split, _TRAIN):
        if video.video_id in stored:
            trained[stored[video.video_id].source_sha256].append(video.video_id)
    return tuple(
        (train_id, video.video_id)
        for video in listing.videos
        if video.video_id in stored
        for train_id in trained.get(stored[video.video_id].source_sha256, ())
    )
