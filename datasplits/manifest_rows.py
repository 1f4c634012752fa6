"""The rows of a manifest file, as plain cells: CSV, JSON or Parquet, before any of them is understood.

A row becomes six cells in the order of `COLUMNS`, whatever order the file has them in; `None` and "" are both an
empty cell. Wrong rows are collected, so that a user mends a file once and not row by row.
"""

import csv
import itertools
import json
from collections.abc import Iterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

from vlp.datasplits.errors import ManifestUnreadable

COLUMNS = ("path", "label", "split", "start", "end", "caption")
_DELIMITERS = ",;\t"
_COLUMN_SET = frozenset(COLUMNS)
_MOST_PROBLEMS = 20

Cells = tuple[Any, Any, Any, Any, Any, Any]


class Rows:
    """The rows of one file, and what is wrong with them.

    Args:
        path: a ``.csv``, ``.tsv``, ``.txt``, ``.json``, ``.jsonl``, ``.ndjson``, ``.parquet`` or ``.pq`` file.
        aliases: what the file calls some of the columns, to their names here.

    Attributes:
        ignored: columns that mean nothing here; complete once the rows are read.
    """

    def __init__(self, path: Path, aliases: Mapping[str, str] | None = None) -> None:
        self._path = path
        self._aliases = aliases or {}
        self._problems: list[str] = []
        self._num_problems = 0
        self._row_name = "line"
        self.ignored: dict[str, None] = {}

    def __iter__(self) -> Iterator[tuple[int, Cells]]:
        """Yield (line number from 1, cells).

        Raises:
            ManifestUnreadable: if the file as a whole is not of its kind.
        """
        if not self._path.is_file():
            raise self._unreadable("there is no such file")
        kind = self._path.suffix.lower()
        try:
            if kind in {".csv", ".tsv", ".txt"}:
                yield from self._csv_rows()
            elif kind in {".jsonl", ".ndjson"}:
                yield from self._json_rows()
            elif kind == ".json":
                yield from self._json_list()
            elif kind in {".parquet", ".pq"}:
                yield from self._parquet_rows()
            else:
                raise self._unreadable(f"suffix {kind!r} is none of .csv, .tsv, .json, .jsonl, .parquet")
        except UnicodeDecodeError as error:
            raise self._unreadable(f"it is not UTF-8 (byte {error.object[error.start]:#x})") from error
        except (csv.Error, OSError) as error:
            raise self._unreadable(str(error)) from error

    def refuse(self, line: int, problem: object) -> None:
        """Take down what is wrong with a row, and go on."""
        self._num_problems += 1
        if len(self._problems) < _MOST_PROBLEMS:
            self._problems.append(f"{self._row_name} {line}: {problem}")

    def check(self) -> None:
        """Raise what was refused.

        Raises:
            ManifestUnreadable: naming the first twenty wrong rows and counting all.
        """
        if self._problems:
            raise ManifestUnreadable(self._path, self._problems, self._num_problems)

    def _unreadable(self, problem: str) -> ManifestUnreadable:
        return ManifestUnreadable(self._path, [problem])

    def _csv_rows(self) -> Iterator[tuple[int, Cells]]:
        with self._path.open(newline="", encoding="utf-8-sig") as file:
            header = file.readline()
            delimiter = max(_DELIMITERS, key=header.count)
            names = [self._name(name.strip()) for name in next(csv.reader([header], delimiter=delimiter), [])]
            self._check_columns(names)
            pick = itemgetter(*(names.index(name) if name in names else -1 for name in COLUMNS))
            reader = csv.reader(file, delimiter=delimiter)
            num_columns = len(names)
            line = 2
            for cells in reader:
                if len(cells) < num_columns:
                    cells.extend([""] * (num_columns - len(cells)))
                if any(cells[num_columns:]):
                    self.refuse(line, f"{len(cells)} cells under {num_columns} columns; is one not quoted?")
                elif any(cells):
                    cells.append("")  # the last is every absent column's cell
                    yield line, pick(cells)
                line = reader.line_num + 2

    def _check_columns(self, names: list[str]) -> None:
        if "path" not in names:
            raise self._unreadable(
                f"line 1: no column is called path; found {', '.join(filter(None, names)) or 'none'}"
            )
        twice = [name for name in COLUMNS if names.count(name) > 1]
        if twice:
            raise self._unreadable(f"line 1: two columns are called {twice[0]}")
        self._ignore(names)

    def _ignore(self, names: list[str]) -> None:
        self.ignored |= {name: None for name in names if name and name not in COLUMNS}

    def _name(self, name: str) -> str:
        return self._aliases.get(name, name)

    def _json_rows(self) -> Iterator[tuple[int, Cells]]:
        with self._path.open(encoding="utf-8-sig") as file:
            for line, text in enumerate(file, 1):
                if not text.strip():
                    continue
                try:
                    row = json.loads(text)
                except (ValueError, RecursionError) as error:
                    self.refuse(line, f"no JSON ({error})")
                    continue
                if cells := self._json_cells(line, row):
                    yield line, cells

    def _json_list(self) -> Iterator[tuple[int, Cells]]:
        self._row_name = "entry"
        text = self._path.read_text(encoding="utf-8-sig")
        try:
            rows = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._unreadable(f"no JSON ({error})") from None
        if not isinstance(rows, list):
            raise self._unreadable("it holds no list at its top")
        for entry, row in enumerate(rows, 1):
            if cells := self._json_cells(entry, row):
                yield entry, cells

    def _json_cells(self, line: int, row: Any) -> Cells | None:
        if not isinstance(row, dict):
            self.refuse(line, "no JSON object")
            return None
        named = {self._name(name): held for name, held in row.items()} if self._aliases else row
        if not named.keys() <= _COLUMN_SET:
            self._ignore(list(named))
        return _cells(named)

    def _parquet_rows(self) -> Iterator[tuple[int, Cells]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self._row_name = "row"
        try:
            file = pq.ParquetFile(self._path)
            names = {self._name(name): name for name in file.schema_arrow.names}
            self._check_columns([self._name(name) for name in file.schema_arrow.names])
            present = [name for name in COLUMNS if name in names]
            table = file.read(columns=[names[name] for name in present])
        except pa.ArrowException as error:
            raise self._unreadable(f"no Parquet file ({error})") from error
        lists = [
            table[names[name]].to_pylist() if name in present else itertools.repeat(None, len(table))
            for name in COLUMNS
        ]
        yield from enumerate(zip(*lists, strict=True), 1)


def _cells(row: Mapping[str, Any]) -> Cells:
    get = row.get
    return get("path"), get("label"), get("split"), get("start"), get("end"), get("caption")
