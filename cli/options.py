"""Options that several commands share, worded once."""

import os
from pathlib import Path
from typing import Annotated

import typer

from vlp.stores.place_errors import StoreRemote
from vlp.stores.places import Place, parse_place

Dataset = Annotated[
    str, typer.Option(help="Which dataset: see `vlp datasets ls`; `folder` is a folder of class folders.")
]
Root = Annotated[
    Path | None, typer.Option(help="Folder of the videos. Default: $VLP_DATA/DATASET, or ./data/DATASET.")
]
Annotations = Annotated[
    Path | None, typer.Option(help="Folder of the official lists, where they are not below the root.")
]
ManifestFile = Annotated[
    Path | None, typer.Option(help="CSV, JSONL or Parquet: path,label[,split,start,end,caption].")
]
DatasetOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--dataset-option", help="NAME=VALUE, a choice that `vlp datasets show` lists; may be given often."
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        help="open_clip's name, hf-hub:ORG/NAME, local-dir:FOLDER or toy. Default: ViT-B-16; toy for toy."
    ),
]
Pretrained = Annotated[
    str | None, typer.Option(help="One of the model's tags, or a local weights file. Default: openai.")
]
Cache = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|URL",
        help="Folder of all stores, here or in a bucket (s3://BUCKET/PREFIX). Default: $VLP_CACHE, or ./cache.",
    ),
]
StoreFolder = Annotated[
    str | None,
    typer.Option("--store", metavar="DIR", help="A store's folder, where several fit the dataset and model."),
]
AllowMismatch = Annotated[
    bool, typer.Option("--allow-mismatch", help="Warn, not refuse, when another model made the features.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]

SettingsRow = Annotated[str | None, typer.Option("--row", help="A row of the paper's tables, such as A5.")]
SettingsFile = Annotated[
    Path | None, typer.Option("--config", help="YAML with the mappings method and recipe.")
]
SettingValues = Annotated[
    list[str] | None,
    typer.Option("--set", help="method.FIELD=VALUE or recipe.FIELD=VALUE; may be given often."),
]
TextPrompts = Annotated[
    str | None,
    typer.Option(
        "--text-prompts", help="Sentences about the classes: a file, or shipped ones: ucf101, hmdb51, toy."
    ),
]
ClassList = Annotated[
    str | None,
    typer.Option(
        "--classes",
        help="Only these classes: a list that ships, or a file: a name a line, or JSON as FILE:KEY.",
    ),
]
Runs = Annotated[Path, typer.Option(help="Folder of all runs.")]


LOCAL_CACHE = Path("cache")


def cache_place(cache: str | None) -> Place:
    """Resolve where all stores lie.

    Raises:
        BadPlace: if that names no place.
    """
    return parse_place(cache or os.environ.get("VLP_CACHE") or str(LOCAL_CACHE))


def require_local(place: Place, dataset: str | None = None, model: str | None = None) -> Path:
    """Give a cache or store back if it is a folder of this machine.

    Args:
        place: the cache or the store.
        dataset: whose features are wanted of a cache, for the advice.
        model: by which encoder.

    Raises:
        StoreRemote: if it lies in a bucket.
    """
    if isinstance(place, Path):
        return place
    raise StoreRemote(place, dataset, model)
