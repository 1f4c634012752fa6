"""`vlp store pull`: a store of a bucket, mirrored on a local disk."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vlp.cli.console import err, out, print_json
from vlp.cli.errors import DONE, ERROR
from vlp.cli.options import LOCAL_CACHE, Cache, Json, cache_place
from vlp.cli.progress import counted
from vlp.cli.store_options import OfDataset, OfModel, OfTag, StorePath, open_store

if TYPE_CHECKING:
    from vlp.stores.features import FeatureStore
    from vlp.stores.mirroring import MirrorReport


def pull(
    path: StorePath = None,
    dataset: OfDataset = None,
    model: OfModel = None,
    pretrained: OfTag = None,
    cache: Cache = None,
    to: Annotated[
        Path | None, typer.Option(help="The cache to copy to. Default: $VLP_CACHE if local, or ./cache.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Copy a store from a bucket to this disk, where training and evaluation read it.

    Example: vlp store pull --dataset ucf101 --cache s3://bucket/cache

    Every checksum is compared. A rerun copies what is new, or goes on where an earlier one ended. Exit status: 1 where
    something in the bucket is damaged; the rest is copied.
    """
    from vlp.stores.mirroring import mirror

    store = open_store(path, dataset, model, pretrained, cache)
    place = _place(store, to)
    if place == store.path:
        raise typer.BadParameter(f"{place} is the store itself; --cache names a bucket", param_hint="--to")
    with counted("segments") as shown:
        report = mirror(store, place, on_progress=shown)
    if json_output:
        print_json({"path": str(store.path), "to": str(place), **_facts(report)})
    else:
        _print(store, report)
    raise typer.Exit(ERROR if report.damages else DONE)


def _place(store: "FeatureStore", to: Path | None) -> Path:
    """Say where the mirror lies: as in the bucket, below a local cache."""
    from vlp.stores.locate import store_name

    local = to or cache_place(None)
    return (local if isinstance(local, Path) else LOCAL_CACHE) / store_name(
        dataset=store.dataset,
        model=store.model,
        pretrained=store.pretrained,
        fingerprint=store.fingerprint,
    )


def _facts(report: "MirrorReport") -> dict[str, object]:
    facts = asdict(report)
    del facts["store"]
    return facts


def _print(store: "FeatureStore", report: "MirrorReport") -> None:
    for damage in report.damages:
        videos = f" ({', '.join(damage.video_ids)})" if damage.video_ids else ""
        out.print(f"damaged: segment {damage.segment}: {damage.what}{videos}", markup=False)
    out.print(
        f"{report.store}: {report.num_copied:,} segments copied, {report.num_bytes:,} bytes; "
        f"{report.num_present:,} there before; {report.num_failures:,} files of failures; "
        f"{len(report.damages):,} damaged.",
        markup=False,
    )
    if report.damages:
        err.print(f"Run: vlp store repair {store.path}, then the same command", markup=False)
