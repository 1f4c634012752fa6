"""Results on disk: those kept in a run's folder, and files that `vlp eval … --json` was written to.

Either may come from elsewhere and is data, nothing else: sizes are limited, and what is no JSON object is refused.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlp.pipeline.errors import PipelineError
from vlp.pipeline.result_facts import NoResult, ResultFacts, facts_of
from vlp.stores.runs import RunDirectory

_LIMIT_BYTES = 64 << 20


class ResultUnreadable(PipelineError):
    """A file that is no result of one method."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path} is no result that can be compared: {why}.")
        self.path = path
        self.why = why


class NoResults(PipelineError):
    """A run that nothing has been measured with."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} holds no result: nothing has been measured with this run.")
        self.path = path


@dataclass(frozen=True)
class SavedResult:
    """A result, and where it lies."""

    path: Path
    facts: ResultFacts


def read_results(path: Path) -> Iterator[SavedResult]:
    """Read the results of a run, or of a file.

    Args:
        path: a run's folder, of which every measurement is read; or a file with what `vlp eval … --json` printed.

    Raises:
        RunMissing: if there is neither, naming the runs beside it.
        RunDamaged, ResultUnreadable: naming a file that is no result.
        NoResults: if nothing has been measured with the run.
    """
    if path.is_file():
        yield _saved(path, _json(path))
        return
    # What a run keeps of its prompts is no measurement, and names no protocol.
    found = {
        name: result for name, result in RunDirectory.open(path).results().items() if "protocol" in result
    }
    if not found:
        raise NoResults(path)
    for name, result in found.items():
        yield _saved(path / "results" / f"{name}.json", result)


def _saved(path: Path, result: dict[str, Any]) -> SavedResult:
    try:
        return SavedResult(path, facts_of(result))
    except NoResult as error:
        raise ResultUnreadable(path, str(error)) from error


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LIMIT_BYTES:
            raise ResultUnreadable(path, f"it has more than {_LIMIT_BYTES:,} bytes")
        held = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ResultUnreadable(path, error.strerror or str(error)) from error
    except (ValueError, RecursionError) as error:
        raise ResultUnreadable(path, "it is no JSON") from error
    if not isinstance(held, dict):
        raise ResultUnreadable(path, "it is no JSON object")
    return held
