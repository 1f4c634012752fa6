"""Reading a pickle that holds nothing but lists of words, without running anything of it.

A pickle is a program. Its instructions are read first, and all of them must be of the few that build dicts, lists and
strings: none of these can import, call or look up a thing. Only then is it loaded, by an unpickler that can find no
class. References to what is already built make a small file stand for a large structure: what it expands to is limited.
"""

import io
import pickle  # only behind the checks below
import pickletools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vlp.datasplits.errors import ManifestUnreadable

_MOST_BYTES = 64 * 2**20  # MSVD's captions are 4 MB
_MOST_CHARACTERS_PER_BYTE = 64
_MEMO_WRITES = frozenset({"PUT", "BINPUT", "LONG_BINPUT"})
_SAFE = _MEMO_WRITES | {
    "PROTO",
    "FRAME",
    "STOP",
    "MARK",
    "EMPTY_DICT",
    "DICT",
    "SETITEM",
    "SETITEMS",
    "EMPTY_LIST",
    "LIST",
    "APPEND",
    "APPENDS",
    "STRING",
    "BINSTRING",
    "SHORT_BINSTRING",
    "UNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE",
    "BINUNICODE8",
    "MEMOIZE",
    "GET",
    "BINGET",
    "LONG_BINGET",
}
# What the unpickler raises for instructions in a wrong order, besides its own error.
_BROKEN = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    OverflowError,
)


def read_word_lists(path: Path) -> dict[str, list[list[str]]]:
    """Read a pickled dict of lists of lists of words.

    Args:
        path: a pickle of any protocol.

    Raises:
        ManifestUnreadable: if it is not there, too large, no pickle, holds an instruction that such a dict does not
            need (before it is run), expands to far more than its size, or is another structure.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise ManifestUnreadable(path, [error.strerror or str(error)]) from error
    if len(data) > _MOST_BYTES:
        raise ManifestUnreadable(path, [f"it is larger than {_MOST_BYTES:,} bytes"])
    try:
        _check_instructions(path, data)
        held = _NoClasses(io.BytesIO(data), encoding="utf-8").load()
    except _BROKEN as error:
        raise ManifestUnreadable(path, [f"it is no complete pickle ({error})"[:200]]) from None
    _check_structure(path, held, len(data))
    lists: dict[str, list[list[str]]] = held
    return lists


class _NoClasses(pickle.Unpickler):
    """Finds no class, whatever the name."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}")


def _check_instructions(path: Path, data: bytes) -> None:
    num_memorised = 0
    for instruction, argument, position in pickletools.genops(data):
        if instruction.name not in _SAFE:
            problem = f"byte {position}: the instruction {instruction.name}, which lists of words do not need"
            raise ManifestUnreadable(path, [problem])
        if instruction.name in _MEMO_WRITES:
            # Picklers count from 0 or 1, and a larger number would allocate as much memory.
            if not 0 <= int(argument or 0) <= num_memorised + 1:
                raise ManifestUnreadable(path, [f"byte {position}: the memo number {argument} is too large"])
            num_memorised += 1
        elif instruction.name == "MEMOIZE":
            num_memorised += 1


def _check_structure(path: Path, held: object, num_bytes: int) -> None:
    """Refuse other structures, and those that are large by references alone: a word or list takes 2 bytes or more."""
    num_built = num_characters = 0
    for words in _word_lists(path, held):
        num_built += 1 + len(words)
        if num_built > num_bytes:
            break
        for word in words:
            if not isinstance(word, str):
                raise ManifestUnreadable(path, ["it holds something that is no list of words"])
            num_characters += len(word)
        if num_characters > _MOST_CHARACTERS_PER_BYTE * num_bytes:
            break
    else:
        return
    raise ManifestUnreadable(path, ["it refers to the same words too often"])


def _word_lists(path: Path, held: object) -> Iterator[list[object]]:
    if not isinstance(held, dict):
        raise ManifestUnreadable(path, ["it holds no dict"])
    for name, captions in held.items():
        if not isinstance(name, str) or not isinstance(captions, list):
            raise ManifestUnreadable(path, ["it holds something that is no video and its captions"])
        for words in captions:
            if not isinstance(words, list):
                raise ManifestUnreadable(path, ["it holds something that is no list of words"])
            yield words
