"""What stands in one place of an official list, checked: members of JSON objects, sentences, class names, times."""

import math
import re
from pathlib import Path
from typing import TypeVar

from vlp.datasplits.errors import ManifestUnreadable

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")

_Kind = TypeVar("_Kind")


def member(path: Path, where: str, row: object, name: str, kind: type[_Kind]) -> _Kind:
    """Take what an object of a JSON file holds under a name.

    Args:
        path: the file, and ``where`` in it, for the error.
        where: such as "video 3".
        row: the object.
        name: the key.
        kind: what must stand there.

    Raises:
        ManifestUnreadable: if the row is no object, or holds nothing of this kind there.
    """
    held = row.get(name) if isinstance(row, dict) else None
    if not isinstance(held, kind):
        raise ManifestUnreadable(path, [f"{where}: no {name!r} of kind {kind.__name__}"])
    return held


def sentence_of(path: Path, where: str, value: object) -> str:
    r"""Clean a caption: line breaks and control characters become spaces, and spaces do not repeat.

    Raises:
        ManifestUnreadable: if it is no text, or holds lone surrogates, which no file can hold.

    Example:
        >>> sentence_of(Path("captions.csv"), "line 2", "a man\x1b  walks\n")
        'a man walks'
    """
    if not isinstance(value, str) or _SURROGATE.search(value):
        raise ManifestUnreadable(path, [f"{where}: {value!r:.80} is no sentence"])
    return " ".join(_CONTROL.sub(" ", value).split())


def label_of(path: Path, where: str, value: object) -> str:
    """Check a class name.

    Raises:
        ManifestUnreadable: if it is no text, empty, or holds control characters.
    """
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise ManifestUnreadable(path, [f"{where}: {value!r:.80} is no class name"])
    return value


def seconds_of(path: Path, where: str, value: object) -> float:
    """Read a time of a list, in seconds; it may be negative.

    Raises:
        ManifestUnreadable: if it is no number, not finite, or too large for one.
    """
    try:
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            number = float(value)
            if math.isfinite(number):
                return number
    except (ValueError, OverflowError):
        pass
    raise ManifestUnreadable(path, [f"{where}: {value!r:.40} is no number of seconds"])
