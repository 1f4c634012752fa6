"""Which listed videos are on disk, and which videos beside them are in no list."""

import os
from collections import Counter, defaultdict
from dataclasses import dataclass

from vlp.datasplits.manifest import VIDEO_SUFFIXES, Manifest, Video


@dataclass(frozen=True)
class Count:
    """Listed and missing videos of a split and role, of a class, or of all."""

    name: str
    num_listed: int
    num_missing: int


@dataclass(frozen=True)
class Presence:
    """What is on disk of a dataset.

    Args:
        manifest: what is listed.
        missing: listed and not on disk, in the order of the lists.
        unlisted: paths of videos on disk, in the folders of listed ones, that no list names; sorted.
    """

    manifest: Manifest
    missing: tuple[Video, ...]
    unlisted: tuple[str, ...]

    def by_split(self) -> list[Count]:
        """Count all videos, then those of each split and role."""
        listed = Counter(pair for video in self.manifest.videos for pair in video.splits)
        missing = Counter(pair for video in self.missing for pair in video.splits)
        all_videos = Count("all", len(self.manifest.videos), len(self.missing))
        return [
            all_videos,
            *(Count(" ".join(pair), listed[pair], missing[pair]) for pair in sorted(listed)),
        ]

    def by_class(self) -> list[Count]:
        """Count the videos of each class, in the dataset's order; one with two labels counts in both."""
        listed = Counter(name for video in self.manifest.videos for name in _classes(video))
        missing = Counter(name for video in self.missing for name in _classes(video))
        return [Count(name, listed[name], missing[name]) for name in self.manifest.classes]


def find_videos(manifest: Manifest) -> Presence:
    """Look for the videos of a dataset, by listing the folders they should lie in: no stat a file.

    Raises:
        OutsideRoot: for a listed video that is a link out of the root.
    """
    by_folder: dict[str, dict[str, Video]] = defaultdict(dict)
    for video in manifest.videos:
        folder, _, name = video.path.rpartition("/")
        by_folder[folder][name] = video
    found: set[str] = set()
    unlisted: list[str] = []
    for folder, listed in by_folder.items():
        for name, is_link in _files_of(manifest, folder):
            if name in listed:
                if is_link:
                    manifest.absolute(listed[name])
                found.add(listed[name].video_id)
            elif name.lower().endswith(VIDEO_SUFFIXES) and not name.startswith("."):
                unlisted.append(f"{folder}/{name}" if folder else name)
    missing = tuple(video for video in manifest.videos if video.video_id not in found)
    return Presence(manifest, missing, tuple(sorted(unlisted)))


def _files_of(manifest: Manifest, folder: str) -> list[tuple[str, bool]]:
    """List (name, whether it is a link) of the files in a folder; of one that is not there, none."""
    try:
        with os.scandir(manifest.root / folder) as entries:
            return [(entry.name, entry.is_symlink()) for entry in entries if entry.is_file()]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _classes(video: Video) -> set[str]:
    return {*video.labels, *(segment.label for segment in video.segments)}
