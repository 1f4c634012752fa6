"""Extracting again what is damaged, for `vlp store repair`."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vlp.cli.console import err
from vlp.cli.extract import describe, run_plan
from vlp.cli.inputs import DatasetSource

if TYPE_CHECKING:
    from vlp.stores.features import FeatureStore


def repair_store(
    store: "FeatureStore",
    video_ids: Collection[str],
    source: DatasetSource,
    *,
    weights: Path | None = None,
    cache: Path,
) -> int:
    """Extract videos of a store again, in place of their damaged rows; return the exit status.

    Args:
        store: where they are damaged.
        video_ids: which.
        source: the store's dataset, and where its videos are.
        weights: the weights file, if the store was made from one.
        cache: where descriptions of encoders are remembered.

    Raises:
        StoreMismatch: if the encoder is not the store's.
        BadFraming: if this version knows no such views.
    """
    from vlp.pipeline.decoding.timeline import Timeline
    from vlp.pipeline.encoder_spec import EncoderSpec
    from vlp.pipeline.framing import CENTRE, Framing
    from vlp.pipeline.pixel_format import PixelFormat
    from vlp.pipeline.planning import Part, Retry, Settings, plan_extraction

    spec: EncoderSpec | PixelFormat
    if store.layout.has_sizes:
        spec, framing = PixelFormat(store.pretrained), CENTRE
    else:
        spec = EncoderSpec(store.model, str(weights.absolute()) if weights else store.pretrained)
        framing = Framing.of_meaning(store.meaning)
    description, encoder = describe(spec, cache)
    precision = store.meaning.get("precision")
    plan = plan_extraction(
        source.load(),
        description,
        Timeline.parse(str(store.meaning["timeline"])),
        framing,
        cache=cache,
        part=Part(),
        retry=Retry(),
        forced_precision=None if precision is None else str(precision),
    )
    store.check_meaning(plan.meaning)
    damaged = tuple(video for video in plan.listed if video.video_id in video_ids)
    plan = replace(plan, store=store.path, listed=damaged, pending=damaged, kept_failures=())
    settings = Settings(precision="auto" if precision is None else str(precision))
    return run_plan(plan, spec, settings, encoder=encoder, superseding=frozenset(video_ids), show=err)
