"""JSON objects on disk that carry their own checksum, and the checks of what is read from them.

A sealed object is canonical JSON (`fingerprint.py`) with one more member, the CRC-32C of the rest.
A store is untrusted: every member that is read goes through a function here, which names the member
and what is wrong with it in a `ValueError`.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import google_crc32c

from vlp.stores.fingerprint import JSON, canonical_json

Fields = Mapping[str, Any]
TEXT_LIMIT = 4096


def crc32c(data: Any, before: int = 0) -> int:
    """CRC-32C of bytes or of a contiguous array; ``before`` is that of what comes before it."""
    return int(google_crc32c.extend(before, data))


def checksum(body: Mapping[str, JSON]) -> str:
    """CRC-32C of an object's canonical JSON, 8 hexadecimal digits."""
    return f"{crc32c(canonical_json(body).encode()):08x}"


def seal(body: Mapping[str, JSON]) -> bytes:
    """Write an object with its checksum; the same object always gives the same bytes."""
    return (canonical_json({**body, "crc32c": checksum(body)}) + "\n").encode()


def unseal(data: bytes) -> dict[str, Any]:
    """Read an object back.

    Raises:
        ValueError: if it is not exactly what `seal` writes: a single flipped bit is enough.
    """
    body = parse(data)
    body.pop("crc32c", None)
    try:
        intact = seal(body) == data
    except (ValueError, TypeError) as error:  # a lone surrogate, say
        raise ValueError(f"is no sealed JSON: {error}") from None
    if not intact:
        raise ValueError("does not match its checksum")
    return body


def parse(data: bytes) -> dict[str, Any]:
    """Read any JSON object; NaN, infinities, other encodings than UTF-8 and endless nesting are refused."""
    try:
        body = json.loads(data.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON: {error}") from None
    if not isinstance(body, dict):
        raise ValueError("is no JSON object")
    return body


def text(fields: Fields, name: str, *, limit: int = TEXT_LIMIT) -> str:
    """Take a member that is text of 1 to ``limit`` characters."""
    value = fields.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        raise ValueError(f"{name} is {_short(value)}, not text of 1 to {limit} characters")
    try:
        value.encode()
    except UnicodeEncodeError:  # a file name that is not UTF-8
        raise ValueError(f"{name} is {_short(value)}, which is not valid Unicode") from None
    return value


def text_or_none(fields: Fields, name: str, *, limit: int = TEXT_LIMIT) -> str | None:
    """Take a member that is text or null."""
    return None if fields.get(name) is None else text(fields, name, limit=limit)


def count(fields: Fields, name: str, *, least: int = 0, most: int = 2**40) -> int:
    """Take a member that is an integer in [least, most]."""
    value = fields.get(name)
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} is {_short(value)}, not a whole number from {least} to {most}")
    return value


def number(fields: Fields, name: str) -> float:
    """Take a member that is a finite number, not negative."""
    value: Any = fields.get(name)
    if type(value) not in {int, float} or not 0 <= value < math.inf:
        raise ValueError(f"{name} is {_short(value)}, not a number from 0 up")
    return float(value)


def objects(fields: Fields, name: str) -> list[Fields]:
    """Take a member that is a list of objects."""
    value = fields.get(name)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValueError(f"{name} is not a list of objects")
    return value


def mapping(fields: Fields, name: str) -> dict[str, Any]:
    """Take a member that is an object."""
    value = fields.get(name)
    if not isinstance(value, dict):
        raise ValueError(f"{name} is not an object")
    return value


def _short(value: object) -> str:
    shown = repr(value) if isinstance(value, str | int | float | bool | None) else type(value).__name__
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} has no place in JSON")
