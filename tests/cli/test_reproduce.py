"""`vlp reproduce` as it is typed: on real runs over videos listed as UCF101, and on files that are no result."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vlp.cli import reproduce
from vlp.cli.errors import explain
from vlp.datasplits.errors import PublishedNumbersUnreadable
from vlp.datasplits.published_numbers import published_numbers

Type = Callable[..., Any]
QUICK = tuple(
    f"--set={value}"
    for value in (
        "recipe.num_frames=4",
        "method.max_frames=4",
        "method.num_prefix=2",
        "method.num_layers=1",
        "recipe.num_epochs=1",
    )
)


@pytest.fixture
def place(typed: Type, videos: Path, tiny_model: str, tmp_path: Path) -> list[object]:
    """Features of the six videos, two of each class to train on, by the name of a data set that papers use."""
    listing = tmp_path / "ucf101.csv"
    roles = {"0": "test", "1": "train", "2": "train"}
    rows = [
        f"{path.relative_to(videos)},{path.parent.name},{roles[path.stem]}\n"
        for path in sorted(videos.rglob("*.*"))
    ]
    listing.write_text("path,label,split\n" + "".join(rows))
    found = ["--dataset", "ucf101", "--manifest", listing, "--root", videos, "--model", tiny_model]
    found += ["--cache", tmp_path / "cache", "--device", "cpu"]
    assert typed("extract", *found).status == 0
    return found


def saved(file: Path, **changed: object) -> Path:
    """A file with a result of the Transf row on Kinetics-400."""
    held = {
        "protocol": "closed-set",
        "dataset": "kinetics400",
        "method": "actionclip",
        "settings": {"config": {"head": "transf"}, "recipe": {"optimizer": "adamw"}},
        "top1": 0.7,
        **changed,
    }
    file.write_text(json.dumps(held))
    return file


def test_a_run_stands_beside_what_papers_print_of_its_task(
    typed: Type, place: list[object], tmp_path: Path
) -> None:
    run = tmp_path / "runs" / "one"
    arguments = ["--method", "ju2022", *QUICK, "--runs", run.parent, "--name", "one", "--from-cache"]
    assert typed("train", *place, *arguments).status == 0
    early = typed("reproduce", "compare", run)
    assert early.status == 4
    assert f"Run: vlp eval closed-set --run {run}" in " ".join(early.stderr.split())
    measured = typed("eval", "closed-set", "--run", run, "--json").json
    done = typed("reproduce", "compare", run)
    assert done.status == 0, done.stderr
    assert "closed-set, ucf101, ju2022" in done.stdout
    assert "Published: rows of the same task and method, with other settings of the method." in done.stdout
    (line,) = (line for line in done.stdout.splitlines() if "[1] ju2022, Table 2" in line)
    assert line.split()[-5:] == ["top-1", f"{100 * measured['top1']:.1f}", "%", "93.6", "%"]
    for said in (
        "frames a clip: 4 here, 16 in the paper",
        "classes: 2 here, 101 in the paper",
        "method.num_prefix: 2 here, 16 in the paper",
        "method.num_layers: 1 here, 2 in the paper",
        "recipe.num_epochs (1 here)",
    ):
        assert said in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120
    found = typed("reproduce", "compare", run, "--json").json
    (one,) = found["comparisons"]
    assert one["result"] == str(run / "results" / "closed-set-ucf101-default.json")
    (row,) = one["rows"]
    assert row["figures"][0]["ours"] == pytest.approx(100 * measured["top1"])
    assert row["figures"][0]["published"] == "93.6"


def test_a_file_of_repeated_trainings_is_compared_too(
    typed: Type, place: list[object], tmp_path: Path
) -> None:
    asked = ["--method", "zero_shot", "--shots", 1, "--seeds", 2]
    (tmp_path / "novel.json").write_text(typed("eval", "base-to-novel", *place, *asked, "--json").stdout)
    done = typed("reproduce", "compare", tmp_path / "novel.json")
    assert done.status == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if "[1] apclip2024, Table 2" in line)
    assert line.endswith("78.5 %")
    assert "± 0.0 %" in line
    assert "± of ours: half of the 95% interval over trials" in done.stdout
    held = json.loads((tmp_path / "novel.json").read_text())
    few = {**held, "protocol": "few-shot", "shots": 7, "top1": 0.5}
    (tmp_path / "few.json").write_text(json.dumps(few))
    nothing = typed("reproduce", "compare", tmp_path / "few.json")
    assert nothing.status == 0
    assert "No paper of the file prints a row of this task" in nothing.stdout
    assert typed("reproduce", "compare", tmp_path / "few.json", "--json").json["comparisons"][0]["rows"] == []


def test_several_results_follow_one_another_with_what_papers_contradict(typed: Type, tmp_path: Path) -> None:
    first = saved(tmp_path / "a.json", num_expected=10, num_found=9)
    second = saved(tmp_path / "b.json", dataset="msrvtt", protocol="retrieval", method="vilt_clip",
                   recall_at_1=0.4, mean_rank=20.5)  # fmt: skip
    done = typed("reproduce", "compare", first, second)
    assert done.status == 0, done.stderr
    assert done.stdout.count("Published numbers are the papers', as printed; ours are this code's.") == 1
    assert "Note: 9 of 10 videos were found" in done.stdout
    shown = " ".join(done.stdout.split())
    assert "disagrees The final model has two values of R@5 on MSR-VTT. Table 5, ViLT-CLIP: 72.1;" in shown
    assert "image tower: frozen here, tuned in the paper" in shown
    assert "note Its top-5 is printed for V2 too" in shown
    assert "mean rank 20.5 13.6" in shown
    assert "R@5 - 72.1 %" in shown
    assert max(map(len, done.stdout.splitlines())) <= 120
    every = typed("reproduce", "compare", first, "--all")
    assert "Published: all rows of the same task." in every.stdout
    assert every.stdout.count("\n[") > done.stdout.count("\n[")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "it is no JSON. Run: vlp eval … --json > FILE"),
        ("[" * 5000, "it is no JSON"),
        ("[1]", "it is no JSON object"),
        ('{"protocol": {"a": 1}, "dataset": [1]}', "names no protocol"),
        ('{"protocol": "methods", "dataset": "toy", "rows": []}', "table of methods"),
        ('{"protocol": "closed-set", "dataset": "toy", "top1": NaN}', "no number that a paper prints"),
    ],
)
def test_what_is_no_result_is_a_line(content: str, said: str, typed: Type, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content)
    refused = typed("reproduce", "compare", tmp_path / "a.json")
    assert refused.status == 1
    assert said in " ".join(refused.stderr.split())
    assert "Traceback" not in refused.stderr
    assert refused.stdout == ""


def test_what_a_result_says_cannot_move_the_cursor(typed: Type, tmp_path: Path) -> None:
    settings = {"config": {"head": "\x1b[2J\ud800red" + "x" * 500}, "recipe": {}}
    file = saved(tmp_path / "a.json", model="\x1b[31mViT\n\ud800", settings=settings)
    done = typed("reproduce", "compare", file)
    assert done.status == 0, done.stderr
    assert "encoder: [31mViT here, ViT-B-32 in the paper" in done.stdout
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 120
    assert typed("reproduce", "compare", file, "--json").status == 0


def test_a_missing_run_ends_with_status_4(typed: Type, tmp_path: Path) -> None:
    refused = typed("reproduce", "compare", tmp_path / "none")
    assert refused.status == 4
    assert "no run at" in refused.stderr
    assert typed("reproduce", "compare").status == 2


def test_a_damaged_file_of_published_numbers_is_a_line(tmp_path: Path) -> None:
    with pytest.raises(PublishedNumbersUnreadable) as error:
        published_numbers(tmp_path / "none.yaml")
    explained = explain(error.value)
    assert explained is not None
    assert (explained.status, "Run: pip install" in explained.text) == (1, True)


def test_published_rows_are_listed_by_paper_and_data_set(typed: Type) -> None:
    every = typed("reproduce", "ls")
    assert every.status == 0
    assert f"{len(published_numbers().rows)} rows" in every.stdout
    of_paper = typed("reproduce", "ls", "--paper", "ju2022", "--dataset", "hmdb51", "--json").json["rows"]
    assert {(row["paper"]["name"], row["dataset"]) for row in of_paper} == {("ju2022", "hmdb51")}
    assert "66.4" in [row["values"]["top1"] for row in of_paper]
    line = next(
        line
        for line in typed("reproduce", "ls", "--dataset", "thumos14").stdout.splitlines()
        if "Ours" in line
    )
    assert "mAP at 0.3 50.8" in line
    assert "and 3 more" in line
    flagged = typed("reproduce", "ls", "--paper", "actionclip2021").stdout
    assert "!  closed-set" in flagged
    for option, known in (("--paper", "actionclip2021"), ("--dataset", "activitynet")):
        refused = typed("reproduce", "ls", option, "none")
        assert refused.status == 1
        assert f"Known: {known}" in refused.stderr


def test_every_measure_has_a_name_that_is_no_other_ones() -> None:
    from vlp.datasplits.published_rows import METRICS

    names = [reproduce._measure(metric) for metric in METRICS]
    assert len(set(names)) == len(names)
    assert not any("_" in name for name in names)
