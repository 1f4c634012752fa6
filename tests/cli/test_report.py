"""`vlp report` as it is typed, on a run that `vlp train` made."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Type = Callable[..., Any]


@pytest.fixture
def runs(
    typed: Type, extract_arguments: list[object], videos: Path, tiny_model: str, tmp_path: Path
) -> list[Path]:
    """Two finished runs of the six videos."""
    assert typed(*extract_arguments).status == 0
    place = ["--root", videos, "--cache", tmp_path / "cache", "--model", tiny_model, "--device", "cpu"]
    for method in ("zero_shot", "residual_adapter"):
        arguments = ["--method", method, "--runs", tmp_path / "runs", "--name", method, "--from-cache"]
        few = ["--set", "recipe.num_epochs=2"]
        done = typed("train", "--dataset", "folder", *place, *arguments, *few)
        assert done.status == 0, done.stderr
    return [tmp_path / "runs" / name for name in ("zero_shot", "residual_adapter")]


def test_the_page_of_a_run_lies_in_its_folder(typed: Type, runs: list[Path]) -> None:
    done = typed("report", runs[1])
    assert done.status == 0, done.stderr
    assert str(runs[1] / "report.html") in done.stdout
    page = (runs[1] / "report.html").read_text()
    assert "residual_adapter" in page
    assert "2 of 2" in page
    assert page.count("<svg") == 2  # loss and learning rate; nothing was held out
    assert "side by side" not in page


def test_a_method_without_steps_says_that_there_is_nothing_to_draw(typed: Type, runs: list[Path]) -> None:
    assert typed("report", runs[0]).status == 0
    assert "no gradient step" in (runs[0] / "report.html").read_text()


def test_the_page_of_several_runs_lies_beside_them_or_where_asked(
    typed: Type, runs: list[Path], tmp_path: Path
) -> None:
    assert typed("report", *runs).status == 0
    assert "side by side" in (runs[0].parent / "report.html").read_text()
    assert typed("report", *runs, "--output", tmp_path / "x" / "page.html").status == 0
    assert (tmp_path / "x" / "page.html").read_text().count("<article") == 2


def test_a_missing_run_is_a_line(typed: Type, runs: list[Path]) -> None:
    done = typed("report", runs[0], runs[0].parent / "none")
    assert done.status != 0
    assert "no run at" in done.stderr
    assert "zero_shot" in done.stderr
    assert not (runs[0].parent / "report.html").exists()
    assert typed("report").status == 2
