"""A feature store on disk, filled with given features."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import vlp.pipeline  # noqa: F401  # sets OpenMP's waiting policy before any test imports torch
from vlp.stores.features import ExtractedVideo, FailedVideo, FeatureStore
from vlp.stores.fingerprint import fingerprint
from vlp.stores.locate import store_path

MakeStore = Callable[..., FeatureStore]


@pytest.fixture
def make_store(tmp_path: Path) -> MakeStore:
    """Give a function that writes a store where `vlp` would look for it below ``tmp_path / "cache"``."""

    def make(
        videos: Mapping[str, NDArray[np.floating[Any]]],
        *,
        meaning: Mapping[str, Any],
        names: tuple[str, str, str] = ("folder", "tiny", "random"),
        short: frozenset[str] = frozenset(),
        failed: Mapping[str, str] | None = None,
        contents: Mapping[str, str] | None = None,
        pts_seconds: Mapping[str, list[float]] | None = None,
    ) -> FeatureStore:
        """Store (n, V, D) features; frames come at 10 fps unless ``pts_seconds`` says otherwise.

        Args:
            videos: id to features.
            meaning: what the features mean; a timeline of 10 fps unless it says otherwise.
            names: dataset, model, pretrained.
            short: ids of videos decoded in part.
            failed: id to reason of videos without features.
            contents: id to what stands for the file's bytes; by default every file differs.
            pts_seconds: id to times.
        """
        full = {"timeline": "fps:10", **meaning}
        dataset, model, pretrained = names
        _, num_views, embed_dim = next(iter(videos.values())).shape
        store = FeatureStore.open_or_create(
            store_path(
                tmp_path / "cache",
                dataset=dataset,
                model=model,
                pretrained=pretrained,
                fingerprint=fingerprint(full),
            ),
            meaning=full,
            dataset=dataset,
            model=model,
            pretrained=pretrained,
            num_views=num_views,
            embed_dim=embed_dim,
            batch_size=1,
            precision="fp32",
            tool_versions={},
        )
        with store.writer(device="cpu", precision="fp32") as writer:
            for video_id, features in videos.items():
                times = (pts_seconds or {}).get(video_id, [frame / 10 for frame in range(len(features))])
                content = (contents or {}).get(video_id, video_id)
                writer.add(
                    ExtractedVideo(
                        video_id=video_id,
                        features=features.astype(np.float16),
                        pts_seconds=np.array(times),
                        frame_index=np.arange(len(features), dtype=np.int32),
                        num_expected=len(features),
                        num_decoded=len(features),
                        native_fps=10.0,
                        duration_seconds=len(features) / 10,
                        status="short" if video_id in short else "ok",
                        reason="truncated" if video_id in short else None,
                        decoder="pyav",
                        source_sha256=hashlib.sha256(content.encode()).hexdigest(),
                    )
                )
            for video_id, reason in (failed or {}).items():
                writer.fail(FailedVideo(video_id=video_id, reason=reason, detail="", attempts=1))
        return store

    return make
