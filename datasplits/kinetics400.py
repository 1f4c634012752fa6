"""Kinetics-400: clips of ten seconds of 400 actions.

Source: Kay et al., arXiv:1705.06950. Counts: the lists that the Common Visual Data Foundation hosts, of which the
validation list was read here and the rows of the others are counted in its issue 51; they add up to the paper's sum.
The traps are in `kinetics`; the test list had no labels at first.
"""

from pathlib import Path

from vlp.datasplits import kinetics
from vlp.datasplits.manifest import Manifest

SOURCE = "https://github.com/cvdfoundation/kinetics-dataset: kinetics-400, videos and lists"
LAYOUT = kinetics.LAYOUT
PUBLISHED = {
    "videos": 306245,
    "classes": 400,
    "default train": 246534,
    "default val": 19906,
    "default test": 39805,
}
OPTIONS = kinetics.OPTIONS


def load(root: Path, annotations: Path | None = None, *, leaks: str = "refuse") -> Manifest:
    """Read the lists, as `kinetics.load_kinetics` says, which names the errors too."""
    return kinetics.load_kinetics("kinetics400", root, annotations, published=PUBLISHED, leaks=leaks)
