"""What a user may choose about a dataset, and what is refused."""

from pathlib import Path

import pytest

from vlp.datasplits import DATASETS, load_dataset, options_of
from vlp.datasplits.errors import BadOption
from vlp.datasplits.options import Option, parse_options

KNOWN = {"lists": Option("whose lists", "common", ("common", "paper")), "file": Option("a file", "none")}


def test_options_are_pairs_of_which_the_last_counts() -> None:
    assert parse_options("d", ["lists=paper", "file=a=b", "lists=common"], KNOWN) == {
        "lists": "common",
        "file": "a=b",
    }
    assert parse_options("d", [], KNOWN) == {}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("lists", "'lists' is not NAME=VALUE"),
        ("list=paper", "d has no option 'list'. Known: lists, file"),
        ("lists=mine", "lists cannot be 'mine'. Known: common, paper"),
    ],
)
def test_others_are_refused(text: str, why: str) -> None:
    with pytest.raises(BadOption, match=why):
        parse_options("d", [text], KNOWN)


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_every_option_of_a_dataset_has_a_default_among_its_choices(name: str) -> None:
    for option in options_of(name).values():
        assert not option.choices or option.default in option.choices
        assert option.help


def test_a_list_of_ones_own_has_no_options(tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("path,label\na.mp4,walk\n")
    with pytest.raises(BadOption, match="a list of one's own has no options"):
        load_dataset("mine", manifest=tmp_path / "list.csv", options=["compat=true"])
    with pytest.raises(BadOption, match="folder has no option 'compat'"):
        load_dataset("folder", root=tmp_path, options=["compat=true"])
