"""`vlp extract`: stage 1, from videos to a store of frame features."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from vlp.cli.console import out, print_json
from vlp.cli.distribution import Scheduler, StallSeconds, UnitVideos, Workers, distribution_of
from vlp.cli.extracting import describe, print_plan, run_plan
from vlp.cli.inputs import DatasetSource
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
    cache_place,
)
from vlp.cli.progress import duration

if TYPE_CHECKING:
    from vlp.pipeline.decoding.timeline import Timeline
    from vlp.pipeline.encoder_spec import EncoderSpec
    from vlp.pipeline.pixel_format import PixelFormat
    from vlp.pipeline.planning import ExtractionPlan, Settings


def extract(
    dataset: Dataset,
    root: Root = None,
    annotations: Annotations = None,
    manifest: ManifestFile = None,
    dataset_options: DatasetOptions = None,
    model: Model = None,
    pretrained: Pretrained = None,
    fps: Annotated[
        str | None, typer.Option(help="Frames stored a second of video: a number, or native. Default: 30.")
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(min=1, help="Instead of --fps: so many frames, evenly spread over each video."),
    ] = None,
    level: Annotated[
        str,
        typer.Option(
            help="embedding: an encoder's features; pixels: frames, for methods that work inside it."
        ),
    ] = "embedding",
    codec: Annotated[
        str | None, typer.Option(help="Of pixels: jpeg, of quality 95, or lossless. Default: jpeg.")
    ] = None,
    views: Annotated[
        str,
        typer.Option(
            help="1: the centre; 2: opposite corners; 3: along the long side; 4: all corners; flip: and mirrored."
        ),
    ] = "1",
    preprocess: Annotated[
        str,
        typer.Option(
            help="model: its own resize and crop; short256-center224: the short side to 256, then a crop of 224."
        ),
    ] = "model",
    cache: Cache = None,
    device: Device = "auto",
    precision: Annotated[
        str, typer.Option(help="auto, fp32, bf16 or fp16. One that is named becomes part of the fingerprint.")
    ] = "auto",
    batch_size: Annotated[int | None, typer.Option(min=1, help="Frames a batch. Default: by device.")] = None,
    children: Annotated[
        int | None, typer.Option(min=1, help="Decode processes. Default: one a core.")
    ] = None,
    part: Annotated[
        str, typer.Option(help="i/n: only the i-th of n shares of the videos, i from 0.")
    ] = "0/1",
    scheduler: Scheduler = None,
    workers: Workers = None,
    unit_videos: UnitVideos = None,
    stall_seconds: StallSeconds = 300.0,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many videos.")] = None,
    retry: Annotated[
        str | None, typer.Option(help="failed, or failed:REASON: try failures of earlier runs again.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done, and how long.")
    ] = False,
    json_output: Json = False,
) -> None:
    """Run a frozen CLIP image encoder over every video, once, into a store of frame features.

    Example: vlp extract --dataset ucf101 --root /data/UCF-101

    With --level pixels the frames themselves are stored, uncropped, with a short side of 256.

    A rerun extracts only what is missing. Exit status: 0 done, 1 error, 3 finished with failed videos,
    130/143 interrupted.
    """
    from vlp.pipeline.encoder_spec import spec_with_defaults
    from vlp.pipeline.framing import Framing
    from vlp.pipeline.pixel_format import PixelFormat
    from vlp.pipeline.planning import Part, Retry, Settings, plan_extraction

    distribution = distribution_of(scheduler, workers, unit_videos, stall_seconds, is_dry=dry_run)
    share, again, timeline = Part.parse(part), Retry.parse(retry), timeline_of(fps, frames)
    framing = Framing.parse(views, preprocess)
    of_an_encoder = {
        "--model": model is not None,
        "--pretrained": pretrained is not None,
        "--views": views != "1",
        "--preprocess": preprocess != "model",
        "--precision": precision != "auto",
    }
    _check_level(level, codec, [option for option, given in of_an_encoder.items() if given])
    listed = DatasetSource(dataset, root, annotations, manifest, dataset_options).load()
    spec = (
        PixelFormat(codec or "jpeg") if level == "pixels" else spec_with_defaults(dataset, model, pretrained)
    )
    description, encoder = describe(spec, cache_place(cache), device=device, precision=precision)
    plan = plan_extraction(
        listed,
        description,
        timeline,
        framing,
        cache=cache_place(cache),
        part=share,
        retry=again,
        limit=limit,
        forced_precision=None if precision == "auto" else precision,
    )
    settings = Settings(device=device, precision=precision, batch_size=batch_size, num_children=children)
    if dry_run:
        _print_estimate(plan, spec, settings, json_output=json_output)
    else:
        raise typer.Exit(
            run_plan(
                plan, spec, settings, encoder=encoder, distribution=distribution, json_output=json_output
            )
        )


def _check_level(level: str, codec: str | None, of_an_encoder: Sequence[str]) -> None:
    from vlp.stores.layout import LEVELS

    if level not in LEVELS:
        raise typer.BadParameter(f"{level!r} is none of {', '.join(LEVELS)}", param_hint="--level")
    if level != "pixels" and codec is not None:
        raise typer.BadParameter("only a store of pixels has a codec: --level pixels", param_hint="--codec")
    if level == "pixels" and of_an_encoder:
        raise typer.BadParameter(
            "pixels are stored uncropped, without an encoder", param_hint=of_an_encoder[0]
        )


def timeline_of(fps: str | None, frames: int | None) -> "Timeline":
    """Read --fps and --frames; 30 frames a second if neither is given.

    Raises:
        typer.BadParameter: if both are given.
        BadTimeline: for a rate that is none.
    """
    from vlp.pipeline.decoding.timeline import Timeline

    if fps is not None and frames is not None:
        raise typer.BadParameter("choose one of --fps and --frames", param_hint="--frames")
    if frames is not None:
        return Timeline.parse(f"frames:{frames}")
    return Timeline.parse("native" if fps == "native" else f"fps:{fps or 30}")


def _print_estimate(
    plan: "ExtractionPlan", spec: "EncoderSpec | PixelFormat", settings: "Settings", *, json_output: bool
) -> None:
    from vlp.pipeline.estimation import estimate

    print_plan(plan)
    found = estimate(plan, spec, settings)
    if json_output:
        print_json({"fingerprint": plan.fingerprint, "store": str(plan.store), **asdict(found)})
        return
    about = "about " if found.is_sampled else ""
    free = "" if found.free_bytes is None else f", {found.free_bytes / 1e9:,.1f} GB free on that disk"
    out.print(
        f"{found.num_videos:,} videos, {about}{found.num_frames:,} frames to store, {_in_views(found.num_views)}"
        f"{about}{found.num_bytes / 1e6:,.1f} MB{free}\n"
        f"{found.num_unreadable:,} of {found.num_probed:,} files looked at cannot be read\n"
        f"Time: about {duration(found.seconds)} at {found.frames_per_second:,.0f} frames/s, measured on "
        f"{found.num_measured} videos\n"
        f"Fingerprint: {plan.fingerprint}"
    )


def _in_views(num_views: int) -> str:
    return "" if num_views == 1 else f"each in {num_views} views, "
