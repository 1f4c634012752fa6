"""What `vlp train` and `vlp eval` read: lists, a store, the encoder."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vlp.cli.console import err
from vlp.cli.options import cache_folder
from vlp.stores.errors import RunDamaged

if TYPE_CHECKING:
    from vlp.datasplits.manifest import Manifest
    from vlp.pipeline.encoder_spec import EncoderSpec
    from vlp.pipeline.encoders import FrozenEncoder
    from vlp.stores.features import FeatureStore
    from vlp.stores.runs import RunDirectory


@dataclass(frozen=True)
class Inputs:
    """A dataset, its features, and the encoder that made them."""

    manifest: "Manifest"
    store: "FeatureStore"
    spec: "EncoderSpec"


def open_inputs(
    *,
    dataset: str,
    root: Path | None,
    annotations: Path | None,
    manifest: Path | None,
    model: str | None,
    pretrained: str | None,
    cache: Path | None,
    store: Path | None,
) -> Inputs:
    """Find the store, read the lists; no model is loaded.

    Raises:
        UnknownDataset, FeaturesMissing, StoreAmbiguous, StoreMissing, DatasetError: as these say.
    """
    from vlp.datasplits import dataset_module, load_dataset
    from vlp.pipeline.encoder_spec import spec_with_defaults
    from vlp.stores.features import FeatureStore
    from vlp.stores.locate import select_store

    if manifest is None:
        dataset_module(dataset)  # a misspelt name is said to be unknown, not without features
    spec = spec_with_defaults(dataset, model, pretrained)
    found = store or select_store(
        cache_folder(cache), dataset=dataset, model=spec.model, pretrained=spec.pretrained_name
    )
    listed = load_dataset(dataset, root=root, annotations=annotations, manifest=manifest)
    return Inputs(listed, FeatureStore.open(found), spec)


def open_inputs_of(
    run: "RunDirectory",
    *,
    dataset: str | None,
    root: Path | None,
    annotations: Path | None,
    manifest: Path | None,
    model: str | None,
    pretrained: str | None,
    cache: Path | None,
    store: Path | None,
) -> Inputs:
    """Find what a run is tested on: its own dataset and store, where no other is named.

    Raises:
        RunDamaged: if the run does not say what it was trained on.
    """
    config = run.config()
    places = config.get("places")
    own = {name: str(config.get(name) or "") for name in ("dataset", "model")}
    if not isinstance(places, dict) or not all(own.values()):
        raise RunDamaged(run.path / "config.yaml", "it does not say what it was trained on")
    known = {name: Path(place) for name, place in places.items() if isinstance(place, str)}
    if dataset in (None, own["dataset"]):
        listed = known.get("manifest") if root is None else None
        manifest, root = manifest or listed, root or known.get("root")
        store = store or (known.get("store") if cache is None else None)
    weights = str(places["pretrained"]) if places.get("pretrained") else None
    return open_inputs(
        dataset=dataset or own["dataset"],
        root=root,
        annotations=annotations,
        manifest=manifest,
        model=model or own["model"],
        pretrained=pretrained or weights,
        cache=cache,
        store=store,
    )


def load_encoder(spec: "EncoderSpec", device: str) -> "FrozenEncoder":
    """Load the encoder; its notes go to stderr."""
    from vlp.pipeline.encoders import load_encoder

    encoder = load_encoder(spec, device=device)
    for note in encoder.description.notes:
        err.print(f"Note: {note}", markup=False)
    return encoder
