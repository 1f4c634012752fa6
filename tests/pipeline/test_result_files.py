"""Results on disk: what a run keeps, what a file holds, and what is neither."""

import re
from pathlib import Path
from typing import Any

import pytest

from vlp.pipeline.result_facts import NoResult, facts_of
from vlp.pipeline.result_files import NoResults, ResultUnreadable, read_results
from vlp.stores.errors import RunDamaged, RunMissing
from vlp.stores.runs import RunDirectory

RESULT = {"protocol": "closed-set", "dataset": "ucf101", "method": "ju2022", "top1": 0.9, "top5": 0.95}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"protocol": None}, "names no protocol"),
        ({"dataset": ["a"]}, "names no protocol and no data set"),
        ({"protocol": "methods"}, "table of methods"),
        ({"top1": None, "top5": "0.9"}, "no number that a paper prints"),
        ({"top1": 93.1, "top5": True}, "no number that a paper prints"),  # percent, and no number
        ({"top1": 10**4000, "top5": -0.1}, "no number that a paper prints"),
    ],
)
def test_what_is_no_result_is_said(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(NoResult, match=said):
        facts_of({**RESULT, **changed})


def saved(folder: Path, *, results: dict[str, Any]) -> Path:
    """A run's folder with what was measured."""
    run = RunDirectory.create(folder / "one", {"method": {"name": "ju2022"}})
    for name, held in results.items():
        run.write_result(name, held)
    return run.path


def test_a_run_gives_all_its_measurements_and_a_file_one(tmp_path: Path) -> None:
    words = {"rows": [{"vector": 1}]}
    few = {**RESULT, "protocol": "few-shot"}
    run = saved(tmp_path, results={"b": RESULT, "a": few, "prompt-semantics": words})
    assert [(found.path.name, found.facts.protocol) for found in read_results(run)] == [
        ("a.json", "few-shot"),
        ("b.json", "closed-set"),
    ]
    (found,) = read_results(run / "results" / "b.json")
    assert found.facts == facts_of(RESULT)


def test_a_run_without_measurements_and_no_run_at_all_are_told_apart(tmp_path: Path) -> None:
    run = saved(tmp_path, results={"prompt-semantics": {"rows": []}})
    with pytest.raises(NoResults, match="nothing has been measured"):
        list(read_results(run))
    with pytest.raises(RunMissing, match="Found: one"):
        list(read_results(tmp_path / "two"))
    (run / "results" / "b.json").write_text("{")
    with pytest.raises(RunDamaged, match=re.escape("b.json")):
        list(read_results(run))
    (run / "results" / "b.json").write_text('{"protocol": 3}')
    with pytest.raises(ResultUnreadable, match="names no protocol"):
        list(read_results(run))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "it is no JSON"),
        (b"\xff", "it is no JSON"),
        (b"[" * 100_000, "it is no JSON"),
        (b"9" * 5000, "it is no JSON"),
        (b"[1]", "it is no JSON object"),
        (b"{}", "names no protocol"),
        (b" " * ((64 << 20) + 1), "more than 67,108,864 bytes"),
    ],
)
def test_a_file_that_is_no_result_is_refused(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ResultUnreadable, match=said):
        list(read_results(tmp_path / "a.json"))
