"""`vlp demo`: the whole way on a toy set that is rendered here, without a download."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlp.cli.console import err, out, print_json, print_table
from vlp.cli.extract import describe_encoder, run_plan
from vlp.cli.options import Cache, Json, cache_folder

if TYPE_CHECKING:
    from vlp.pipeline.demo import DemoRow


def demo(
    root: Annotated[
        Path | None, typer.Option(help="Where to render the toy set. Default: $VLP_DATA/toy.")
    ] = None,
    cache: Cache = None,
    json_output: Json = False,
) -> None:
    """Render a toy set of real MP4 and AVI files, extract it, and name what it shows, without training.

    Example: vlp demo
    """
    began = time.perf_counter()
    from vlp.datasplits import data_root, load_dataset
    from vlp.pipeline.toy.videos import render_toy_set

    folder = root or data_root("toy")
    err.print(f"Rendering the toy set into {folder} (once)", markup=False)
    rendered = render_toy_set(folder)
    store_folder, status = _extract(folder, cache_folder(cache))
    if status:
        raise typer.Exit(status)
    from vlp.pipeline.demo import measure_toy_set
    from vlp.pipeline.encoder_spec import spec_with_defaults
    from vlp.pipeline.encoders import load_encoder
    from vlp.stores.features import FeatureStore

    rows = measure_toy_set(
        FeatureStore.open(store_folder),
        load_encoder(spec_with_defaults("toy", None, None), device="cpu"),
        load_dataset("toy", root=folder),
        load_dataset("toy", root=folder, manifest=rendered.objects),
    )
    _print(rows, time.perf_counter() - began, json_output=json_output)


def _extract(folder: Path, cache: Path) -> tuple[Path, int]:
    """Extract what is missing; return the store and the exit status."""
    from vlp.datasplits import load_dataset
    from vlp.pipeline.decoding.timeline import Timeline
    from vlp.pipeline.encoder_spec import spec_with_defaults
    from vlp.pipeline.planning import Part, Retry, Settings, plan_extraction

    spec = spec_with_defaults("toy", None, None)
    description, encoder = describe_encoder(spec, cache)
    manifest = load_dataset("toy", root=folder)
    plan = plan_extraction(
        manifest, description, Timeline.parse("fps:30"), cache=cache, part=Part(), retry=Retry()
    )
    return plan.store, run_plan(plan, spec, Settings(), encoder=encoder, show=err)


def _print(rows: "tuple[DemoRow, ...]", seconds: float, *, json_output: bool) -> None:
    by_name = {row.what: row.top1 for row in rows}
    if json_output:
        print_json(
            {
                "accuracy": {"handwritten": by_name["actions, all"]},
                "accuracy_time_only": {"handwritten": by_name["actions that only time tells apart"]},
                "rows": [vars(row) for row in rows],
                "seconds": round(seconds, 2),
            }
        )
        return
    print_table(
        ("zero-shot, nothing trained", "videos", "classes", "chance %", "top-1 %", "templates"),
        [
            (
                row.what,
                row.num_videos,
                row.num_classes,
                f"{100 / row.num_classes:.1f}",
                f"{100 * row.top1:.1f}",
                row.template_set,
            )
            for row in rows
        ],
    )
    out.print(
        "\nActions that only time tells apart come in pairs, such as growing and shrinking: single frames cannot\n"
        f"tell the two apart, and a method that looks at time must. Done in {seconds:.0f} s."
    )
