"""Manifests that users write: CSV, JSON lines or Parquet, one row a video, a segment or a caption.

Columns: ``path`` and, as far as there are any, ``label``, ``split``, ``start``, ``end``, ``caption``. Rows of one path
are one video: its labels and captions join, and a row with ``start`` and ``end`` (seconds) is a segment. ``split`` is a
role such as ``train`` or ``test``, or several splits as ``split1:train;split2:test``. Other columns are ignored and
named in a note. Nothing in a manifest is executed, and no path may leave the root.
"""

import csv
import gc
import itertools
import json
import math
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from vlp.datasplits.errors import DatasetError, ManifestUnreadable
from vlp.datasplits.manifest import (
    DEFAULT_SPLIT,
    Manifest,
    Segment,
    Video,
    classes_of,
    inside,
    video_id_of,
)
from vlp.datasplits.manifest_rows import COLUMNS, Cells, Rows

_EMPTY = (None, "")
ROLES = ("train", "val", "test")
_ROLE_NAMES = {"training": "train", "validation": "val", "valid": "val", "dev": "val", "testing": "test"}
_NUM_REMEMBERED = 8192  # labels and split cells repeat; each is understood once, and shared

_Item = TypeVar("_Item")
_Splits = tuple[tuple[str, str], ...]
_Facts = tuple[tuple[str, ...], tuple[str, ...], tuple[Segment, ...], _Splits]


def read_manifest_file(
    path: Path, *, dataset: str, root: Path | None = None, aliases: Mapping[str, str] | None = None
) -> Manifest:
    """Read a manifest.

    Args:
        path: a ``.csv``, ``.tsv``, ``.json``, ``.jsonl`` or ``.parquet`` file.
        dataset: name for stores and results.
        root: folder that the paths are relative to; the manifest's own folder by default.
        aliases: what the file calls some of the columns, to their names here.

    Raises:
        ManifestUnreadable: naming each wrong row by its line, the first twenty of them.
        VideoCollision, SplitLeak: as `Manifest`.
    """
    base = root or path.parent
    rows = Rows(path, aliases)
    with no_garbage_collection():
        facts = _read(rows, base)
        rows.check()
        if not facts:
            raise ManifestUnreadable(path, ["it lists no video"])
        videos = tuple(Video(video_id_of(listed), listed, *found) for listed, found in facts.items())
        return Manifest(dataset, base, videos, classes_of(videos), _notes(path, list(rows.ignored)))


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Keep the collector from walking all rows again and again: half of the time of 650,000 rows, for nothing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _read(rows: Rows, root: Path) -> dict[str, _Facts]:
    """Map each path to what its rows say; wrong rows are refused."""
    facts: dict[str, _Facts] = {}
    repeated: dict[str, list[_Facts]] = {}
    for line, cells in rows:
        try:
            listed = _path(cells[0], root)
            found = _facts(cells)
        except DatasetError as error:
            rows.refuse(line, error)
            continue
        if listed in facts:
            repeated.setdefault(listed, [facts[listed]]).append(found)
        else:
            facts[listed] = found
    return facts | {listed: _joined(several) for listed, several in repeated.items()}


def _notes(path: Path, ignored: list[str]) -> tuple[str, ...]:
    return (f"columns of {path.name} that mean nothing here: {', '.join(ignored)}",) if ignored else ()


def _path(cell: Any, root: Path) -> str:
    if not isinstance(cell, str) or not cell.strip():
        raise DatasetError("the path is empty")
    return inside(cell.strip(), root)


def _facts(cells: Cells) -> _Facts:
    """Understand all of a row but its path."""
    _, label, split, start, end, caption = cells
    labels = () if label in _EMPTY else _labels(_text("label", label))
    splits = () if split in _EMPTY else _splits(_text("split", split))
    captions = () if caption in _EMPTY else _captions(_text("caption", caption))
    start_seconds = None if start in _EMPTY else _seconds("start", start)
    end_seconds = None if end in _EMPTY else _seconds("end", end)
    if start_seconds is None and end_seconds is None:
        return labels, captions, (), splits
    if start_seconds is None or end_seconds is None:
        raise DatasetError("a segment needs both start and end")
    if not labels:
        raise DatasetError("a segment needs a label")
    return (), captions, (Segment(start_seconds, end_seconds, labels[0]),), splits


def _text(column: str, cell: Any) -> str:
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) and not isinstance(cell, bool):
        return str(cell)  # a class number
    if isinstance(cell, float) and math.isnan(cell):
        return ""  # how tables of numbers mark an empty cell
    raise DatasetError(f"{column} {cell!r} is no text")


@lru_cache(_NUM_REMEMBERED)
def _labels(text: str) -> tuple[str, ...]:
    label = text.strip()
    if not label.isprintable():
        _refuse_unprintable("label", label, allowed="")
    return (label,) if label else ()


def _captions(text: str) -> tuple[str, ...]:
    caption = text.strip()
    if not caption.isprintable():
        _refuse_unprintable("caption", caption, allowed="\n\r\t")
    return (caption,) if caption else ()


def _refuse_unprintable(column: str, text: str, *, allowed: str) -> None:
    """Refuse control characters, which would steer a terminal, and lone surrogates, which no file can hold."""
    for character in text:
        if unicodedata.category(character) in {"Cc", "Cs"} and character not in allowed:
            raise DatasetError(f"{column} {text!r} holds the character {character!r}")


def _seconds(column: str, cell: Any) -> float | None:
    if isinstance(cell, float):
        return None if math.isnan(cell) else cell
    try:
        if not isinstance(cell, str | int) or isinstance(cell, bool):
            raise ValueError
        return float(cell)
    except (ValueError, OverflowError):
        raise DatasetError(f"{column} {cell!r} is no number of seconds") from None


@lru_cache(_NUM_REMEMBERED)
def _splits(text: str) -> _Splits:
    found: dict[tuple[str, str], None] = {}
    for entry in text.split(";"):
        name, colon, role = entry.strip().rpartition(":")
        role = _ROLE_NAMES.get(role.lower(), role.lower())
        if not (name or role):
            continue
        if role not in ROLES or (colon and not name.strip()):
            raise DatasetError(
                f"split {entry.strip()!r} is none of {', '.join(ROLES)}, nor NAME:ROLE with one of them"
            )
        found[name.strip() or DEFAULT_SPLIT, role] = None
    return tuple(found)


def _joined(several: Sequence[_Facts]) -> _Facts:
    """Join the rows of one video: each label, caption and split once, in their order."""
    labels, captions, segments, splits = zip(*several, strict=True)
    return _distinct(labels), _distinct(captions), tuple(itertools.chain(*segments)), _distinct(splits)


def _distinct(parts: Iterable[Iterable[_Item]]) -> tuple[_Item, ...]:
    return tuple(dict.fromkeys(itertools.chain(*parts)))


def write_manifest_file(manifest: Manifest, path: Path) -> None:
    """Write a manifest that `read_manifest_file` reads back: one row a label, segment or caption.

    Raises:
        DatasetError: for a suffix that is none of the three kinds.
    """
    rows = (row for video in manifest.videos for row in _rows_of(video))
    if path.suffix == ".jsonl":
        with path.open("w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps({key: value for key, value in row.items() if value is not None}) + "\n")
    elif path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = {"start": pa.float64(), "end": pa.float64()}
        schema = pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])
        pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    else:
        raise DatasetError(f"{path} is no .csv, .jsonl or .parquet file.")


def _rows_of(video: Video) -> Iterator[dict[str, Any]]:
    """Spread a video over rows; the splits stand in each."""
    split = ";".join(f"{name}:{role}" for name, role in video.splits) or None
    empty: dict[str, Any] = dict.fromkeys(COLUMNS) | {"path": video.path, "split": split}
    pairs = itertools.zip_longest(video.labels, video.captions)
    rows = [empty | {"label": label, "caption": caption} for label, caption in pairs]
    rows += [
        empty | {"label": part.label, "start": part.start_seconds, "end": part.end_seconds}
        for part in video.segments
    ]
    yield from rows or [empty]
