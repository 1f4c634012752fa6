"""Kinetics-600: clips of ten seconds of 600 actions.

Source: Carreira et al., arXiv:1808.01340. Counts: the validation list, which was read here. The traps are in
`kinetics`. Many of its validation clips are training clips of Kinetics-700.
"""

from pathlib import Path

from vlp.datasplits import kinetics
from vlp.datasplits.manifest import Manifest

SOURCE = "https://github.com/cvdfoundation/kinetics-dataset: kinetics-600, videos and lists"
LAYOUT = kinetics.LAYOUT
PUBLISHED = {"classes": 600, "default val": 30000}
OPTIONS = kinetics.OPTIONS


def load(root: Path, annotations: Path | None = None, *, leaks: str = "refuse") -> Manifest:
    """Read the lists, as `kinetics.load_kinetics` says, which names the errors too."""
    return kinetics.load_kinetics("kinetics600", root, annotations, published=PUBLISHED, leaks=leaks)
