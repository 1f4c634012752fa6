"""Sentences from `--text-prompts` through training, testing and prediction, as they are typed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vlp.datasplits.class_prompts import ClassPrompts, Sentence

Type = Callable[..., Any]


def write(path: Path, *names: str) -> Path:
    classes = {
        name: (
            Sentence(f"Legs that {name}.", "q", "body", "posture"),
            Sentence(f"A place to {name}.", "q", "scene", "place"),
        )
        for name in names
    }
    aspects = {"body": ("posture",), "scene": ("place",)}
    path.write_bytes(ClassPrompts("x", "x", "", aspects, {"q": "?"}, classes).to_bytes())
    return path


@pytest.fixture
def place(
    videos: Path, tiny_model: str, tmp_path: Path, typed: Type, extract_arguments: list[object]
) -> list[object]:
    assert typed(*extract_arguments).status == 0
    return ["--dataset", "folder", "--root", videos, "--model", tiny_model, "--cache", tmp_path / "cache"]


def test_sentences_go_with_a_run_from_training_to_prediction(
    typed: Type, place: list[object], videos: Path, tmp_path: Path
) -> None:
    file = write(tmp_path / "a.json", "walk", "run")
    train = ["train", *place, "--from-cache", "--method", "ap_clip", "--runs", tmp_path, "--name", "one"]
    lacking = typed(*train, "--row", "AP+MAKA")
    assert lacking.status == 1
    assert "Shipped: hmdb51, toy, ucf101." in lacking.stderr
    assert "Run: the same command with --text-prompts NAME" in lacking.stderr
    row = ["--row", "AP+MAKA", "--text-prompts", file]
    assert typed(*train, *row).status == 0
    run = ["--run", tmp_path / "one"]

    explained = typed("predict", videos / "walk" / "0.mp4", *run, "--explain", "--json").json["videos"][0]
    assert len(explained["frames"]) == 16
    first = explained["top"][0]["class"]
    expected = {f"a video of {first}. Legs that {first}.", f"a video of {first}. A place to {first}."}
    assert all({match["text"] for match in frame["best"]} == expected for frame in explained["frames"])
    table = typed("predict", videos / "walk" / "0.mp4", *run, "--explain")
    assert f"Legs that {first}." in table.stdout
    assert "posture" in table.stdout

    (tmp_path / "names.txt").write_text("swim\njump\n")
    others = ["--classes", tmp_path / "names.txt"]
    unknown = typed("predict", videos / "walk" / "0.mp4", *run, *others)
    assert unknown.status == 1
    assert "for 2 of the classes: swim, jump" in unknown.stderr
    more = ["--text-prompts", write(tmp_path / "b.json", "swim", "jump")]
    assert typed("predict", videos / "walk" / "0.mp4", *run, *others, *more).status == 0

    write(file, "run", "walk", "swim")
    changed = typed("predict", videos / "walk" / "0.mp4", *run)
    assert changed.status == 1
    assert "are not those that" in changed.stderr


def test_zero_shot_reads_sentences(typed: Type, place: list[object], tmp_path: Path) -> None:
    file = write(tmp_path / "a.json", "walk", "run")
    result = typed("eval", "zero-shot", *place, "--text-prompts", file, "--json").json
    assert result["text_prompts"]["source"] == str(file)
    lacking = typed("eval", "zero-shot", *place, "--text-prompts", "toy")
    assert lacking.status == 1
    assert "toy has no sentence for 2 of the classes" in lacking.stderr


def test_a_method_that_reads_no_text_refuses_sentences(
    typed: Type, place: list[object], tmp_path: Path
) -> None:
    refused = typed("train", *place, "--from-cache", "--method", "linear_probe", "--text-prompts", "ucf101")
    assert refused.status == 1
    assert "linear_probe reads no sentences" in refused.stderr
    assert typed("train", *place, "--from-cache", "--method", "tip_adapter", "--runs", tmp_path).status == 0
    run = next(path.parent for path in tmp_path.glob("*/summary.json"))
    nothing = typed("predict", place[3] / "walk" / "0.mp4", "--run", run, "--explain")  # type: ignore[operator]
    assert nothing.status == 1
    assert "tip_adapter does not compare single frames with sentences" in nothing.stderr
