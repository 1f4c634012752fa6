"""What was read against what was published."""

from collections import Counter
from collections.abc import Iterator, Mapping

from vlp.datasplits.manifest import Manifest


def counts_of(manifest: Manifest) -> dict[str, int]:
    """Count videos, classes, and videos, segments and captions of each split and role, named as `PUBLISHED` does.

    The names are "videos", "classes", "SPLIT ROLE", "SPLIT ROLE segments" and "SPLIT ROLE captions".
    """
    counts = Counter(videos=len(manifest.videos), classes=len(manifest.classes))
    for video in manifest.videos:
        for split, role in video.splits:
            counts[f"{split} {role}"] += 1
            if video.segments:
                counts[f"{split} {role} segments"] += len(video.segments)
            if video.captions:
                counts[f"{split} {role} captions"] += len(video.captions)
    return counts


def count_notes(manifest: Manifest, published: Mapping[str, int]) -> Iterator[str]:
    """Say where the lists differ from the published numbers."""
    yield from differences(counts_of(manifest), published)


def differences(counts: Mapping[str, int], published: Mapping[str, int]) -> Iterator[str]:
    """Say where counts, named as those of `counts_of`, differ from the published numbers."""
    for name, expected in published.items():
        found = counts.get(name, 0)
        if found != expected:
            yield f"{name}: {found:,} listed, {expected:,} published"
