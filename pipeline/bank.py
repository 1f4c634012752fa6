"""Features of a list of videos, read from a store through its memory map."""

from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from vlp.pipeline.decoding.timeline import Timeline
from vlp.pipeline.encoder_spec import EncoderDescription
from vlp.pipeline.sampling import uniform_clip
from vlp.stores.errors import StoreMismatch
from vlp.stores.features import FeatureStore, VideoFeatures
from vlp.stores.fingerprint import JSON, differences


def tolerated_differences(
    store: FeatureStore, description: EncoderDescription, *, allow_mismatch: bool = False
) -> tuple[str, ...]:
    """Refuse to compare the frames of one model with the texts of another.

    Preprocessing is no part of it: however the frames were cropped, their features can be compared.

    Args:
        store: where the frames' features are.
        description: the encoder of the texts.
        allow_mismatch: return the differences instead of refusing them, as long as widths agree.

    Returns:
        One line for each difference: none when both are one model.

    Raises:
        StoreMismatch: names the differences.
    """
    asked: dict[str, JSON] = {
        "weights": description.weights_sha256,
        "activation": description.activation,
        "embed_dim": description.embed_dim,
    }
    found = differences({name: store.meaning.get(name) for name in asked}, asked)
    if found and not (allow_mismatch and store.embed_dim == description.embed_dim):
        raise StoreMismatch(store.path, found)
    return tuple(found)


def video_features(
    store: FeatureStore, video_ids: Sequence[str], *, num_frames: int | None = None
) -> NDArray[np.float32]:
    """Average the frames of each video.

    Args:
        store: where the features are.
        video_ids: B videos, all in the store.
        num_frames: T, frames a video, spread evenly over its length; None for all that are stored.

    Returns:
        (B, V, D) mean raw embeddings of each view; sums are taken in float32.

    Raises:
        VideoMissing, StoreDamaged: as `FeatureStore.read`.
        ValueError: if ``num_frames`` < 1.
    """
    rate_fps = Timeline.parse(str(store.meaning["timeline"])).rate_fps
    means = np.empty((len(video_ids), store.num_views, store.embed_dim), dtype=np.float32)
    for position, video_id in enumerate(video_ids):
        video = store.read(video_id)
        frames = video.features if num_frames is None else video.features[_clip(video, num_frames, rate_fps)]
        means[position] = frames.mean(axis=0, dtype=np.float32)
    return means


def _clip(video: VideoFeatures, num_frames: int, rate_fps: Fraction | None) -> NDArray[np.int64]:
    fps = None if rate_fps is None else float(rate_fps)
    return uniform_clip(video.pts_seconds, num_frames, native_fps=video.entry.native_fps, fps=fps)
