"""The demo: the toy set and the toy CLIP, from nothing to numbers, without a download."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Type = Callable[..., Any]


def test_the_demo_names_objects_and_cannot_tell_time(
    typed: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLP_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("VLP_CACHE", str(tmp_path / "cache"))
    result = typed("demo", "--json")
    assert result.status == 0
    rows = {row["what"]: row for row in result.json["rows"]}
    assert rows["objects, combinations seen in training"]["top1"] >= 0.98
    assert rows["objects, combinations held out"]["top1"] >= 0.90
    assert rows["actions that one frame shows"]["top1"] >= 4 / 16
    assert (
        rows["actions that only time tells apart"]["top1"] <= 0.25
    )  # a guess within a pair is right half the time
    assert result.json["accuracy"]["handwritten"] == rows["actions, all"]["top1"]
    again = typed("demo")
    assert "Nothing to do: 384 of 384 videos are extracted." in again.stderr
    assert "actions that only time tells apart" in again.stdout
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
