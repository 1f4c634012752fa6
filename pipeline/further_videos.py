"""Videos for a store that is there already, extracted with the store's own settings."""

import hashlib
from dataclasses import replace

from vlp.datasplits.errors import OutsideRoot
from vlp.datasplits.manifest import Manifest, Video
from vlp.pipeline.decoding.errors import UnreadableVideo
from vlp.pipeline.decoding.files import open_regular
from vlp.pipeline.decoding.timeline import Timeline
from vlp.pipeline.encoder_spec import EncoderDescription
from vlp.pipeline.errors import PipelineError
from vlp.pipeline.framing import CENTRE, Framing
from vlp.pipeline.pixel_format import PixelFormat
from vlp.pipeline.planning import ExtractionPlan, Part, Retry, Settings, plan_extraction
from vlp.stores.features import FeatureStore


class OtherVideos(PipelineError):
    """Listed files have the ids of stored videos, and are not the files that were extracted under them."""

    def __init__(self, store: FeatureStore, video_ids: list[str]) -> None:
        shown = ", ".join(video_ids[:3]) + (f" and {len(video_ids) - 3} more" if len(video_ids) > 3 else "")
        super().__init__(f"{store.path} holds other videos of these ids: {shown}. Rename the files.")
        self.path = store.path
        self.video_ids = tuple(video_ids)


def plan_into(
    store: FeatureStore, manifest: Manifest, description: EncoderDescription | PixelFormat, *, retry: Retry
) -> ExtractionPlan:
    """Compare what is listed with what a store holds; timeline, views, precision and names are the store's.

    Args:
        store: where the features go.
        manifest: the videos; their dataset's name gives way to the store's.
        description: the encoder, or how pixels are stored.
        retry: which failures to try again.

    Raises:
        BadFraming: if this version knows no such views.
        StoreMismatch: if the encoder is not the one that made the store's features.
        StoreError: if the store cannot be read.
    """
    precision = store.meaning.get("precision")
    return plan_extraction(
        replace(manifest, dataset=store.dataset),
        description,
        Timeline.parse(str(store.meaning["timeline"])),
        CENTRE if store.layout.has_sizes else Framing.of_meaning(store.meaning),
        cache=store.path.parent,
        part=Part(),
        retry=retry,
        forced_precision=None if precision is None else str(precision),
        store=store,
    )


def settings_of(store: FeatureStore, *, device: str = "auto") -> Settings:
    """Extract as the store was: in its precision, if that is part of what its features mean."""
    return Settings(device=device, precision=str(store.meaning.get("precision", "auto")))


def check_same_files(plan: ExtractionPlan, store: FeatureStore) -> None:
    """Make sure that a listed file whose id the store knows is the one that was extracted under it.

    Each such file is read once and hashed; one that is no longer there is passed over.

    Raises:
        OtherVideos: naming those that are not.
    """
    stored = store.videos()
    known = [video for video in plan.listed if video.video_id in stored]
    others = [
        video.video_id
        for video in known
        if _sha256(plan.manifest, video) not in {None, stored[video.video_id].source_sha256}
    ]
    if others:
        raise OtherVideos(store, others)


def _sha256(manifest: Manifest, video: Video) -> str | None:
    digest = hashlib.sha256()
    try:
        with open_regular(manifest.absolute(video)) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except (UnreadableVideo, OutsideRoot, OSError):
        return None
    return digest.hexdigest()
