"""What every command that extracts does: describe the encoder, show the plan, run it, sum it up."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from vlp.cli.console import err, out, print_json
from vlp.cli.distribution import Run, over_workers
from vlp.cli.progress import display
from vlp.cli.summary import Summary

if TYPE_CHECKING:
    from vlp.pipeline.distribution import Distribution
    from vlp.pipeline.encoder_spec import EncoderDescription, EncoderSpec
    from vlp.pipeline.encoders import FrozenEncoder
    from vlp.pipeline.pixel_format import PixelFormat
    from vlp.pipeline.planning import ExtractionPlan, Settings
    from vlp.stores.places import Place


def run_plan(
    plan: "ExtractionPlan",
    spec: "EncoderSpec | PixelFormat",
    settings: "Settings",
    *,
    encoder: "FrozenEncoder | None" = None,
    superseding: frozenset[str] = frozenset(),
    distribution: "Distribution | None" = None,
    json_output: bool = False,
    show: Console = out,
) -> int:
    """Extract what is pending, show it, and return the exit status.

    Args:
        plan: what to do.
        spec: the encoder, or how pixels are stored.
        settings: how to do it.
        encoder: reused if already loaded.
        superseding: videos whose stored rows give way.
        distribution: over which workers; None is this process alone.
        json_output: end with one JSON object on stdout instead of lines.
        show: where the lines go.
    """
    print_plan(plan)
    summary = Summary(plan)
    if plan.pending:
        if distribution is None:
            events = _in_this_process(plan, spec, settings, encoder=encoder, superseding=superseding)
        else:
            events = over_workers(plan, spec, settings, distribution)
        _run(plan, summary, events, counts_encoded=distribution is not None)
    if json_output:
        print_json(summary.as_json())
    else:
        summary.print(show)
    return summary.exit_status


def _run(plan: "ExtractionPlan", summary: "Summary", events: Run, *, counts_encoded: bool) -> None:
    from vlp.pipeline.estimation import check_disk
    from vlp.pipeline.events import VideoEncoded, VideoFinished
    from vlp.pipeline.stopping import StopRequest

    check_disk(plan)
    counted = VideoEncoded if counts_encoded else VideoFinished  # workers tell of a video before it is stored
    began = time.perf_counter()
    with StopRequest() as stop, display(len(plan.pending), summary.seconds) as shown:
        for event in events(summary.seconds, stop):
            summary.add(event)
            if isinstance(event, counted):
                shown.advance(event.num_rows)
    summary.wall_seconds = time.perf_counter() - began


def _in_this_process(
    plan: "ExtractionPlan",
    spec: "EncoderSpec | PixelFormat",
    settings: "Settings",
    *,
    encoder: "FrozenEncoder | None",
    superseding: frozenset[str],
) -> Run:
    from vlp.pipeline.extraction import run_extraction

    return lambda seconds, stop: run_extraction(
        plan, spec, settings, seconds=seconds, stop=stop, encoder=encoder, superseding=superseding
    )


def print_plan(plan: "ExtractionPlan") -> None:
    """Say on stderr what is to be done."""
    notes, lines = _stored(plan)
    for note in (*plan.manifest.notes, *notes):
        err.print(f"Note: {note}", markup=False)
    err.print(
        f"{lines}\n"
        f"Store: {plan.store}\n"
        f"Videos: {len(plan.listed):,} listed, {plan.num_skipped:,} done before, "
        f"{len(plan.kept_failures):,} failed before, {len(plan.pending):,} to do",
        markup=False,
    )


def _stored(plan: "ExtractionPlan") -> tuple[Sequence[str], str]:
    """Say what is stored of a frame: notes, and the lines."""
    from vlp.pipeline.pixel_format import SHORT_SIDE, PixelFormat

    description = plan.description
    if isinstance(description, PixelFormat):
        return (), f"Pixels: uncropped, short side {SHORT_SIDE}, {description.codec}"
    weights = f"{description.model}, {description.pretrained}, weights {description.weights_sha256[:12]}"
    views = f"{', '.join(plan.framing.views)}, preprocess {plan.framing.variant}"
    return description.notes, f"Encoder: {weights}\nViews: {views}"


def describe(
    spec: "EncoderSpec | PixelFormat", cache: "Place", *, device: str = "auto", precision: str = "auto"
) -> "tuple[EncoderDescription | PixelFormat, FrozenEncoder | None]":
    """Describe an encoder (`describe_encoder`); how pixels are stored says all of itself."""
    from vlp.pipeline.pixel_format import PixelFormat

    if isinstance(spec, PixelFormat):
        return spec, None
    return describe_encoder(spec, cache, device=device, precision=precision)


def describe_encoder(
    spec: "EncoderSpec", cache: "Place", *, device: str = "auto", precision: str = "auto"
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
