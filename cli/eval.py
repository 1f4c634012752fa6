"""`vlp eval`: accuracy and retrieval from cached features."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vlp.cli.console import err, print_json
from vlp.cli.options import (
    Annotations,
    Cache,
    Dataset,
    Device,
    Json,
    ManifestFile,
    Model,
    Pretrained,
    Root,
    cache_folder,
)
from vlp.cli.scores import print_notes, print_retrieval, print_zero_shot

if TYPE_CHECKING:
    from vlp.datasplits.manifest import Manifest
    from vlp.pipeline.encoder_spec import EncoderSpec
    from vlp.pipeline.encoders import FrozenEncoder
    from vlp.stores.features import FeatureStore

app = typer.Typer(
    name="eval", help="Measure, from features that `vlp extract` has stored.", no_args_is_help=True
)

Split = Annotated[
    str | None,
    typer.Option(help="A split of the dataset, or all: mean and deviation over its splits. Default: all."),
]
Role = Annotated[str, typer.Option(help="Which videos of a split are scored.")]
Frames = Annotated[
    int | None,
    typer.Option(min=1, help="Frames averaged a video, evenly spread. Default: all that are stored."),
]
StoreFolder = Annotated[
    Path | None, typer.Option("--store", help="A store's folder, where several fit the dataset and model.")
]
AllowMismatch = Annotated[
    bool, typer.Option("--allow-mismatch", help="Warn, not refuse, when another model made the features.")
]
AllowDuplicates = Annotated[
    bool, typer.Option("--allow-duplicates", help="Report, not refuse, tested files that are in train too.")
]


@app.command("zero-shot")
def zero_shot(
    *,
    dataset: Dataset,
    root: Root = None,
    annotations: Annotations = None,
    manifest: ManifestFile = None,
    split: Split = None,
    role: Role = "test",
    model: Model = None,
    pretrained: Pretrained = None,
    templates: Annotated[
        str, typer.Option(help="Set of sentences that a class name is filled into.")
    ] = "single",
    class_names: Annotated[
        Literal["natural", "raw"],
        typer.Option(help="natural: words in lower case. raw: as the dataset spells."),
    ] = "natural",
    frames: Frames = None,
    cache: Cache = None,
    store: StoreFolder = None,
    device: Device = "auto",
    per_class: Annotated[bool, typer.Option("--per-class", help="Print the table of classes too.")] = False,
    allow_mismatch: AllowMismatch = False,
    allow_duplicates: AllowDuplicates = False,
    json_output: Json = False,
) -> None:
    """Classify videos by the texts of their classes; nothing is trained.

    Example: vlp eval zero-shot --dataset hmdb51 --templates ensemble --per-class

    Exit status: 0 done, 1 error, 2 usage, 4 no features of this dataset by this model.
    """
    from vlp.pipeline.coverage import cover_classes
    from vlp.pipeline.methods.zero_shot import Config

    config = Config(template_set=templates, class_text=class_names)
    inputs = _open(
        dataset=dataset,
        root=root,
        annotations=annotations,
        manifest=manifest,
        model=model,
        pretrained=pretrained,
        cache=cache,
        store=store,
    )
    covered = cover_classes(
        inputs.manifest, inputs.store, split=split, role=role, allow_duplicates=allow_duplicates
    )
    from vlp.pipeline.evaluation import evaluate_zero_shot

    encoder = _load_encoder(inputs.spec, device)
    result = evaluate_zero_shot(
        inputs.manifest,
        covered,
        inputs.store,
        encoder,
        config,
        num_frames=frames,
        allow_mismatch=allow_mismatch,
    )
    print_notes(result.provenance, covered)
    if json_output:
        print_json(result.to_json())
    else:
        print_zero_shot(result, per_class=per_class)


@app.command("retrieval")
def retrieval(
    *,
    dataset: Dataset,
    root: Root = None,
    annotations: Annotations = None,
    manifest: ManifestFile = None,
    split: Split = None,
    role: Role = "test",
    model: Model = None,
    pretrained: Pretrained = None,
    frames: Frames = None,
    ties: Annotated[
        Literal["first", "average"],
        typer.Option(
            help="Rank of equal similarities. first: 1 + the number above. average: plus half of the ties."
        ),
    ] = "first",
    cache: Cache = None,
    store: StoreFolder = None,
    device: Device = "auto",
    allow_mismatch: AllowMismatch = False,
    allow_duplicates: AllowDuplicates = False,
    json_output: Json = False,
) -> None:
    """Find videos by their captions and captions by their videos; nothing is trained.

    Example: vlp eval retrieval --dataset folder --manifest captions.csv --root videos

    Exit status: 0 done, 1 error, 2 usage, 4 no features of this dataset by this model.
    """
    from vlp.pipeline.coverage import cover_captions

    inputs = _open(
        dataset=dataset,
        root=root,
        annotations=annotations,
        manifest=manifest,
        model=model,
        pretrained=pretrained,
        cache=cache,
        store=store,
    )
    covered = cover_captions(
        inputs.manifest, inputs.store, split=split, role=role, allow_duplicates=allow_duplicates
    )
    from vlp.pipeline.tasks.retrieval import evaluate_retrieval

    encoder = _load_encoder(inputs.spec, device)
    result = evaluate_retrieval(
        inputs.manifest,
        covered,
        inputs.store,
        encoder,
        num_frames=frames,
        ties=ties,
        allow_mismatch=allow_mismatch,
    )
    print_notes(result.provenance, covered)
    if json_output:
        print_json(result.to_json())
    else:
        print_retrieval(result)


@dataclass(frozen=True)
class _Inputs:
    manifest: "Manifest"
    store: "FeatureStore"
    spec: "EncoderSpec"


def _open(
    *,
    dataset: str,
    root: Path | None,
    annotations: Path | None,
    manifest: Path | None,
    model: str | None,
    pretrained: str | None,
    cache: Path | None,
    store: Path | None,
) -> _Inputs:
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
    return _Inputs(listed, FeatureStore.open(found), spec)


def _load_encoder(spec: "EncoderSpec", device: str) -> "FrozenEncoder":
    from vlp.pipeline.encoders import load_encoder

    encoder = load_encoder(spec, device=device)
    for note in encoder.description.notes:
        err.print(f"Note: {note}", markup=False)
    return encoder
