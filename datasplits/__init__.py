"""Lists and official-annotation parsers: one small module and its data a dataset.

A dataset is one module here and one line in `DATASETS`. It has ``SOURCE`` (where to get it), ``LAYOUT`` (what is
expected on disk), ``PUBLISHED`` (its published counts) and ``load(root, annotations)``. What a user may choose about it
is in ``OPTIONS``, and ``load`` takes each by its name.
"""

import importlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

from vlp.datasplits.errors import BadOption, ManifestRootMissing, UnknownDataset
from vlp.datasplits.manifest import Manifest
from vlp.datasplits.options import Option, parse_options

DATASETS = {
    "activitynet": "vlp.datasplits.activitynet",
    "charades": "vlp.datasplits.charades",
    "didemo": "vlp.datasplits.didemo",
    "folder": "vlp.datasplits.folder",
    "hmdb51": "vlp.datasplits.hmdb51",
    "kinetics400": "vlp.datasplits.kinetics400",
    "kinetics600": "vlp.datasplits.kinetics600",
    "kinetics700": "vlp.datasplits.kinetics700",
    "lsmdc": "vlp.datasplits.lsmdc",
    "msrvtt": "vlp.datasplits.msrvtt",
    "msvd": "vlp.datasplits.msvd",
    "smit": "vlp.datasplits.smit",
    "ssv2": "vlp.datasplits.ssv2",
    "thumos14": "vlp.datasplits.thumos14",
    "toy": "vlp.datasplits.toy",
    "ucf101": "vlp.datasplits.ucf101",
}


def dataset_module(name: str) -> ModuleType:
    """Import the module of a dataset.

    Raises:
        UnknownDataset: naming the known ones.
    """
    if name not in DATASETS:
        raise UnknownDataset(name, sorted(DATASETS))
    return importlib.import_module(DATASETS[name])


def data_root(name: str) -> Path:
    """Say where the videos of a dataset are looked for: ``$VLP_DATA/NAME``, or ``./data/NAME``."""
    return Path(os.environ.get("VLP_DATA", "data")) / name


def options_of(name: str) -> Mapping[str, Option]:
    """Return what a user may choose about a dataset, by name.

    Raises:
        UnknownDataset: naming the known ones.
    """
    known: Mapping[str, Option] = getattr(dataset_module(name), "OPTIONS", {})
    return known


def load_dataset(
    name: str,
    *,
    root: Path | None = None,
    annotations: Path | None = None,
    manifest: Path | None = None,
    options: Sequence[str] = (),
) -> Manifest:
    """Read what a dataset's lists say; no video is opened.

    Args:
        name: one of `DATASETS`; any name will do for stores and results where ``manifest`` is given.
        root: folder of the videos; `data_root` by default, or the manifest's own folder.
        annotations: folder of the official lists, where they are not below the root.
        manifest: a CSV, JSONL or Parquet list that replaces the dataset's own.
        options: NAME=VALUE pairs, of those in the dataset's ``OPTIONS``.

    Raises:
        UnknownDataset: naming the known ones.
        BadOption: for an option or value that the dataset does not have.
        RootMissing, ManifestRootMissing: if the folder of the videos is not there.
        DatasetError: another of `vlp.datasplits.errors`, as the dataset's module says.
    """
    if manifest is not None:
        from vlp.datasplits.manifest_file import read_manifest_file

        if options:
            raise BadOption(name, f"{options[0]!r}: a list of one's own has no options")
        if root is not None and not root.is_dir():
            raise ManifestRootMissing(manifest, root)
        default = data_root(name) if data_root(name).is_dir() else manifest.parent
        return read_manifest_file(manifest, dataset=name, root=root or default)
    chosen = parse_options(name, options, options_of(name))
    loaded: Manifest = dataset_module(name).load(root or data_root(name), annotations, **chosen)
    return loaded.with_source(annotations, chosen)
