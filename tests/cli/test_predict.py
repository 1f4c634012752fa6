"""`vlp predict` as it is typed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Type = Callable[..., Any]


@pytest.fixture
def train(
    typed: Type, extract_arguments: list[object], videos: Path, tiny_model: str, tmp_path: Path
) -> Callable[[str], Path]:
    """Give a function that trains a method on the six videos; it returns the run's folder."""

    def trained(method: str) -> Path:
        assert typed(*extract_arguments).status == 0
        place = ["--root", videos, "--cache", tmp_path / "cache", "--model", tiny_model, "--device", "cpu"]
        arguments = ["--method", method, "--runs", tmp_path / "runs", "--name", method, "--from-cache"]
        done = typed("train", "--dataset", "folder", *place, *arguments)
        assert done.status == 0, done.stderr
        return tmp_path / "runs" / method

    return trained


def test_json_holds_an_entry_a_video_in_their_order(
    typed: Type, train: Callable[[str], Path], videos: Path, tmp_path: Path
) -> None:
    run = train("zero_shot")
    paths = [videos / "walk/1.mp4", tmp_path / "gone.mp4", videos / "run/0.avi"]
    done = typed("predict", *paths, "--run", run, "--device", "cpu", "--json")
    assert done.status == 3
    assert "Note" not in done.stderr
    assert done.json["run"] == str(run)
    assert done.json["classes"] == ["run", "walk"]
    walk, gone, ran = done.json["videos"]
    assert [entry["path"] for entry in (walk, gone, ran)] == [str(path) for path in paths]
    assert (gone["status"], gone["reason"], gone["top"]) == ("failed", "missing", [])
    for entry in (walk, ran):
        assert (entry["status"], entry["reason"]) == ("ok", None)
        assert {row["class"] for row in entry["top"]} == {"run", "walk"}
        assert sum(row["probability"] for row in entry["top"]) == pytest.approx(1)


def test_all_read_is_status_0_and_the_table_says_what_json_says(
    typed: Type, train: Callable[[str], Path], videos: Path
) -> None:
    arguments = ["predict", videos / "walk/1.mp4", "--run", train("zero_shot"), "--device", "cpu"]
    done = typed(*arguments)
    assert done.status == 0
    first, second = typed(*arguments, "--json").json["videos"][0]["top"]
    (row,) = [line for line in done.stdout.splitlines() if "1.mp4" in line]
    assert f"{first['class']}" in row
    assert f"{100 * first['probability']:.1f}" in row
    assert f"{second['class']} {100 * second['probability']:.1f}" in row


def test_other_classes_take_the_place_of_the_trained_ones(
    typed: Type, train: Callable[[str], Path], videos: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("swimming\n\nrowing a boat\nwalk\n")
    arguments = ["--run", train("zero_shot"), "--classes", tmp_path / "mine.txt", "--top", 2, "--json"]
    done = typed("predict", videos / "run/0.avi", *arguments)
    assert done.status == 0
    assert done.json["classes"] == ["swimming", "rowing a boat", "walk"]
    assert len(done.json["videos"][0]["top"]) == 2
    assert {row["class"] for row in done.json["videos"][0]["top"]} < set(done.json["classes"])


def test_a_closed_method_refuses_other_classes(
    typed: Type, train: Callable[[str], Path], videos: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("swimming\nrun\n")
    run = train("linear_probe")
    done = typed("predict", videos / "run/0.avi", "--run", run, "--classes", tmp_path / "mine.txt")
    assert done.status == 1
    assert "linear_probe knows only the classes it was trained on" in done.stderr
    assert "swimming" in done.stderr
    assert typed("predict", videos / "run/0.avi", "--run", run).status == 0


def test_what_is_missing_is_said_before_weights_are_loaded(
    typed: Type, videos: Path, tmp_path: Path, train: Callable[[str], Path]
) -> None:
    missing = typed("predict", videos / "run/0.avi", "--run", tmp_path / "runs" / "none")
    assert missing.status != 0
    assert "no run at" in missing.stderr
    run = train("zero_shot")
    no_list = typed("predict", videos / "run/0.avi", "--run", run, "--classes", tmp_path / "none.txt")
    assert no_list.status == 1
    assert "cannot read a list" in no_list.stderr
    assert typed("predict", "--run", run).status == 2
    assert typed("predict", videos / "run/0.avi").status == 2


def test_without_its_store_a_run_still_predicts_and_says_so(
    typed: Type, train: Callable[[str], Path], videos: Path, tmp_path: Path
) -> None:
    run = train("zero_shot")
    (tmp_path / "cache").rename(tmp_path / "elsewhere")
    done = typed("predict", videos / "run/0.avi", "--run", run, "--device", "cpu", "--json")
    assert done.status == 0
    assert "last bits" in done.stderr


def test_a_run_of_other_features_is_refused(typed: Type, train: Callable[[str], Path], videos: Path) -> None:
    run = train("zero_shot")
    text = (run / "config.yaml").read_text()
    assert "extraction_version: 1" in text
    (run / "config.yaml").write_text(text.replace("extraction_version: 1", "extraction_version: 99"))
    done = typed("predict", videos / "run/0.avi", "--run", run, "--device", "cpu")
    assert done.status != 0
    assert "extraction_version" in done.stderr
    assert "Traceback" not in done.stderr


def test_names_cannot_steer_the_terminal(
    typed: Type, train: Callable[[str], Path], videos: Path, tmp_path: Path
) -> None:
    hostile = tmp_path / "a\x1b[31mb.mp4"
    done = typed("predict", hostile, videos / "run/0.avi", "--run", train("zero_shot"))
    assert done.status == 3
    assert "\x1b" not in done.stdout
    assert "a\\x1b[31mb.mp4" in done.stdout


def test_json_is_one_object_even_for_names_that_are_no_text(
    typed: Type, train: Callable[[str], Path], videos: Path, tmp_path: Path
) -> None:
    import os

    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/w\xff.mp4"))
    odd.write_bytes((videos / "run/0.avi").read_bytes())
    done = typed("predict", odd, "--run", train("zero_shot"), "--json")
    assert done.status == 3
    (entry,) = json.loads(done.stdout)["videos"]
    assert (entry["status"], entry["reason"]) == ("failed", "name")
