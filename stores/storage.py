"""Every primitive on stored files, for a folder of a local disk and for a prefix of a bucket alike.

A file is there whole, or not there: on a disk it is written aside, flushed and renamed (`local_disk.py`), on object
storage a put does it (`object_store.py`). A folder of files is there in one step on a disk; in a bucket its files come
one by one, so that only a marker written after them makes them count. Names are POSIX paths relative to the root.
"""

import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlp.stores import local_disk, object_store, place_errors
from vlp.stores.places import Place

PARTIAL = local_disk.PARTIAL
Bytes = local_disk.Bytes
Content = local_disk.Content
NotInside = place_errors.NotInside


def is_nameable(name: str) -> bool:
    """Tell whether a file name is text that an id, a list and a terminal can hold: Unicode, no control characters."""
    return name.isprintable() or not any(unicodedata.category(letter) in {"Cc", "Cs"} for letter in name)


def list_names(root: Place, folder: str) -> list[str]:
    """List the names in a folder, sorted; none when there is no such folder."""
    if isinstance(root, Path):
        return local_disk.list_names(root, folder)
    return object_store.list_names(root, folder)


def folder_names(root: Place, folder: str) -> list[str]:
    """List the names in a folder that are folders, or might be; in a bucket those below which there is an object."""
    if isinstance(root, Path):
        return local_disk.list_names(root, folder)
    return object_store.folder_names(root, folder)


def file_size(root: Place, name: str) -> int | None:
    """Size of a plain file in bytes; None when there is none."""
    if isinstance(root, Path):
        return local_disk.file_size(root, name)
    return object_store.file_size(root, name)


def file_sizes(root: Place, folder: str, *, below: str = "") -> dict[str, int]:
    """Sizes of all plain files ``FOLDER/*/BELOW``, or ``FOLDER/*``, by the name that stands for the star.

    One listing of a bucket, however many there are.
    """
    if isinstance(root, Path):
        return local_disk.file_sizes(root, folder, below=below)
    return object_store.file_sizes(root, folder, below=below)


def free_bytes(root: Place) -> int | None:
    """Bytes free where a root is or will be; None of a bucket, which has no such number."""
    return local_disk.free_bytes(root) if isinstance(root, Path) else None


def tree_bytes(root: Place, name: str) -> int:
    """Bytes of all files at or below a name; files that vanish meanwhile count as nothing."""
    if isinstance(root, Path):
        return local_disk.tree_bytes(root, name)
    return object_store.tree_bytes(root, name)


def read_bytes(root: Place, name: str, *, limit: int) -> bytes:
    """Read a small file.

    Raises:
        OSError: if it is missing, unreadable, outside of the root, or larger than ``limit`` bytes.
        StoreUnreachable: from the object storage.
    """
    if isinstance(root, Path):
        return local_disk.read_bytes(root, name, limit=limit)
    return object_store.read_bytes(root, name, limit=limit)


def read_blocks(root: Place, name: str) -> Iterator[bytes]:
    """Read a file of any size, some megabytes at a time.

    Raises:
        OSError: if it is missing, unreadable, or outside of the root.
        StoreUnreachable: from the object storage.
    """
    if isinstance(root, Path):
        return local_disk.read_blocks(root, name)
    return object_store.read_blocks(root, name)


def map_bytes(root: Place, name: str, *, num_bytes: int) -> NDArray[np.uint8]:
    """Map a file into memory, read-only; of a bucket, read the whole object: (num_bytes,).

    Raises:
        OSError: if it is missing, unreadable, outside of the root, or not of ``num_bytes`` bytes.
        StoreUnreachable: from the object storage.
    """
    if isinstance(root, Path):
        return local_disk.map_bytes(root, name, num_bytes=num_bytes)
    return object_store.read_exactly(root, name, num_bytes=num_bytes)


def make_folder(root: Place, name: str) -> None:
    """Make a folder and those above it; a bucket has none.

    Raises:
        StoreFull, StoreUnwritable: from the disk.
    """
    if isinstance(root, Path):
        local_disk.make_folder(root, name)


def write_file(root: Place, name: str, data: Bytes, *, writer: str) -> None:
    """Write a file; it replaces an older one in one step.

    Args:
        root: the store.
        name: where the file goes.
        data: its bytes.
        writer: unit and attempt; part of the name aside, so that two writers never share one.

    Raises:
        StoreFull, StoreUnwritable: from the disk; a partial file is removed when possible.
        StoreUnreachable: from the object storage.
    """
    if isinstance(root, Path):
        local_disk.write_file(root, name, data, writer=writer)
    else:
        object_store.write_file(root, name, data)


def write_folder(root: Place, name: str, files: Mapping[str, Content]) -> int:
    """Write a folder of files.

    Args:
        root: the store.
        name: where the folder goes; it must not exist. The attempt in it makes it unique.
        files: bytes by path inside the folder, those of a large file in blocks.

    Returns:
        The number of bytes written.

    Raises:
        StoreFull, StoreUnwritable: from the disk, or when ``name`` exists there.
        StoreUnreachable: from the object storage; what was put stays until `compact` removes it.
    """
    if isinstance(root, Path):
        return local_disk.write_folder(root, name, files)
    return sum(object_store.write_content(root / name, path, content) for path, content in files.items())


def remove(root: Place, name: str) -> None:
    """Remove a file or a folder that is not a commit (any more); links are not followed.

    Raises:
        StoreUnwritable: from the disk.
        StoreUnreachable: from the object storage.
    """
    if isinstance(root, Path):
        local_disk.remove(root, name)
    else:
        object_store.remove(root, name)
