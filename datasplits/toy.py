"""The toy set that `vlp demo` renders: ``ROOT/manifest.csv`` names its videos, actions, splits and captions."""

from dataclasses import replace
from pathlib import Path

from vlp.datasplits.counts import count_notes
from vlp.datasplits.errors import RootMissing
from vlp.datasplits.manifest import Manifest
from vlp.datasplits.manifest_file import read_manifest_file

LAYOUT = "ROOT/manifest.csv and ROOT/videos, both rendered by `vlp demo`"
PUBLISHED: dict[str, int] = {"videos": 384, "classes": 16, "default train": 256, "default test": 128}
SOURCE = "rendered by `vlp demo`"


def load(root: Path, annotations: Path | None = None) -> Manifest:  # noqa: ARG001  # its list lies in the root
    """Read the rendered list.

    Raises:
        RootMissing: if it has not been rendered.
        ManifestUnreadable: if its list is damaged.
    """
    if not (root / "manifest.csv").is_file():
        raise RootMissing("toy", root, LAYOUT)
    manifest = read_manifest_file(root / "manifest.csv", dataset="toy", root=root)
    return replace(manifest, notes=(*manifest.notes, *count_notes(manifest, PUBLISHED)))
