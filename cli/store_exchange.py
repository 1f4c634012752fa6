"""`vlp store export` and `vlp store import`: features for other programs, and from them."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from vlp.cli.console import err, out, print_json, print_table
from vlp.cli.errors import DONE, FAILED_VIDEOS
from vlp.cli.extract import timeline_of
from vlp.cli.options import Cache, Json, cache_place
from vlp.cli.progress import counted
from vlp.cli.store_options import OfDataset, OfModel, OfTag, StorePath, open_store

if TYPE_CHECKING:
    from vlp.stores.importing import Statement

_MOST_REFUSALS_SHOWN = 20


def export_store(
    to: Annotated[Path, typer.Option(help="The folder: new, empty, or of an earlier export of this store.")],
    path: StorePath = None,
    dataset: OfDataset = None,
    model: OfModel = None,
    pretrained: OfTag = None,
    file_format: Annotated[
        Literal["npy", "parquet"],
        typer.Option("--format", help="npy: one float16 file a video; parquet: one float32 row a frame."),
    ] = "npy",
    cache: Cache = None,
    json_output: Json = False,
) -> None:
    """Write the features as files that other programs read.

    Example: vlp store export --dataset thumos14 --to features/thumos14

    A rerun goes on where an earlier one ended. Exit status: 3 where a video's id cannot name a file.
    """
    from vlp.stores.export import export_features

    store = open_store(path, dataset, model, pretrained, cache)
    with counted("files") as shown:
        report = export_features(store, to, file_format=file_format, on_progress=shown)
    if json_output:
        print_json({"path": str(store.path), "to": str(to), "format": file_format, **asdict(report)})
    else:
        for video_id in report.refused[:_MOST_REFUSALS_SHOWN]:
            err.print(f"not exported: {video_id!r} cannot name a file", markup=False)
        out.print(
            f"{to}: {report.num_videos:,} videos, {report.num_rows:,} frames; {report.num_files:,} files written, "
            f"{report.num_bytes:,} bytes; {len(report.refused):,} refused.",
            markup=False,
        )
    raise typer.Exit(FAILED_VIDEOS if report.refused else DONE)


def import_store(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of .npy files, one a video.")],
    dataset: Annotated[str, typer.Option(help="Whose videos these are.")],
    model: Annotated[str, typer.Option(help="Which model made the features, as you know it.")],
    pretrained: Annotated[str, typer.Option(help="Its weights.")] = "unknown",
    fps: Annotated[
        str | None, typer.Option(help="Rows a second of video: a number; or native. Default: unknown.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, help="Instead of --fps: so many rows, evenly spread over each video.")
    ] = None,
    cache: Cache = None,
    json_output: Json = False,
) -> None:
    """Make a store of features that were made elsewhere: (rows, D) or (rows, views, D) floats a video.

    Example: vlp store import features/i3d --dataset thumos14 --model I3D --fps 7.5

    A video's id is the file's path without .npy. Exit status: 3 where files were refused.
    """
    from vlp.pipeline.planning import tool_versions
    from vlp.stores.importing import import_features

    said = _statement(dataset, model, pretrained, fps, frames)
    place = cache_place(cache)
    with counted("files") as shown:
        report = import_features(folder, said, cache=place, tool_versions=tool_versions(), on_progress=shown)
    if json_output:
        print_json({**asdict(report), "store": str(report.store)})
    else:
        err.print(f"Store: {report.store}", markup=False)
        out.print(
            f"{report.num_imported:,} imported, {report.num_skipped:,} there before, {len(report.refused):,} refused "
            f"of {report.num_files:,} files: {report.num_rows:,} rows."
        )
        shown_rows = [*report.refused.items()][:_MOST_REFUSALS_SHOWN]
        if shown_rows:
            print_table(("refused file", "why"), shown_rows)
        if len(report.refused) > _MOST_REFUSALS_SHOWN:
            out.print(f"… and {len(report.refused) - _MOST_REFUSALS_SHOWN:,} more (--json lists all).")
    raise typer.Exit(FAILED_VIDEOS if report.refused else DONE)


def _statement(dataset: str, model: str, pretrained: str, fps: str | None, frames: int | None) -> "Statement":
    from vlp.stores.importing import UNKNOWN, Statement
    from vlp.stores.storage import is_nameable

    for flag, value in (("--dataset", dataset), ("--model", model), ("--pretrained", pretrained)):
        if not value.strip() or not is_nameable(value):
            raise typer.BadParameter("a name is text of one line", param_hint=flag)
    if fps is None and frames is None:
        return Statement(dataset, model, pretrained, UNKNOWN)
    timeline = timeline_of(fps, frames)
    rate = timeline.rate_fps
    return Statement(dataset, model, pretrained, timeline.canonical, None if rate is None else float(rate))
