"""`vlp demo`: the whole way on a toy set that is rendered here, without a download."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlp.cli.console import err, out, print_json, print_table
from vlp.cli.extracting import describe_encoder, run_plan
from vlp.cli.options import Cache, Json, Runs, cache_place, require_local

if TYPE_CHECKING:
    from vlp.pipeline.demo import DemoRow
    from vlp.pipeline.demo_training import LearntRow, ToySet
    from vlp.pipeline.trial_results import TrialsResult
    from vlp.stores.places import Place


def demo(
    root: Annotated[
        Path | None, typer.Option(help="Where to render the toy set. Default: $VLP_DATA/toy.")
    ] = None,
    cache: Cache = None,
    runs: Runs = Path("runs"),
    json_output: Json = False,
) -> None:
    """Render a toy set of real MP4 and AVI files, extract it, name what it shows, learn, and write a report.

    Example: vlp demo
    """
    began = time.perf_counter()
    from vlp.datasplits import data_root, load_dataset
    from vlp.pipeline.toy.videos import render_toy_set

    folder = root or data_root("toy")
    err.print(f"Rendering the toy set into {folder} (once)", markup=False)
    rendered = render_toy_set(folder)
    store_folder, status = _extract(folder, require_local(cache_place(cache), "toy"))
    if status:
        raise typer.Exit(status)
    from vlp.pipeline.demo import measure_toy_set
    from vlp.pipeline.demo_training import ToySet, learn_closed_set, learn_from_few, on_one_thread
    from vlp.pipeline.encoder_spec import spec_with_defaults
    from vlp.pipeline.encoders import load_encoder
    from vlp.stores.features import FeatureStore

    encoder = load_encoder(spec_with_defaults("toy", None, None), device="cpu")
    toy = ToySet(FeatureStore.open(store_folder), encoder, load_dataset("toy", root=folder))
    objects = load_dataset("toy", root=folder, manifest=rendered.objects)
    with on_one_thread():
        rows = measure_toy_set(toy.store, encoder, toy.actions, objects)
        learnt = list(learn_closed_set(toy, _tell))
        few, novel = learn_from_few(toy, _tell)
        report = _report(toy, runs / "demo")
    seconds = time.perf_counter() - began
    if json_output:
        print_json(_as_json(rows, learnt, few, novel, report, seconds))
    else:
        _print(rows, learnt, few, novel)
        out.print(f"\nReport of one run: {report}\nDone in {seconds:.0f} s.", markup=False)


def _tell(line: str) -> None:
    err.print(line, markup=False)


def _report(toy: "ToySet", folder: Path) -> Path:
    """Train the temporal Transformer once more as a run of its own, test it, and put it on a page."""
    from vlp.cli.training_progress import show_training
    from vlp.pipeline.coverage import cover_classes
    from vlp.pipeline.demo_training import TEMPORAL_SETTINGS
    from vlp.pipeline.evaluation import evaluate_run
    from vlp.pipeline.report.page import write_report
    from vlp.pipeline.settings import resolve
    from vlp.pipeline.trained import load_run
    from vlp.pipeline.training_runs import config_of, plan_training, train_run
    from vlp.stores.runs import RunDirectory

    settings = resolve("ju2022", overrides=TEMPORAL_SETTINGS)
    plan = plan_training(toy.actions, toy.store)
    run = RunDirectory.create(folder, config_of(plan, settings, toy.store, toy.encoder))
    if not run.is_finished:
        with run.lock():
            show_training(train_run(run, plan, settings, toy.store, toy.encoder))
    trained = load_run(run, toy.encoder)
    tested = cover_classes(toy.actions, toy.store)
    result = evaluate_run("closed-set", trained, toy.actions, tested, toy.store, toy.encoder)
    run.write_result("closed-set-toy-default", result.to_json(with_videos=True))
    page = run.path / "report.html"
    write_report([run.path], page)
    return page


def _extract(folder: Path, cache: Path) -> "tuple[Place, int]":
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


def _as_json(
    rows: "Sequence[DemoRow]",
    learnt: "Sequence[LearntRow]",
    few: "TrialsResult",
    novel: "TrialsResult",
    report: Path,
    seconds: float,
) -> dict[str, object]:
    from vlp.pipeline.demo_training import PROMPTS, PROMPTS_TEMPORAL

    by_name = {row.what: row.top1 for row in rows}
    learnt_rows = {row.what: row.to_json() for row in learnt}
    names = {"prompts": PROMPTS, "prompts_temporal": PROMPTS_TEMPORAL}
    return {
        "accuracy": {
            "handwritten": by_name["actions, all"],
            **{short: learnt_rows[name]["top1"] for short, name in names.items()},
        },
        "accuracy_time_only": {
            "handwritten": by_name["actions that only time tells apart"],
            **{short: learnt_rows[name]["time_only"] for short, name in names.items()},
        },
        "rows": [vars(row) for row in rows],
        "learnt": list(learnt_rows.values()),
        "few_shot": {name: few.summary(name)[0] for name in few.metrics},
        "base_to_novel": {name: novel.summary(name)[0] for name in novel.metrics},
        "report": str(report),
        "seconds": round(seconds, 2),
    }


def _print(
    rows: "Sequence[DemoRow]",
    learnt: "Sequence[LearntRow]",
    few: "TrialsResult",
    novel: "TrialsResult",
) -> None:
    print_table(
        ("nothing trained: hand-written texts", "videos", "classes", "chance %", "top-1 %", "templates"),
        [
            (
                row.what,
                row.num_videos,
                row.num_classes,
                _percent(1 / row.num_classes),
                _percent(row.top1),
                row.template_set,
            )
            for row in rows
        ],
    )
    out.print()
    print_table(
        ("trained from the cache, 3 seeds: 16 actions", "all %", "time-only %", "one frame %"),
        [(row.what, _spread(row.top1), _spread(row.time_only), _spread(row.one_frame)) for row in learnt],
    )
    out.print()
    measured = [
        ("5 videos a class, all 16", few, "top1"),
        ("base: 8 videos of each of 8 classes", novel, "base"),
        ("novel: the other 8, never trained on", novel, "novel"),
        ("harmonic mean of base and novel", novel, "harmonic_mean"),
    ]
    print_table(
        ("learnt prompts from few videos, 3 seeds", "top-1 %"),
        [(what, _spread([trial.values[name] for trial in result.trials])) for what, result, name in measured],
    )
    out.print(
        "\nActions that only time tells apart come in pairs, such as growing and shrinking: single frames cannot\n"
        "tell the two apart, and a method that looks at time must. ±: half of the 95% interval (Student's t)."
    )


def _spread(values: Sequence[float]) -> str:
    from vlp.pipeline.metrics.intervals import mean_interval

    mean, half = mean_interval(values)
    return f"{_percent(mean)} ± {_percent(half or 0.0)}"


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f}"
