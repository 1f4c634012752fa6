"""`vlp eval multi-label`: which videos show a class, where a video may show several."""

from typing import TYPE_CHECKING, Annotated

import typer

from vlp.cli.console import print_json
from vlp.cli.eval_options import (
    AllowDuplicates,
    ClassNames,
    DatasetOfRun,
    Frames,
    PerClass,
    Role,
    RunFolder,
    Split,
    Templates,
    TestOptions,
)
from vlp.cli.eval_runs import check_untrained, kept_classes, write_result
from vlp.cli.inputs import DatasetSource, Inputs, load_encoder
from vlp.cli.options import (
    AllowMismatch,
    Annotations,
    Cache,
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
from vlp.cli.scores import print_multi_label, print_notes

if TYPE_CHECKING:
    from vlp.pipeline.coverage import Coverage
    from vlp.pipeline.tasks.multilabel import MultiLabelResult
    from vlp.stores.runs import RunDirectory


def multi_label(
    *,
    dataset: DatasetOfRun = None,
    run: RunFolder = None,
    root: Root = None,
    annotations: Annotations = None,
    manifest: ManifestFile = None,
    dataset_options: DatasetOptions = None,
    split: Split = None,
    role: Role = None,
    model: Model = None,
    pretrained: Pretrained = None,
    templates: Templates = "single",
    class_names: ClassNames = "natural",
    text_prompts: TextPrompts = None,
    frames: Frames = None,
    score_empty: Annotated[
        bool,
        typer.Option(
            "--score-empty",
            help="Rank videos that show no class by their scores. Official rule: they come last.",
        ),
    ] = False,
    cache: Cache = None,
    store: StoreFolder = None,
    device: Device = "auto",
    per_class: PerClass = False,
    allow_mismatch: AllowMismatch = False,
    allow_duplicates: AllowDuplicates = False,
    json_output: Json = False,
) -> None:
    """Rank videos class by class, by hand-written texts or a run: mean average precision, as on Charades.

    Example: vlp eval multi-label --dataset charades --run runs/charades-actionclip-multi-seed0

    Exit status: 0 done, 1 error, 2 usage, 4 no such run, or no features of this dataset by this model.
    """
    from vlp.pipeline.coverage import cover_labels
    from vlp.pipeline.methods.zero_shot import Config

    source = DatasetSource(dataset, root, annotations, manifest, dataset_options)
    options = TestOptions(source, model, pretrained, cache, store)
    if run is not None:
        from vlp.stores.runs import RunDirectory

        result, covered = _of_run(
            RunDirectory.open(run), options, split, role, device, text_prompts,
            empty_last=not score_empty, allow_mismatch=allow_mismatch, allow_duplicates=allow_duplicates,
        )  # fmt: skip
    else:
        from vlp.pipeline.tasks.multilabel import evaluate_untrained

        config = Config(template_set=templates, class_text=class_names, text_prompts=text_prompts)
        inputs = options.open()
        covered = cover_labels(
            inputs.manifest, inputs.store, split=split, role=role, allow_duplicates=allow_duplicates
        )
        result = evaluate_untrained(
            inputs.manifest,
            covered,
            inputs.store,
            load_encoder(inputs.spec, device),
            config,
            num_frames=frames,
            allow_mismatch=allow_mismatch,
            empty_last=not score_empty,
        )
    print_notes(result.provenance, covered)
    if json_output:
        print_json(result.to_json())
    else:
        print_multi_label(result, per_class=per_class)


def _of_run(
    folder: "RunDirectory",
    options: TestOptions,
    split: str | None,
    role: str | None,
    device: str,
    text_prompts: str | None,
    *,
    empty_last: bool,
    allow_mismatch: bool,
    allow_duplicates: bool,
) -> "tuple[MultiLabelResult, tuple[Coverage, ...]]":
    """Rank by a run, and keep the result in it; on its own dataset, by the classes that it was trained on."""
    from vlp.pipeline.coverage import cover_labels
    from vlp.pipeline.tasks.multilabel import PROTOCOL, evaluate_trained
    from vlp.pipeline.trained import load_run, trained_classes

    inputs: Inputs = options.open(folder)
    config, kept = folder.config(), inputs.manifest
    if config.get("dataset") == kept.dataset:
        kept = kept_classes(kept, trained_classes(folder, config))
    covered = cover_labels(kept, inputs.store, split=split, role=role, allow_duplicates=allow_duplicates)
    check_untrained(folder, inputs, covered, allow_duplicates=allow_duplicates)
    encoder = load_encoder(inputs.spec, device)
    trained = load_run(folder, encoder, kept.classes, text_prompts=text_prompts)
    result = evaluate_trained(
        trained, kept, covered, inputs.store, encoder, allow_mismatch=allow_mismatch, empty_last=empty_last
    )
    write_result(folder, PROTOCOL, kept.dataset, split, result.to_json())
    return result, covered
