"""`vlp store add`, and the extraction behind `vlp store repair`: videos into a store, with the store's own settings."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlp.cli.console import err
from vlp.cli.extracting import describe, run_plan
from vlp.cli.inputs import DatasetSource
from vlp.cli.options import Cache, Device, Json, ManifestFile, Root, cache_place
from vlp.cli.store_options import OfDataset, OfModel, OfTag, StorePath, StoreWeights, open_store

if TYPE_CHECKING:
    from vlp.datasplits.manifest import Manifest
    from vlp.pipeline.encoder_spec import EncoderDescription, EncoderSpec
    from vlp.pipeline.encoders import FrozenEncoder
    from vlp.pipeline.pixel_format import PixelFormat
    from vlp.stores.features import FeatureStore
    from vlp.stores.places import Place


def add(
    path: StorePath = None,
    dataset: OfDataset = None,
    model: OfModel = None,
    pretrained: OfTag = None,
    manifest: ManifestFile = None,
    root: Root = None,
    retry: Annotated[
        str | None, typer.Option(help="failed, or failed:REASON: try failures of earlier runs again.")
    ] = None,
    weights: StoreWeights = None,
    device: Device = "auto",
    cache: Cache = None,
    json_output: Json = False,
) -> None:
    """Extract further videos into a store, with its encoder, timeline and batch shape.

    Example: vlp store add --dataset ucf101 --manifest more.csv --root /data/more

    The videos are those of --manifest, or all below --root. A rerun extracts only what is missing; a file whose id the
    store has for another file is refused. Exit status: as `vlp extract`.
    """
    from vlp.pipeline.further_videos import check_same_files, plan_into, settings_of
    from vlp.pipeline.planning import Retry

    if manifest is None and root is None:
        raise typer.BadParameter("say which videos: by --manifest, by --root, or both", param_hint="--root")
    again = Retry.parse(retry)
    store = open_store(path, dataset, model, pretrained, cache)
    listed = _listed(store, manifest, root)
    spec, description, encoder = _own_encoder(store, weights, cache_place(cache), device)
    plan = plan_into(store, listed, description, retry=again)
    check_same_files(plan, store)
    settings = settings_of(store, device=device)
    raise typer.Exit(run_plan(plan, spec, settings, encoder=encoder, json_output=json_output))


def repair_store(
    store: "FeatureStore",
    video_ids: Collection[str],
    source: DatasetSource,
    *,
    weights: Path | None = None,
    cache: "Place",
) -> int:
    """Extract videos of a store again, in place of their damaged rows; return the exit status.

    Args:
        store: where they are damaged.
        video_ids: which.
        source: the store's dataset, and where its videos are.
        weights: the weights file, if the store was made from one.
        cache: where descriptions of encoders are remembered.

    Raises:
        StoreImported: if its features were not extracted here.
        StoreMismatch: if the encoder is not the store's.
        BadFraming: if this version knows no such views.
    """
    from vlp.pipeline.further_videos import plan_into, settings_of
    from vlp.pipeline.planning import Retry

    spec, description, encoder = _own_encoder(store, weights, cache)
    plan = plan_into(store, source.load(), description, retry=Retry())
    damaged = tuple(video for video in plan.listed if video.video_id in video_ids)
    plan = replace(plan, listed=damaged, pending=damaged, kept_failures=())
    superseding = frozenset(video_ids)
    return run_plan(plan, spec, settings_of(store), encoder=encoder, superseding=superseding, show=err)


def _listed(store: "FeatureStore", manifest: Path | None, root: Path | None) -> "Manifest":
    """List the further videos: labels and splits do not matter here, so that any list will do."""
    if manifest is None:
        return DatasetSource("folder", root).load()
    return DatasetSource(store.dataset, root, manifest=manifest).load()


def _own_encoder(
    store: "FeatureStore", weights: Path | None, cache: "Place", device: str = "auto"
) -> "tuple[EncoderSpec | PixelFormat, EncoderDescription | PixelFormat, FrozenEncoder | None]":
    """Describe the encoder that a store names, or how it keeps pixels."""
    from vlp.pipeline.encoder_spec import spec_with_defaults
    from vlp.pipeline.pixel_format import PixelFormat
    from vlp.stores.importing import require_extracted

    require_extracted(store)
    pretrained = str(weights.absolute()) if weights else store.pretrained
    spec: EncoderSpec | PixelFormat = (
        PixelFormat(store.pretrained)
        if store.layout.has_sizes
        else spec_with_defaults(store.dataset, store.model, pretrained)
    )
    return spec, *describe(spec, cache, device=device)
