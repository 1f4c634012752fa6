"""What was read against what was published, and where official lists and videos lie on a user's disk."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from vlp.datasplits.folder import files_below
from vlp.datasplits.manifest import VIDEO_SUFFIXES, Manifest


def counts_of(manifest: Manifest) -> dict[str, int]:
    """Count videos, classes, and videos of each split and role, named as `PUBLISHED` names them."""
    counts = {"videos": len(manifest.videos), "classes": len(manifest.classes)}
    for video in manifest.videos:
        for split, role in video.splits:
            counts[f"{split} {role}"] = counts.get(f"{split} {role}", 0) + 1
    return counts


def count_notes(manifest: Manifest, published: Mapping[str, int]) -> Iterator[str]:
    """Say where the lists differ from the published numbers."""
    counts = counts_of(manifest)
    for name, expected in published.items():
        found = counts.get(name, 0)
        if found != expected:
            yield f"{name}: {found:,} listed, {expected:,} published"


def find_annotations(
    root: Path, annotations: Path | None, pattern: str, folders: Sequence[str]
) -> Path | None:
    """Find the folder that holds official lists: the one named, or the root, or a folder of the usual name.

    Args:
        root: of the videos; its parent is looked at too, since archives unpack side by side.
        annotations: the only place looked at, with its usual folders, where it is given.
        pattern: a file that the lists contain.
        folders: usual names.
    """
    tops = [annotations] if annotations is not None else [root, root.parent]
    places = [place for top in tops for place in (top, *(top / name for name in folders))]
    return next((place for place in places if place.is_dir() and any(place.glob(pattern))), None)


def found_on_disk(root: Path) -> dict[str, str]:
    """Map lower-case file names, and lower-case paths, of all videos below a root to their paths."""
    paths = [path for path in files_below(root) if path.lower().endswith(VIDEO_SUFFIXES)]
    names = {path.rpartition("/")[2].lower(): path for path in paths}
    return names | {path.lower(): path for path in paths}
