"""Official lists and the videos they name, wherever a user's disk holds the two."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from vlp.datasplits.errors import AnnotationsMissing, ManifestUnreadable, RootMissing
from vlp.datasplits.folder import files_below
from vlp.datasplits.manifest import VIDEO_SUFFIXES, Video, inside, video_id_of


def annotation_places(root: Path, annotations: Path | None, folders: Sequence[str]) -> list[Path]:
    """Return the folders that may hold official lists, the likeliest first.

    Args:
        root: of the videos; its parent is looked at too, since archives unpack side by side.
        annotations: where the user says they are; nothing else is looked at then.
        folders: usual names of the lists' folder.
    """
    tops = [annotations] if annotations is not None else [root, root.parent]
    return [place for top in tops for place in (top, *(top / name for name in folders))]


def find_lists(
    dataset: str,
    root: Path,
    annotations: Path | None,
    *,
    folders: Sequence[str],
    pattern: str,
    needs: str,
    layout: str,
) -> Path:
    """Return the folder that holds a dataset's official lists.

    Args:
        dataset: its name.
        root: of the videos.
        annotations: where the user says the lists are.
        folders: usual names of their folder.
        pattern: of a file that is surely among them.
        needs: what they are, in words.
        layout: how all must lie on disk, in words.

    Raises:
        RootMissing: if the root is not there.
        AnnotationsMissing: if no place holds them.
    """
    if not root.is_dir():
        raise RootMissing(dataset, root, layout)
    places = annotation_places(root, annotations, folders)
    found = find_annotations(places, pattern)
    if found is None:
        raise AnnotationsMissing(dataset, places, needs)
    return found


def search_places(
    dataset: str, root: Path, annotations: Path | None, *, folders: Sequence[str], layout: str
) -> list[Path]:
    """Return `annotation_places` of a dataset whose lists are several files, each found by itself.

    Raises:
        RootMissing: if the root is not there.
    """
    if not root.is_dir():
        raise RootMissing(dataset, root, layout)
    return annotation_places(root, annotations, folders)


def find_file(places: Sequence[Path], *names: str) -> Path | None:
    """Return the first of these files that is there; an earlier name counts before an earlier place.

    Args:
        places: folders, such as `search_places` returns.
        names: what the file may be called.
    """
    return next((place / name for name in names for place in places if (place / name).is_file()), None)


def find_annotations(places: Sequence[Path], pattern: str) -> Path | None:
    """Return the first place that holds a file of this pattern."""
    return next((place for place in places if place.is_dir() and any(place.glob(pattern))), None)


def list_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line number, text without space around it) of the lines that are not blank.

    Raises:
        ManifestUnreadable: if the file is not there, or no UTF-8 text.
    """
    for line, content in enumerate(_text(path).split("\n"), 1):
        if content.strip():
            yield line, content.strip()


def csv_rows(
    path: Path, columns: Sequence[str], *, delimiters: str = ",", header: bool = True
) -> Iterator[tuple[int, Mapping[str, str]]]:
    """Yield (line number of its end, cells by column) of the rows of a table.

    Args:
        path: the file.
        columns: those that must be there; without a header, all of them in their order.
        delimiters: that may separate the cells; the one that the first line has most of counts.
        header: whether the first line names the columns.

    Raises:
        ManifestUnreadable: if it is no such table, lacks a column, or has a row that is too short.
    """
    text = _text(path)
    delimiter = max(delimiters, key=text.partition("\n")[0].count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        names = [name.strip() for name in next(rows, [])] if header else list(columns)
        absent = [name for name in columns if name not in names]
        if absent:
            raise ManifestUnreadable(path, [f"line 1: no column is called {', '.join(absent)}"])
        num_needed = 1 + max(map(names.index, columns), default=0)  # columns after them may be left out
        for cells in rows:
            if not any(cells):
                continue
            if len(cells) < num_needed:
                problem = f"line {rows.line_num}: {len(cells)} cells, and not {num_needed}"
                raise ManifestUnreadable(path, [problem])
            yield rows.line_num, dict(zip(names, cells, strict=False))
    except csv.Error as error:
        raise ManifestUnreadable(path, [f"line {rows.line_num}: {error}"]) from error


def read_json(path: Path, kind: type[Any]) -> Any:
    """Read a JSON file.

    Args:
        path: the file.
        kind: what it must hold at its top: dict or list.

    Raises:
        ManifestUnreadable: if it is not there, no JSON, or of another kind.
    """
    try:
        held = json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise ManifestUnreadable(path, [f"it is no JSON ({error})"]) from None
    if not isinstance(held, kind):
        raise ManifestUnreadable(path, [f"it holds no {'object' if kind is dict else 'list'} at its top"])
    return held


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ManifestUnreadable(path, ["it is not UTF-8 text"]) from error
    except FileNotFoundError:
        raise ManifestUnreadable(path, ["there is no such file"]) from None
    except OSError as error:
        raise ManifestUnreadable(path, [error.strerror or str(error)]) from error


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
        self._folders = {name.lower() for name in classes}

    @cached_property
    def _found(self) -> dict[str, str]:
        """Map what a video may be looked for by to its path; not made where only `paths` are used."""
        found: dict[str, str] = {}
        for path in self.paths:
            folder, name = ["", *path.lower().split("/")][-2:]
            keys = [f"{folder}/{name}"] if folder in self._folders else [f"{folder}/{name}", name]
            for key in (*keys, *map(video_id_of, keys)):
                found.setdefault(key, path)
        return found

    def path_of(self, label: str, name: str) -> str:
        """Return where the video ``name`` of a class lies, or ``label/name`` if it is not there.

        An empty ``label`` is for datasets without class folders: the video is looked for in any folder.
        """
        expected = f"{label}/{name}" if label else name
        listed, bare = expected.lower(), name.lower()
        keys = (listed, bare, video_id_of(listed), video_id_of(bare))
        return next((self._found[key] for key in keys if key in self._found), expected)

    def path_of_listed(self, listed: str) -> str:
        """Return where a listed path lies: in its folder, or else in any; ``listed`` itself if it is not there."""
        folder, _, name = listed.rpartition("/")
        near, bare = f"{folder.rpartition('/')[2]}/{name}".lower(), name.lower()
        keys = (near, video_id_of(near), bare, video_id_of(bare))
        return next((self._found[key] for key in keys if key in self._found), listed)

    def unlisted_notes(self, listed: Iterable[str]) -> Iterator[str]:
        """Say which videos are on disk and in no list.

        Args:
            listed: paths of the listed videos.
        """
        rest = sorted(set(self.paths).difference(listed))
        if rest:
            yield f"videos on disk that are in no list: {len(rest):,}, such as {rest[0]}"


def captioned_videos(
    root: Path,
    on_disk: VideosOnDisk,
    splits: Mapping[str, Iterable[tuple[str, str]]],
    captions: Mapping[str, Sequence[str]],
) -> tuple[Video, ...]:
    """Make the videos of a dataset of captions.

    Args:
        root: folder of the videos.
        on_disk: what lies below it.
        splits: (split, role) pairs by listed path, in the order of the lists.
        captions: sentences by listed path; empty ones do not count.

    Raises:
        OutsideRoot: if a listed path leads out of the root.
        DatasetError: if one holds control characters.
    """
    return tuple(
        Video(
            video_id=video_id_of(path := inside(listed, root)),
            path=on_disk.path_of_listed(path),
            captions=tuple(filter(None, captions.get(listed, ()))),
            splits=tuple(found),
        )
        for listed, found in splits.items()
    )
