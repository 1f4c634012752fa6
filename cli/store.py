"""`vlp store`: look at stores of features, check and mend them; what fills or copies them is in `store_*.py`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vlp.cli.console import err, out, print_json, print_table
from vlp.cli.inputs import DatasetSource
from vlp.cli.options import Annotations, Cache, DatasetOptions, Json, ManifestFile, Root, cache_place
from vlp.cli.progress import counted
from vlp.cli.store_exchange import export_store, import_store
from vlp.cli.store_options import OfDataset, OfModel, OfTag, StorePath, StoreWeights, open_store
from vlp.cli.store_pull import pull
from vlp.cli.store_videos import add, repair_store

if TYPE_CHECKING:
    from vlp.stores.features import FeatureStore
    from vlp.stores.locate import StoreSummary
    from vlp.stores.maintenance import Damage, VerifyReport

app = typer.Typer(
    name="store",
    help="Look at stores of features, check, mend, extend, exchange and mirror them.",
    no_args_is_help=True,
)

app.command("add")(add)
app.command("export")(export_store)
app.command("import")(import_store)
app.command("pull")(pull)

_COLUMNS = (
    "dataset",
    "model",
    "pretrained",
    "fingerprint",
    "num_views",
    "videos",
    "frames",
    "bytes",
    "status",
)


@app.command("ls")
def list_stores(cache: Cache = None, json_output: Json = False) -> None:
    """List every store of the cache.

    Example: vlp store ls --cache ./cache
    """
    from vlp.stores.locate import find_stores

    folder = cache_place(cache)
    rows = [_summary(store) for store in find_stores(folder)]
    if json_output:
        print_json({"cache": str(folder), "stores": rows})
        return
    if not rows:
        err.print(f"No stores under {folder}.", markup=False)
        return
    print_table(_COLUMNS, [[_cell(row[name]) for name in _COLUMNS] for row in rows])


@app.command()
def info(
    path: StorePath = None,
    dataset: OfDataset = None,
    model: OfModel = None,
    pretrained: OfTag = None,
    cache: Cache = None,
    json_output: Json = False,
) -> None:
    """Show what a store holds and how it came to be.

    Example: vlp store info --dataset ucf101
    """
    store = open_store(path, dataset, model, pretrained, cache)
    facts = {**_contents(store), "failed_reasons": _reasons(store), **_provenance(store)}
    if json_output:
        print_json(facts)
        return
    for name, value in facts.items():
        if isinstance(value, dict):
            out.print(f"{name}:", markup=False)
            for key, item in value.items():
                out.print(f"  {key}: {_cell(item)}", markup=False)
        else:
            out.print(f"{name}: {_cell(value)}", markup=False)


@app.command()
def verify(
    path: StorePath = None,
    dataset: OfDataset = None,
    model: OfModel = None,
    pretrained: OfTag = None,
    cache: Cache = None,
    json_output: Json = False,
) -> None:
    """Read every row and compare it with its checksum. Exit status 1 when anything is damaged.

    Example: vlp store verify --dataset ucf101
    """
    store = open_store(path, dataset, model, pretrained, cache)
    report = _verify(store)
    if json_output:
        print_json({"path": str(store.path), **_report(report)})
    else:
        _print_report(store, report)
    raise typer.Exit(1 if report.damages else 0)


@app.command()
def repair(
    path: StorePath = None,
    dataset: OfDataset = None,
    model: OfModel = None,
    pretrained: OfTag = None,
    root: Root = None,
    annotations: Annotations = None,
    manifest: ManifestFile = None,
    dataset_options: DatasetOptions = None,
    weights: StoreWeights = None,
    cache: Cache = None,
    json_output: Json = False,
) -> None:
    """Extract exactly the damaged videos again, remove what they replace, and check the store once more.

    Example: vlp store repair --dataset ucf101 --root /data/UCF-101
    """
    from vlp.stores.features import FeatureStore
    from vlp.stores.maintenance import compact

    store = open_store(path, dataset, model, pretrained, cache)
    found = _verify(store)
    if found.video_ids:
        repair_store(
            store,
            found.video_ids,
            DatasetSource(store.dataset, root, annotations, manifest, dataset_options),
            weights=weights,
            cache=cache_place(cache),
        )
    if found.damages:
        compact(FeatureStore.open(store.path))
    left = _verify(FeatureStore.open(store.path))
    missing = sorted({*found.video_ids} - {*FeatureStore.open(store.path).videos()})
    if json_output:
        print_json(
            {"path": str(store.path), "found": _report(found), "left": _report(left), "missing": missing}
        )
    else:
        _print_report(store, left)
        for video_id in missing:
            out.print(f"not extracted: {video_id}", markup=False)
    raise typer.Exit(1 if left.damages or missing else 0)


@app.command()
def compact(
    path: StorePath = None,
    dataset: OfDataset = None,
    model: OfModel = None,
    pretrained: OfTag = None,
    cache: Cache = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    json_output: Json = False,
) -> None:
    """Remove what killed runs and repairs left behind, and write the index anew.

    Example: vlp store compact --dataset ucf101 --dry-run
    """
    from vlp.stores.maintenance import compact as compact_store

    store = open_store(path, dataset, model, pretrained, cache)
    report = compact_store(store, dry_run=dry_run)
    if json_output:
        print_json({"path": str(store.path), **asdict(report), "num_bytes": report.num_bytes})
        return
    for item in report.removed:
        out.print(f"{item.name}: {item.why} ({item.num_bytes:,} bytes)", markup=False)
    for name in report.in_use:
        out.print(f"{name}: left, its writer is at work", markup=False)
    done = "Would remove" if dry_run else "Removed"
    out.print(f"{done} {len(report.removed):,} entries, {report.num_bytes:,} bytes.")


def _summary(found: "StoreSummary") -> dict[str, Any]:
    from vlp.stores.errors import StoreError
    from vlp.stores.features import FeatureStore

    nothing = dict.fromkeys((*_COLUMNS, "short", "failed"))
    try:
        contents = _contents(FeatureStore.open(found.path))
    except StoreError as error:
        return {**nothing, "path": str(found.path), "status": str(error)}
    waiting = [
        f"{contents[name]} {name}" for name in ("short", "failed", "damaged_commits") if contents[name]
    ]
    contents["fingerprint"] = contents["fingerprint"][:12]
    return {**contents, "status": ", ".join(waiting) or "ok"}


def _contents(store: "FeatureStore") -> dict[str, Any]:
    from vlp.stores.storage import tree_bytes

    catalog = store.catalog()
    rows = [*catalog.winners.values()]
    columns = catalog.index.columns
    return {
        "path": str(store.path),
        "dataset": store.dataset,
        "model": store.model,
        "pretrained": store.pretrained,
        "fingerprint": store.fingerprint,
        "num_views": store.num_views,
        "videos": len(rows),
        "short": sum(columns["status"][row] == "short" for row in rows),
        "failed": len(catalog.failed),
        "damaged_commits": len(catalog.unreadable),
        "frames": sum(columns["num_rows"][row] for row in rows),
        "segments": len(catalog.by_segment),
        "bytes": tree_bytes(store.path, "segments"),
    }


def _provenance(store: "FeatureStore") -> dict[str, Any]:
    names = ("embed_dim", "batch_size", "precision", "created", "tool_versions", "meaning")
    return {name: getattr(store.description, name) for name in names}


def _reasons(store: "FeatureStore") -> dict[str, int]:
    reasons = [failure.reason for failure in store.failures().values()]
    return {reason: reasons.count(reason) for reason in sorted({*reasons})}


def _verify(store: "FeatureStore") -> "VerifyReport":
    from vlp.stores.maintenance import verify as verify_store

    with counted("segments") as shown:
        return verify_store(store, shown)


def _report(report: "VerifyReport") -> dict[str, Any]:
    return {**asdict(report), "video_ids": list(report.video_ids), "ok": not report.damages}


def _print_report(store: "FeatureStore", report: "VerifyReport") -> None:
    for damage in report.damages:
        out.print(f"damaged: segment {damage.segment}: {damage.what}{_which(damage)}", markup=False)
    for name in report.leftovers:
        err.print(f"left over: {name} (`vlp store compact` removes it)", markup=False)
    verdict = (
        f"{len(report.damages)} damages, {len(report.video_ids)} videos hit"
        if report.damages
        else "all whole"
    )
    out.print(
        f"{store.path}: {report.num_videos:,} videos in {report.num_segments:,} segments, "
        f"{report.num_bytes:,} bytes read: {verdict}.",
        markup=False,
    )
    if report.damages:
        err.print(f"Run: vlp store repair {store.path}", markup=False)


def _which(damage: "Damage") -> str:
    return f" ({', '.join(damage.video_ids)})" if damage.video_ids else ""


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
