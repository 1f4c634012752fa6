"""Datasets on disk: empty files where videos would be, and small official lists."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

Touch = Callable[..., Path]
WriteLists = Callable[[Path, Mapping[str, str]], Path]


@pytest.fixture(scope="session")
def touch() -> Touch:
    """Give a function that makes empty files below a root and returns the root."""

    def make(root: Path, *paths: str) -> Path:
        for folder in {(root / path).parent for path in paths}:
            folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            (root / path).touch()
        return root

    return make


@pytest.fixture(scope="session")
def write_lists() -> WriteLists:
    """Give a function that writes text files into a folder, and returns the folder."""

    def write(folder: Path, lists: Mapping[str, str]) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in lists.items():
            (folder / name).write_text(text)
        return folder

    return write
