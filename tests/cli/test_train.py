"""`vlp train`, `vlp eval` of what was trained, and `vlp predict`, as they are typed, on real videos."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

Type = Callable[..., Any]
QUICK_VALUES = (
    "recipe.num_frames=4",
    "method.max_frames=4",
    "method.num_prefix=2",
    "method.num_suffix=2",
    "method.num_layers=1",
    "recipe.batch_size=2",
    "recipe.num_epochs=3",
    "recipe.learning_rate=0.01",
)
QUICK = tuple(f"--set={value}" for value in QUICK_VALUES)


@pytest.fixture
def place(videos: Path, tiny_model: str, tmp_path: Path) -> list[object]:
    """Where the six videos, their features and the encoder are."""
    return ["--dataset", "folder", "--root", videos, "--model", tiny_model, "--cache", tmp_path / "cache"]


@pytest.fixture
def extracted(typed: Type, extract_arguments: list[object]) -> None:
    assert typed(*extract_arguments).status == 0


@pytest.fixture
def trained(typed: Type, place: list[object], tmp_path: Path, extracted: None) -> Path:
    runs = tmp_path / "runs"
    result = typed(
        "train", *place, "--from-cache", "--method", "ju2022", *QUICK, "--runs", runs, "--name", "one"
    )
    assert result.status == 0
    assert "Next: vlp eval closed-set --run" in result.stdout
    return runs / "one"


def test_a_run_holds_what_was_asked_and_what_happened(
    trained: Path, typed: Type, place: list[object]
) -> None:
    summary = json.loads((trained / "summary.json").read_text())
    assert (summary["num_steps"], summary["num_epochs"]) == (9, 3)
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    names = {path.name for path in trained.iterdir()}
    assert {"config.yaml", "env.json", "checkpoint"} <= names
    assert [path.name for path in (trained / "checkpoint").iterdir()] == ["weights.safetensors"]
    words = json.loads((trained / "results" / "prompt-semantics.json").read_text())["rows"]
    assert [row["vector"] for row in words] == [1, 2, 3, 4]
    again = typed(
        "train", *place, "--method", "ju2022", *QUICK, "--runs", trained.parent, "--name", "one", "--json"
    )
    assert "Nothing to do" in again.stderr
    assert again.json["loss"] == summary["loss"]


def test_tensorboard_reads_the_curves(trained: Path) -> None:
    events = EventAccumulator(str(trained))
    events.Reload()
    rows = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    scalars = events.Scalars("loss")
    assert [scalar.step for scalar in scalars] == [row["step"] for row in rows]
    assert [scalar.value for scalar in scalars] == pytest.approx([row["loss"] for row in rows])


def test_other_settings_need_another_name(trained: Path, typed: Type, place: list[object]) -> None:
    arguments = ["train", *place, "--method", "ju2022", *QUICK, "--runs", trained.parent, "--name", "one"]
    refused = typed(*arguments, "--seed", 1)
    assert refused.status == 1
    assert "seed: 0 here, 1 asked" in refused.stderr
    assert "another --name" in refused.stderr


def test_a_run_starts_from_the_weights_of_another(
    trained: Path, typed: Type, place: list[object], tmp_path: Path
) -> None:
    (tmp_path / "walk.txt").write_text("walk\n")
    arguments = [
        "train",
        *place,
        "--method",
        "ju2022",
        *QUICK,
        "--runs",
        trained.parent,
        "--init-from",
        trained,
    ]
    frozen = "--set=recipe.learning_rate=0"
    assert typed(*arguments, "--name", "two", "--classes", tmp_path / "walk.txt", frozen).status == 0
    first, second = ((trained.parent / name / "checkpoint/weights.safetensors") for name in ("one", "two"))
    from safetensors.numpy import load_file

    ours, theirs = load_file(first), load_file(second)
    assert all((ours[name] == theirs[name]).all() for name in ours)
    config = (trained.parent / "two" / "config.yaml").read_text()
    assert "init_from:\n  run: one" in config
    wrong = typed(*arguments, "--name", "three", "--set=method.num_prefix=5")
    assert wrong.status == 1
    assert "do not fit" in wrong.stderr


def test_a_method_that_fits_its_weights_at_once_starts_from_no_run(
    typed: Type, place: list[object], extracted: None, tmp_path: Path
) -> None:
    arguments = ["train", *place, "--method", "linear_probe", "--runs", tmp_path / "runs"]
    assert typed(*arguments, "--name", "one").status == 0
    refused = typed(*arguments, "--name", "two", "--init-from", tmp_path / "runs" / "one")
    assert refused.status == 1
    assert "it cannot start from one. Run: the same command without --init-from" in " ".join(
        refused.stderr.split()
    )
    assert not (tmp_path / "runs" / "two").exists()


def test_without_features_they_are_extracted_unless_only_the_cache_may_be_used(
    typed: Type, place: list[object], tmp_path: Path
) -> None:
    arguments = ["train", *place, "--method", "linear_probe", "--runs", tmp_path / "runs"]
    refused = typed(*arguments, "--from-cache")
    assert refused.status == 4
    assert "Run: vlp extract --dataset folder" in refused.stderr
    result = typed(*arguments)
    assert result.status == 0
    assert (tmp_path / "runs" / "folder-linear_probe-seed0" / "summary.json").is_file()
    assert "without gradients" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--method", "coop"], 1, "no method is called 'coop'. Known: actionclip"),
        (["--method", "ju2022", "--row", "Z"], 1, "has no row 'Z'. Known: A0"),
        (["--method", "ju2022", "--set", "method.layers=2"], 1, "Known: method.num_prefix"),
        (["--method", "ju2022", "--set", "recipe.num_epochs=x"], 1, "it is no int"),
        (["--method", "ju2022", "--config", "none.yaml"], 1, "cannot read settings from none.yaml"),
        (["--method", "linear_probe", "--classes", "none.txt"], 1, "cannot read a list from none.txt"),
        (["--method", "linear_probe", "--shots", "9"], 1, "fewer has: run (3), walk (3)"),
        (["--method", "linear_probe", "--split", "s1"], 1, "has no split 's1'"),
        (["--method", "linear_probe", "--init-from", "none"], 4, "no run at none"),
        (["--method", "ju2022", *QUICK, "--set=recipe.learning_rate=1e30"], 1, "lower, and another --name"),
        (["--method", "ju2022", "--set=method.num_heads=7"], 1, "heads"),
        (["--method", "ju2022", "--set=method.num_prefix=60"], 1, "77 positions"),
        ([], 2, "--method"),
    ],
)
def test_what_cannot_be_trained_is_said_in_a_line(
    arguments: list[str],
    status: int,
    said: str,
    typed: Type,
    place: list[object],
    extracted: None,
    tmp_path: Path,
) -> None:
    result = typed("train", *place, *arguments, "--runs", tmp_path / "runs")
    assert result.status == status
    assert said in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_a_signal_leaves_a_run_that_is_gone_on_with(
    typed: Type, place: list[object], extracted: None, tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    arguments = ["train", *place, "--from-cache", "--method", "ju2022", *QUICK, "--runs", runs]
    long = "--set=recipe.num_epochs=2000"
    command = [sys.executable, "-m", "vlp.cli", *map(str, arguments), long, "--name", "cut"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        metrics = runs / "cut" / "metrics.jsonl"
        deadline = time.monotonic() + 200
        while not metrics.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=100)
    assert running.returncode == 128 + signal.SIGTERM
    assert "The same command goes on from here" in said
    assert (runs / "cut" / "checkpoint" / "state.safetensors").is_file()
    steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
    assert steps == [3 * epoch for epoch in range(1, len(steps) + 1)]
    unfinished = typed("eval", "closed-set", "--run", runs / "cut")
    assert unfinished.status == 4
    assert "has not been trained to its end" in unfinished.stderr


def test_a_run_is_tested_on_its_own_videos_without_a_word(
    trained: Path, typed: Type, tiny_model: str
) -> None:
    result = typed("eval", "closed-set", "--run", trained, "--json")
    assert result.status == 0
    assert (result.json["protocol"], result.json["num_found"]) == ("closed-set", 6)
    assert result.json["trained_on"]["num_videos"] == 6
    (kept,) = (json.loads(path.read_text()) for path in (trained / "results").glob("closed-set*.json"))
    assert {video["label"] for video in kept["splits"][0]["videos"]} == {"run", "walk"}
    assert kept["top1"] == result.json["top1"]
    shown = typed("eval", "closed-set", "--run", trained)
    assert "Closed-set, folder, 2 classes" in shown.stdout


def test_zero_shot_keeps_trained_classes_apart(trained: Path, typed: Type, tmp_path: Path) -> None:
    refused = typed("eval", "zero-shot", "--run", trained)
    assert refused.status == 1
    assert "was trained on 2 of the classes" in refused.stderr
    unknown = tmp_path / "unknown.txt"
    unknown.write_text("swim\n")
    assert (
        "no class called: swim" in typed("eval", "zero-shot", "--run", trained, "--classes", unknown).stderr
    )


def test_across_data_sets_common_classes_are_listed_and_kept(
    trained: Path, typed: Type, videos: Path, tiny_model: str, tmp_path: Path
) -> None:
    listing = tmp_path / "other.csv"
    rows = "".join(f"{path.relative_to(videos)},{path.parent.name}\n" for path in sorted(videos.rglob("*.*")))
    listing.write_text("path,label\n" + rows)
    other = ["--dataset", "other", "--manifest", listing, "--root", videos, "--model", tiny_model]
    cache = ["--cache", tmp_path / "cache"]
    assert typed("extract", *other, *cache, "--device", "cpu").status == 0
    kept = typed("eval", "zero-shot", "--run", trained, *other, *cache, "--json")
    assert kept.status == 0
    assert "2 of these classes were trained on too" in kept.stderr
    assert (kept.json["dataset"], kept.json["num_classes"]) == ("other", 2)
    assert "6 of the tested videos were trained on" in kept.stderr
    listing.write_text("path,label,split\n" + rows.replace("\n", ",test\n"))
    leaked = typed("eval", "zero-shot", "--run", trained, *other, *cache)
    assert leaked.status == 1
    assert "6 video(s) in both train and test" in leaked.stderr
    allowed = typed("eval", "zero-shot", "--run", trained, *other, *cache, "--allow-duplicates")
    assert allowed.status == 0
    dropped = typed("eval", "zero-shot", "--run", trained, *other, *cache, "--drop-overlap")
    assert dropped.status == 1  # nothing is left


@pytest.fixture
def listed(videos: Path, tiny_model: str, tmp_path: Path, extracted: None) -> list[object]:
    """The six videos as a list with a split, two of each class to train on."""
    listing = tmp_path / "folder.csv"
    roles = {"0": "test", "1": "train", "2": "train"}
    rows = [
        f"{path.relative_to(videos)},{path.parent.name},{roles[path.stem]}\n"
        for path in sorted(videos.rglob("*.*"))
    ]
    listing.write_text("path,label,split\n" + "".join(rows))
    place = ["--dataset", "folder", "--manifest", listing, "--root", videos, "--model", tiny_model]
    return [*place, "--cache", tmp_path / "cache"]


def test_few_videos_and_new_classes_are_measured(typed: Type, tmp_path: Path, listed: list[object]) -> None:
    place, listing = listed, tmp_path / "folder.csv"
    few = typed("eval", "few-shot", *place, "--method", "tip_adapter", "--shots", 1, "--rounds", 3, "--json")
    assert few.status == 0
    assert [trial["seed"] for trial in few.json["trials"]] == [0, 1, 2]
    assert (few.json["shots"], few.json["ways"]) == (1, 2)
    ways = typed(
        "eval", "few-shot", *place, "--method", "ju2022", *QUICK, "--shots", 1, "--ways", 2, "--trials", 3
    )
    assert ways.status == 0
    assert "Few-shot, 1-shot, 2-way, folder" in ways.stdout
    novel = typed(
        "eval", "base-to-novel", *place, "--method", "ju2022", *QUICK, "--shots", 1, "--seeds", 2, "--json"
    )
    assert novel.status == 0
    assert (novel.json["base_classes"], novel.json["novel_classes"]) == (["walk"], ["run"])
    assert novel.json["harmonic_mean"] == 1.0  # one candidate on either side
    splits = typed("eval", "closed-set", *place, "--method", "linear_probe", "--json")
    assert splits.json["num_found"] == 2
    for arguments, said in (
        (["base-to-novel", "--method", "linear_probe"], "knows only the classes it was trained on"),
        (["few-shot", "--method", "tip_adapter", "--shots", 3], "3 videos a class are needed"),
        (["few-shot", "--method", "tip_adapter", "--ways", 5], "5 classes are needed, and there are 2"),
        (["few-shot", "--method", "tip_adapter", "--list", listing], "not among those to train on"),
    ):
        refused = typed("eval", arguments[0], *place, *arguments[1:])
        assert refused.status == 1
        assert said in refused.stderr


def test_a_dataset_without_splits_has_nothing_to_keep_apart(
    typed: Type, place: list[object], extracted: None
) -> None:
    refused = typed("eval", "few-shot", *place, "--method", "tip_adapter")
    assert refused.status == 1
    assert "has no train video" in refused.stderr


def test_closed_set_wants_a_run_or_a_method(typed: Type) -> None:
    for arguments in ([], ["--run", "a", "--method", "b"]):
        refused = typed("eval", "closed-set", *arguments)
        assert refused.status == 2
        assert "name a trained run" in " ".join(refused.stderr.replace("│", " ").split())


def test_two_trainings_of_one_run_do_not_mix(
    trained: Path, typed: Type, place: list[object], tmp_path: Path
) -> None:
    from vlp.stores.runs import RunDirectory

    with RunDirectory.open(trained).lock():
        refused = typed(
            "train", *place, "--method", "ju2022", *QUICK, "--runs", trained.parent, "--name", "one"
        )
    assert refused.status == 1
    assert f"process {os.getpid()}" in refused.stderr


def test_methods_are_set_side_by_side(typed: Type, tmp_path: Path, listed: list[object]) -> None:
    (tmp_path / "methods.yaml").write_text(
        "- {name: probe, method: linear_probe}\n- {name: untrained, method: zero_shot}\n"
    )
    (tmp_path / "subset.txt").write_text("walk\n")
    asked = ["--methods", tmp_path / "methods.yaml", "--subset", tmp_path / "subset.txt"]
    asked += ["--shots", 1, "--base-shots", 1, "--seeds", 2]
    found = typed("eval", "methods", *listed, *asked, "--json").json
    assert [row["name"] for row in found["rows"]] == ["probe", "untrained"]
    assert 0 <= found["rows"][0]["closed_set"] <= 1
    assert [row["settings"]["name"] for row in found["rows"]] == ["linear_probe", "zero_shot"]
    assert "settings" not in found
    assert (found["num_seeds"], found["shots"], found["subset"]) == (2, 1, ["walk"])
    assert "novel" not in found["rows"][0]
    assert found["rows"][1]["novel_interval"] == 0
    table = typed("eval", "methods", *listed, *asked).stdout
    assert "harmonic mean" in table
    assert table.splitlines()[2].split()[-1] == "-"
    (tmp_path / "methods.yaml").write_text(
        "- {name: probe, method: linear_probe}\n"
        f"- {{method: ju2022, set: {[*QUICK_VALUES, 'recipe.learning_rate=1e30']}}}\n"
    )
    diverged = typed("eval", "methods", *listed, *asked)
    assert diverged.status == 1
    assert "the loss is" in diverged.stderr
    assert "probe" in diverged.stdout
    (tmp_path / "methods.yaml").write_text("- {method: coop}\n")
    refused = typed("eval", "methods", *listed, "--methods", tmp_path / "methods.yaml")
    assert refused.status == 1
    assert "no method is called 'coop'" in refused.stderr
    (tmp_path / "subset.txt").write_text("flying\n")
    refused = typed("eval", "methods", *listed, "--subset", tmp_path / "subset.txt")
    assert refused.status == 1
    assert "flying" in refused.stderr
