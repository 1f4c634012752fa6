"""`vlp datasets` as it is typed: what it lists, shows and finds, and its exit status."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vlp.datasplits import DATASETS, dataset_module

Type = Callable[..., Any]


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A root with a manifest of four videos, two of which are there, and a video in no list."""
    (tmp_path / "walk").mkdir()
    for name in ("walk/a.mp4", "walk/b.mp4", "walk/extra.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "list.csv").write_text(
        "path,label,split,weather\nwalk/a.mp4,walk,train,sun\nwalk/b.mp4,walk,test,sun\n"
        "walk/gone.mp4,walk,test,rain\nshake [hands]/c.mp4,shake [hands],test,rain\n"
    )
    return tmp_path


def test_every_dataset_is_listed_with_its_size_and_source(typed: Type) -> None:
    result = typed("datasets", "ls")
    assert result.status == 0
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    for name in DATASETS:
        [line] = [line for line in lines if line.split()[0] == name]
        assert dataset_module(name).SOURCE in line
    assert any({"ucf101", "13,320", "101", "split1,", "split3"} <= set(line.split()) for line in lines)


def test_the_list_is_also_machine_readable(typed: Type) -> None:
    datasets = typed("datasets", "ls", "--json").json["datasets"]
    assert set(datasets) == set(DATASETS)
    assert datasets["hmdb51"]["splits"] == ["split1", "split2", "split3"]
    assert datasets["hmdb51"]["published"]["split1 test"] == 1530
    assert datasets["folder"]["splits"] == []


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_a_dataset_is_shown_with_layout_source_and_default_root(
    typed: Type, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLP_DATA", str(tmp_path))
    module = dataset_module(name)
    result = typed("datasets", "show", name)
    assert result.status == 0
    for text in (module.LAYOUT, module.SOURCE, str(tmp_path / name)):
        assert text in result.stdout
    facts = typed("datasets", "show", name, "--json").json
    assert (facts["dataset"], facts["layout"], facts["published"]) == (name, module.LAYOUT, module.PUBLISHED)
    assert facts["default_root"] == str(tmp_path / name)


def test_an_unknown_dataset_is_one_error_that_lists_the_known(typed: Type) -> None:
    for command in ("show", "check"):
        result = typed("datasets", command, "ucf")
        assert result.status == 1
        assert "no dataset is called 'ucf'" in result.stderr
        assert "ucf101" in result.stderr
        assert "vlp datasets ls" in result.stderr


def test_a_complete_dataset_ends_with_status_zero(typed: Type, listed: Path) -> None:
    result = typed("datasets", "check", "folder", "--root", listed)
    assert result.status == 0
    assert "missing video" not in result.stdout
    [counts] = [line.split() for line in result.stdout.splitlines() if line.startswith("all ")]
    assert counts == ["all", "3", "3", "0"]
    assert "1, such as list.csv" in result.stderr


def test_missing_and_unlisted_videos_are_named_and_counted(typed: Type, listed: Path) -> None:
    result = typed("datasets", "check", "mine", "--manifest", listed / "list.csv", "--root", listed)
    assert result.status == 1
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["all", "4", "2", "2"] in rows
    assert ["default", "test", "3", "1", "2"] in rows
    assert ["default", "train", "1", "1", "0"] in rows
    assert ["walk", "3", "2", "1"] in rows
    assert ["shake", "[hands]", "1", "0", "1"] in rows  # brackets are text, not markup
    assert ["walk/gone", "walk/gone.mp4"] in rows
    assert ["walk/extra.mp4"] in rows
    assert "weather" in result.stderr


def test_the_check_is_also_machine_readable(typed: Type, listed: Path) -> None:
    result = typed("datasets", "check", "mine", "--manifest", listed / "list.csv", "--json")
    assert result.status == 1
    found = result.json
    assert found["videos"]["default test"] == {"listed": 3, "missing": 2}
    assert found["classes"] == {
        "shake [hands]": {"listed": 1, "missing": 1},
        "walk": {"listed": 3, "missing": 1},
    }
    assert found["missing"] == ["walk/gone", "shake [hands]/c"]
    assert found["unlisted"] == ["walk/extra.mp4"]
    assert found["num_classes"] == 2
    assert any("weather" in note for note in found["notes"])


def test_all_missing_ids_go_to_a_file_and_ten_to_the_screen(typed: Type, tmp_path: Path) -> None:
    names = [f"walk/{number:02d}" for number in range(25)]
    (tmp_path / "list.csv").write_text("path\n" + "".join(f"{name}.mp4\n" for name in names))
    arguments = ["datasets", "check", "mine", "--manifest", tmp_path / "list.csv", "--root", tmp_path]
    result = typed(*arguments, "--missing-file", tmp_path / "missing.txt")
    assert result.status == 1
    assert (tmp_path / "missing.txt").read_text().splitlines() == names
    assert "walk/09.mp4" in result.stdout
    assert "walk/10.mp4" not in result.stdout
    assert "and 15 more" in result.stdout
    assert str(tmp_path / "missing.txt") in result.stdout
    assert "--missing-file" in typed(*arguments).stdout


def test_a_missing_file_in_a_folder_that_is_not_there_is_wrong_usage(typed: Type, listed: Path) -> None:
    result = typed("datasets", "check", "folder", "--root", listed, "--missing-file", listed / "no" / "x.txt")
    assert result.status == 2
    assert "--missing-file" in result.stderr
    assert not (listed / "no").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["folder", "--root", "{root}/nowhere"], "vlp datasets show folder"),
        (["hmdb51", "--root", "{root}"], "testTrainMulti_7030_splits"),
        (["ucf101", "--root", "{root}", "--annotations", "{root}/nowhere"], "nowhere"),
        (["mine", "--manifest", "{root}/no.csv"], "there is no such file"),
        (["mine", "--manifest", "{root}/bad.csv"], "line 2: '../x.mp4' leads out"),
        (["mine", "--manifest", "{root}/list.csv", "--root", "{root}/nowhere"], "nowhere"),
        (["folder", "--root", "{root}/empty"], "no video under"),
    ],
)
def test_what_a_user_gets_wrong_is_an_error_line_and_status_one(
    typed: Type, listed: Path, arguments: list[str], said: str
) -> None:
    (listed / "bad.csv").write_text("path\n../x.mp4\n")
    (listed / "empty").mkdir()
    result = typed("datasets", "check", *(argument.format(root=listed) for argument in arguments))
    assert result.status == 1
    assert result.stderr.startswith("Error: ")
    assert said in result.stderr
    assert result.stdout == ""


def test_every_command_shows_an_example(typed: Type) -> None:
    for command in ("ls", "show", "check"):
        result = typed("datasets", command, "--help")
        assert result.status == 0
        assert f"Example: vlp datasets {command}" in result.stdout


def test_what_later_stages_will_report_is_foreseen(typed: Type, listed: Path) -> None:
    arguments = ("datasets", "check", "mine", "--manifest", listed / "list.csv", "--root", listed)
    text = typed(*arguments).stdout
    assert "2 of 4 videos failed (missing), and exit status 3" in text
    later = {entry["stage"]: entry["report"] for entry in typed(*arguments, "--json").json["later"]}
    assert later["vlp eval (default)"] == "1 of 3 test videos; no video left of shake [hands]"


def test_choices_are_shown_and_wrong_ones_refused(typed: Type, tmp_path: Path) -> None:
    shown = typed("datasets", "show", "hmdb51").stdout
    assert "--dataset-option compat=false (false, true)" in shown
    assert "--classes: hmdb51-5way" in shown
    refused = typed("datasets", "check", "hmdb51", "--root", tmp_path, "--dataset-option", "compat=maybe")
    assert refused.status == 2
    assert "compat cannot be 'maybe'. Known: false, true" in refused.stderr
    assert "vlp datasets show hmdb51" in refused.stderr
