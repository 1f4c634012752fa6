"""Published lists and sets of classes as they are typed: zero-shot, few-shot and base-to-novel, on real videos."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Type = Callable[..., Any]
KINDS = {
    "walk/0.mp4": "kick",
    "walk/1.mp4": "kick_ball",
    "walk/2.mp4": "fencing",
    "run/0.avi": "PickUp",
    "run/1.avi": "pour",
    "run/2.avi": "sit",
}
QUICK = ("--set=recipe.num_frames=4", "--set=method.max_frames=4", "--set=recipe.num_epochs=1")


@pytest.fixture
def place(videos: Path, tiny_model: str, tmp_path: Path, typed: Type) -> list[object]:
    """Six videos of a class each, all to test on, and their features."""
    listing = tmp_path / "kinds.csv"
    listing.write_text(
        "path,label,split\n" + "".join(f"{path},{name},test\n" for path, name in KINDS.items())
    )
    arguments = ["--dataset", "kinds", "--manifest", listing, "--root", videos, "--model", tiny_model]
    arguments += ["--cache", tmp_path / "cache"]
    assert typed("extract", *arguments, "--device", "cpu").status == 0
    return arguments


def test_each_list_is_tested_by_itself(typed: Type, place: list[object], tmp_path: Path) -> None:
    (tmp_path / "lists.json").write_text(json.dumps({"s1": ["kick ball", "sit"], "s2": ["pour", "fencing"]}))
    names = [f"{tmp_path}/lists.json:{key}" for key in ("s1", "s2")]
    arguments = ["eval", "zero-shot", *place, "--classes", names[0], "--classes", names[1]]
    found = typed(*arguments, "--json").json
    assert [split["class_set"] for split in found["splits"]] == names
    tables = [[row["name"] for row in split["per_class"]] for split in found["splits"]]
    assert tables == [["kick_ball", "sit"], ["pour", "fencing"]]
    assert [split["num_expected"] for split in found["splits"]] == [2, 2]
    accuracies = [split["top1"] for split in found["splits"]]
    assert found["top1"] == pytest.approx(np.mean(accuracies))
    assert found["top1_std"] == pytest.approx(np.std(accuracies, ddof=1))
    assert (found["num_classes"], found["class_lists"]) == (2, names)
    alone = typed("eval", "zero-shot", *place, "--classes", names[1], "--json").json
    assert alone["top1"] == accuracies[1]
    assert f"default, {names[0]}" in typed(*arguments).stdout


def test_sets_are_drawn_by_a_seed(typed: Type, place: list[object]) -> None:
    arguments = ["eval", "zero-shot", *place, "--draws", 3, "--draw-size", 4, "--json"]
    first, again, other = typed(*arguments), typed(*arguments), typed(*arguments, "--seed", 1)
    assert first.json["splits"] == again.json["splits"]
    sets = [
        [{row["name"] for row in split["per_class"]} for split in run.json["splits"]]
        for run in (first, other)
    ]
    assert [len(names) for names in sets[0]] == [4, 4, 4]
    assert sets[0] != sets[1]
    assert (first.json["num_draws"], first.json["draw_seed"]) == (3, 0)
    assert [split["class_set"] for split in first.json["splits"]] == ["draw 1", "draw 2", "draw 3"]
    few = typed("eval", "zero-shot", *place, "--draws", 1, "--draw-size", 7)
    assert (few.status, "7 classes are needed, and there are 6" in few.stderr) == (1, True)
    assert "--draw-size, of 6 or fewer" in few.stderr


def test_a_shipped_list_is_known_by_its_name_and_a_wrong_one_says_which_there_are(
    typed: Type, place: list[object]
) -> None:
    refused = typed("eval", "zero-shot", *place, "--classes", "hmdb51-5way")
    assert refused.status == 1
    assert "kinds has no class called: pick, pushup, run, smoke, talk" in refused.stderr
    wrong = typed("eval", "zero-shot", *place, "--classes", "hmdb51-6way")
    assert wrong.status == 1
    assert "hmdb51-5way" in wrong.stderr


def test_a_run_is_tested_on_draws_of_what_it_was_not_trained_on(
    typed: Type, place: list[object], videos: Path, tiny_model: str, tmp_path: Path
) -> None:
    seen = tmp_path / "seen.csv"
    seen.write_text("path,label,split\nwalk/0.mp4,kick,train\nrun/0.avi,pick up,train\n")
    known = ["--dataset", "seen", "--manifest", seen, *place[4:]]
    assert typed("extract", *known, "--device", "cpu").status == 0
    trained = typed(
        "train", *known, "--from-cache", "--method", "ju2022", *QUICK, "--runs", tmp_path, "--name", "one"
    )
    assert trained.status == 0, trained.stderr
    arguments = [
        "eval",
        "zero-shot",
        "--run",
        tmp_path / "one",
        *place,
        "--draws",
        2,
        "--draw-size",
        3,
        "--json",
    ]
    found = typed(*arguments)
    assert found.status == 0, found.stderr
    names = {row["name"] for split in found.json["splits"] for row in split["per_class"]}
    assert names <= set(KINDS.values()) - {"kick", "PickUp"}
    (kept,) = (tmp_path / "one" / "results").glob("zero-shot*.json")
    assert json.loads(kept.read_text())["num_draws"] == 2


@pytest.fixture
def listed(videos: Path, tiny_model: str, tmp_path: Path, typed: Type) -> list[object]:
    """The six videos in two classes, two of each to train on."""
    listing = tmp_path / "acts.csv"
    roles = {"0": "test", "1": "train", "2": "train"}
    rows = [f"{path},{path.partition('/')[0]},{roles[Path(path).stem]}\n" for path in KINDS]
    listing.write_text("path,label,split\n" + "".join(rows))
    arguments = ["--dataset", "acts", "--manifest", listing, "--root", videos, "--model", tiny_model]
    arguments += ["--cache", tmp_path / "cache"]
    assert typed("extract", *arguments, "--device", "cpu").status == 0
    return arguments


def test_published_draws_take_the_place_of_seeded_ones(
    typed: Type, listed: list[object], tmp_path: Path
) -> None:
    (tmp_path / "s1.txt").write_text("1.mp4 1\n1.avi 0\n")
    (tmp_path / "s2.json").write_text(json.dumps([["walk/2.mp4", 1], ["run/2.avi", 0]]))
    lists = ["--list", tmp_path / "s1.txt", "--list", tmp_path / "s2.json"]
    method = ["--method", "residual_adapter", "--set=recipe.num_epochs=1"]
    unclear = typed("eval", "few-shot", *listed, *method, *lists[:2])
    assert unclear.status == 1
    assert "'1.mp4' is the name of several videos: " in unclear.stderr
    few = typed("eval", "few-shot", *listed, *method, *lists[2:], "--json")
    assert few.status == 0, few.stderr
    assert (few.json["drawn"], few.json["shots"], len(few.json["trials"])) == ("published lists", None, 1)
    assert few.json["drawn_without_features"] == []
    novel = typed("eval", "base-to-novel", *listed, *method, *lists[2:])
    assert novel.status == 1
    assert "drawn videos are of no base class" in novel.stderr
    (tmp_path / "base.txt").write_text("walk/1.mp4\nwalk/2.mp4\n")
    good = typed("eval", "base-to-novel", *listed, *method, "--list", tmp_path / "base.txt", "--json")
    assert good.status == 0, good.stderr
    assert (good.json["base_classes"], len(good.json["trials"])) == (["walk"], 1)


def test_trials_may_be_held_to_some_videos_a_class(typed: Type, listed: list[object]) -> None:
    method = ["--method", "tip_adapter", "--ways", 2, "--shots", 1, "--trials", 3]
    found = typed("eval", "few-shot", *listed, *method, "--most-videos", 2, "--json")
    assert found.status == 0, found.stderr
    assert found.json["most_videos_a_class"] == 2
    assert [sorted(trial["classes"]) for trial in found.json["trials"]] == [["run", "walk"]] * 3
    assert all(
        trial["values"]["top1"] in (0.0, 0.5, 1.0) for trial in found.json["trials"]
    )  # two videos tested
    refused = typed(
        "eval", "few-shot", *listed, "--method", "tip_adapter", "--ways", 2, "--shots", 2, "--most-videos", 2
    )
    assert refused.status == 2
    assert "more than 2 are needed" in refused.stderr
