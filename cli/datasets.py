"""`vlp datasets`: which datasets there are, how they must lie on disk, and what is found of them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlp.cli.console import err, out, print_json, print_table
from vlp.cli.options import Annotations, Json, ManifestFile, Root

if TYPE_CHECKING:
    from vlp.datasplits.manifest import Manifest, Video

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
        (name, _count(module, "videos"), _count(module, "classes"), module.SOURCE)
        for name, module in modules.items()
    ]
    print_table(("dataset", "videos", "classes", "where to get it"), rows)


@app.command("show")
def show(name: Name, json_output: Json = False) -> None:
    """Show where to get a dataset, how it must lie on disk, and its published counts.

    Example: vlp datasets show ucf101
    """
    from vlp.datasplits import data_root, dataset_module

    module = dataset_module(name)
    if json_output:
        print_json({"dataset": name, **_facts(module), "default_root": str(data_root(name))})
        return
    out.print(f"{name}\nFrom: {module.SOURCE}\nLayout: {module.LAYOUT}", markup=False)
    out.print(f"ROOT: {data_root(name)}, unless --root says otherwise", markup=False)
    if module.PUBLISHED:
        print_table(("published", "count"), [(key, f"{count:,}") for key, count in module.PUBLISHED.items()])


@app.command("check")
def check(
    name: Name,
    root: Root = None,
    annotations: Annotations = None,
    manifest: ManifestFile = None,
    missing_file: Annotated[
        Path | None, typer.Option(help="Write the ids of all missing videos to this file, one a line.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Compare the lists with the published counts, and the files on disk with the lists.

    Example: vlp datasets check ucf101 --root /data/UCF-101

    Exit status: 0 when every listed video is there, 1 otherwise.
    """
    from vlp.datasplits import load_dataset
    from vlp.datasplits.folder import files_below
    from vlp.datasplits.manifest import VIDEO_SUFFIXES

    listed = load_dataset(name, root=root, annotations=annotations, manifest=manifest)
    on_disk = {path for path in files_below(listed.root) if path.lower().endswith(VIDEO_SUFFIXES)}
    missing = [video for video in listed.videos if video.path not in on_disk]
    unlisted = sorted(on_disk - {video.path for video in listed.videos})
    if missing_file is not None:
        missing_file.write_text("".join(f"{video.video_id}\n" for video in missing), encoding="utf-8")
    if json_output:
        print_json(_check_json(listed, missing, unlisted))
    else:
        _print_check(listed, missing, unlisted)
    raise typer.Exit(1 if missing else 0)


def _facts(module: Any) -> dict[str, object]:
    return {"source": module.SOURCE, "layout": module.LAYOUT, "published": module.PUBLISHED}


def _count(module: Any, what: str) -> str:
    return f"{module.PUBLISHED[what]:,}" if what in module.PUBLISHED else "-"


def _coverage(listed: "Manifest", missing: "list[Video]") -> list[tuple[str, int, int]]:
    """Count listed and missing videos, in all and by split and role."""
    absent = {video.video_id for video in missing}
    roles = sorted({pair for video in listed.videos for pair in video.splits})
    rows = [("all", len(listed.videos), len(missing))]
    for split, role in roles:
        videos = listed.videos_in(split, role)
        rows.append((f"{split} {role}", len(videos), sum(video.video_id in absent for video in videos)))
    return rows


def _check_json(listed: "Manifest", missing: "list[Video]", unlisted: list[str]) -> dict[str, object]:
    rows = _coverage(listed, missing)
    return {
        "dataset": listed.dataset,
        "root": str(listed.root),
        "classes": len(listed.classes),
        "videos": {name: {"listed": count, "missing": gone} for name, count, gone in rows},
        "missing": [video.video_id for video in missing],
        "unlisted": unlisted,
        "notes": list(listed.notes),
    }


def _print_check(listed: "Manifest", missing: "list[Video]", unlisted: list[str]) -> None:
    out.print(f"{listed.dataset} in {listed.root}: {len(listed.classes):,} classes", markup=False)
    rows = [
        (name, f"{count:,}", f"{count - gone:,}", f"{gone:,}")
        for name, count, gone in _coverage(listed, missing)
    ]
    print_table(("videos of", "listed", "found", "missing"), rows)
    for note in listed.notes:
        err.print(f"Note: {note}", markup=False)
    if missing:
        out.print("")
        print_table(("missing video", "looked for at"), [(v.video_id, v.path) for v in missing[:_MOST_SHOWN]])
        _print_rest(len(missing), "--missing-file FILE writes all")
        err.print("`vlp extract` will record each of them as failed, with the reason missing.")
    if unlisted:
        out.print("")
        print_table(("on disk, in no list",), [(path,) for path in unlisted[:_MOST_SHOWN]])
        _print_rest(len(unlisted), "--json lists all")


def _print_rest(count: int, how: str) -> None:
    if count > _MOST_SHOWN:
        out.print(f"… and {count - _MOST_SHOWN:,} more ({how})", markup=False)
