"""YAML as plain data: what JSON could say as well, and nothing else."""

import json
from typing import Any

import yaml


class _PlainLoader(yaml.SafeLoader):
    """The safe loader without aliases, by which a few lines could name more than memory holds."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has aliases")
        return super().compose_node(parent, index)


def load_plain(text: str) -> Any:
    """Read untrusted YAML.

    Raises:
        ValueError: if it is no YAML, or holds aliases, dates, NaN or anything else that JSON lacks.

    Example:
        >>> load_plain("gaps: [1, 2]")
        {'gaps': [1, 2]}
    """
    try:
        held = yaml.load(text, Loader=_PlainLoader)  # noqa: S506  # it is the safe loader
        return json.loads(json.dumps(held, allow_nan=False))
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise ValueError("it is no YAML of plain data") from error


def dump_plain(value: Any) -> str:
    """Write plain data, or what JSON turns into it, as YAML in the order given."""
    return yaml.safe_dump(json.loads(json.dumps(value)), sort_keys=False, allow_unicode=True)
