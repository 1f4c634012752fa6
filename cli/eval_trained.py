"""`vlp eval` for what learns: a trained run, or a method that is trained for the measurement."""

from typing import TYPE_CHECKING, Annotated

import typer

from vlp.cli.eval_options import (
    AllowDuplicates,
    DatasetOfRun,
    DrawLists,
    PerClass,
    Role,
    RunFolder,
    Seed,
    Split,
    TestOptions,
    print_repeated,
    print_result,
    tell,
)
from vlp.cli.eval_runs import kept_classes, test_run
from vlp.cli.inputs import DatasetSource, Inputs, load_encoder
from vlp.cli.options import (
    AllowMismatch,
    Annotations,
    Cache,
    ClassList,
    Dataset,
    DatasetOptions,
    Device,
    Json,
    ManifestFile,
    Model,
    Pretrained,
    Root,
    SettingsFile,
    SettingsRow,
    SettingValues,
    StoreFolder,
)

if TYPE_CHECKING:
    from vlp.datasplits.manifest import Manifest
    from vlp.pipeline.coverage import Coverage
    from vlp.pipeline.settings import MethodSettings
    from vlp.pipeline.trials import Laboratory

Method = Annotated[str, typer.Option(help="What is trained: see docs/methods.md.")]
Shots = Annotated[int, typer.Option(min=1, help="Training videos a class.")]


def closed_set(
    *,
    dataset: DatasetOfRun = None,
    run: RunFolder = None,
    method: Annotated[
        str | None, typer.Option(help="Instead of --run: what is trained on each split first.")
    ] = None,
    row: SettingsRow = None,
    config: SettingsFile = None,
    values: SettingValues = None,
    seed: Seed = 0,
    root: Root = None,
    annotations: Annotations = None,
    manifest: ManifestFile = None,
    dataset_options: DatasetOptions = None,
    split: Split = None,
    role: Role = None,
    model: Model = None,
    pretrained: Pretrained = None,
    cache: Cache = None,
    store: StoreFolder = None,
    device: Device = "auto",
    per_class: PerClass = False,
    allow_mismatch: AllowMismatch = False,
    allow_duplicates: AllowDuplicates = False,
    json_output: Json = False,
) -> None:
    """Test on the classes that were trained on: a run on its own split, or a method on every split.

    Example: vlp eval closed-set --run runs/ucf101-ju2022-A5-seed0

    With --method instead of --run, the method is trained on each split first.

    Exit status: 0 done, 1 error, 2 usage, 4 no such run, or no features.
    """
    from vlp.stores.runs import RunDirectory

    source = DatasetSource(dataset, root, annotations, manifest, dataset_options)
    options = TestOptions(source, model, pretrained, cache, store)
    if (run is None) == (method is None):
        raise typer.BadParameter("name a trained run, or a method to train with --method", param_hint="--run")
    if run is not None:
        from vlp.pipeline.trained import trained_classes

        folder = RunDirectory.open(run)
        inputs = options.open(folder)
        chosen = split or folder.config().get("split")
        kept = kept_classes(inputs.manifest, trained_classes(folder, folder.config()))
        result, covered = test_run(
            folder, inputs, {None: kept}, "closed-set", str(chosen) if chosen else None, role, device,
            facts={}, text_prompts=None, allow_mismatch=allow_mismatch, allow_duplicates=allow_duplicates,
        )  # fmt: skip
    else:
        from vlp.pipeline.coverage import cover_classes
        from vlp.pipeline.settings import resolve
        from vlp.pipeline.trials import closed_set as train_and_test

        settings = resolve(str(method), row=row, file=config, overrides=values or ())
        inputs = options.open()
        covered = cover_classes(
            inputs.manifest, inputs.store, split=split, role=role, allow_duplicates=allow_duplicates
        )
        trained = cover_classes(inputs.manifest, inputs.store, split=split, role="train")
        laboratory = laboratory_of(inputs, settings, device, allow_mismatch=allow_mismatch)
        result = train_and_test(laboratory, trained, covered, seed=seed, tell=tell)
    print_result(result, covered, per_class=per_class, json_output=json_output)


def few_shot(
    *,
    dataset: Dataset,
    method: Method,
    shots: Shots = 5,
    ways: Annotated[
        int | None, typer.Option(min=2, help="Classes a trial, drawn. Default: all, on the test split.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Draws of the training videos, without --ways.")] = 10,
    trials: Annotated[int, typer.Option(min=1, help="Draws of classes and videos, with --ways.")] = 200,
    most_videos: Annotated[
        int | None,
        typer.Option(min=2, help="Videos of a class in all trials together, with --ways. Default: all."),
    ] = None,
    lists: DrawLists = None,
    classes: ClassList = None,
    row: SettingsRow = None,
    config: SettingsFile = None,
    values: SettingValues = None,
    seed: Seed = 0,
    root: Root = None,
    annotations: Annotations = None,
    manifest: ManifestFile = None,
    dataset_options: DatasetOptions = None,
    split: Annotated[
        str | None, typer.Option(help="A split. Default: the standard one, or the first.")
    ] = None,
    model: Model = None,
    pretrained: Pretrained = None,
    cache: Cache = None,
    store: StoreFolder = None,
    device: Device = "auto",
    allow_mismatch: AllowMismatch = False,
    allow_duplicates: AllowDuplicates = False,
    json_output: Json = False,
) -> None:
    """Train on a few videos a class, many times: K-shot C-way, or K-shot N-way trials with --ways.

    Example: vlp eval few-shot --dataset hmdb51 --method ju2022 --row A3 --shots 5 --ways 5 --classes hmdb51-5way

    Exit status: 0 done, 1 error, 2 usage, 4 no features of this dataset by this model.
    """
    from dataclasses import replace

    from vlp.pipeline.settings import resolve

    settings = resolve(method, row=row, file=config, overrides=values or ())
    source = DatasetSource(dataset, root, annotations, manifest, dataset_options)
    options = TestOptions(source, model, pretrained, cache, store, classes)
    inputs = options.open()
    kept = kept_classes(inputs.manifest, options.class_names())
    if ways is None:
        from vlp.pipeline.published_lists import read_draws
        from vlp.pipeline.trials import few_shot as train_and_test

        trained, covered = covered_split(kept, inputs, split, allow_duplicates=allow_duplicates)
        drawn = read_draws(lists, kept, trained) if lists else rounds
        laboratory = replace(
            laboratory_of(inputs, settings, device, allow_mismatch=allow_mismatch), manifest=kept
        )
        result = train_and_test(laboratory, trained, covered, shots=shots, rounds=drawn, seed=seed, tell=tell)
        print_repeated(result, (covered,), json_output=json_output)
        return
    if most_videos is not None and most_videos <= shots:
        raise typer.BadParameter(f"more than {shots} are needed, to test on some", param_hint="--most-videos")
    from vlp.pipeline.trials import episodes

    laboratory = replace(
        laboratory_of(inputs, settings, device, allow_mismatch=allow_mismatch), manifest=kept
    )
    result = episodes(
        laboratory,
        ways=ways,
        shots=shots,
        num_trials=trials,
        seed=seed,
        tell=tell,
        allow_duplicates=allow_duplicates,
        most_videos=most_videos,
    )
    print_repeated(result, (), json_output=json_output)


def base_to_novel(
    *,
    dataset: Dataset,
    method: Method,
    shots: Shots = 16,
    seeds: Annotated[int, typer.Option(min=1, help="How many trainings.")] = 3,
    lists: DrawLists = None,
    row: SettingsRow = None,
    config: SettingsFile = None,
    values: SettingValues = None,
    seed: Seed = 0,
    root: Root = None,
    annotations: Annotations = None,
    manifest: ManifestFile = None,
    dataset_options: DatasetOptions = None,
    split: Annotated[
        str | None, typer.Option(help="A split. Default: the standard one, or the first.")
    ] = None,
    model: Model = None,
    pretrained: Pretrained = None,
    cache: Cache = None,
    store: StoreFolder = None,
    device: Device = "auto",
    allow_mismatch: AllowMismatch = False,
    allow_duplicates: AllowDuplicates = False,
    json_output: Json = False,
) -> None:
    """Train on a few videos of the commoner half of the classes; test on both halves, and their harmonic mean.

    Example: vlp eval base-to-novel --dataset ucf101 --method ju2022 --row A3

    Exit status: 0 done, 1 error, 2 usage, 4 no features of this dataset by this model.
    """
    from vlp.pipeline.base_to_novel import base_to_novel as train_and_test
    from vlp.pipeline.published_lists import read_draws
    from vlp.pipeline.settings import resolve

    settings = resolve(method, row=row, file=config, overrides=values or ())
    source = DatasetSource(dataset, root, annotations, manifest, dataset_options)
    options = TestOptions(source, model, pretrained, cache, store)
    inputs = options.open()
    trained, covered = covered_split(inputs.manifest, inputs, split, allow_duplicates=allow_duplicates)
    drawn = read_draws(lists, inputs.manifest, trained) if lists else seeds
    laboratory = laboratory_of(inputs, settings, device, allow_mismatch=allow_mismatch)
    result = train_and_test(laboratory, trained, covered, shots=shots, rounds=drawn, seed=seed, tell=tell)
    print_repeated(result, (covered,), json_output=json_output)


def covered_split(
    kept: "Manifest", inputs: Inputs, split: str | None, *, allow_duplicates: bool
) -> "tuple[Coverage, Coverage]":
    """Find the training and test videos of one split; a dataset without splits cannot tell them apart.

    Raises:
        EmptyRole: if the dataset has no splits.
    """
    from vlp.pipeline.coverage import cover_classes
    from vlp.pipeline.coverage_errors import EmptyRole

    chosen = split or kept.first_split
    if chosen is None:
        raise EmptyRole(kept.dataset, None, "train", {"no split": len(kept.videos)})
    (trained,) = cover_classes(kept, inputs.store, split=chosen, role="train")
    (tested,) = cover_classes(kept, inputs.store, split=chosen, allow_duplicates=allow_duplicates)
    return trained, tested


def laboratory_of(
    inputs: Inputs, settings: "MethodSettings", device: str, *, allow_mismatch: bool
) -> "Laboratory":
    """Load the encoder beside the features."""
    from vlp.pipeline.bank import tolerated_differences
    from vlp.pipeline.trials import Laboratory

    encoder = load_encoder(inputs.spec, device)
    mismatch = tolerated_differences(inputs.store, encoder.description, allow_mismatch=allow_mismatch)
    return Laboratory(inputs.manifest, inputs.store, encoder, settings, mismatch)
