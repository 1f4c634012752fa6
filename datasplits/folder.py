"""A folder of one's own: ``ROOT/<class>/<video>``.

Traps: hidden files and folders (``.DS_Store``, ``._clip.mp4``) are passed over; other files that are no videos are
counted in a note; videos directly below the root have no label; folders below a class belong to that class; a link that
leads out of the root is refused.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from vlp.datasplits.errors import NoVideos, OutsideRoot, RootMissing
from vlp.datasplits.manifest import (
    VIDEO_SUFFIXES,
    Manifest,
    Video,
    classes_of,
    is_inside,
    real_path,
    video_id_of,
)

LAYOUT = "ROOT/<class>/<video>, with any of " + " ".join(VIDEO_SUFFIXES)
PUBLISHED: dict[str, int] = {}
SOURCE = "your own videos"


def load(root: Path, annotations: Path | None = None) -> Manifest:  # noqa: ARG001  # no lists to look for
    """List a folder of class folders.

    Raises:
        RootMissing, NoVideos, OutsideRoot: as these say.
    """
    if not root.is_dir():
        raise RootMissing("folder", root, LAYOUT)
    paths = sorted(files_below(root))
    listed = [path for path in paths if path.lower().endswith(VIDEO_SUFFIXES)]
    if not listed:
        raise NoVideos(root, VIDEO_SUFFIXES)
    videos = tuple(Video(video_id_of(path), path, labels=_label(path)) for path in listed)
    return Manifest("folder", root, videos, classes_of(videos), tuple(_notes(paths, videos)))


def _label(path: str) -> tuple[str, ...]:
    folder, slash, _ = path.partition("/")
    return (folder,) if slash else ()


def _notes(paths: list[str], videos: tuple[Video, ...]) -> Iterator[str]:
    others = [path for path in paths if not path.lower().endswith(VIDEO_SUFFIXES)]
    if others:
        yield f"files that are no videos by their suffix: {len(others):,}, such as {others[0]}"
    unlabelled = [video.path for video in videos if not video.labels]
    if unlabelled:
        yield f"videos directly below the root, without a class: {len(unlabelled):,}, such as {unlabelled[0]}"


def files_below(root: Path) -> Iterator[str]:
    """Yield the paths of all visible files below a folder, relative, with slashes, without a stat a file.

    Raises:
        OutsideRoot: for a link that leads out of the root.
    """
    real_root = real_path(root)
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(root / folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                name = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(name)
                elif not entry.is_symlink():
                    yield name
                elif not is_inside(root / name, real_root):
                    raise OutsideRoot(name, root)
                elif not (root / name).is_dir():
                    yield name
