"""Stores on a local disk: write aside, fsync, rename, list, read, map, remove.

`storage.py` is the front, beside `object_store.py`.

Nothing else in this package touches a path for writing. A file or folder is written under another
name that ends in ``.partial``, flushed to the disk, renamed, and the folder that holds it is flushed:
after a crash it is there whole, or not there. Names are POSIX paths relative to the root of the store;
reading refuses one that leads out of the root, by ``..`` or by a link, and anything that is no plain file.
"""

import errno
import mmap
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from vlp.stores.errors import StoreFull, StoreUnwritable
from vlp.stores.place_errors import NotInside

PARTIAL = ".partial"
_BLOCK_BYTES = 4 << 20
Bytes = bytes | memoryview
Content = Bytes | Iterable[Bytes]
"""A file's bytes, whole or in blocks that can be asked for more than once."""


def list_names(root: Path, folder: str) -> list[str]:
    """List the names in a folder, sorted; none when there is no such folder."""
    try:
        return sorted(os.listdir(root / folder))  # noqa: PTH208 (650,000 videos: no Path objects)
    except (FileNotFoundError, NotADirectoryError):
        return []


def file_size(root: Path, name: str) -> int | None:
    """Size of a plain file in bytes; None when there is none."""
    try:
        status = os.stat(root / name)  # noqa: PTH116 (one call for size and kind)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


def file_sizes(root: Path, folder: str, *, below: str = "") -> dict[str, int]:
    """Sizes of the plain files ``FOLDER/*/BELOW``, or ``FOLDER/*``, by the name that stands for the star."""
    names = list_names(root, folder)
    sizes = {
        name: file_size(root, f"{folder}/{name}/{below}" if below else f"{folder}/{name}") for name in names
    }
    return {name: size for name, size in sizes.items() if size is not None}


def free_bytes(root: Path) -> int:
    """Bytes free on the disk of a folder, which need not be there yet."""
    there = next(folder for folder in (root, *root.absolute().parents) if folder.exists())
    return shutil.disk_usage(there).free


def tree_bytes(root: Path, name: str) -> int:
    """Bytes of all files at or below a name; files that vanish meanwhile count as nothing."""
    paths = [root / name, *(root / name).rglob("*")]
    total = 0
    for path in paths:
        with suppress(FileNotFoundError):
            total += path.lstat().st_size if path.is_file() else 0
    return total


def read_bytes(root: Path, name: str, *, limit: int) -> bytes:
    """Read a small file.

    Raises:
        OSError: if it is missing, unreadable, outside of the root, or larger than ``limit`` bytes.
    """
    path = _inside(root, name)
    size = path.stat().st_size
    if size > limit:
        raise NotInside(errno.EFBIG, f"{size} bytes, at most {limit} are read", str(path))
    return path.read_bytes()


def read_blocks(root: Path, name: str) -> Iterator[bytes]:
    """Read a file of any size, some megabytes at a time.

    Raises:
        OSError: if it is missing, unreadable, or outside of the root.
    """
    with _inside(root, name).open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            yield block


def read_head(root: Path, name: str, *, num_bytes: int) -> tuple[bytes, int]:
    """Read how a file begins: at most ``num_bytes`` bytes; and the size of the whole.

    Raises:
        OSError: if it is missing, unreadable, or outside of the root.
    """
    with _inside(root, name).open("rb") as file:
        return file.read(num_bytes), os.fstat(file.fileno()).st_size


def list_files(root: Path, suffix: str) -> list[str]:
    """List all visible files below a folder that end in ``suffix``: relative, with slashes, sorted.

    Links to folders are not entered; links to files are listed, and refused when they are read from outside.
    """
    found: list[str] = []
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        above = Path(folder).relative_to(root).as_posix()
        prefix = "" if above == "." else f"{above}/"
        found += [prefix + name for name in names if name.endswith(suffix) and not name.startswith(".")]
    return sorted(found)


def map_bytes(root: Path, name: str, *, num_bytes: int) -> NDArray[np.uint8]:
    """Map a file into memory, read-only, without reading it: (num_bytes,).

    Raises:
        OSError: if it is missing, unreadable, outside of the root, or not of ``num_bytes`` bytes.
    """
    path = _inside(root, name)
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size != num_bytes or num_bytes == 0:
            raise NotInside(errno.EINVAL, f"{size} bytes, not {num_bytes}", str(path))
        mapped = mmap.mmap(file.fileno(), num_bytes, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, dtype=np.uint8)


def make_folder_inside(root: Path, name: str) -> None:
    """Make a folder below a root that others may have filled.

    Raises:
        StoreUnwritable: if a link on the way leads out of the root, or from the disk.
        StoreFull: from the disk.
    """
    if not Path(os.path.realpath(root / name)).is_relative_to(os.path.realpath(root)):
        raise StoreUnwritable(root / name, "a link on the way leads out of the folder")
    make_folder(root, name)


def make_folder(root: Path, name: str) -> None:
    """Make a folder and those above it; flush the folder that holds it."""
    path = root / name
    with reported(path):
        path.mkdir(parents=True, exist_ok=True)
        _sync_folder(path.parent)


def write_file(root: Path, name: str, data: Bytes, *, writer: str) -> None:
    """Write a file aside, flush, rename; it replaces an older one in one step.

    Args:
        root: the store.
        name: where the file goes.
        data: its bytes.
        writer: unit and attempt; part of the name aside, so that two writers never share one.

    Raises:
        StoreFull, StoreUnwritable: from the disk; the partial file is removed when possible.
    """
    path = root / name
    aside = path.with_name(f"{path.name}.{writer}{PARTIAL}")
    with reported(path):
        try:
            _write_flushed(aside, data)
            os.replace(aside, path)  # noqa: PTH105 (the call itself, as the kill tests trace it)
        except BaseException:
            with suppress(OSError):
                aside.unlink()
            raise
        _sync_folder(path.parent)


def write_folder(root: Path, name: str, files: Mapping[str, Content]) -> int:
    """Write a folder of files aside, flush files and folders, rename.

    Args:
        root: the store.
        name: where the folder goes; it must not exist. The attempt in it makes it unique.
        files: bytes by path inside the folder, those of a large file in blocks.

    Returns:
        The number of bytes written.

    Raises:
        StoreFull, StoreUnwritable: from the disk, or when ``name`` exists; the partial folder is
            removed when possible.
    """
    path = root / name
    aside = path.with_name(path.name + PARTIAL)
    with reported(path):
        aside.mkdir()
        try:
            num_bytes = _write_tree(aside, files)
            if path.exists():  # POSIX renames onto an empty folder without an error
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
            os.rename(aside, path)  # noqa: PTH104 (the call itself, as the kill tests trace it)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        _sync_folder(path.parent)
    return num_bytes


def remove(root: Path, name: str) -> None:
    """Remove a file or a folder that is not a commit (any more); links are not followed."""
    path = root / name
    with reported(path):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
        _sync_folder(path.parent)


def _write_tree(folder: Path, files: Mapping[str, Content]) -> int:
    folders = {folder}
    num_bytes = 0
    for name, content in files.items():
        for parent in reversed(PurePosixPath(name).parents[:-1]):
            (folder / parent).mkdir(exist_ok=True)
            folders.add(folder / parent)
        num_bytes += _write_flushed(folder / name, content)
    for path in sorted(folders, reverse=True):  # the deepest first
        _sync_folder(path)
    return num_bytes


def _write_flushed(path: Path, content: Content) -> int:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    num_bytes = 0
    try:
        for data in [content] if isinstance(content, bytes | memoryview) else content:
            num_bytes += write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return num_bytes


def write_all(descriptor: int, data: Bytes) -> int:
    """Write bytes where a descriptor stands; give their number.

    Raises:
        OSError: from the disk.
    """
    rest = memoryview(data).cast("B") if len(data) else memoryview(b"")
    num_bytes = len(rest)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    return num_bytes


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # file systems that cannot flush a folder say so
            raise
    finally:
        os.close(descriptor)


def _inside(root: Path, name: str) -> Path:
    path = Path(os.path.realpath(root / name, strict=True))  # links in a circle: an OSError, unlike `resolve`
    if not path.is_relative_to(root.resolve()):
        raise NotInside(errno.EXDEV, "leads out of the store", str(root / name))
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
        raise NotInside(errno.EINVAL, "is no plain file", str(path))
    return path


@contextmanager
def reported(path: Path) -> Iterator[None]:
    """Turn what a disk raises into what stores raise.

    Raises:
        StoreFull, StoreUnwritable: naming the path.
    """
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise StoreFull(path) from error
        raise StoreUnwritable(path, error.strerror or str(error)) from error
