"""`vlp eval`: accuracy and retrieval from cached features."""

from itertools import chain
from typing import Annotated, Literal

import typer

from vlp.cli.console import print_json
from vlp.cli.eval_methods import methods
from vlp.cli.eval_multi_label import multi_label
from vlp.cli.eval_options import (
    AllowDuplicates,
    ClassChoice,
    ClassNames,
    DatasetOfRun,
    Frames,
    PerClass,
    Role,
    RunFolder,
    Seed,
    Split,
    Templates,
    TestOptions,
    print_result,
)
from vlp.cli.eval_runs import zero_shot_of_run
from vlp.cli.eval_trained import base_to_novel, closed_set, few_shot
from vlp.cli.inputs import DatasetSource, load_encoder, open_inputs
from vlp.cli.options import (
    AllowMismatch,
    Annotations,
    Cache,
    Dataset,
    DatasetOptions,
    Device,
    Json,
    ManifestFile,
    Model,
    Pretrained,
    Root,
    StoreFolder,
    TextPrompts,
)
from vlp.cli.scores import print_notes, print_retrieval

app = typer.Typer(
    name="eval", help="Measure, from features that `vlp extract` has stored.", no_args_is_help=True
)
app.command("closed-set")(closed_set)
app.command("few-shot")(few_shot)
app.command("base-to-novel")(base_to_novel)
app.command("multi-label")(multi_label)
app.command("methods")(methods)


@app.command("zero-shot")
def zero_shot(
    *,
    dataset: DatasetOfRun = None,
    run: RunFolder = None,
    root: Root = None,
    annotations: Annotations = None,
    manifest: ManifestFile = None,
    dataset_options: DatasetOptions = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            help="Only these classes: a list that ships, or a file: a name a line, or JSON as FILE:KEY. Given often: "
            "each list by itself, mean and deviation."
        ),
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(
            min=1, help="Draw so many sets of the classes that were not trained on: mean and deviation."
        ),
    ] = None,
    draw_size: Annotated[int, typer.Option(min=2, help="Classes a set, with --draws.")] = 160,
    seed: Seed = 0,
    split: Split = None,
    role: Role = None,
    drop_overlap: Annotated[
        bool, typer.Option("--drop-overlap", help="Leave out the classes that the run was trained on.")
    ] = False,
    model: Model = None,
    pretrained: Pretrained = None,
    templates: Templates = "single",
    class_names: ClassNames = "natural",
    text_prompts: TextPrompts = None,
    frames: Frames = None,
    cache: Cache = None,
    store: StoreFolder = None,
    device: Device = "auto",
    per_class: PerClass = False,
    allow_mismatch: AllowMismatch = False,
    allow_duplicates: AllowDuplicates = False,
    json_output: Json = False,
) -> None:
    """Classify videos by the texts of their classes: hand-written, or around the prompts of a run.

    Example: vlp eval zero-shot --dataset hmdb51 --templates ensemble --per-class

    With --run, the videos show other classes than those it was trained on.

    Exit status: 0 done, 1 error, 2 usage, 4 no such run, or no features of this dataset by this model.
    """
    from vlp.pipeline.coverage import cover_classes
    from vlp.pipeline.methods.zero_shot import Config

    source = DatasetSource(dataset, root, annotations, manifest, dataset_options)
    options = TestOptions(source, model, pretrained, cache, store)
    chosen = ClassChoice(tuple(classes or ()), draws, draw_size, seed)
    if run is not None:
        result, covered = zero_shot_of_run(
            run, options, chosen, split, role, device, text_prompts,
            drop_overlap=drop_overlap, allow_mismatch=allow_mismatch, allow_duplicates=allow_duplicates,
        )  # fmt: skip
        print_result(result, covered, per_class=per_class, json_output=json_output)
        return
    config = Config(template_set=templates, class_text=class_names, text_prompts=text_prompts)
    inputs = options.open()
    sets = chosen.sets_of(inputs.manifest)
    of_sets = [
        cover_classes(kept, inputs.store, split=split, role=role, allow_duplicates=allow_duplicates)
        for kept in sets.values()
    ]
    from vlp.pipeline.evaluation import evaluate_zero_shot
    from vlp.pipeline.results import joined

    encoder = load_encoder(inputs.spec, device)
    results = [
        evaluate_zero_shot(
            kept,
            of_set,
            inputs.store,
            encoder,
            config,
            num_frames=frames,
            allow_mismatch=allow_mismatch,
        )
        for kept, of_set in zip(sets.values(), of_sets, strict=True)
    ]
    result = joined(dict(zip(sets, results, strict=True)), chosen.to_json())
    print_result(result, tuple(chain(*of_sets)), per_class=per_class, json_output=json_output)


@app.command("retrieval")
def retrieval(
    *,
    dataset: Dataset,
    root: Root = None,
    annotations: Annotations = None,
    manifest: ManifestFile = None,
    dataset_options: DatasetOptions = None,
    split: Split = None,
    role: Role = None,
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

    inputs = open_inputs(
        DatasetSource(dataset, root, annotations, manifest, dataset_options),
        model=model,
        pretrained=pretrained,
        cache=cache,
        store=store,
    )
    covered = cover_captions(
        inputs.manifest, inputs.store, split=split, role=role, allow_duplicates=allow_duplicates
    )
    from vlp.pipeline.tasks.retrieval import evaluate_retrieval

    encoder = load_encoder(inputs.spec, device)
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
