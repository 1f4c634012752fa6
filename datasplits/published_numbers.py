"""The file of published numbers: read, and every member checked.

The numbers lie in published_numbers.yaml; docs/published.md says how to read them and how to add a row. A number keeps
the form it was printed in, so that 40.10 and 40.1 stay apart.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vlp.datasplits.errors import PublishedNumbersUnreadable
from vlp.datasplits.published_rows import (
    METRICS,
    PROTOCOLS,
    SETTINGS,
    Inconsistency,
    Paper,
    Place,
    PublishedNumbers,
    PublishedRow,
)

FILE = Path(__file__).parent / "published_numbers.yaml"
_LIMIT_BYTES = 4 << 20
_NUMBER = re.compile(r"\d+(\.\d+)?( ± \d+(\.\d+)?)?")
_SCORES_ALL_CLASSES = ("closed-set", "zero-shot", "base-to-novel", "multi-label", "localisation")
_OF_A_TABLE = ("paper", "table", "protocol", "settings", "recipe", "rows")
_OF_A_ROW = (
    *("printed", "method", "row", "protocol", "settings", "config", "recipe"),
    *("flags", "notes", "values"),
)


class _BrokenRule(ValueError):
    """What is wrong, and where in the file."""

    def __init__(self, place: str, what: str) -> None:
        super().__init__(f"{place}: {what}")


@dataclass(frozen=True)
class _Known:
    """What rows refer to by name."""

    papers: Mapping[str, Paper]
    inconsistencies: Mapping[str, Inconsistency]
    num_classes: Mapping[str, Any]


def published_numbers(file: Path = FILE) -> PublishedNumbers:
    """Read what papers print.

    Raises:
        PublishedNumbersUnreadable: naming the place in the file and the rule that it breaks.

    Example:
        >>> rows = published_numbers().rows
        >>> next(row.values["top1"] for row in rows if row.row == "A5" and row.dataset == "kinetics400")
        '76.6'
    """
    try:
        if file.stat().st_size > _LIMIT_BYTES:
            raise PublishedNumbersUnreadable(file, f"it has more than {_LIMIT_BYTES:,} bytes")
        held = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise PublishedNumbersUnreadable(file, error.strerror or str(error)) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # such as 2001-13-45, which is no date
        raise PublishedNumbersUnreadable(file, "it is no YAML") from error
    try:
        return _read(held)
    except _BrokenRule as error:
        raise PublishedNumbersUnreadable(file, str(error)) from error


def _read(held: Any) -> PublishedNumbers:
    whole = _mapping(held, "the file", ("papers", "num_classes", "inconsistencies", "tables"))
    papers = {name: _paper(name, found) for name, found in _member(whole, "papers").items()}
    inconsistencies = {
        name: _inconsistency(name, found, papers) for name, found in _member(whole, "inconsistencies").items()
    }
    known = _Known(papers, inconsistencies, _member(whole, "num_classes"))
    tables = _items(whole, "tables", "the file")
    rows = tuple(
        row for place, table in enumerate(tables, 1) for row in _table(table, f"table {place}", known)
    )
    return PublishedNumbers(papers, inconsistencies, rows)


def _paper(name: str, held: Any) -> Paper:
    place = f"paper {name}"
    found = _mapping(held, place, ("short", "title", "venue", "reference"))
    short, title, venue = (_text(found, key, place) for key in ("short", "title", "venue"))
    return Paper(name, short, title, venue, _text_or_none(found, "reference", place))


def _inconsistency(name: str, held: Any, papers: Mapping[str, Paper]) -> Inconsistency:
    place = f"inconsistency {name}"
    found = _mapping(held, place, ("paper", "says", "places"))
    paper = _one_of(found.get("paper"), papers, f"{place}, paper")
    places = []
    for item in _items(found, "places", place):
        printed = _mapping(item, place, ("paper", "where", "prints"))
        whose = _one_of(printed.get("paper", paper), papers, f"{place}, paper")
        places.append(Place(whose, _text(printed, "where", place), _text_or_none(printed, "prints", place)))
    return Inconsistency(name, paper, _text(found, "says", place), tuple(places))


def _table(held: Any, place: str, known: _Known) -> Iterator[PublishedRow]:
    table = _mapping(held, place, _OF_A_TABLE)
    _one_of(table.get("paper"), known.papers, f"{place}, paper")
    where = f"{table['paper']}, Table {_text(table, 'table', place)}"
    for item in _items(table, "rows", where):
        row = _mapping(item, where, _OF_A_ROW)
        here = f"{where}, {_text(row, 'printed', where)}"
        for value in _items(row, "values", here):
            found = _mapping(value, here, ("dataset", "flags", "recipe", *SETTINGS, *METRICS))
            yield _row(table, row, found, here, known)


def _row(
    table: Mapping[str, Any], row: Mapping[str, Any], value: Mapping[str, Any], place: str, known: _Known
) -> PublishedRow:
    dataset = _text(value, "dataset", place)
    protocol = _one_of(row.get("protocol", table.get("protocol")), PROTOCOLS, f"{place}, protocol")
    flags = (*_items(row, "flags", place), *_items(value, "flags", place))
    names = [_one_of(flag, known.inconsistencies, f"{place}, flags") for flag in flags]
    return PublishedRow(
        paper=known.papers[table["paper"]],
        table=table["table"],
        printed=row["printed"],
        method=_text_or_none(row, "method", place),
        row=_text_or_none(row, "row", place),
        protocol=protocol,
        dataset=dataset,
        settings=_settings(table, row, value, place, known.num_classes.get(dataset), protocol),
        config=_member(row, "config", place),
        recipe=_joined(_member(part, "recipe", place) for part in (table, row, value)),
        values=_values(value, place),
        notes=tuple(_checked_text(note, f"{place}, notes") for note in _items(row, "notes", place)),
        inconsistencies=tuple(known.inconsistencies[name] for name in names),
    )


def _settings(
    table: Mapping[str, Any],
    row: Mapping[str, Any],
    value: Mapping[str, Any],
    place: str,
    num_classes: Any,
    protocol: str,
) -> dict[str, Any]:
    """Join what is stated of the table, the row and the value; the later wins."""
    of_value = {key: found for key, found in value.items() if key in SETTINGS}
    stated = _joined((_member(table, "settings", place), _member(row, "settings", place), of_value))
    if num_classes is not None and (protocol in _SCORES_ALL_CLASSES or stated.get("ways") == "all"):
        stated = {"num_classes": num_classes, **stated}
    for name, found in stated.items():
        kinds = SETTINGS[_one_of(name, SETTINGS, f"{place}, settings")]
        if not isinstance(found, kinds) or isinstance(found, bool):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise _BrokenRule(place, f"the setting {name} is {found!r}, which is no {wanted}")
    return stated


def _values(value: Mapping[str, Any], place: str) -> dict[str, str]:
    found = {key: number for key, number in value.items() if key in METRICS}
    if not found:
        raise _BrokenRule(place, "a value has no number")
    for key, number in found.items():
        if not isinstance(number, str) or not _NUMBER.fullmatch(number):
            raise _BrokenRule(place, f'{key} is {number!r}, and not a number in quotes such as "76.6"')
    return found


def _mapping(held: Any, place: str, known: Iterable[str] | None = None) -> dict[str, Any]:
    if not isinstance(held, dict) or not all(isinstance(key, str) for key in held):
        raise _BrokenRule(place, "it is no mapping of names")
    for key in held:
        if known is not None:
            _one_of(key, tuple(known), place)
    return held


def _member(held: Mapping[str, Any], name: str, place: str = "the file") -> dict[str, Any]:
    return _mapping(held.get(name, {}), f"{place}, {name}")


def _items(held: Mapping[str, Any], name: str, place: str) -> list[Any]:
    found = held.get(name, [])
    if not isinstance(found, list):
        raise _BrokenRule(place, f"{name} is no list")
    return found


def _text(held: Mapping[str, Any], name: str, place: str) -> str:
    return _checked_text(held.get(name), f"{place}, {name}")


def _text_or_none(held: Mapping[str, Any], name: str, place: str) -> str | None:
    return None if held.get(name) is None else _text(held, name, place)


def _checked_text(held: Any, place: str) -> str:
    if not isinstance(held, str) or not held:
        raise _BrokenRule(place, f"{held!r} is no text")
    return held


def _one_of(name: Any, known: Iterable[str], place: str) -> str:
    if not isinstance(name, str) or name not in known:
        raise _BrokenRule(place, f"{name!r} is not known. Known: {', '.join(known)}")
    return name


def _joined(parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    return {key: found for part in parts for key, found in part.items()}
