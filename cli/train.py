"""`vlp train`: one method, from cached features, as a run that can be gone on with."""

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlp.cli.console import err, out, print_json
from vlp.cli.inputs import DatasetSource, Inputs, load_encoder, open_inputs
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
    Runs,
    SettingsFile,
    SettingsRow,
    SettingValues,
    StoreFolder,
    TextPrompts,
    cache_place,
    require_local,
)
from vlp.cli.training_progress import show_training
from vlp.pipeline import decode_nothing
from vlp.stores.errors import RunDamaged

if TYPE_CHECKING:
    from vlp.pipeline.settings import MethodSettings
    from vlp.pipeline.training_runs import TrainingPlan
    from vlp.stores.runs import RunDirectory


def train(
    dataset: Dataset,
    method: Annotated[str, typer.Option(help="ju2022, linear_probe, tip_adapter, …: see docs/methods.md.")],
    root: Root = None,
    annotations: Annotations = None,
    manifest: ManifestFile = None,
    dataset_options: DatasetOptions = None,
    from_cache: Annotated[
        bool,
        typer.Option("--from-cache", help="Refuse when features are missing, instead of extracting them."),
    ] = False,
    split: Annotated[
        str | None, typer.Option(help="Whose training videos. Default: the standard split, or the first.")
    ] = None,
    classes: ClassList = None,
    shots: Annotated[int | None, typer.Option(min=1, help="Only so many videos a class, drawn.")] = None,
    multi_label: Annotated[
        bool, typer.Option("--multi-label", help="Train on every label of a video, as on Charades.")
    ] = False,
    row: SettingsRow = None,
    config: SettingsFile = None,
    values: SettingValues = None,
    text_prompts: TextPrompts = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of everything that is random.")] = 0,
    init_from: Annotated[
        Path | None, typer.Option(help="Start from the weights of another run's folder.")
    ] = None,
    runs: Runs = Path("runs"),
    name: Annotated[
        str | None, typer.Option(help="Of the run. Default: DATASET-METHOD[-ROW][-KSHOT]-seedN.")
    ] = None,
    model: Model = None,
    pretrained: Pretrained = None,
    cache: Cache = None,
    store: StoreFolder = None,
    device: Device = "auto",
    allow_mismatch: AllowMismatch = False,
    json_output: Json = False,
) -> None:
    """Train a method on cached features; the same command again goes on with an unfinished run.

    Example: vlp train --dataset ucf101 --from-cache --method ju2022 --row A5

    Exit status: 0 done, 1 error, 2 usage, 4 no features of this dataset by this model, 130/143 interrupted.
    """
    if from_cache:
        decode_nothing()
    from vlp.pipeline.published_lists import read_classes
    from vlp.pipeline.settings import resolve
    from vlp.stores.locate import safe_name

    _check_name(name)
    if multi_label and shots:
        raise typer.BadParameter(
            "shots are drawn a class: --multi-label trains on all videos", param_hint="--shots"
        )
    settings = resolve(method, row=row, file=config, overrides=values or (), text_prompts=text_prompts)
    names = None if classes is None else read_classes(classes)
    source = DatasetSource(dataset, root, annotations, manifest, dataset_options)
    if not from_cache and store is None:
        extract_missing(source, model, pretrained, cache, device)
    inputs = open_inputs(source, model=model, pretrained=pretrained, cache=cache, store=store)
    plan = _plan(inputs, split, names, shots, seed, multi_label=multi_label)
    parts = [dataset, plan.coverage.split if len(inputs.manifest.split_names) > 1 else None, method, row]
    parts += [f"{shots}shot" if shots else None, "multi" if multi_label else None, f"seed{seed}"]
    folder = runs / (name or safe_name("-".join(part for part in parts if part)))
    run = _train(inputs, plan, settings, folder, init_from, manifest, device, allow_mismatch=allow_mismatch)
    summary = {"run": str(run.path), **(run.summary() or {})}
    if json_output:
        print_json(summary)
    else:
        _print(run, summary)


def _check_name(name: str | None) -> None:
    from vlp.stores.locate import safe_name

    if name is not None and safe_name(name) != name:
        raise typer.BadParameter(
            f"{name!r}: a run is one folder, named by letters, digits and ._+=,@-", param_hint="--name"
        )


def _plan(
    inputs: Inputs,
    split: str | None,
    names: Sequence[str] | None,
    shots: int | None,
    seed: int,
    *,
    multi_label: bool,
) -> "TrainingPlan":
    from vlp.pipeline.coverage_errors import ALL_SPLITS
    from vlp.pipeline.training_runs import plan_training

    if split == ALL_SPLITS and split not in inputs.manifest.split_names:
        known = ", ".join(inputs.manifest.split_names) or "the dataset has none"
        raise typer.BadParameter(f"a run is trained on one split: {known}", param_hint="--split")
    plan = plan_training(
        inputs.manifest,
        inputs.store,
        split=split,
        classes=names,
        shots=shots,
        seed=seed,
        multi_label=multi_label,
    )
    unlabelled = len(plan.coverage.found) - len(plan.videos) if multi_label else 0
    if unlabelled:
        err.print(f"Note: {unlabelled:,} training videos show no class, and are left out", markup=False)
    if plan.coverage.missing:
        err.print(
            f"Note: {len(plan.coverage.missing):,} of {plan.coverage.num_expected:,} training videos have no "
            f"features, such as {next(iter(plan.coverage.missing))}",
            markup=False,
        )
    return plan


def _train(
    inputs: Inputs,
    plan: "TrainingPlan",
    settings: "MethodSettings",
    folder: Path,
    init_from: Path | None,
    manifest: Path | None,
    device: str,
    *,
    allow_mismatch: bool,
) -> "RunDirectory":
    from vlp.pipeline.bank import tolerated_differences
    from vlp.pipeline.stopping import StopRequest
    from vlp.pipeline.training_runs import config_of, train_run
    from vlp.stores.runs import RunDirectory

    origin = None if init_from is None else RunDirectory.open(init_from)
    encoder = load_encoder(inputs.spec, device)
    for line in tolerated_differences(inputs.store, encoder.description, allow_mismatch=allow_mismatch):
        err.print(f"Warning: the features are another model's: {line}", markup=False)
    asked = config_of(plan, settings, inputs.store, encoder, init_from=origin, manifest_file=manifest)
    run = RunDirectory.create(folder, asked)
    with run.lock(), StopRequest() as stop:
        if run.is_finished:
            err.print(f"Nothing to do: {run.path} is trained.", markup=False)
            return run
        events = train_run(run, plan, settings, inputs.store, encoder, init_from=origin, stop=stop)
        stopped = show_training(events)
    if stopped is not None:
        err.print(f"Stopped by {signal.Signals(stopped).name}. The same command goes on from here.")
        raise typer.Exit(128 + stopped)
    return run


def extract_missing(
    source: DatasetSource, model: str | None, pretrained: str | None, cache: str | None, device: str
) -> None:
    """Extract what the store lacks, as `vlp extract` with its defaults would; end when that fails.

    Where the dataset has a store of other settings, such as another rate, that one is used as it is.
    """
    from vlp.cli.extracting import describe_encoder, run_plan
    from vlp.pipeline.decoding.timeline import Timeline
    from vlp.pipeline.encoder_spec import spec_with_defaults
    from vlp.pipeline.planning import Part, Retry, Settings, plan_extraction
    from vlp.stores.locate import find_stores

    spec = spec_with_defaults(str(source.dataset), model, pretrained)
    place = require_local(cache_place(cache), str(source.dataset), model)
    listed = source.load()
    description, encoder = describe_encoder(spec, place, device=device)
    plan = plan_extraction(
        listed, description, Timeline.parse("fps:30"), cache=place, part=Part(), retry=Retry()
    )
    fitting = find_stores(place, listed.dataset, model=spec.model, pretrained=spec.pretrained_name)
    is_ours = all(store.path == plan.store for store in fitting)
    pending = plan.pending and is_ours
    status = run_plan(plan, spec, Settings(device=device), encoder=encoder, show=err) if pending else 0
    if status not in (0, 3):  # videos that failed are named, and the others can be trained on
        raise typer.Exit(status)


def _print(run: "RunDirectory", summary: dict[str, Any]) -> None:
    numbers = {name: value for name, value in summary.items() if isinstance(value, int | float)}
    if not {"num_parameters", "num_steps", "seconds"} <= numbers.keys():
        raise RunDamaged(run.path / "summary.json", "it does not say how the training went")
    facts = [f"{numbers['num_parameters']:,} parameters", f"{numbers['num_steps']:,} steps"]
    facts = facts if numbers["num_steps"] else ["without gradients"]
    facts += [f"loss {numbers['loss']:.4f}"] if "loss" in numbers else []
    if "flops_per_clip" in numbers:
        facts.append(f"{numbers['flops_per_clip'] / 1e9:.3g} GFLOPs added a clip")
    if "held_out_top1" in numbers:
        facts.append(f"{100 * numbers['held_out_top1']:.1f}% of the held-out videos right")
    out.print(f"Trained {run.path}: {', '.join(facts)}, {numbers['seconds']:.1f} s.", markup=False)
    protocol = "multi-label" if run.config().get("targets") else "closed-set"
    out.print(f"Next: vlp eval {protocol} --run {run.path}", markup=False)
