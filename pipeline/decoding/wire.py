"""What goes over the pipes between the pool and its children: one JSON object a line, at most 64 KiB.

A child reads files that nobody vouches for, so what it says is checked before it is used.
"""

import json
import math
import os
from collections.abc import Mapping

MAX_LINE_BYTES = 1 << 16

Message = dict[str, object]


class GarbledMessage(Exception):
    """The other end does not keep to the protocol."""


def send(descriptor: int, message: Mapping[str, object]) -> None:
    """Write one message whole.

    Raises:
        OSError: the other end is gone, or (non-blocking descriptors) does not read.
        GarbledMessage: longer than the other end would read.
    """
    line = json.dumps(message).encode("ascii") + b"\n"
    if len(line) > MAX_LINE_BYTES:
        raise GarbledMessage(f"a message of {len(line)} bytes")
    while line:
        line = line[os.write(descriptor, line) :]


class MessageReader:
    """Reads messages from a pipe, as many as there are."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._rest = b""

    def read(self) -> list[Message] | None:
        """Read once and give the messages that are complete by then; None at the end of the pipe.

        Raises:
            GarbledMessage: a line too long, or not a JSON object.
        """
        data = os.read(self._descriptor, MAX_LINE_BYTES)
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > MAX_LINE_BYTES:
            raise GarbledMessage("a line without end")
        return [_parse(line) for line in lines]


def _parse(line: bytes) -> Message:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise GarbledMessage(f"not JSON: {line[:80]!r}") from error
    if not isinstance(message, dict):
        raise GarbledMessage(f"not an object: {line[:80]!r}")
    return message


def integer(message: Message, name: str, low: int, high: int) -> int:
    """Take a whole number in [low, high].

    Raises:
        GarbledMessage: if it is missing or something else.
    """
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise GarbledMessage(f"{name} is {value!r}, not in {low}..{high}")
    return value


def number(message: Message, name: str) -> float:
    """Take a finite number that is not negative.

    Raises:
        GarbledMessage: if it is missing or something else.
    """
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise GarbledMessage(f"{name} is {value!r}, not a finite number")
    return float(value)


def text(message: Message, name: str, max_length: int = 500) -> str:
    """Take a printable string, cut to ``max_length``; other characters become spaces.

    Raises:
        GarbledMessage: if it is missing or not a string.
    """
    value = message.get(name)
    if not isinstance(value, str):
        raise GarbledMessage(f"{name} is not text")
    return "".join(character if character.isprintable() else " " for character in value[:max_length])
