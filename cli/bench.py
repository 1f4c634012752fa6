"""`vlp bench NAME`: speed as ratios measured in one run, against a fair baseline."""

import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from vlp.cli.console import print_json, print_table
from vlp.cli.inputs import DatasetSource, load_encoder, local_store, open_inputs
from vlp.cli.options import (
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
    SettingsFile,
    SettingsRow,
    SettingValues,
    StoreFolder,
    cache_place,
    require_local,
)
from vlp.pipeline import decode_nothing

app = typer.Typer(name="bench", help="Measure speed, as ratios within one run.", no_args_is_help=True)


@app.callback()
def benches() -> None:
    """Measure speed, as ratios within one run."""


@app.command("extract")
def bench_extract(
    dataset: Dataset = "toy",
    root: Root = None,
    annotations: Annotations = None,
    manifest: ManifestFile = None,
    dataset_options: DatasetOptions = None,
    model: Model = None,
    pretrained: Pretrained = None,
    cache: Cache = None,
    device: Device = "auto",
    precision: str = typer.Option("auto", help="auto, fp32, bf16 or fp16; for both sides of the comparison."),
    limit: int | None = typer.Option(None, min=1, help="Only the first so many videos."),
    json_output: Json = False,
) -> None:
    """Extract against a plain loop, against its own CPU time and against the bare encoder.

    Example: vlp bench extract --dataset toy --json
    """
    from vlp.cli.extracting import describe_encoder
    from vlp.pipeline.benchmarks.extraction import bench_extraction
    from vlp.pipeline.decoding.timeline import Timeline
    from vlp.pipeline.encoder_spec import spec_with_defaults
    from vlp.pipeline.planning import Part, Retry, Settings, plan_extraction

    spec = spec_with_defaults(dataset, model, pretrained)
    place = require_local(cache_place(cache), dataset, model)
    description, _ = describe_encoder(spec, place, device=device, precision=precision)
    plan = plan_extraction(
        DatasetSource(dataset, root, annotations, manifest, dataset_options).load(),
        description,
        Timeline.parse("fps:30"),
        cache=place,
        part=Part(),
        retry=Retry(),
        limit=limit,
    )
    _print(asdict(bench_extraction(plan, spec, Settings(device=device, precision=precision))), json_output)


@app.command("growth")
def bench_growth(
    dataset: Dataset = "toy",
    root: Root = None,
    manifest: ManifestFile = None,
    model: Model = None,
    pretrained: Pretrained = None,
    cache: Cache = None,
    small: int = typer.Option(100, min=1, help="Videos of the smaller extraction."),
    large: int = typer.Option(
        10_000, min=1, help="Videos of the larger one: the dataset's, again and again."
    ),
    listed: int = typer.Option(650_000, min=1, help="Videos of the list that is only planned."),
    keep: Annotated[Path | None, typer.Option(help="A new folder for links and stores, which stays.")] = None,
    json_output: Json = False,
) -> None:
    """Extract few videos and many, and plan very many: time a frame, peak memory, planning time.

    Example: vlp bench growth --dataset toy --json
    """
    from vlp.cli.extracting import describe_encoder
    from vlp.pipeline.benchmarks.growth import bench_growth as measure
    from vlp.pipeline.encoder_spec import spec_with_defaults
    from vlp.pipeline.planning import Settings

    spec = spec_with_defaults(dataset, model, pretrained)
    description, _ = describe_encoder(spec, cache_place(cache), device="auto", precision="auto")
    source = DatasetSource(dataset, root, None, manifest, None).load()
    if keep is not None and keep.exists() and any(keep.iterdir()):
        raise typer.BadParameter(f"{keep} is not empty", param_hint="--keep")
    with tempfile.TemporaryDirectory(prefix="vlp-bench-") as scratch:
        measured = measure(
            source,
            description,
            spec,
            Settings(),
            folder=keep or Path(scratch),
            num_small=small,
            num_large=large,
            num_listed=listed,
        )
    _print(asdict(measured), json_output)


@app.command("pixels")
def bench_pixels(
    dataset: Dataset = "toy",
    root: Root = None,
    annotations: Annotations = None,
    manifest: ManifestFile = None,
    dataset_options: DatasetOptions = None,
    model: Model = None,
    pretrained: Pretrained = None,
    num_videos: int = typer.Option(8, min=1, help="Videos, evenly spread over the list."),
    num_frames: int = typer.Option(32, min=1, help="Frames of each."),
    device: Device = "auto",
    json_output: Json = False,
) -> None:
    """Measure the codecs of stored pixels: bytes a frame, speed on one core, cosine to features without a codec.

    Example: vlp bench pixels --dataset toy --json
    """
    from vlp.pipeline.benchmarks.pixels import bench_pixels as measure
    from vlp.pipeline.encoder_spec import spec_with_defaults
    from vlp.pipeline.planning import spread_sample

    listed = DatasetSource(dataset, root, annotations, manifest, dataset_options).load()
    paths = [listed.absolute(video) for video in spread_sample(listed.videos, num_videos)]
    encoder = load_encoder(spec_with_defaults(dataset, model, pretrained), device)
    _print(asdict(measure(paths, encoder, num_frames=num_frames)), json_output)


@app.command("bank")
def bench_bank(
    dataset: Dataset = "toy",
    model: Model = None,
    pretrained: Pretrained = None,
    cache: Cache = None,
    store: StoreFolder = None,
    json_output: Json = False,
) -> None:
    """Gather clips from a store against a bare NumPy gather of the same rows, in RAM and from a memory map.

    Example: vlp bench bank --dataset toy --json
    """
    decode_nothing()
    from vlp.pipeline.benchmarks.bank import bench_bank as measure
    from vlp.pipeline.encoder_spec import spec_with_defaults
    from vlp.stores.features import FeatureStore

    spec = spec_with_defaults(dataset, model, pretrained)
    found = local_store(dataset, spec, cache=cache, store=store)
    _print(asdict(measure(FeatureStore.open(found))), json_output)


@app.command("codecs")
def bench_codecs(
    dataset: Dataset = "toy",
    root: Root = None,
    annotations: Annotations = None,
    manifest: ManifestFile = None,
    dataset_options: DatasetOptions = None,
    model: Model = None,
    pretrained: Pretrained = None,
    cache: Cache = None,
    store: StoreFolder = None,
    json_output: Json = False,
) -> None:
    """Pack a store's features by zstd and int8: bytes, reading speed, cosine, zero-shot accuracy, beside raw.

    Example: vlp bench codecs --dataset toy --json
    """
    decode_nothing()
    from vlp.pipeline.benchmarks.codecs import bench_codecs as measure
    from vlp.pipeline.coverage import cover_classes
    from vlp.pipeline.evaluation import top1_of_means

    source = DatasetSource(dataset, root, annotations, manifest, dataset_options)
    inputs = open_inputs(source, model=model, pretrained=pretrained, cache=cache, store=store)
    covered = cover_classes(inputs.manifest, inputs.store)[0]
    scored = top1_of_means(covered, inputs.manifest.classes, load_encoder(inputs.spec, "cpu"))
    found = measure(inputs.store, [video.video_id for video in covered.found], scored)
    _print(asdict(found), json_output)


@app.command("text")
def bench_text(
    num_classes: int = typer.Option(101, min=2, max=101, help="How many of UCF101's class names."),
    device: Device = "auto",
    json_output: Json = False,
) -> None:
    """Take a prompt-learning step through the text tower of a ViT-B against its plain 77-token path.

    Example: vlp bench text --json
    """
    decode_nothing()
    from vlp.pipeline.benchmarks.text import bench_text as measure

    _print(asdict(measure(num_classes=num_classes, device=device)), json_output)


@app.command("inference")
def bench_inference(
    method: Annotated[str, typer.Option(help="ju2022, actionclip, motion_prompts, …: see docs/methods.md.")],
    row: SettingsRow = None,
    config: SettingsFile = None,
    values: SettingValues = None,
    model: Annotated[
        str, typer.Option(help="open_clip's name, or toy; its weights are random.")
    ] = "ViT-B-16",
    num_classes: int = typer.Option(101, min=2, max=101, help="How many of UCF101's class names."),
    num_videos: int = typer.Option(4, min=1, help="Videos in a batch."),
    device: Device = "auto",
    json_output: Json = False,
) -> None:
    """Count the parameters and operations of a method with its encoder, and time the scoring of videos.

    Example: vlp bench inference --method motion_prompts --json
    """
    decode_nothing()
    from vlp.pipeline.benchmarks.inference import bench_inference as measure
    from vlp.pipeline.settings import resolve

    settings = resolve(method, row=row, file=config, overrides=values or ())
    measured = measure(settings, model=model, num_classes=num_classes, num_videos=num_videos, device=device)
    _print(asdict(measured), json_output)


def _print(measured: dict[str, object], json_output: bool) -> None:
    if json_output:
        print_json(measured)
    else:
        print_table(("figure", "value"), [(name, _short(value)) for name, value in measured.items()])


def _short(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_short(part)}" for name, part in value.items())
    return f"{value:,.3f}" if isinstance(value, float) else str(value)
