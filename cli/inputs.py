"""What `vlp train` and `vlp eval` read: lists, a store, the encoder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlp.cli.console import err
from vlp.cli.options import cache_place, require_local
from vlp.stores.errors import RunDamaged
from vlp.stores.places import parse_place

if TYPE_CHECKING:
    from vlp.datasplits.manifest import Manifest
    from vlp.pipeline.encoder_spec import EncoderSpec
    from vlp.pipeline.encoders import FrozenEncoder
    from vlp.stores.features import FeatureStore
    from vlp.stores.places import Place
    from vlp.stores.runs import RunDirectory


@dataclass(frozen=True)
class DatasetSource:
    """A dataset and where its lists and videos are, as typed.

    Args:
        dataset: its name; None where a run says it.
        root: folder of the videos.
        annotations: folder of the official lists.
        manifest: a list that replaces the official ones.
        options: NAME=VALUE pairs.
    """

    dataset: str | None
    root: Path | None = None
    annotations: Path | None = None
    manifest: Path | None = None
    options: Sequence[str] | None = None

    def load(self) -> "Manifest":
        """Read the lists; no video is opened.

        Raises:
            DatasetError: as `load_dataset`.
        """
        from vlp.datasplits import load_dataset

        return load_dataset(
            str(self.dataset),
            root=self.root,
            annotations=self.annotations,
            manifest=self.manifest,
            options=tuple(self.options or ()),
        )


@dataclass(frozen=True)
class Inputs:
    """A dataset, its features, and the encoder that made them."""

    manifest: "Manifest"
    store: "FeatureStore"
    spec: "EncoderSpec"


def open_inputs(
    source: DatasetSource,
    *,
    model: str | None,
    pretrained: str | None,
    cache: str | None,
    store: str | None,
) -> Inputs:
    """Find the store, read the lists; no model is loaded.

    Raises:
        StoreRemote: if the features lie in a bucket.
        UnknownDataset, FeaturesMissing, StoreAmbiguous, StoreMissing, DatasetError: as these say.
    """
    from vlp.datasplits import dataset_module
    from vlp.pipeline.encoder_spec import spec_with_defaults
    from vlp.stores.features import FeatureStore

    dataset = str(source.dataset)
    if source.manifest is None:
        dataset_module(dataset)  # a misspelt name is said to be unknown, not without features
    spec = spec_with_defaults(dataset, model, pretrained)
    found = local_store(dataset, spec, cache=cache, store=store)
    return Inputs(source.load(), FeatureStore.open(found), spec)


def local_store(dataset: str, spec: "EncoderSpec", *, cache: str | None, store: str | None) -> "Place":
    """Find a dataset's store on this machine: the one that is named, or the one in the cache that fits.

    Raises:
        StoreRemote: if it lies in a bucket; nothing is asked of that.
        FeaturesMissing, StoreAmbiguous: as `select_store`.
    """
    from vlp.stores.locate import select_store

    if store is not None:
        return require_local(parse_place(store))
    place = require_local(cache_place(cache), dataset, spec.model)
    return select_store(place, dataset=dataset, model=spec.model, pretrained=spec.pretrained_name)


def open_inputs_of(
    run: "RunDirectory",
    source: DatasetSource,
    *,
    model: str | None,
    pretrained: str | None,
    cache: str | None,
    store: str | None,
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
    if source.dataset in (None, own["dataset"]):
        source = _source_of(config, own["dataset"], known, source)
        store = store or (str(known["store"]) if cache is None and "store" in known else None)
    weights = str(places["pretrained"]) if places.get("pretrained") else None
    return open_inputs(
        source,
        model=model or own["model"],
        pretrained=pretrained or weights,
        cache=cache,
        store=store,
    )


def _source_of(
    config: Mapping[str, Any], dataset: str, known: Mapping[str, Path], typed: DatasetSource
) -> DatasetSource:
    """Complete what was typed with where the run's own dataset was."""
    saved = config.get("dataset_options")
    options = [f"{name}={value}" for name, value in saved.items()] if isinstance(saved, dict) else []
    return DatasetSource(
        dataset,
        root=typed.root or known.get("root"),
        annotations=typed.annotations or known.get("annotations"),
        manifest=typed.manifest or (known.get("manifest") if typed.root is None else None),
        options=options if typed.options is None else typed.options,
    )


def load_encoder(spec: "EncoderSpec", device: str) -> "FrozenEncoder":
    """Load the encoder; its notes go to stderr."""
    from vlp.pipeline.encoders import load_encoder

    encoder = load_encoder(spec, device=device)
    for note in encoder.description.notes:
        err.print(f"Note: {note}", markup=False)
    return encoder
