"""Kinetics-700: clips of ten seconds of 700 actions.

Source: Carreira et al., arXiv:1907.06987, and its counts. The traps are in `kinetics`. The edition of 2020 has the same
classes and other clips; its lists are read too, and differ from these counts.
"""

from pathlib import Path

from vlp.datasplits import kinetics
from vlp.datasplits.manifest import Manifest

SOURCE = "https://github.com/cvdfoundation/kinetics-dataset: kinetics-700, videos and lists"
LAYOUT = kinetics.LAYOUT
PUBLISHED = {
    "videos": 650317,
    "classes": 700,
    "default train": 545317,
    "default val": 35000,
    "default test": 70000,
}
OPTIONS = kinetics.OPTIONS


def load(root: Path, annotations: Path | None = None, *, leaks: str = "refuse") -> Manifest:
    """Read the lists, as `kinetics.load_kinetics` says, which names the errors too."""
    return kinetics.load_kinetics("kinetics700", root, annotations, published=PUBLISHED, leaks=leaks)
