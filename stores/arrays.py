"""The arrays of a segment as Zarr v3, read by a memory map.

The large array (`layout.py`) is one uncompressed shard whose inner chunks of 0.5 to 1 MiB lie in order without a codec
of their own, so that its first bytes are the array (FACTS.md: zarr reads 1-2 k clips/s, a map 74 k).
zarr writes the metadata and the small arrays, into memory; the shard, which may be larger than memory, is written here
after the format's rules. `storage.py` puts all of it on disk, because zarr's own writing does not flush. Reading never
asks zarr, which shows fill values where a chunk is missing: the metadata must be exactly what is written here, the
shard's index must be whole and in order, the sizes must fit.
"""

import math
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlp.stores import sealed, storage
from vlp.stores.layout import Layout
from vlp.stores.places import Place
from vlp.stores.spool import Spool

CHUNK_BYTES = 1 << 20
_METADATA_LIMIT_BYTES = 1 << 16
_OFFSETS = "int64"
_BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
_IGNORED = {"fill_value", "attributes", "storage_transformers", "dimension_names"}


def chunk_rows(num_items: int, item_bytes: int) -> int:
    """Items of an inner chunk: as even as can be, 0.5 to 1 MiB where the items allow it.

    Args:
        num_items: of the segment.
        item_bytes: bytes of one (V * D * 2 of a frame's embeddings).

    Example:
        >>> chunk_rows(2049, 1024)  # 3 chunks, 0 rows of padding
        683
        >>> chunk_rows(10, 1024)
        10
    """
    most = max(1, CHUNK_BYTES // item_bytes)
    return math.ceil(num_items / math.ceil(num_items / most))


class Shard:
    """The bytes of the large array's one file, in blocks: its rows, zeros up to the last chunk's end, the index.

    Args:
        rows: of all videos, in order.
        num_chunks: inner chunks.
        chunk_bytes: of each.
    """

    def __init__(self, rows: Spool, num_chunks: int, chunk_bytes: int) -> None:
        self._rows = rows
        padding = num_chunks * chunk_bytes - rows.nbytes
        places = np.empty((num_chunks, 2), dtype="<u8")
        places[:, 0] = np.arange(num_chunks) * chunk_bytes
        places[:, 1] = chunk_bytes
        index = places.tobytes()
        self._tail = bytes(padding) + index + struct.pack("<I", sealed.crc32c(index))

    def __iter__(self) -> Iterator[storage.Bytes]:
        yield from (block.data for block in self._rows.blocks())
        yield self._tail


def encode(
    layout: Layout,
    rows: Spool,
    of_frames: Mapping[str, NDArray[Any]],
    offsets: NDArray[np.int64],
) -> tuple[dict[str, memoryview], Shard]:
    """Encode a segment as the files of a Zarr v3 group.

    Args:
        layout: of the store.
        rows: the items of the large array, video behind video: one a frame, or as many as its size says.
        of_frames: (n,) each, by name.
        offsets: (num_videos + 1,), the first frame of each video, then n.

    Returns:
        The bytes of every file but the large one by its path in the segment; and those of `Layout.shard`.
    """
    import zarr
    from zarr.storage import MemoryStore

    held: dict[str, Any] = {}
    group = zarr.create_group(MemoryStore(held), zarr_format=3)
    num_items = len(rows)
    chunk = chunk_rows(num_items, layout.item_bytes)
    num_chunks = math.ceil(num_items / chunk)
    plain: dict[str, Any] = {"compressors": None, "filters": None, "fill_value": 0}
    plain["config"] = {"write_empty_chunks": True}
    group.create_array(
        layout.array,
        shape=(num_items, *layout.item_shape),
        dtype=layout.dtype,
        chunks=(chunk, *layout.item_shape),
        shards=(num_chunks * chunk, *layout.item_shape),
        **plain,
    )
    inner = group.create_group("rows")
    for name, dtype in {**layout.of_frames, "offsets": _OFFSETS}.items():
        values = offsets if name == "offsets" else of_frames[name]
        small = inner.create_array(name, shape=values.shape, dtype=dtype, chunks=values.shape, **plain)
        small[...] = values
    files = {name: memoryview(buffer.as_numpy_array()).cast("B") for name, buffer in held.items()}
    return files, Shard(rows, num_chunks, chunk * layout.item_bytes)


def map_items(
    root: Place, segment: str, layout: Layout, num_items: int
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Map the large array of a segment.

    Args:
        root: the store.
        segment: path of the segment's folder inside it.
        layout: of the store.
        num_items: m, that the commit and the small arrays promise.

    Returns:
        The items (m, ...), read-only, and the bytes that pad the last chunk, (k,).

    Raises:
        ValueError, OSError: naming the file and what is wrong with it.
    """
    metadata = _metadata(root, f"{segment}/{layout.array}")
    chunk = chunk_rows(num_items, layout.item_bytes)
    num_chunks = math.ceil(num_items / chunk)
    codec = {
        "chunk_shape": [chunk, *layout.item_shape],
        "codecs": [_bytes_codec(layout.dtype)],
        "index_codecs": [_BYTES, {"name": "crc32c"}],
        "index_location": "end",
    }
    codecs = [{"name": "sharding_indexed", "configuration": codec}]
    shape, outer = [num_items, *layout.item_shape], [num_chunks * chunk, *layout.item_shape]
    _require(metadata, f"{layout.array}/zarr.json", _promise(layout.dtype, shape, outer, codecs))
    data_bytes, index_bytes = num_chunks * chunk * layout.item_bytes, num_chunks * 16 + 4
    data = _map(root, f"{segment}/{layout.shard}", data_bytes + index_bytes)
    _require_index(layout.shard, data[data_bytes:], num_chunks, chunk * layout.item_bytes)
    used = num_items * layout.item_bytes
    items = data[:used].view(np.dtype(layout.dtype).newbyteorder("<")).reshape(shape)
    return items, data[used:data_bytes]


def map_frame_values(root: Place, segment: str, layout: Layout, name: str, num_frames: int) -> NDArray[Any]:
    """Map one of the arrays of one value a frame: (num_frames,), read-only.

    Raises:
        ValueError, OSError: naming the file and what is wrong with it.
    """
    return _map_plain(root, segment, name, layout.of_frames[name], num_frames)


def map_offsets(root: Place, segment: str, num_videos: int) -> NDArray[np.int64]:
    """Map where each video begins, and the end of the last: (num_videos + 1,), read-only.

    Raises:
        ValueError, OSError: naming the file and what is wrong with it.
    """
    return _map_plain(root, segment, "offsets", _OFFSETS, num_videos + 1)


def large_file_sizes(layout: Layout, num_frames: int, num_items: int) -> dict[str, int]:
    """Bytes that each large file of a segment must have."""
    chunk = chunk_rows(num_items, layout.item_bytes)
    num_chunks = math.ceil(num_items / chunk)
    shard = num_chunks * (chunk * layout.item_bytes + 16) + 4
    of_frames = {
        f"rows/{name}/c/0": num_frames * np.dtype(dtype).itemsize for name, dtype in layout.of_frames.items()
    }
    return {layout.shard: shard, **of_frames}


def _map_plain(root: Place, segment: str, name: str, dtype: str, num_values: int) -> NDArray[Any]:
    kind = np.dtype(dtype).newbyteorder("<")
    metadata = _metadata(root, f"{segment}/rows/{name}")
    promised = _promise(dtype, [num_values], [num_values], [_BYTES])
    _require(metadata, f"rows/{name}/zarr.json", promised)
    return _map(root, f"{segment}/rows/{name}/c/0", num_values * kind.itemsize).view(kind)


def _bytes_codec(dtype: str) -> dict[str, Any]:
    """Single bytes have no order, and zarr names none."""
    return {"name": "bytes"} if np.dtype(dtype).itemsize == 1 else _BYTES


def _metadata(root: Place, array: str) -> dict[str, Any]:
    return sealed.parse(storage.read_bytes(root, f"{array}/zarr.json", limit=_METADATA_LIMIT_BYTES))


def _map(root: Place, name: str, num_bytes: int) -> NDArray[np.uint8]:
    return storage.map_bytes(root, name, num_bytes=num_bytes)


def _promise(dtype: str, shape: list[int], chunks: list[int], codecs: list[Any]) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "data_type": dtype,
        "shape": shape,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": chunks}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "codecs": codecs,
    }


def _require(found: Mapping[str, Any], where: str, promised: Mapping[str, Any]) -> None:
    for name, value in promised.items():
        if found.get(name) != value:
            raise ValueError(f"{where}: {name} is not {value}")
    if unknown := sorted({*found} - {*promised} - _IGNORED):
        raise ValueError(f"{where}: unknown members {unknown[:3]}")
    if found.get("storage_transformers"):
        raise ValueError(f"{where}: storage transformers are not read")


def _require_index(shard: str, index: NDArray[np.uint8], num_chunks: int, chunk_bytes: int) -> None:
    if sealed.crc32c(index[:-4]) != int(index[-4:].view("<u4")[0]):
        raise ValueError(f"{shard}: its index does not match its checksum")
    places = index[:-4].view("<u8").reshape(num_chunks, 2)
    if not (places[:, 1] == chunk_bytes).all():
        raise ValueError(f"{shard}: a chunk is missing or of another size")
    if not (places[:, 0] == np.arange(num_chunks, dtype=np.uint64) * chunk_bytes).all():
        raise ValueError(f"{shard}: its chunks are not in order")
