"""How commands of `vlp store` name one store."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlp.cli.options import cache_place
from vlp.stores.places import parse_place

if TYPE_CHECKING:
    from vlp.stores.features import FeatureStore

StorePath = Annotated[
    str | None, typer.Argument(metavar="[PATH]", help="The .vlp folder, or its URL; or name its contents:")
]
OfDataset = Annotated[str | None, typer.Option("--dataset", help="The one store of this dataset.")]
OfModel = Annotated[str | None, typer.Option("--model", help="Of this model, where several fit.")]
OfTag = Annotated[str | None, typer.Option("--pretrained", help="With this tag, where several fit.")]
StoreWeights = Annotated[
    Path | None, typer.Option("--weights", help="The weights file, if the store was made from a file.")
]


def open_store(
    path: str | None, dataset: str | None, model: str | None, pretrained: str | None, cache: str | None
) -> "FeatureStore":
    """Open the one store that was named.

    Raises:
        typer.BadParameter: unless it is named once, by its path or by its dataset.
        FeaturesMissing, StoreAmbiguous, StoreMissing: as `select_store` and `FeatureStore.open`.
    """
    from vlp.stores.features import FeatureStore
    from vlp.stores.locate import select_store

    if (path is None) == (dataset is None):
        raise typer.BadParameter("name one store: by its PATH, or by --dataset", param_hint="PATH")
    if path is not None and (model or pretrained):
        raise typer.BadParameter("a PATH names the store already", param_hint="--model, --pretrained")
    if path is not None:
        return FeatureStore.open(parse_place(path))
    return FeatureStore.open(
        select_store(cache_place(cache), dataset=dataset or "", model=model, pretrained=pretrained)
    )
