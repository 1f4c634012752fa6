"""Official lists and the videos they name, wherever a user's disk holds the two."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from vlp.datasplits.errors import ManifestUnreadable
from vlp.datasplits.folder import files_below
from vlp.datasplits.manifest import VIDEO_SUFFIXES, video_id_of


def annotation_places(root: Path, annotations: Path | None, folders: Sequence[str]) -> list[Path]:
    """Return the folders that may hold official lists, the likeliest first.

    Args:
        root: of the videos; its parent is looked at too, since archives unpack side by side.
        annotations: where the user says they are; nothing else is looked at then.
        folders: usual names of the lists' folder.
    """
    tops = [annotations] if annotations is not None else [root, root.parent]
    return [place for top in tops for place in (top, *(top / name for name in folders))]


def find_annotations(places: Sequence[Path], pattern: str) -> Path | None:
    """Return the first place that holds a file of this pattern."""
    return next((place for place in places if place.is_dir() and any(place.glob(pattern))), None)


def list_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number, text without space around it) of the lines that are not blank.

    Raises:
        ManifestUnreadable: if the file is not there, or no UTF-8 text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestUnreadable(path, ["it is not UTF-8 text"]) from error
    except FileNotFoundError:
        raise ManifestUnreadable(path, ["there is no such file"]) from None
    except OSError as error:
        raise ManifestUnreadable(path, [error.strerror or str(error)]) from error
    for line, content in enumerate(text.split("\n"), 1):
        if content.strip():
            yield line, content.strip()


class VideosOnDisk:
    """The videos below a root, found by class and file name, whatever spelling and folders they have on disk.

    A video is looked for in its class's folder first, then anywhere but in the folder of another class. Case does not
    matter, and a video that was converted to another container counts when the listed file is not there.

    Args:
        root: folder to search.
        classes: names of all classes.

    Raises:
        OutsideRoot: for a link that leads out of the root.
    """

    def __init__(self, root: Path, classes: Iterable[str]) -> None:
        self.paths = sorted(path for path in files_below(root) if path.lower().endswith(VIDEO_SUFFIXES))
        folders = {name.lower() for name in classes}
        self._found: dict[str, str] = {}
        for path in self.paths:
            folder, name = ["", *path.lower().split("/")][-2:]
            keys = [f"{folder}/{name}"] if folder in folders else [f"{folder}/{name}", name]
            for key in (*keys, *map(video_id_of, keys)):
                self._found.setdefault(key, path)

    def path_of(self, label: str, name: str) -> str:
        """Return where the video ``name`` of a class lies, or ``label/name`` if it is not there."""
        listed, bare = f"{label}/{name}".lower(), name.lower()
        keys = (listed, bare, video_id_of(listed), video_id_of(bare))
        return next((self._found[key] for key in keys if key in self._found), f"{label}/{name}")

    def unlisted_notes(self, listed: Iterable[str]) -> Iterator[str]:
        """Say which videos are on disk and in no list.

        Args:
            listed: paths of the listed videos.
        """
        rest = sorted(set(self.paths).difference(listed))
        if rest:
            yield f"videos on disk that are in no list: {len(rest):,}, such as {rest[0]}"
