"""What may stand in one place of an official list, and what is refused by its place."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlp.datasplits.cells import label_of, member, seconds_of, sentence_of
from vlp.datasplits.errors import DatasetError, ManifestUnreadable

LIST = Path("list.csv")


@given(st.text())
def test_a_sentence_is_one_line_without_control_characters(text: str) -> None:
    try:
        sentence = sentence_of(LIST, "line 1", text)
    except ManifestUnreadable:
        assert any("\ud800" <= character <= "\udfff" for character in text)
        return
    assert sentence == " ".join(sentence.split())
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in sentence)


@pytest.mark.parametrize("value", [None, 3, ["a"], "\udc80"])
def test_what_is_no_sentence_is_named(value: object) -> None:
    with pytest.raises(ManifestUnreadable, match=r"line 7: .* is no sentence"):
        sentence_of(LIST, "line 7", value)


@pytest.mark.parametrize("value", [None, 3, "", "  ", "a\nb", "\x1b[2J", "\ud800"])
def test_what_is_no_class_name_is_named(value: object) -> None:
    with pytest.raises(ManifestUnreadable, match=r"line 7: .* is no class name"):
        label_of(LIST, "line 7", value)


@pytest.mark.parametrize(("value", "seconds"), [("19.3", 19.3), (4, 4.0), (-1.5, -1.5), (" 2 ", 2.0)])
def test_a_number_may_be_written_as_text(value: object, seconds: float) -> None:
    assert seconds_of(LIST, "line 1", value) == seconds


@pytest.mark.parametrize("value", ["", "1:30", "nan", "inf", float("nan"), 1e999, 10**400, True, None, [1.0]])
def test_what_is_no_finite_number_is_named(value: object) -> None:
    with pytest.raises(ManifestUnreadable, match=r"line 7: .* is no number of seconds"):
        seconds_of(LIST, "line 7", value)


@pytest.mark.parametrize("row", [None, [], {}, {"name": 3}, {"name": None}])
def test_a_member_of_another_kind_is_named(row: object) -> None:
    with pytest.raises(DatasetError, match="entry 2: no 'name' of kind str"):
        member(LIST, "entry 2", row, "name", str)
