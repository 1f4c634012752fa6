"""Manifests that users write: CSV, JSON lines or Parquet, one row a video, a segment or a caption.

Columns: ``path`` and, as far as there are any, ``label``, ``split``, ``start``, ``end``, ``caption``. Rows of one path
are one video: its labels and captions join, and a row with ``start`` and ``end`` (seconds) is a segment. ``split`` is a
role such as ``train`` or ``test``, or several splits as ``split1:train;split2:test``. Other columns are ignored and
named in a note. Nothing in a manifest is executed, and no path may leave the root.
"""

import csv
import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

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

COLUMNS = ("path", "label", "split", "start", "end", "caption")
ROLES = ("train", "val", "test")
_DELIMITERS = ",;\t"
_MOST_PROBLEMS = 20
_ROLE_NAMES = {"training": "train", "validation": "val", "valid": "val", "dev": "val", "testing": "test"}

Row = Mapping[str, Any]


def read_manifest_file(path: Path, *, dataset: str, root: Path | None = None) -> Manifest:
    """Read a manifest.

    Args:
        path: a ``.csv``, ``.tsv``, ``.jsonl`` or ``.parquet`` file.
        dataset: name for stores and results.
        root: folder that the paths are relative to; the manifest's own folder by default.

    Raises:
        ManifestUnreadable: naming each wrong row by its line, the first twenty of them.
        VideoCollision, SplitLeak: as `Manifest`.
    """
    base = root or path.parent
    videos: dict[str, dict[str, Any]] = {}
    problems: list[str] = []
    num_problems = 0
    ignored: set[str] = set()
    for line, row in _rows(path):
        if line == 1 or not ignored:
            ignored |= {str(name) for name in row if name not in COLUMNS}
        try:
            _merge(videos, row, base)
        except DatasetError as error:
            num_problems += 1
            if len(problems) < _MOST_PROBLEMS:
                problems.append(f"line {line}: {error}")
    if problems:
        raise ManifestUnreadable(path, problems, num_problems)
    if not videos:
        raise ManifestUnreadable(path, ["it lists no video"])
    listed = tuple(_video(name, found) for name, found in videos.items())
    notes = (
        (f"columns of {path.name} that mean nothing here: {', '.join(sorted(ignored))}",) if ignored else ()
    )
    return Manifest(dataset, base, listed, classes_of(listed), notes)


def write_manifest_file(manifest: Manifest, path: Path) -> None:
    """Write a manifest that `read_manifest_file` reads back: one row a label, segment or caption.

    Raises:
        DatasetError: for a suffix that is none of the three kinds.
    """
    rows = [row for video in manifest.videos for row in _rows_of(video)]
    if path.suffix == ".jsonl":
        lines = (json.dumps({key: value for key, value in row.items() if value is not None}) for row in rows)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    elif path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = {"start": pa.float64(), "end": pa.float64()}
        schema = pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
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


def _rows(path: Path) -> Iterator[tuple[int, Row]]:
    """Yield (line number, row) of any kind of manifest."""
    if not path.is_file():
        raise ManifestUnreadable(path, ["there is no such file"])
    kind = path.suffix.lower()
    try:
        if kind in {".csv", ".tsv", ".txt"}:
            yield from _csv_rows(path)
        elif kind in {".jsonl", ".ndjson"}:
            yield from _json_rows(path)
        elif kind in {".parquet", ".pq"}:
            yield from _parquet_rows(path)
        else:
            raise ManifestUnreadable(path, [f"suffix {kind!r} is none of .csv, .tsv, .jsonl, .parquet"])
    except UnicodeDecodeError as error:
        raise ManifestUnreadable(path, [f"it is not UTF-8 (byte {error.start})"]) from error
    except (csv.Error, OSError) as error:
        raise ManifestUnreadable(path, [str(error)]) from error


def _csv_rows(path: Path) -> Iterator[tuple[int, Row]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        header = file.readline()
        delimiter = max(_DELIMITERS, key=header.count)
        columns = [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
        if "path" not in columns:
            raise ManifestUnreadable(
                path, [f"line 1: no column is called path; found {', '.join(columns) or 'none'}"]
            )
        reader = csv.reader(file, delimiter=delimiter)
        for cells in reader:
            if any(cells):
                yield reader.line_num + 1, dict(zip(columns, cells, strict=False))


def _json_rows(path: Path) -> Iterator[tuple[int, Row]]:
    with path.open(encoding="utf-8-sig") as file:
        for line, text in enumerate(file, 1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise ManifestUnreadable(path, [f"line {line}: no JSON ({error})"]) from error
            if not isinstance(row, dict):
                raise ManifestUnreadable(path, [f"line {line}: no JSON object"])
            yield line, row


def _parquet_rows(path: Path) -> Iterator[tuple[int, Row]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise ManifestUnreadable(path, [f"no Parquet file ({error})"]) from error
    if "path" not in table.column_names:
        raise ManifestUnreadable(path, [f"no column is called path; found {', '.join(table.column_names)}"])
    yield from enumerate(table.to_pylist(), 1)


def _merge(videos: dict[str, dict[str, Any]], row: Row, root: Path) -> None:
    listed = row.get("path")
    if not isinstance(listed, str) or not listed.strip():
        raise DatasetError("the path is empty")
    path = inside(listed.strip(), root)
    found = videos.setdefault(path, {"labels": {}, "captions": {}, "segments": [], "splits": {}})
    label, caption = _text(row, "label"), _text(row, "caption")
    start, end = _seconds(row, "start"), _seconds(row, "end")
    if (start is None) != (end is None):
        raise DatasetError("a segment needs both start and end")
    if start is not None and end is not None:
        if label is None:
            raise DatasetError("a segment needs a label")
        found["segments"].append(Segment(start, end, label))
    elif label is not None:
        found["labels"][label] = None
    if caption is not None:
        found["captions"][caption] = None
    found["splits"].update(dict.fromkeys(_splits(_text(row, "split"))))


def _video(path: str, found: Mapping[str, Any]) -> Video:
    return Video(
        video_id=video_id_of(path),
        path=path,
        labels=tuple(found["labels"]),
        captions=tuple(found["captions"]),
        segments=tuple(found["segments"]),
        splits=tuple(found["splits"]),
    )


def _text(row: Row, column: str) -> str | None:
    value = row.get(column)
    if value is None:
        return None
    if not isinstance(value, str | int):
        raise DatasetError(f"{column} {value!r} is no text")
    return str(value).strip() or None


def _seconds(row: Row, column: str) -> float | None:
    value = row.get(column)
    if value is None or value == "":
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DatasetError(f"{column} {value!r} is no number of seconds") from None


def _splits(text: str | None) -> Iterator[tuple[str, str]]:
    for entry in (text or "").split(";"):
        name, colon, role = entry.strip().rpartition(":")
        role = _ROLE_NAMES.get(role.lower(), role.lower())
        if role == "":
            continue
        if role not in ROLES:
            raise DatasetError(
                f"split {entry.strip()!r} is none of {', '.join(ROLES)}, nor NAME:ROLE with one of them"
            )
        yield (name if colon else DEFAULT_SPLIT), role
