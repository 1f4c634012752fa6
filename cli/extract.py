"""`vlp extract`: stage 1, from videos to a store of frame features."""

import time
from collections.abc import Collection
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from vlp.cli.console import err, out, print_json, print_table
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
from vlp.cli.progress import display, duration, shares

if TYPE_CHECKING:
    from vlp.pipeline.decoding.timeline import Timeline
    from vlp.pipeline.encoder_spec import EncoderDescription, EncoderSpec
    from vlp.pipeline.encoders import FrozenEncoder
    from vlp.pipeline.events import Event
    from vlp.pipeline.planning import ExtractionPlan, Settings
    from vlp.stores.features import FeatureStore

_MOST_FAILURES_SHOWN = 20


def extract(
    dataset: Dataset,
    root: Root = None,
    annotations: Annotations = None,
    manifest: ManifestFile = None,
    model: Model = None,
    pretrained: Pretrained = None,
    fps: Annotated[
        str | None, typer.Option(help="Frames stored a second of video: a number, or native. Default: 30.")
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(min=1, help="Instead of --fps: so many frames, evenly spread over each video."),
    ] = None,
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

    A rerun extracts only what is missing. Exit status: 0 done, 1 error, 3 finished with failed videos,
    130/143 interrupted.
    """
    from vlp.datasplits import load_dataset
    from vlp.pipeline.encoder_spec import spec_with_defaults
    from vlp.pipeline.planning import Part, Retry, Settings, plan_extraction

    if fps is not None and frames is not None:
        raise typer.BadParameter("choose one of --fps and --frames", param_hint="--frames")
    spec = spec_with_defaults(dataset, model, pretrained)
    description, encoder = describe_encoder(spec, cache_folder(cache), device=device, precision=precision)
    plan = plan_extraction(
        load_dataset(dataset, root=root, annotations=annotations, manifest=manifest),
        description,
        _timeline(fps, frames),
        cache=cache_folder(cache),
        part=Part.parse(part),
        retry=Retry.parse(retry),
        limit=limit,
        forced_precision=None if precision == "auto" else precision,
    )
    settings = Settings(device=device, precision=precision, batch_size=batch_size, num_children=children)
    if dry_run:
        _print_estimate(plan, spec, settings, json_output=json_output)
    else:
        raise typer.Exit(run_plan(plan, spec, settings, encoder=encoder, json_output=json_output))


def run_plan(
    plan: "ExtractionPlan",
    spec: "EncoderSpec",
    settings: "Settings",
    *,
    encoder: "FrozenEncoder | None" = None,
    superseding: frozenset[str] = frozenset(),
    json_output: bool = False,
    show: Console = out,
) -> int:
    """Extract what is pending, show it, and return the exit status.

    Args:
        plan: what to do.
        spec: the encoder.
        settings: how to do it.
        encoder: reused if already loaded.
        superseding: videos whose stored rows give way.
        json_output: end with one JSON object on stdout instead of lines.
        show: where the lines go.
    """
    _print_plan(plan)
    summary = _Summary(plan)
    if plan.pending:
        _run(plan, spec, settings, summary, encoder=encoder, superseding=superseding)
    if json_output:
        print_json(summary.as_json())
    else:
        summary.print(show)
    return summary.exit_status


def _run(
    plan: "ExtractionPlan",
    spec: "EncoderSpec",
    settings: "Settings",
    summary: "_Summary",
    *,
    encoder: "FrozenEncoder | None",
    superseding: frozenset[str],
) -> None:
    from vlp.pipeline.estimation import check_disk
    from vlp.pipeline.events import VideoFinished
    from vlp.pipeline.extraction import run_extraction
    from vlp.pipeline.stopping import StopRequest

    check_disk(plan)
    began = time.perf_counter()
    with StopRequest() as stop, display(len(plan.pending), summary.seconds) as shown:
        for event in run_extraction(
            plan, spec, settings, seconds=summary.seconds, stop=stop, encoder=encoder, superseding=superseding
        ):
            summary.add(event)
            if isinstance(event, VideoFinished):
                shown.advance(event.num_rows)
    summary.wall_seconds = time.perf_counter() - began


def _print_plan(plan: "ExtractionPlan") -> None:
    description = plan.description
    for note in (*plan.manifest.notes, *description.notes):
        err.print(f"Note: {note}", markup=False)
    err.print(
        f"Encoder: {description.model}, {description.pretrained}, weights {description.weights_sha256[:12]}\n"
        f"Store: {plan.store}\n"
        f"Videos: {len(plan.listed):,} listed, {plan.num_skipped:,} done before, "
        f"{len(plan.kept_failures):,} failed before, {len(plan.pending):,} to do",
        markup=False,
    )


class _Summary:
    """Totals of a run, and how it ended."""

    def __init__(self, plan: "ExtractionPlan") -> None:
        from vlp.pipeline.events import Counts, StageSeconds

        self.plan = plan
        self.seconds = StageSeconds()
        self.counts = Counts()
        self.wall_seconds = 0.0
        self.failures: list[tuple[str, str, str]] = [
            (failure.video_id, failure.reason, failure.detail) for failure in plan.kept_failures
        ]
        self.shrunk_to: int | None = None
        self.signal: int | None = None

    def add(self, event: "Event") -> None:
        """Take one event of the run."""
        from vlp.pipeline.events import BatchShrunk, Started, Stopped, VideoFinished

        if isinstance(event, Started):
            err.print(
                f"Run: {event.precision} on {event.device}, batches of {event.batch_size}, "
                f"{event.num_children} decode processes"
            )
        elif isinstance(event, VideoFinished):
            self.counts.add(event)
            if event.status == "failed":
                self.failures.append((event.video_id, event.reason or "", event.detail))
        elif isinstance(event, BatchShrunk):
            self.shrunk_to = event.batch_size
            err.print(f"The device ran out of memory: the batch is now {event.batch_size} frames.")
        elif isinstance(event, Stopped):
            self.signal = event.signal

    @property
    def num_failed(self) -> int:
        """Failures of this run and those kept from earlier ones."""
        return self.counts.failed + len(self.plan.kept_failures)

    @property
    def num_accounted(self) -> int:
        """Ok + short + failed + skipped: all that is listed, unless the run was interrupted."""
        return self.counts.ok + self.counts.short + self.num_failed + self.plan.num_skipped

    @property
    def exit_status(self) -> int:
        """128 + signal, 3 with failed videos, 1 where videos are unaccounted for, else 0."""
        if self.signal is not None:
            return 128 + self.signal
        if self.num_accounted != len(self.plan.listed):
            return 1
        return 3 if self.num_failed else 0

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain data."""
        counts = asdict(self.counts)
        return {
            "dataset": self.plan.manifest.dataset,
            "store": str(self.plan.store),
            "fingerprint": self.plan.fingerprint,
            "listed": len(self.plan.listed),
            "skipped": self.plan.num_skipped,
            **{**counts, "failed": self.num_failed},
            "interrupted_by": self.signal,
            "batch_shrunk_to": self.shrunk_to,
            "wall_seconds": round(self.wall_seconds, 3),
            "stage_seconds": {name: round(value, 3) for name, value in asdict(self.seconds).items()},
            "bottleneck": self.seconds.bottleneck if self.wall_seconds else None,
            "failures": [
                dict(zip(("video_id", "reason", "detail"), row, strict=True)) for row in self.failures
            ],
        }

    def print(self, out: Console) -> None:
        """Print what a person wants to know at the end."""
        counts = self.counts
        if not self.plan.pending:
            out.print(
                f"Nothing to do: {self.plan.num_skipped:,} of {len(self.plan.listed):,} videos are extracted."
            )
        else:
            out.print(
                f"{counts.ok:,} ok, {counts.short:,} short, {self.num_failed:,} failed, "
                f"{self.plan.num_skipped:,} skipped of {len(self.plan.listed):,} videos: "
                f"{counts.num_rows:,} frames in {duration(self.wall_seconds)} "
                f"({counts.num_rows / max(self.wall_seconds, 1e-9):,.0f} frames/s)"
            )
            out.print(shares(self.seconds).capitalize() + ".")
        if self.failures:
            columns = ("failed video", "reason", "what happened")
            print_table(columns, self.failures[:_MOST_FAILURES_SHOWN], console=out)
            if len(self.failures) > _MOST_FAILURES_SHOWN:
                out.print(f"… and {len(self.failures) - _MOST_FAILURES_SHOWN:,} more (--json lists all).")
            err.print("Run it again with --retry failed, or --retry failed:REASON, once the cause is mended.")
        if self.signal is not None:
            err.print("Interrupted: what was whole is committed. The same command goes on from here.")


def describe_encoder(
    spec: "EncoderSpec", cache: Path, *, device: str = "auto", precision: str = "auto"
) -> "tuple[EncoderDescription, FrozenEncoder | None]":
    """Describe an encoder from memory, or load it and remember."""
    from vlp.pipeline.encoder_spec import remember_description, remembered_description

    known = remembered_description(spec, cache)
    if known is not None:
        return known, None
    from vlp.pipeline.encoders import load_encoder

    encoder = load_encoder(spec, device=device, precision=precision)
    remember_description(spec, encoder.weights_file, cache, encoder.description)
    return encoder.description, encoder


def _timeline(fps: str | None, frames: int | None) -> "Timeline":
    from vlp.pipeline.decoding.timeline import Timeline

    if frames is not None:
        return Timeline.parse(f"frames:{frames}")
    return Timeline.parse("native" if fps == "native" else f"fps:{fps or 30}")


def _print_estimate(
    plan: "ExtractionPlan", spec: "EncoderSpec", settings: "Settings", *, json_output: bool
) -> None:
    from vlp.pipeline.estimation import estimate

    _print_plan(plan)
    found = estimate(plan, spec, settings)
    if json_output:
        print_json({"fingerprint": plan.fingerprint, "store": str(plan.store), **asdict(found)})
        return
    about = "about " if found.is_sampled else ""
    out.print(
        f"{found.num_videos:,} videos, {about}{found.num_frames:,} frames to store, "
        f"{about}{found.num_bytes / 1e6:,.1f} MB, {found.free_bytes / 1e9:,.1f} GB free on that disk\n"
        f"{found.num_unreadable:,} of {found.num_probed:,} files looked at cannot be read\n"
        f"Time: about {duration(found.seconds)} at {found.frames_per_second:,.0f} frames/s, measured on "
        f"{found.num_measured} videos\n"
        f"Fingerprint: {plan.fingerprint}"
    )


def repair_store(
    store: "FeatureStore",
    video_ids: Collection[str],
    *,
    root: Path | None = None,
    annotations: Path | None = None,
    manifest: Path | None = None,
    weights: Path | None = None,
    cache: Path,
) -> int:
    """Extract videos of a store again, in place of their damaged rows; return the exit status.

    Args:
        store: where they are damaged.
        video_ids: which.
        root: folder of the videos, as for `extract`.
        annotations: folder of the official lists.
        manifest: a list that replaces the official ones.
        weights: the weights file, if the store was made from one.
        cache: where descriptions of encoders are remembered.

    Raises:
        StoreMismatch: if the encoder is not the store's.
    """
    from vlp.datasplits import load_dataset
    from vlp.pipeline.decoding.timeline import Timeline
    from vlp.pipeline.encoder_spec import EncoderSpec
    from vlp.pipeline.planning import Part, Retry, Settings, plan_extraction

    spec = EncoderSpec(store.model, str(weights.absolute()) if weights else store.pretrained)
    description, encoder = describe_encoder(spec, cache)
    precision = store.meaning.get("precision")
    plan = plan_extraction(
        load_dataset(store.dataset, root=root, annotations=annotations, manifest=manifest),
        description,
        Timeline.parse(str(store.meaning["timeline"])),
        cache=cache,
        part=Part(),
        retry=Retry(),
        forced_precision=None if precision is None else str(precision),
    )
    store.check_meaning(plan.meaning)
    damaged = tuple(video for video in plan.listed if video.video_id in video_ids)
    plan = replace(plan, store=store.path, listed=damaged, pending=damaged, kept_failures=())
    settings = Settings(precision="auto" if precision is None else str(precision))
    return run_plan(plan, spec, settings, encoder=encoder, superseding=frozenset(video_ids), show=err)
