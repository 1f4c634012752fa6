"""Lists of classes and of training videos that other people drew, read from their files. Imports no torch.

A list is named as FILE, or as FILE:KEY for a part of a JSON file, with dots between the keys on the way to it. Kinds:

- text, a name a line; behind a video's name may stand the number of its class, which is not read: labels are ours;
- CSV with a column ``name`` (ViFi-CLIP's label files), or, of videos, ``path``, ``video`` or ``video_id``;
- JSON: a list of names, or of [video, number] pairs; an object of name to number; ``{"lists": {dataset: rounds}}``
  (Efficient-Prompt's draws).
"""

import csv
import io
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlp.datasplits.class_lists import CLASS_LISTS, class_list
from vlp.datasplits.manifest import VIDEO_SUFFIXES, Manifest, Video, video_id_of
from vlp.pipeline.coverage import Coverage
from vlp.pipeline.errors import PipelineError

_LIMIT_BYTES = 64 << 20
_MOST_DIGITS = 9
_COLUMNS = ("name", "path", "video", "video_id")


class ListUnreadable(PipelineError):
    """A list of classes or videos that is missing, empty, repeats itself, or is none."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"cannot read a list from {path}: {why}.")
        self.path = path
        self.why = why


@dataclass(frozen=True)
class Draws:
    """Training videos that somebody drew.

    Attributes:
        rounds: the videos of each round that have features.
        missing: ids of drawn videos that are listed and have none.
    """

    rounds: tuple[tuple[Video, ...], ...]
    missing: tuple[str, ...]


def read_classes(name: str) -> tuple[str, ...]:
    """Read class names.

    Args:
        name: of a shipped list (`vlp.datasplits.class_lists`), or FILE, or FILE:KEY.

    Raises:
        ListUnreadable: if the file is none of the kinds, holds nothing, or names one twice.
    """
    if name in CLASS_LISTS:
        return class_list(name)
    path, key = _place(name)
    if not path.exists() and path.parent == Path():
        raise ListUnreadable(
            path, f"there is no such file, and the lists that ship are {', '.join(CLASS_LISTS)}"
        )
    names = _names(path, key)
    seen: set[str] = set()
    for found in names:
        if found in seen:
            raise ListUnreadable(path, f"it names {found!r} twice")
        seen.add(found)
    return names


def read_draws(names: Sequence[str], manifest: Manifest, trained: Coverage) -> Draws:
    """Read published draws.

    Args:
        names: FILE or FILE:KEY of each; a file may hold several rounds.
        manifest: the dataset, whose name chooses among several in one file.
        trained: the videos to draw from, found and missing.

    Raises:
        ListUnreadable: if it is no such list, or names a video that is not listed to be trained on.
    """
    known: dict[str, Video | None] = {video.video_id: video for video in trained.found}
    known |= dict.fromkeys(trained.missing)  # listed, and without features
    by_name: dict[str, list[str]] = defaultdict(list)
    for video_id in known:
        by_name[_name(video_id)].append(video_id)
    rounds, missing = [], dict[str, None]()
    for name in names:
        path, key = _place(name)
        for listed in _rounds(path, key, manifest.dataset):
            video_ids = dict.fromkeys(_found(path, listed, known, by_name))
            rounds.append(tuple(video for video in map(known.get, video_ids) if video is not None))
            missing |= {video_id: None for video_id in video_ids if known[video_id] is None}
    return Draws(tuple(rounds), tuple(missing))


def _found(
    path: Path, listed: Sequence[str], known: Mapping[str, object], by_name: Mapping[str, Sequence[str]]
) -> list[str]:
    """Find drawn videos by their id, or by their name alone, whatever folder and suffix a release gave them."""
    found: list[str] = []
    absent: list[str] = []
    for video in listed:
        video_id = _without_suffix(video)
        ids = [video_id] if video_id in known else by_name.get(_name(video_id), [])
        if len(ids) > 1:
            raise ListUnreadable(path, f"{video!r} is the name of several videos: {', '.join(ids[:3])}")
        found += ids
        absent += [video] if not ids else []
    if absent:
        why = f"{len(absent):,} of its videos are not among those to train on, such as {absent[0]!r}"
        raise ListUnreadable(path, why)
    return found


def _place(name: str) -> tuple[Path, str | None]:
    """Part FILE:KEY; a file whose name holds a colon is taken as it is."""
    file, colon, key = name.rpartition(":")
    if not colon or Path(name).is_file():
        return Path(name), None
    return Path(file), key


def _names(path: Path, key: str | None) -> tuple[str, ...]:
    if path.suffix == ".json":
        held = _part(path, key)
        if isinstance(held, dict) and all(_is_index(number) for number in held.values()):
            held = sorted(held, key=lambda name: int(held[name]))  # Something-Something: name to "number"
        if isinstance(held, dict):
            raise ListUnreadable(path, f"name a part of it, as {path}:KEY, with KEY one of {_some(held)}")
        if not isinstance(held, list) or not all(isinstance(name, str) for name in held):
            raise ListUnreadable(path, "it holds no list of names")
        names: Sequence[str] = held
    elif key is not None:
        raise ListUnreadable(path, f"only a JSON file has a part {key!r}")
    elif path.suffix == ".csv":
        names = _column(path)
    else:
        names = _text(path).splitlines()
    return _checked(path, names)


def _is_index(number: object) -> bool:
    return len(str(number)) <= _MOST_DIGITS and str(number).isdecimal()


def _column(path: Path) -> list[str]:
    rows = csv.DictReader(io.StringIO(_text(path), newline=""))
    try:
        column = next((name for name in _COLUMNS if name in (rows.fieldnames or ())), None)
        if column is None:
            raise ListUnreadable(path, f"none of its columns is called {', '.join(_COLUMNS)}")
        return [row[column] or "" for row in rows]
    except csv.Error as error:
        raise ListUnreadable(path, f"line {rows.line_num}: {error}") from None


def _checked(path: Path, names: Sequence[str]) -> tuple[str, ...]:
    kept = tuple(name.strip() for name in names if name.strip())
    if not kept:
        raise ListUnreadable(path, "it names nothing")
    unprintable = [name for name in kept if not name.isprintable()]
    if unprintable:
        raise ListUnreadable(path, f"{unprintable[0]!r} holds a control character")
    return kept


def _rounds(path: Path, key: str | None, dataset: str) -> list[tuple[str, ...]]:
    if path.suffix != ".json":
        return [tuple(_without_number(line) for line in _names(path, key))]
    held = _part(path, key)
    if isinstance(held, dict) and isinstance(
        held.get("list"), list
    ):  # ViFi-CLIP's, as it is kept with its counts
        held = held["list"]
    if isinstance(held, dict):
        held = _of_dataset(path, held, dataset)
    if not isinstance(held, list) or not held:
        raise ListUnreadable(path, f"it has no list of videos{f' at {key}' if key else ''}")
    rounds = held if all(isinstance(names, list) and not _is_pair(names) for names in held) else [held]
    return [_videos(path, names) for names in rounds]


def _videos(path: Path, names: Sequence[Any]) -> tuple[str, ...]:
    found = [name[0] if isinstance(name, list) and _is_pair(name) else name for name in names]
    if not all(isinstance(name, str) for name in found):
        raise ListUnreadable(path, "its draws are no lists of video names")
    return _checked(path, found)


def _is_pair(names: Sequence[Any]) -> bool:
    return len(names) == 2 and isinstance(names[0], str) and isinstance(names[1], int)


def _of_dataset(path: Path, held: dict[str, Any], dataset: str) -> Any:
    lists = held.get("lists")
    if not isinstance(lists, dict):
        raise ListUnreadable(path, f"name a part of it, as {path}:KEY, with KEY one of {_some(held)}")
    found = [rounds for name, rounds in lists.items() if _plain(name) == _plain(dataset)]
    if not found:
        raise ListUnreadable(path, f"it has no draws of {dataset}, but of {', '.join(map(str, lists))}")
    return found[0]


def _part(path: Path, key: str | None) -> Any:
    try:
        held = json.loads(_text(path))
    except (ValueError, RecursionError):
        raise ListUnreadable(path, "it is no JSON") from None
    for step in key.split(".") if key else ():
        if not isinstance(held, dict) or step not in held:
            there = f"; it has {_some(held)}" if isinstance(held, dict) else ""
            raise ListUnreadable(path, f"it has no part {step!r} of {key!r}{there}")
        held = held[step]
    return held


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _LIMIT_BYTES:
            raise ListUnreadable(path, f"it has more than {_LIMIT_BYTES:,} bytes")
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ListUnreadable(path, "it is no text in UTF-8") from None
    except OSError as error:
        raise ListUnreadable(path, error.strerror or str(error)) from error


def _some(held: dict[str, Any]) -> str:
    names = [str(name) for name in held][:8]
    return ", ".join(name if name.isprintable() else repr(name) for name in names)


def _without_number(line: str) -> str:
    name, space, number = line.rpartition(" ")
    return name.strip() if space and number.isdecimal() else line


def _plain(name: str) -> str:
    """HMDB-51 and hmdb51 are one."""
    return "".join(character for character in str(name).lower() if character.isalnum())


def _name(video_id: str) -> str:
    return video_id.rpartition("/")[2]


def _without_suffix(video: str) -> str:
    return video_id_of(video) if video.lower().endswith(VIDEO_SUFFIXES) else video
