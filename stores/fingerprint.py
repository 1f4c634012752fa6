"""What features mean, as one number.

The meaning is a tree of plain JSON values: weights hash, preprocessing, views, timeline, and so on.
Its canonical text is JSON with sorted keys, no spaces, UTF-8, and one spelling for each number:
a float that is a whole number below 2**53 is written as an integer (30.0 and 30 mean the same,
-0.0 is 0), any other float in Python's shortest form that reads back equal. NaN, infinities and keys
that are not text are refused. The fingerprint is the SHA-256 of that text.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import TypeAlias

JSON: TypeAlias = "Mapping[str, JSON] | Sequence[JSON] | str | int | float | bool | None"


def canonical_json(value: JSON) -> str:
    """Write a tree of JSON values in its one canonical spelling.

    Raises:
        ValueError: if a number is NaN or infinite, or the tree is too deep.
        TypeError: if a value or a key is of a type that JSON does not have (NumPy scalars too).

    Example:
        >>> canonical_json({"timeline": "fps:30", "size": 224.0, "mean": (0.5, 0.25)})
        '{"mean":[0.5,0.25],"size":224,"timeline":"fps:30"}'
    """
    try:
        return json.dumps(
            _canonical(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
    except RecursionError:
        raise ValueError("the value is nested too deeply") from None


def fingerprint(meaning: JSON) -> str:
    """Hash a meaning: SHA-256 of its canonical JSON, 64 hexadecimal digits.

    Example:
        >>> fingerprint({"fps": 30.0}) == fingerprint({"fps": 30})
        True
    """
    return hashlib.sha256(canonical_json(meaning).encode()).hexdigest()


def differences(here: JSON, asked: JSON) -> list[str]:
    """Name every leaf in which two meanings differ, in order of its name.

    Example:
        >>> differences({"preprocess": {"size": 224}, "views": 1}, {"preprocess": {"size": 336}})
        ['preprocess.size: 224 here, 336 asked', 'views: 1 here, absent asked']
    """
    left, right = dict(_leaves(here, ())), dict(_leaves(asked, ()))
    return [
        f"{'.'.join(keys) or 'all'}: {left.get(keys, 'absent')} here, {right.get(keys, 'absent')} asked"
        for keys in sorted({*left, *right})
        if left.get(keys) != right.get(keys)
    ]


def distinctions(meanings: Sequence[JSON]) -> list[list[str]]:
    """Name, for each of several meanings, every leaf in which not all of them agree, in order of its name.

    Example:
        >>> distinctions([{"timeline": "fps:30", "views": 1}, {"timeline": "fps:30", "views": 3}])
        [['views: 1'], ['views: 3']]
    """
    held = [dict(_leaves(meaning, ())) for meaning in meanings]
    known = sorted({keys for leaves in held for keys in leaves})
    telling = [keys for keys in known if len({leaves.get(keys) for leaves in held}) > 1]
    return [
        [f"{'.'.join(keys) or 'all'}: {leaves.get(keys, 'absent')}" for keys in telling] for leaves in held
    ]


def _leaves(value: JSON, keys: tuple[str, ...]) -> list[tuple[tuple[str, ...], str]]:
    if isinstance(value, Mapping) and value:
        return [leaf for key, child in value.items() for leaf in _leaves(child, (*keys, key))]
    return [(keys, canonical_json(value))]


def _canonical(value: JSON) -> JSON:
    if value is None or isinstance(value, bool | str):
        return value
    if type(value) is int:
        return value
    if type(value) is float:
        return _canonical_float(value)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"keys must be text: {list(value)}")
        return {key: _canonical(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(child) for child in value]
    raise TypeError(f"{type(value).__name__} is not a JSON value: {value!r}")


def _canonical_float(value: float) -> int | float:
    if not math.isfinite(value):
        raise ValueError(f"{value} has no place in JSON")
    return int(value) if value.is_integer() and abs(value) < 2**53 else value
