"""What a run directory says, file by file: a damaged file is a line on the page, not the end of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from vlp.stores.errors import RunDamaged
from vlp.stores.runs import RunDirectory

Found = TypeVar("Found")


@dataclass(frozen=True)
class RunFacts:
    """The files of a run, as plain data.

    Attributes:
        name: of its folder.
        path: its folder.
        config: what was asked; empty if it cannot be read.
        env: on what it ran.
        metrics: one row an epoch.
        summary: how the training ended; None while it has not.
        results: what was measured, by name.
        problems: one line for each file that cannot be read.
    """

    name: str
    path: Path
    config: Mapping[str, Any]
    env: Mapping[str, Any]
    metrics: Sequence[Mapping[str, Any]]
    summary: Mapping[str, Any] | None
    results: Mapping[str, Mapping[str, Any]]
    problems: tuple[str, ...]


def read_run(path: Path) -> RunFacts:
    """Read all that a report shows.

    Raises:
        RunMissing: if there is no run, naming those beside it.
    """
    run = RunDirectory.open(path)
    problems: list[str] = []

    def read(file: Callable[[], Found], otherwise: Found) -> Found:
        try:
            return file()
        except RunDamaged as error:
            problems.append(str(error))
            return otherwise

    nothing: dict[str, Any] = {}
    unread: dict[str, Any] | None = {}
    return RunFacts(
        name=path.resolve().name,
        path=path,
        config=read(run.config, nothing),
        env=read(run.env, nothing),
        metrics=read(run.metrics, []),
        summary=read(run.summary, unread),
        results=read(run.results, {}),
        problems=tuple(problems),
    )


def looked_up(facts: Mapping[str, Any], *keys: str) -> Any:
    """Follow keys into nested mappings; None where one is not there.

    Example:
        >>> looked_up({"method": {"name": "ju2022"}}, "method", "name")
        'ju2022'
        >>> looked_up({"method": "ju2022"}, "method", "name") is None
        True
    """
    found: Any = facts
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def flattened(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Write nested mappings as dotted names and values, in order.

    Example:
        >>> flattened({"method": {"name": "ju2022", "config": {"num_layers": 2}}})
        [('method.name', 'ju2022'), ('method.config.num_layers', 2)]
    """
    pairs: list[tuple[str, Any]] = []
    for key, value in facts.items():
        name = f"{prefix}{key}"
        pairs += flattened(value, f"{name}.") if isinstance(value, Mapping) else [(name, value)]
    return pairs
