"""``index.parquet``: every commit and failure file seen so far, in one table that loads fast.

A cache of the truth and nothing more. It carries the fingerprint of its store, the size and CRC-32C of
every file that it covers, and a checksum of its own rows; one that is cut short, altered, of another
store or of another version is as good as none. Text that is absent is "" in it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlp.stores import sealed, storage
from vlp.stores.fingerprint import JSON
from vlp.stores.places import Place

INDEX = "index.parquet"
_LIMIT_BYTES = 1 << 32
_SCHEMA = 1
_TEXT = ("video_id", "segment", "status", "reason", "detail", "decoder", "source_sha256")
_MORE_TEXT = ("supersedes", "precision", "device", "created")
_COUNTS = ("start", "num_rows", "num_expected", "num_decoded", "attempts", "batch_size")
_NUMBERS = ("native_fps", "duration_seconds")
_CHECKSUMS = ("features_crc32c", "rows_crc32c")
COLUMNS = {
    **dict.fromkeys((*_TEXT, *_MORE_TEXT), "string"),
    **dict.fromkeys(_COUNTS, "int64"),
    **dict.fromkeys(_NUMBERS, "float64"),
    **dict.fromkeys(_CHECKSUMS, "uint32"),
}


@dataclass(frozen=True, slots=True)
class FileMark:
    """Which version of a commit or failure file was read: its bytes and their CRC-32C."""

    num_bytes: int
    crc32c: int


class Columns:
    """The rows of the index by column; a column becomes a list when it is first asked for.

    Args:
        load: gives a column of the rows that were read from a file.
        num_loaded: how many those are.
        more: rows behind them.
    """

    def __init__(
        self,
        load: Callable[[str], list[Any]] = lambda _: [],
        num_loaded: int = 0,
        more: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self._load = load
        self._num_loaded = num_loaded
        self._more = more
        self._lists: dict[str, list[Any]] = {}

    def __len__(self) -> int:
        return self._num_loaded + len(self._more)

    def __getitem__(self, name: str) -> list[Any]:
        if name not in self._lists:
            self._lists[name] = [*self._load(name), *(row[name] for row in self._more)]
        return self._lists[name]

    def take(self, rows: Sequence[int]) -> "Columns":
        """Keep these rows, in this order."""
        return Columns(more=[{name: self[name][row] for name in COLUMNS} for row in rows])

    def extended(self, rows: Sequence[Mapping[str, Any]]) -> "Columns":
        """Put rows behind the present ones."""
        return Columns(self._load, self._num_loaded, [*self._more, *rows])


@dataclass(frozen=True)
class Index:
    """What the index holds: its rows, and the segments and failure files from which they came."""

    columns: Columns
    segments: Mapping[str, FileMark]
    failures: Mapping[str, FileMark]


NO_INDEX = Index(Columns(), {}, {})


def read_index(root: Place, fingerprint: str) -> Index:
    """Read the index; an empty one when there is none that can be trusted."""
    try:
        data = storage.read_bytes(root, INDEX, limit=_LIMIT_BYTES)
    except OSError:
        return NO_INDEX
    import pyarrow as pa

    try:
        return _decode(data, fingerprint)
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError, MemoryError):
        return NO_INDEX


def write_index(root: Place, fingerprint: str, index: Index, *, writer: str) -> None:
    """Write the index aside and put it in the place of the older one.

    Args:
        root: the store.
        fingerprint: of the store.
        index: what to write.
        writer: the attempt that writes; several may do so at once, the last one stays.

    Raises:
        StoreFull, StoreUnwritable: from the disk; the older index stays.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({name: index.columns[name] for name in COLUMNS}, schema=_schema())
    covers: dict[str, JSON] = {
        "schema": _SCHEMA,
        "fingerprint": fingerprint,
        "rows_crc32c": _rows_crc32c(table),
        "segments": _to_json(index.segments),
        "failures": _to_json(index.failures),
    }
    sink = pa.BufferOutputStream()
    table = table.replace_schema_metadata({"vlp": sealed.seal(covers)})
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    storage.write_file(root, INDEX, memoryview(sink.getvalue()), writer=writer)


def _decode(data: bytes, fingerprint: str) -> Index:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True)
    metadata = file.schema_arrow.metadata or {}
    covers = sealed.unseal(metadata[b"vlp"])
    if covers["schema"] != _SCHEMA or covers["fingerprint"] != fingerprint:
        raise ValueError("another store's index")
    table = file.read()
    if not table.schema.equals(_schema()) or _rows_crc32c(table) != covers["rows_crc32c"]:
        raise ValueError("not the rows that were written")
    columns = Columns(lambda name: list(table.column(name).to_pylist()), table.num_rows)
    return Index(columns, _from_json(covers, "segments"), _from_json(covers, "failures"))


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema([pa.field(name, pa.type_for_alias(kind), False) for name, kind in COLUMNS.items()])


def _rows_crc32c(table: Any) -> int:
    """Checksum of all values, whatever the chunks and buffers into which a reader of Parquet puts them."""
    crc32c = 0
    for column in table.columns:
        chunks = [_values(chunk) for chunk in column.chunks if len(chunk)]
        for values in chain.from_iterable(zip(*chunks, strict=True)):
            crc32c = sealed.crc32c(values, crc32c)
    return crc32c


def _values(array: Any) -> tuple[NDArray[Any], ...]:
    """The numbers of an array; of text, the lengths and the joined UTF-8."""
    if str(array.type) != "string":
        return (array.to_numpy(zero_copy_only=True),)
    _, ends, text = array.buffers()
    offsets = np.frombuffer(ends, dtype=np.int32, count=len(array) + 1, offset=4 * array.offset)
    joined = np.frombuffer(text or b"", dtype=np.uint8)[offsets[0] : offsets[-1]]
    return np.diff(offsets), joined


def _to_json(marks: Mapping[str, FileMark]) -> dict[str, JSON]:
    return {name: [mark.num_bytes, mark.crc32c] for name, mark in marks.items()}


def _from_json(covers: Mapping[str, Any], name: str) -> dict[str, FileMark]:
    return {record: FileMark(*mark) for record, mark in sealed.mapping(covers, name).items()}
