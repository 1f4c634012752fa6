"""The arrays of a segment as Zarr v3: encoded by zarr itself, read by a memory map.

``features`` is one uncompressed shard whose inner chunks of 0.5 to 1 MiB lie in order without a codec
of their own, so that its first bytes are the array (FACTS.md: zarr reads 1-2 k clips/s, a map 74 k).
zarr encodes into memory and `storage.py` writes, because zarr's own writing does not flush. Reading never
asks zarr, which shows fill values where a chunk is missing: the metadata must be exactly what is
written here, the shard's index must be whole and in order, the sizes must fit.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlp.stores import sealed, storage

CHUNK_BYTES = 1 << 20
SHARD = "features/c/0/0/0"
ROW_ARRAYS = {"pts_seconds": "float64", "frame_index": "int32", "offsets": "int64"}
LARGE_FILES = frozenset({SHARD, "rows/pts_seconds/c/0", "rows/frame_index/c/0"})
SMALL_FILES = frozenset(
    {"zarr.json", "features/zarr.json", "rows/zarr.json", "rows/offsets/c/0"}
    | {f"rows/{name}/zarr.json" for name in ROW_ARRAYS}
)
_METADATA_LIMIT_BYTES = 1 << 16
_BYTES = {"name": "bytes", "configuration": {"endian": "little"}}
_IGNORED = {"fill_value", "attributes", "storage_transformers", "dimension_names"}


def chunk_rows(num_rows: int, row_bytes: int) -> int:
    """Rows of an inner chunk: as even as can be, 0.5 to 1 MiB where the rows allow it.

    Args:
        num_rows: rows of the segment.
        row_bytes: bytes of one row (V * D * 2).

    Example:
        >>> chunk_rows(2049, 1024)  # 3 chunks, 0 rows of padding
        683
        >>> chunk_rows(10, 1024)
        10
    """
    most = max(1, CHUNK_BYTES // row_bytes)
    return math.ceil(num_rows / math.ceil(num_rows / most))


def encode(
    features: NDArray[np.float16],
    pts_seconds: NDArray[np.float64],
    frame_index: NDArray[np.int32],
    offsets: NDArray[np.int64],
) -> dict[str, memoryview]:
    """Encode a segment as the files of a Zarr v3 group.

    Args:
        features: (n, V, D).
        pts_seconds: (n,).
        frame_index: (n,).
        offsets: (num_videos + 1,), the first row of each video, then n.

    Returns:
        The bytes of every file by its path in the segment.
    """
    import zarr
    from zarr.storage import MemoryStore

    held: dict[str, Any] = {}
    group = zarr.create_group(MemoryStore(held), zarr_format=3)
    rows, num_views, embed_dim = features.shape
    chunk = chunk_rows(rows, num_views * embed_dim * 2)
    shard = math.ceil(rows / chunk) * chunk
    plain: dict[str, Any] = {"compressors": None, "filters": None, "fill_value": 0}
    plain["config"] = {"write_empty_chunks": True}
    array = group.create_array(
        "features",
        shape=features.shape,
        dtype="float16",
        chunks=(chunk, num_views, embed_dim),
        shards=(shard, num_views, embed_dim),
        **plain,
    )
    array[...] = features
    inner = group.create_group("rows")
    beside: dict[str, NDArray[Any]] = {
        "pts_seconds": pts_seconds,
        "frame_index": frame_index,
        "offsets": offsets,
    }
    for name, values in beside.items():
        small = inner.create_array(
            name, shape=values.shape, dtype=ROW_ARRAYS[name], chunks=values.shape, **plain
        )
        small[...] = values
    return {name: memoryview(buffer.as_numpy_array()).cast("B") for name, buffer in held.items()}


def map_features(
    root: Path, segment: str, shape: tuple[int, int, int]
) -> tuple[NDArray[np.float16], NDArray[np.uint8]]:
    """Map the features of a segment.

    Args:
        root: the store.
        segment: path of the segment's folder inside it.
        shape: (n, V, D) that the commit and the store promise.

    Returns:
        The features (n, V, D), read-only, and the bytes that pad the last chunk, (k,).

    Raises:
        ValueError, OSError: naming the file and what is wrong with it.
    """
    metadata = _metadata(root, f"{segment}/features")
    rows, num_views, embed_dim = shape
    row_bytes = num_views * embed_dim * 2
    chunk = chunk_rows(rows, row_bytes)
    num_chunks = math.ceil(rows / chunk)
    codec = {
        "chunk_shape": [chunk, num_views, embed_dim],
        "codecs": [_BYTES],
        "index_codecs": [_BYTES, {"name": "crc32c"}],
        "index_location": "end",
    }
    codecs = [{"name": "sharding_indexed", "configuration": codec}]
    outer = [num_chunks * chunk, num_views, embed_dim]
    promised = _promise("float16", list(shape), outer, codecs)
    _require(metadata, "features/zarr.json", promised)
    data_bytes, index_bytes = num_chunks * chunk * row_bytes, num_chunks * 16 + 4
    data = _map(root, f"{segment}/{SHARD}", data_bytes + index_bytes)
    _require_index(data[data_bytes:], num_chunks, chunk * row_bytes)
    features = data[: rows * row_bytes].view("<f2").reshape(shape)
    return features, data[rows * row_bytes : data_bytes]


def map_rows(root: Path, segment: str, name: str, num_values: int) -> NDArray[Any]:
    """Map one of the arrays beside the features: (num_values,), read-only.

    Raises:
        ValueError, OSError: naming the file and what is wrong with it.
    """
    dtype = np.dtype(ROW_ARRAYS[name]).newbyteorder("<")
    metadata = _metadata(root, f"{segment}/rows/{name}")
    promised = _promise(ROW_ARRAYS[name], [num_values], [num_values], [_BYTES])
    _require(metadata, f"rows/{name}/zarr.json", promised)
    return _map(root, f"{segment}/rows/{name}/c/0", num_values * dtype.itemsize).view(dtype)


def large_file_sizes(num_rows: int, row_bytes: int) -> dict[str, int]:
    """Bytes that each large file of a segment must have."""
    chunk = chunk_rows(num_rows, row_bytes)
    num_chunks = math.ceil(num_rows / chunk)
    shard = num_chunks * (chunk * row_bytes + 16) + 4
    return {SHARD: shard, "rows/pts_seconds/c/0": num_rows * 8, "rows/frame_index/c/0": num_rows * 4}


def _metadata(root: Path, array: str) -> dict[str, Any]:
    return sealed.parse(storage.read_bytes(root, f"{array}/zarr.json", limit=_METADATA_LIMIT_BYTES))


def _map(root: Path, name: str, num_bytes: int) -> NDArray[np.uint8]:
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


def _require_index(index: NDArray[np.uint8], num_chunks: int, chunk_bytes: int) -> None:
    if sealed.crc32c(index[:-4]) != int(index[-4:].view("<u4")[0]):
        raise ValueError(f"{SHARD}: its index does not match its checksum")
    places = index[:-4].view("<u8").reshape(num_chunks, 2)
    if not (places[:, 1] == chunk_bytes).all():
        raise ValueError(f"{SHARD}: a chunk is missing or of another size")
    if not (places[:, 0] == np.arange(num_chunks, dtype=np.uint64) * chunk_bytes).all():
        raise ValueError(f"{SHARD}: its chunks are not in order")
