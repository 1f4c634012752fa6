"""What holds for every command: help with an example, a place in the documentation, errors without a traceback."""

import importlib
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from vlp.cli.__main__ import app
from vlp.cli.errors import _ADVICE, explain
from vlp.stores.features import FeatureStore
from vlp.stores.locate import find_stores

Type = Callable[..., Any]
ROOT = Path(__file__).parents[2]


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its full name."""
    waiting: list[tuple[str, Any]] = [("vlp", typer.main.get_command(app))]
    while waiting:
        name, command = waiting.pop()
        children = getattr(command, "commands", None)
        if children is None:
            yield name, command
        else:
            waiting += [(f"{name} {child}", found) for child, found in children.items()]


COMMANDS = dict(commands())


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help_an_example_and_a_place_in_the_documentation(name: str) -> None:
    command = COMMANDS[name]
    assert f"Example: {name}" in command.help
    texts = [path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]]
    assert any(name in text for text in texts)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_says_what_it_is(name: str) -> None:
    undescribed = [
        parameter.name for parameter in COMMANDS[name].params if not getattr(parameter, "help", "x")
    ]
    assert undescribed == []


def test_help_shows_every_group_and_imports_nothing_heavy() -> None:
    script = (
        "import sys; sys.argv = ['vlp', '--help']\n"
        "from vlp.cli.__main__ import run\n"
        "try: run()\n"
        "except SystemExit as ended: assert not ended.code\n"
        "heavy = {'torch', 'numpy', 'zarr', 'pyarrow', 'av'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    for group in ("extract", "eval", "store", "datasets", "models", "bench", "demo"):
        assert group in shown


def test_the_version_is_that_of_the_installed_package(typed: Type) -> None:
    from importlib.metadata import version

    result = typed("--version")
    assert (result.status, result.stdout.strip()) == (0, f"vlp {version('vlp')}")


@pytest.mark.parametrize(
    "arguments", [("extrat",), ("extract",), ("extract", "--dataset", "toy", "--nope"), ("store", "x")]
)
def test_wrong_usage_ends_with_status_2(typed: Type, arguments: tuple[str, ...]) -> None:
    result = typed(*arguments)
    assert result.status == 2
    assert "Traceback" not in result.stderr


def test_advice_is_given_for_errors_that_exist() -> None:
    import vlp.datasplits
    import vlp.pipeline
    import vlp.stores

    known = set()
    for package in (vlp.datasplits, vlp.pipeline, vlp.stores):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "child" not in found.name and "train_clip" not in found.name:
                known |= set(vars(importlib.import_module(found.name)))
    assert known >= _ADVICE.keys()


def test_a_defect_of_ours_keeps_its_traceback() -> None:
    assert explain(ZeroDivisionError()) is None


def test_a_full_disk_and_a_folder_without_permission_are_lines() -> None:
    import errno

    explained = explain(OSError(errno.ENOSPC, "No space left on device", "/cache/x"))
    assert explained is not None
    assert "No space left on device: /cache/x" in explained.text


def test_models_are_listed_and_described(typed: Type, tiny_model: str, tmp_path: Path) -> None:
    listed = typed("models", "ls", "ViT-B-16", "--json").json["models"]
    assert "openai" in listed["ViT-B-16"]
    assert all("vit-b-16" in name.lower() for name in listed)
    described = typed("models", "fetch", tiny_model, "--cache", tmp_path, "--json").json
    assert (described["embed_dim"], described["preprocess"]["image_size"]) == (16, 32)
    text = typed("models", "fetch", tiny_model, "--cache", tmp_path)
    assert described["weights_sha256"] in text.stdout


def test_the_bench_of_extraction_gives_ratios(
    typed: Type, videos: Path, tiny_model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vlp.pipeline.benchmarks.extraction._ENCODER_SECONDS", 0.2)
    place = ["--root", videos, "--cache", tmp_path, "--device", "cpu"]
    measured = typed("bench", "extract", "--dataset", "folder", "--model", tiny_model, *place, "--json").json
    assert measured["num_videos"] == 6
    ratios = (
        "wall_over_cpu",
        "speedup_over_plain_loop",
        "encoder_over_best_loop",
        "over_slower_stage",
        "mfu",
        "frames_per_second",
    )
    assert all(measured[name] > 0 for name in ratios)
    assert measured["mfu"] < 1


@pytest.mark.full  # starts four processes, each of which loads torch
def test_the_bench_of_growth_extracts_links_and_plans_files_that_are_nowhere(
    typed: Type, videos: Path, tiny_model: str, tmp_path: Path
) -> None:
    counts = ["--small", 3, "--large", 14, "--listed", 500, "--keep", tmp_path / "kept"]
    place = ["--root", videos, "--cache", tmp_path / "cache", "--model", tiny_model]
    measured = typed("bench", "growth", "--dataset", "folder", *place, *counts, "--json").json
    small, large = measured["small"], measured["large"]
    assert (small["num_videos"], large["num_videos"], measured["num_listed"]) == (3, 14, 500)
    assert (small["num_damages"], large["num_damages"]) == (0, 0)
    frames = [
        sum(entry.num_rows for entry in store_below(tmp_path / "kept" / name).videos().values())
        for name in ("small0-3", "large-14")
    ]
    assert frames == [small["num_frames"], large["num_frames"]]
    assert len(store_below(tmp_path / "kept" / "listed").videos()) == 500
    assert min(measured["planning_seconds"], measured["replanning_seconds"], measured["peak_ratio"]) > 0
    again = typed("bench", "growth", "--dataset", "folder", *place, *counts)
    assert (again.status, "is not empty" in " ".join(again.stderr.replace("│", " ").split())) == (2, True)


def store_below(folder: Path) -> FeatureStore:
    [found] = find_stores(folder)
    return FeatureStore.open(found.path)


def test_checking_a_dataset_says_what_is_missing(typed: Type, videos: Path, tmp_path: Path) -> None:
    complete = typed("datasets", "check", "folder", "--root", videos)
    assert complete.status == 0
    (tmp_path / "list.csv").write_text("path,label,split\nwalk/0.mp4,walk,train\nwalk/gone.mp4,walk,test\n")
    arguments = [
        "--root",
        videos,
        "--manifest",
        tmp_path / "list.csv",
        "--missing-file",
        tmp_path / "missing.txt",
    ]
    result = typed("datasets", "check", "mine", *arguments, "--json")
    assert result.status == 1
    assert result.json["missing"] == ["walk/gone"]
    assert result.json["videos"]["default test"] == {"listed": 1, "missing": 1}
    assert (tmp_path / "missing.txt").read_text() == "walk/gone\n"
    shown = typed("datasets", "check", "mine", *arguments)
    assert "walk/gone" in shown.stdout
    assert "walk/1.mp4" in shown.stdout  # on disk, in no list


def test_datasets_are_listed_and_shown(typed: Type) -> None:
    assert set(typed("datasets", "ls", "--json").json["datasets"]) >= {"folder", "hmdb51", "toy", "ucf101"}
    shown = typed("datasets", "show", "ucf101")
    assert "ucfTrainTestlist" in shown.stdout
    assert "9,537" in shown.stdout
    unknown = typed("datasets", "show", "ucf")
    assert (unknown.status, "Run: vlp datasets ls" in unknown.stderr) == (1, True)
