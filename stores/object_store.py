"""Stores on object storage, through fsspec: put, list, read and remove whole objects. `storage.py` is the front.

A put is atomic, and nothing is renamed. Listings are never remembered: other machines write to the same prefix. What a
driver raises becomes a `StoreUnreachable`, or the `OSError` that a local disk would have raised.
"""

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlp.stores.local_disk import Content
from vlp.stores.place_errors import BadPlace, DriverMissing, NotInside, StoreUnreachable
from vlp.stores.places import ObjectPath
from vlp.stores.server_errors import EMPTY, GONE, TAKEN, is_passing, reason_of, says

_BLOCK_BYTES = 16 << 20  # read at a time
_PART_BYTES = 100 << 20  # sent at a time: what is smaller, as all but long videos are, is one put

# Drivers try again by themselves, for seconds. What has been computed is worth more patience than that.
PATIENCE_SECONDS = 60.0

_URL_OF_BUCKET = re.compile("[^:]+://[^/]*")


def list_names(root: ObjectPath, folder: str) -> list[str]:
    """List the names directly below a prefix, sorted; none when there is nothing."""
    path = root / folder
    with _reported(path) as driver:
        try:
            found = driver.ls(_key(path), detail=False)
        except FileNotFoundError as error:
            _require_bucket(path, error)
            return []
    own = _key(path).rstrip("/")
    return sorted({name.rstrip("/").rpartition("/")[2] for name in found if name.rstrip("/") != own})


def folder_names(root: ObjectPath, folder: str) -> list[str]:
    """List the names directly below a prefix that have objects below them, sorted.

    A plain listing also has those whose objects were removed a moment ago, on servers that keep folders (SeaweedFS).
    """
    return sorted({name.partition("/")[0] for name in _below(root / folder) if "/" in name})


def file_size(root: ObjectPath, name: str) -> int | None:
    """Size of an object in bytes; None when there is none."""
    path = root / name
    with _reported(path) as driver:
        try:
            found = driver.info(_key(path))
        except FileNotFoundError as error:
            _require_bucket(path, error)
            return None
    return int(found["size"]) if found["type"] == "file" else None


def file_sizes(root: ObjectPath, folder: str, *, below: str = "") -> dict[str, int]:
    """Sizes of the objects ``FOLDER/*/BELOW``, or ``FOLDER/*``, by the name that stands for the star: one listing."""
    suffix = f"/{below}" if below else ""
    sizes = {}
    for name, size in _below(root / folder).items():
        star = name.removesuffix(suffix)
        if name.endswith(suffix) and star and "/" not in star:
            sizes[star] = size
    return sizes


def tree_bytes(root: ObjectPath, name: str) -> int:
    """Bytes of all objects at or below a name."""
    return sum(_below(root / name).values())


def read_bytes(root: ObjectPath, name: str, *, limit: int) -> bytes:
    """Read a small object.

    Raises:
        OSError: if it is missing, or larger than ``limit`` bytes.
        StoreUnreachable: from the server.
    """
    data = _read(root / name, end=limit + 1)
    if len(data) > limit:
        raise NotInside(errno.EFBIG, f"more than the {limit} bytes that are read", str(root / name))
    return data


def read_blocks(root: ObjectPath, name: str) -> Iterator[bytes]:
    """Read an object of any size, some megabytes at a time.

    Raises:
        OSError: if it is missing.
        StoreUnreachable: from the server.
    """
    start, block = 0, b""
    while start == 0 or len(block) == _BLOCK_BYTES:
        block = _read(root / name, start=start, end=start + _BLOCK_BYTES)
        start += _BLOCK_BYTES
        if block:
            yield block


def read_exactly(root: ObjectPath, name: str, *, num_bytes: int) -> NDArray[np.uint8]:
    """Read a whole object: (num_bytes,), read-only.

    Raises:
        OSError: if it is missing, or not of ``num_bytes`` bytes.
        StoreUnreachable: from the server.
    """
    data = _read(root / name, end=num_bytes + 1)
    if len(data) != num_bytes or num_bytes == 0:
        found = f"{len(data)} bytes" if len(data) <= num_bytes else "more bytes"
        raise NotInside(errno.EINVAL, f"{found}, not {num_bytes}", str(root / name))
    return np.frombuffer(data, dtype=np.uint8)


def write_file(root: ObjectPath, name: str, data: bytes | memoryview) -> None:
    """Put an object, and try again while the server does not answer.

    Raises:
        StoreUnreachable: from the server, once patience has run out.
    """
    _patiently(lambda: put(root, name, data))


def write_content(root: ObjectPath, name: str, content: Content) -> int:
    """Write an object's bytes, whole or in blocks; give their number.

    Blocks are sent as they come, in parts, so that a long video is never in memory whole. What stays of one that was
    cut short may be a shorter object, which no commit names.

    Raises:
        StoreUnreachable: from the server, once patience has run out.
    """
    if isinstance(content, bytes | memoryview):
        write_file(root, name, content)
        return len(content)
    num_bytes = 0

    def send() -> None:
        nonlocal num_bytes
        num_bytes = 0
        with (
            _reported(root / name) as driver,
            driver.open(_key(root / name), "wb", block_size=_PART_BYTES) as file,
        ):
            for block in content:
                num_bytes += file.write(memoryview(block).cast("B"))

    _patiently(send)
    return num_bytes


def _patiently(send: Callable[[], None]) -> None:
    from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_exponential

    retrying = Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, StoreUnreachable) and error.is_passing),
        stop=stop_after_delay(PATIENCE_SECONDS),
        wait=wait_exponential(max=10),
        reraise=True,
    )
    retrying(send)


def put(root: ObjectPath, name: str, data: bytes | memoryview) -> None:
    """Put an object; it replaces an older one in one step.

    Raises:
        StoreUnreachable: from the server.
    """
    path = root / name
    with _reported(path) as driver:
        driver.pipe_file(_key(path), bytes(data))


def create_file(root: ObjectPath, name: str, data: bytes) -> bool:
    """Put an object where there is none; tell whether it was put.

    Two that do so at once: one of them does, wherever the storage has conditional puts (S3 and what resembles it).

    Raises:
        StoreUnreachable: from the server.
    """
    path = root / name
    with _reported(path) as driver:
        try:
            driver.pipe_file(_key(path), data, mode="create")
        except FileExistsError:
            return False
        except OSError as error:
            if says(error, *TAKEN):
                return False
            raise
    return True


def remove(root: ObjectPath, name: str) -> None:
    """Remove an object, or all below a prefix; what is not there is no error.

    Raises:
        StoreUnreachable: from the server.
    """
    path = root / name
    for below in _below(path):
        with _reported(path) as driver:
            try:
                driver.rm_file(_key(path / below))
            except FileNotFoundError:  # another has removed it
                continue


def _read(path: ObjectPath, *, end: int, start: int = 0) -> bytes:
    with _reported(path) as driver:
        try:
            data: bytes = driver.cat_file(_key(path), start=start, end=end)
        except FileNotFoundError as error:
            _require_bucket(path, error)
            raise NotThere(path) from error
        except OSError as error:
            if not says(error, EMPTY):
                raise
            data = b""
    return data


def _below(path: ObjectPath) -> dict[str, int]:
    """Sizes of all objects below a prefix by their names in it; of an object itself, under no name."""
    own = _key(path)
    with _reported(path) as driver:
        try:
            found = driver.find(own, detail=True)
        except FileNotFoundError as error:
            _require_bucket(path, error)
            return {}
    own = own.rstrip("/")
    return {name.removeprefix(own).lstrip("/"): int(facts["size"]) for name, facts in found.items()}


class NotThere(FileNotFoundError):
    """There is no such object."""

    def __init__(self, path: ObjectPath) -> None:
        super().__init__(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


@contextmanager
def _reported(path: ObjectPath) -> Iterator[Any]:
    """Lend the driver; whatever it raises becomes what stores raise."""
    try:
        yield _driver(path)
    except (StoreUnreachable, DriverMissing, BadPlace, NotThere):
        raise
    except Exception as error:
        raise StoreUnreachable(path, reason_of(error), is_passing=is_passing(error)) from error


def _driver(path: ObjectPath) -> Any:
    try:
        return _load_driver(_URL_OF_BUCKET.match(path.url)[0], os.getpid())  # type: ignore[index]  # is a URL
    except ImportError as error:
        raise DriverMissing(path, reason_of(error)) from error
    except ValueError as error:
        raise BadPlace(path.url, reason_of(error)) from error


@lru_cache
def _load_driver(bucket: str, _process: int) -> Any:
    """Make fsspec's file system of a bucket: one for all threads, and a new one after a fork."""
    from fsspec.core import url_to_fs

    return url_to_fs(bucket, use_listings_cache=False)[0]


def _key(path: ObjectPath) -> str:
    """Name an object as its driver does."""
    key: str = _driver(path)._strip_protocol(path.url)
    return key


def _require_bucket(path: ObjectPath, error: FileNotFoundError) -> None:
    if says(error, GONE):
        raise StoreUnreachable(path, "there is no such bucket") from error
