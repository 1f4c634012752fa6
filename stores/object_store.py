"""Stores on object storage, through fsspec: put, list, read and remove whole objects. `storage.py` is the front.

A put is atomic, and nothing is renamed. Listings are never remembered: other machines write to the same prefix. What a
driver raises becomes a `StoreUnreachable`, or the `OSError` that a local disk would have raised.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlp.stores.place_errors import BadPlace, DriverMissing, NotInside, StoreUnreachable
from vlp.stores.places import ObjectPath

# Drivers try again by themselves, for seconds. What has been computed is worth more patience than that.
PATIENCE_SECONDS = 60.0

_URL_OF_BUCKET = re.compile("[^:]+://[^/]*")
_GONE = "NoSuchBucket"
_EMPTY = "InvalidRange"  # the answer to a read of the first bytes of nothing
_TAKEN = {"PreconditionFailed", "ConditionalRequestConflict"}
_TOO_MANY_REQUESTS = 429
_OF_THE_NETWORK = {"ConnectionError", "HTTPClientError", "ClientError", "TimeoutError"}


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
    data = _read(root / name, most=limit + 1)
    if len(data) > limit:
        raise NotInside(errno.EFBIG, f"more than the {limit} bytes that are read", str(root / name))
    return data


def read_exactly(root: ObjectPath, name: str, *, num_bytes: int) -> NDArray[np.uint8]:
    """Read a whole object: (num_bytes,), read-only.

    Raises:
        OSError: if it is missing, or not of ``num_bytes`` bytes.
        StoreUnreachable: from the server.
    """
    data = _read(root / name, most=num_bytes + 1)
    if len(data) != num_bytes or num_bytes == 0:
        found = f"{len(data)} bytes" if len(data) <= num_bytes else "more bytes"
        raise NotInside(errno.EINVAL, f"{found}, not {num_bytes}", str(root / name))
    return np.frombuffer(data, dtype=np.uint8)


def write_file(root: ObjectPath, name: str, data: bytes | memoryview) -> None:
    """Put an object, and try again while the server does not answer.

    Raises:
        StoreUnreachable: from the server, once patience has run out.
    """
    from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_exponential

    patiently = Retrying(
        retry=retry_if_exception(lambda error: isinstance(error, StoreUnreachable) and error.is_passing),
        stop=stop_after_delay(PATIENCE_SECONDS),
        wait=wait_exponential(max=10),
        reraise=True,
    )
    for attempt in patiently:
        with attempt:
            put(root, name, data)


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
            if _code(error) in _TAKEN:
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


def _read(path: ObjectPath, *, most: int) -> bytes:
    with _reported(path) as driver:
        try:
            data: bytes = driver.cat_file(_key(path), start=0, end=most)
        except FileNotFoundError as error:
            _require_bucket(path, error)
            raise NotThere(path) from error
        except OSError as error:
            if _code(error) != _EMPTY:
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
        raise StoreUnreachable(path, _reason(error), is_passing=_is_passing(error)) from error


def _driver(path: ObjectPath) -> Any:
    try:
        return _load_driver(_URL_OF_BUCKET.match(path.url)[0], os.getpid())  # type: ignore[index]  # is a URL
    except ImportError as error:
        raise DriverMissing(path, _reason(error)) from error
    except ValueError as error:
        raise BadPlace(path.url, _reason(error)) from error


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
    if _code(error) == _GONE:
        raise StoreUnreachable(path, "there is no such bucket") from error


def _answer(error: BaseException | None) -> Any:
    """What an S3 server answered, if that is what went wrong."""
    while error is not None:
        if isinstance(answer := getattr(error, "response", None), dict):
            return answer
        error = error.__cause__
    return {}


def _code(error: BaseException) -> str:
    return str(_answer(error).get("Error", {}).get("Code", ""))


def _is_passing(error: BaseException) -> bool:
    status = _answer(error).get("ResponseMetadata", {}).get("HTTPStatusCode")
    if status is not None:
        return bool(status >= 500 or status == _TOO_MANY_REQUESTS)
    return bool({kind.__name__ for kind in type(error).__mro__} & _OF_THE_NETWORK)


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    denied = "access denied: " if isinstance(error, PermissionError) else ""
    return f"{denied}{lines[0].rstrip('.')}"
