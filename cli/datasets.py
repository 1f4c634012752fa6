"""`vlp datasets`: which datasets there are, how they must lie on disk, and what is found of them."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlp.cli.console import err, out, print_json, print_table
from vlp.cli.inputs import DatasetSource
from vlp.cli.options import Annotations, DatasetOptions, Json, ManifestFile, Root

if TYPE_CHECKING:
    from vlp.datasplits.presence import Count, Presence

app = typer.Typer(
    name="datasets", help="List datasets, show their layout, check what is on disk.", no_args_is_help=True
)

Name = Annotated[str, typer.Argument(help="Which dataset: see `vlp datasets ls`.")]
_MOST_SHOWN = 10


@app.command("ls")
def list_datasets(json_output: Json = False) -> None:
    """List the datasets, their published sizes, and where to get them.

    Example: vlp datasets ls
    """
    from vlp.datasplits import DATASETS, dataset_module

    modules = {name: dataset_module(name) for name in sorted(DATASETS)}
    if json_output:
        print_json({"datasets": {name: _facts(module) for name, module in modules.items()}})
        return
    rows = [
        (
            name,
            _published(module, "videos"),
            _published(module, "classes"),
            ", ".join(_split_names(module)) or "-",
            module.SOURCE,
        )
        for name, module in modules.items()
    ]
    print_table(("dataset", "videos", "classes", "splits", "where to get it"), rows)


@app.command("show")
def show(name: Name, json_output: Json = False) -> None:
    """Show where to get a dataset, how it must lie on disk, and its published counts.

    Example: vlp datasets show ucf101
    """
    from vlp.datasplits import data_root, dataset_module, options_of
    from vlp.datasplits.class_lists import CLASS_LISTS

    module = dataset_module(name)
    if json_output:
        print_json({"dataset": name, **_facts(module), "default_root": str(data_root(name))})
        return
    out.print(f"{name}\nFrom: {module.SOURCE}\nLayout: {module.LAYOUT}", markup=False)
    out.print(f"ROOT: {data_root(name)}, unless --root says otherwise", markup=False)
    for option, choice in options_of(name).items():
        values = f" ({', '.join(choice.choices)})" if choice.choices else ""
        out.print(
            f"--dataset-option {option}={choice.default}{values}: {choice.help}", markup=False, soft_wrap=True
        )
    lists = [listed for listed in CLASS_LISTS if listed.startswith(f"{name}-")]
    if lists:
        out.print(f"--classes: {', '.join(lists)}", markup=False)
    if module.PUBLISHED:
        print_table(("published", "count"), [(key, f"{count:,}") for key, count in module.PUBLISHED.items()])


@app.command("check")
def check(
    name: Name,
    root: Root = None,
    annotations: Annotations = None,
    manifest: ManifestFile = None,
    dataset_options: DatasetOptions = None,
    missing_file: Annotated[
        Path | None,
        typer.Option(
            help="Write the ids of all missing videos to this file, one a line.",
            dir_okay=False,
            writable=True,
        ),
    ] = None,
    json_output: Json = False,
) -> None:
    """Compare the lists with the published counts, and the files on disk with the lists.

    Example: vlp datasets check ucf101 --root /data/UCF-101

    Exit status: 0 when every listed video is there, 1 otherwise.
    """
    from vlp.datasplits.presence import find_videos

    if missing_file is not None and not missing_file.parent.is_dir():
        raise typer.BadParameter(f"there is no folder {missing_file.parent}", param_hint="--missing-file")
    presence = find_videos(DatasetSource(name, root, annotations, manifest, dataset_options).load())
    if missing_file is not None:
        missing_file.write_text("".join(f"{video.video_id}\n" for video in presence.missing), "utf-8")
    if json_output:
        print_json(_check_json(presence))
    else:
        _print_check(presence, missing_file)
    raise typer.Exit(1 if presence.missing else 0)


def _facts(module: Any) -> dict[str, object]:
    splits = _split_names(module)
    options = {name: asdict(option) for name, option in getattr(module, "OPTIONS", {}).items()}
    return {
        "source": module.SOURCE,
        "layout": module.LAYOUT,
        "splits": splits,
        "published": module.PUBLISHED,
        "options": options,
    }


def _published(module: Any, what: str) -> str:
    return f"{module.PUBLISHED[what]:,}" if what in module.PUBLISHED else "-"


def _split_names(module: Any) -> list[str]:
    """Names of the official splits: published counts of them are called "SPLIT ROLE"."""
    return list(dict.fromkeys(key.split(" ")[0] for key in module.PUBLISHED if " " in key))


def _check_json(presence: "Presence") -> dict[str, object]:
    from vlp.datasplits.outlook import outlook

    listed = presence.manifest
    return {
        "dataset": listed.dataset,
        "root": str(listed.root),
        "num_classes": len(listed.classes),
        "videos": _counts_json(presence.by_split()),
        "classes": _counts_json(presence.by_class()),
        "later": [asdict(expectation) for expectation in outlook(presence)],
        "missing": [video.video_id for video in presence.missing],
        "unlisted": list(presence.unlisted),
        "notes": list(listed.notes),
    }


def _counts_json(counts: "list[Count]") -> dict[str, dict[str, int]]:
    return {count.name: {"listed": count.num_listed, "missing": count.num_missing} for count in counts}


def _print_check(presence: "Presence", missing_file: Path | None) -> None:
    listed = presence.manifest
    out.print(f"{listed.dataset} in {listed.root}: {len(listed.classes):,} classes", markup=False)
    _print_counts("videos of", presence.by_split())
    for note in listed.notes:
        err.print(f"Note: {note}", markup=False)
    if presence.missing:
        _print_missing(presence, missing_file)
    if presence.unlisted:
        out.print("")
        print_table(("on disk, in no list",), [(path,) for path in presence.unlisted[:_MOST_SHOWN]])
        _print_rest(len(presence.unlisted), "--json lists all")
    _print_outlook(presence)


def _print_outlook(presence: "Presence") -> None:
    from vlp.datasplits.outlook import outlook

    out.print("")
    rows = [(expectation.stage, expectation.report) for expectation in outlook(presence)]
    print_table(("later stage", "will report"), rows)


def _print_missing(presence: "Presence", missing_file: Path | None) -> None:
    missing = presence.missing
    classes = sorted(
        (count for count in presence.by_class() if count.num_missing), key=lambda count: -count.num_missing
    )
    if classes:
        out.print("")
        _print_counts("class", classes[:_MOST_SHOWN])
        _print_rest(len(classes), "--json lists all")
    out.print("")
    print_table(("missing video", "looked for at"), [(v.video_id, v.path) for v in missing[:_MOST_SHOWN]])
    _print_rest(
        len(missing), "--missing-file FILE writes all" if missing_file is None else f"all in {missing_file}"
    )


def _print_counts(what: str, counts: "list[Count]") -> None:
    rows = [
        (
            count.name,
            f"{count.num_listed:,}",
            f"{count.num_listed - count.num_missing:,}",
            f"{count.num_missing:,}",
        )
        for count in counts
    ]
    print_table((what, "listed", "found", "missing"), rows)


def _print_rest(count: int, how: str) -> None:
    if count > _MOST_SHOWN:
        out.print(f"… and {count - _MOST_SHOWN:,} more ({how})", markup=False)
