"""What an extraction has to do, planned without importing torch.

A rerun with nothing to do must end in seconds, so nothing here loads weights: the encoder's description comes
from memory, the videos already extracted from the store's index.
"""

import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any

from vlp.datasplits.manifest import Manifest, Video
from vlp.pipeline.decoding.timeline import Timeline
from vlp.pipeline.encoder_spec import EncoderDescription
from vlp.pipeline.errors import PipelineError
from vlp.pipeline.framing import CENTRE, Framing
from vlp.pipeline.pixel_format import NUM_CHANNELS, PixelFormat
from vlp.stores.errors import StoreMissing
from vlp.stores.features import FailedVideo, FeatureStore
from vlp.stores.fingerprint import fingerprint
from vlp.stores.locate import store_path
from vlp.stores.places import Place

# Raised when decoding, the timeline or preprocessing change what features mean. Pinned by golden hashes.
EXTRACTION_VERSION = 1

# A listed video that was not on disk is looked for again by every run: it may have been downloaded since.
_REASON_MISSING = "missing"

_MOST_CHILDREN = 16


class BadPart(PipelineError):
    """`--part` that is not i/n with 0 <= i < n."""


@dataclass(frozen=True)
class Part:
    """Which videos are this run's, when several runs share one dataset: those whose id hashes to ``index``."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise BadPart(
                f"part {self.index}/{self.count} does not exist: parts of {self.count} are 0 to {self.count - 1}."
            )

    @classmethod
    def parse(cls, text: str) -> "Part":
        """Read "i/n".

        Raises:
            BadPart: if it is not two integers with 0 <= i < n.

        Example:
            >>> Part.parse("0/4")
            Part(index=0, count=4)
        """
        index, slash, count = text.partition("/")
        if not (slash and index.isdecimal() and count.isdecimal() and int(count) > 0):
            raise BadPart(f"part {text!r} is not i/n, such as 0/4 for the first of four.")
        return cls(int(index), int(count))

    def holds(self, video_id: str) -> bool:
        """Tell whether a video is this part's: by its id alone, so that lists may grow between runs."""
        return self.count == 1 or zlib.crc32(video_id.encode()) % self.count == self.index


@dataclass(frozen=True)
class Retry:
    """Which failed videos to try again: none, all, or those with one reason."""

    failed: bool = False
    reason: str | None = None

    @classmethod
    def parse(cls, text: str | None) -> "Retry":
        """Read "failed" or "failed:REASON".

        Raises:
            PipelineError: for anything else.

        Example:
            >>> Retry.parse("failed:stalled")
            Retry(failed=True, reason='stalled')
        """
        if text is None:
            return cls()
        kind, _, reason = text.partition(":")
        if kind != "failed":
            raise PipelineError(
                f"cannot retry {text!r}. Known: failed, failed:REASON (such as failed:stalled)."
            )
        return cls(failed=True, reason=reason or None)

    def wants(self, failure: FailedVideo) -> bool:
        """Tell whether this failure is to be tried again."""
        return self.failed and self.reason in (None, failure.reason)


@dataclass(frozen=True)
class ExtractionPlan:
    """What one run will do.

    Args:
        manifest: the dataset.
        description: the encoder, or how pixels are stored.
        timeline: which instants of a video are stored.
        framing: which views of a frame.
        meaning: all that decides what the features mean; its hash is the fingerprint.
        store: where the store lies.
        part: which share of the videos is this run's.
        listed: this run's videos, in the manifest's order.
        pending: those to extract now.
        kept_failures: failures of earlier runs that are not tried again.
        attempts: video id to the number of earlier failed attempts.
    """

    manifest: Manifest
    description: EncoderDescription | PixelFormat
    timeline: Timeline
    framing: Framing
    meaning: Mapping[str, Any]
    store: Place
    part: Part
    listed: tuple[Video, ...]
    pending: tuple[Video, ...]
    kept_failures: tuple[FailedVideo, ...]
    attempts: Mapping[str, int]

    @property
    def fingerprint(self) -> str:
        """64 hexadecimal digits: what the features mean."""
        return fingerprint(self.meaning)

    @property
    def width(self) -> int:
        """D of a row: 3, the channels, where pixels are stored."""
        return NUM_CHANNELS if isinstance(self.description, PixelFormat) else self.description.embed_dim

    @property
    def num_skipped(self) -> int:
        """Videos that an earlier run extracted."""
        return len(self.listed) - len(self.pending) - len(self.kept_failures)


@dataclass(frozen=True)
class Settings:
    """How to extract, as far as it does not change what the features mean.

    Args:
        device: see `load_encoder`.
        precision: see `load_encoder`; "auto" keeps that of a store already begun.
        batch_size: B; None keeps that of the store, or chooses by device.
        num_children: decode processes; None is one a core, at most 16.
    """

    device: str = "auto"
    precision: str = "auto"
    batch_size: int | None = None
    num_children: int | None = None

    @property
    def children(self) -> int:
        """Number of decode processes."""
        return self.num_children or min(_MOST_CHILDREN, len(os.sched_getaffinity(0)))


def meaning_of(
    description: EncoderDescription | PixelFormat,
    timeline: Timeline,
    framing: Framing,
    forced_precision: str | None = None,
) -> dict[str, Any]:
    """Collect all that decides what features, or pixels, mean, as canonical plain data.

    Not in it: device, decoder and batch size, which change the last bits and not the meaning, nor precision,
    unless the user forced one; and not the model's name, since the same weights have several.
    """
    if isinstance(description, PixelFormat):
        version = {"extraction_version": EXTRACTION_VERSION}
        return {**description.meaning, "timeline": timeline.canonical, **version}
    applied = replace(description, preprocess=framing.applied_to(description.preprocess))
    forced = {} if forced_precision is None else {"precision": forced_precision}
    return {
        "weights": description.weights_sha256,
        "activation": description.activation,
        "embed_dim": description.embed_dim,
        "preprocess": framing.meaning(applied.to_json()["preprocess"], applied.preprocess.image_size),
        "views": list(framing.views),
        "timeline": timeline.canonical,
        "level": "embedding",
        "extraction_version": EXTRACTION_VERSION,
        **forced,
    }


def plan_extraction(
    manifest: Manifest,
    description: EncoderDescription | PixelFormat,
    timeline: Timeline,
    framing: Framing = CENTRE,
    *,
    cache: Place,
    part: Part,
    retry: Retry,
    limit: int | None = None,
    forced_precision: str | None = None,
    store: FeatureStore | None = None,
) -> ExtractionPlan:
    """Compare what is listed with what is stored.

    Args:
        manifest: the dataset.
        description: the encoder, or how pixels are stored.
        timeline: which instants are stored.
        framing: which views of a frame; by default the one that the model's own transform leaves.
        cache: folder of all stores.
        part: this run's share.
        retry: which failures to try again.
        limit: only the first so many of the share.
        forced_precision: one that the user named; it becomes part of what the features mean.
        store: where the features go, wherever it lies; by default where the cache has those of this meaning.

    Raises:
        StoreMismatch: if ``store`` holds features of another meaning.
        StoreError: if the store is there and cannot be read.
    """
    meaning = meaning_of(description, timeline, framing, forced_precision)
    path = store_path(
        cache,
        dataset=manifest.dataset,
        model=description.model,
        pretrained=description.pretrained,
        fingerprint=fingerprint(meaning),
    )
    if store is not None:
        store.check_meaning(meaning)
        path = store.path
    listed = tuple(video for video in manifest.videos if part.holds(video.video_id))[:limit]
    stored, failures = _known(path)
    kept = tuple(
        failures[video.video_id]
        for video in listed
        if video.video_id in failures and not _try_again(manifest, video, failures[video.video_id], retry)
    )
    settled = stored | {failure.video_id for failure in kept}
    return ExtractionPlan(
        manifest=manifest,
        description=description,
        timeline=timeline,
        framing=framing,
        meaning=meaning,
        store=path,
        part=part,
        listed=listed,
        pending=tuple(video for video in listed if video.video_id not in settled),
        kept_failures=kept,
        attempts={video_id: failure.attempts for video_id, failure in failures.items()},
    )


def _known(path: Place) -> tuple[set[str], Mapping[str, FailedVideo]]:
    try:
        catalog = FeatureStore.open(path).catalog()
    except StoreMissing:
        return set(), {}
    return set(catalog.winners), {name: catalog.failure(row) for name, row in catalog.failed.items()}


def _try_again(manifest: Manifest, video: Video, failure: FailedVideo, retry: Retry) -> bool:
    if failure.reason == _REASON_MISSING and (manifest.root / video.path).exists():
        return True
    return retry.wants(failure)


def spread_sample(videos: Sequence[Video], num_videos: int) -> list[Video]:
    """Take videos evenly spread over a list, since files of one class or show resemble one another.

    Example:
        >>> from vlp.datasplits.manifest import Video
        >>> [video.video_id for video in spread_sample([Video(str(i), f"{i}.mp4") for i in range(10)], 3)]
        ['1', '5', '8']
    """
    count = min(num_videos, len(videos))
    return [videos[(2 * position + 1) * len(videos) // (2 * count)] for position in range(count)]


def tool_versions() -> dict[str, str]:
    """Versions of what decides the bits of features and pixels, for the store's provenance."""
    names = ("vlp", "av", "decord2", "numpy", "open_clip_torch", "pillow", "torch", "zarr")
    return {
        distribution.metadata["Name"]: distribution.version
        for distribution in map(_distribution, names)
        if distribution
    }


def _distribution(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
