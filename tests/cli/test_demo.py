"""The demo: the toy set and the toy CLIP, from nothing to numbers, without a download."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Type = Callable[..., Any]


@pytest.mark.timeout(900)  # it renders, extracts and trains for real
def test_the_demo_shows_what_learning_adds(
    typed: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLP_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("VLP_CACHE", str(tmp_path / "cache"))
    runs = tmp_path / "runs"
    result = typed("demo", "--json", "--runs", runs)
    assert result.status == 0
    rows = {row["what"]: row for row in result.json["rows"]}
    assert rows["objects, combinations seen in training"]["top1"] >= 0.98
    assert rows["objects, combinations held out"]["top1"] >= 0.90
    assert rows["actions that one frame shows"]["top1"] >= 4 / 16
    assert (
        rows["actions that only time tells apart"]["top1"] <= 0.25
    )  # a guess within a pair is right half the time
    assert result.json["accuracy"]["handwritten"] == rows["actions, all"]["top1"]
    # The goals of the demo: the same class names in all rows, three seeds.
    accuracy, in_time = result.json["accuracy"], result.json["accuracy_time_only"]
    assert accuracy["prompts"] >= accuracy["handwritten"] + 0.05
    assert in_time["prompts_temporal"] >= in_time["prompts"] + 0.30
    learnt = {row["what"]: row for row in result.json["learnt"]}
    assert all(len(row["top1_by_seed"]) == 3 for row in learnt.values())
    assert learnt["learnt prompts"]["top1_interval"] > 0
    assert result.json["base_to_novel"]["base"] > 1 / 8
    page = (runs / "demo" / "report.html").read_text()
    assert "turning clockwise" in page
    assert "data:image/jpeg" in page
    again = typed("train", "--dataset", "toy", "--method", "tip_adapter", "--runs", runs)
    assert again.status == 0
    scored = typed("eval", "zero-shot", "--dataset", "toy", "--templates", "toy", "--json")
    assert scored.status == 0
    assert scored.json["top1"] == pytest.approx(rows["actions, all"]["top1"])
    assert scored.json["num_found"] == 128
    found = typed("eval", "retrieval", "--dataset", "toy", "--json")
    assert found.status == 0


def test_a_folder_that_holds_something_else_is_left_alone(typed: Type, tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    result = typed("demo", "--root", tmp_path)
    assert result.status == 1
    assert "Run: vlp demo --root FOLDER" in result.stderr
    assert (tmp_path / "precious.txt").read_text() == "mine"
