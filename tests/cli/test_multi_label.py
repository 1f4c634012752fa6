"""`vlp train --multi-label` and `vlp eval multi-label`, as they are typed, on real videos."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Type = Callable[..., Any]
LABELS = {  # several actions a video, one, or none
    "train": {"walk/0.mp4": ["walk", "wave"], "walk/1.mp4": ["walk"], "run/0.avi": ["run"], "run/1.avi": []},
    "test": {"walk/2.mp4": ["walk", "wave"], "run/2.avi": []},
}
QUICK = ("--set=recipe.num_frames=4", "--set=recipe.num_epochs=2", "--set=recipe.batch_size=2")


@pytest.fixture
def place(videos: Path, tiny_model: str, tmp_path: Path, typed: Type) -> list[object]:
    """A list of the six videos with several labels each, and their features."""
    listed = tmp_path / "acts.csv"
    rows = [
        f"{path},{label},{role}"
        for role, labels in LABELS.items()
        for path, names in labels.items()
        for label in names or [""]
    ]
    listed.write_text("\n".join(["path,label,split", *rows]) + "\n")
    arguments = ["--dataset", "acts", "--manifest", listed, "--root", videos, "--model", tiny_model]
    arguments += ["--cache", tmp_path / "cache"]
    assert typed("extract", *arguments, "--device", "cpu").status == 0
    return arguments


def test_nothing_needs_training(typed: Type, place: list[object]) -> None:
    found = typed("eval", "multi-label", *place, "--json").json
    (split,) = found["splits"]
    assert (found["protocol"], found["scores"], split["role"]) == ("multi-label", "softmax", "test")
    assert (split["num_found"], split["num_empty"], split["num_absent_classes"]) == (2, 1, 1)
    # The one video with actions comes before the one without, by the official rule.
    assert found["mean_ap"] == 1.0
    by_name = {row["name"]: row for row in split["per_class"]}
    assert by_name["run"] == {"name": "run", "num_videos": 0, "average_precision": None}
    table = typed("eval", "multi-label", *place, "--per-class")
    assert "mAP %" in table.stdout
    assert "100.0" in table.stdout
    assert "videos without a class rank last" in table.stdout
    scored = typed("eval", "multi-label", *place, "--score-empty", "--json").json
    assert scored["videos_without_a_class_rank"] == "as they score"
    assert 0.5 <= scored["mean_ap"] <= 1.0


@pytest.mark.parametrize(
    ("method", "scores", "values"),
    [
        ("ju2022", "softmax", (*QUICK, "--set=method.max_frames=4")),
        ("actionclip", "similarities", (*QUICK, "--set=method.max_frames=4", "--set=method.head=meanp")),
        ("linear_probe", "sigmoid", ()),
        ("residual_adapter", "softmax", ()),
    ],
)
def test_a_run_learns_from_every_label(
    typed: Type, place: list[object], tmp_path: Path, method: str, scores: str, values: tuple[str, ...]
) -> None:
    runs = tmp_path / "runs"
    trained = typed(
        "train", *place, "--from-cache", "--multi-label", "--method", method, *values, "--runs", runs
    )
    assert trained.status == 0, trained.stderr
    run = runs / f"acts-{method}-multi-seed0"
    assert f"Next: vlp eval multi-label --run {run}" in trained.stdout
    assert "1 training videos show no class" in trained.stderr
    result = typed("eval", "multi-label", "--run", run, "--json")
    assert result.status == 0, result.stderr
    assert (result.json["method"], result.json["scores"]) == (method, scores)
    assert result.json["mean_ap"] == 1.0
    kept = json.loads((run / "results" / "multi-label-acts.json").read_text())
    assert kept["mean_ap"] == 1.0


def test_what_cannot_learn_from_several_labels_is_refused(
    typed: Type, place: list[object], tmp_path: Path
) -> None:
    refused = typed("train", *place, "--from-cache", "--multi-label", "--method", "tip_adapter")
    assert refused.status == 1
    assert "tip_adapter learns from videos of one class each" in refused.stderr
    assert "--method ju2022" in refused.stderr
    one_label = typed("train", *place, "--from-cache", "--method", "ju2022", *QUICK)
    assert one_label.status == 1
    assert "vlp train --multi-label" in one_label.stderr
    shots = typed("train", *place, "--from-cache", "--multi-label", "--method", "ju2022", "--shots", 1)
    assert shots.status == 2
    assert not (tmp_path / "runs").exists()


def test_videos_without_any_label_cannot_be_ranked(
    typed: Type, place: list[object], videos: Path, tmp_path: Path
) -> None:
    silent = tmp_path / "silent.csv"
    silent.write_text("path,split\nwalk/2.mp4,test\nrun/2.avi,test\n")
    arguments = [*place[:2], "--manifest", silent, *place[4:]]
    refused = typed("eval", "multi-label", *arguments)
    assert (refused.status, refused.stdout) == (1, "")
    assert "no test video of acts (default) has a label" in refused.stderr
