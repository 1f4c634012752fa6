"""Class names as words, and the sentences they are filled into."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlp.datasplits.class_text import RULES, class_text
from vlp.datasplits.errors import UnknownName
from vlp.datasplits.templates import TEMPLATE_SETS, template_set


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("ApplyEyeMakeup", "apply eye makeup"),
        ("YoYo", "yo yo"),
        ("TaiChi", "tai chi"),
        ("brush_hair", "brush hair"),
        ("Pushing [something] from left to right", "pushing something from left to right"),
        ("watching TV", "watching tv"),
        ("TVShow", "tv show"),
        ("walk2Run", "walk2 run"),
        ("3DPrinting", "3d printing"),
        ("BMXRiding", "bmx riding"),
        ("CleanAndJerk", "clean and jerk"),
        ("  spaced   out ", "spaced out"),
        ("tap dancing", "tap dancing"),
    ],
)
def test_names_become_words(name: str, words: str) -> None:
    assert class_text(name) == words
    assert class_text(name, rule="raw") == name


@given(st.lists(st.text(string.ascii_lowercase, min_size=1), min_size=1, max_size=5))
def test_every_spelling_of_the_same_words_is_the_same_text(words: list[str]) -> None:
    expected = " ".join(words)
    assert class_text("_".join(words)) == expected
    assert class_text(" ".join(words)) == expected
    assert class_text(class_text(" ".join(words))) == expected
    if all(len(word) > 1 for word in words):
        assert class_text("".join(word.capitalize() for word in words)) == expected


def test_unknown_rules_and_sets_list_the_known() -> None:
    with pytest.raises(UnknownName) as caught:
        class_text("x", rule="fancy")
    assert caught.value.known == tuple(sorted(RULES))
    with pytest.raises(UnknownName) as caught:
        template_set("fancy")
    assert caught.value.known == tuple(TEMPLATE_SETS)


@pytest.mark.parametrize("name", list(TEMPLATE_SETS))
def test_every_template_takes_exactly_one_name(name: str) -> None:
    sentences = template_set(name)
    assert sentences
    assert len(set(sentences)) == len(sentences)
    for sentence in sentences:
        fields = [field for _, field, _, _ in string.Formatter().parse(sentence) if field is not None]
        assert fields == [""]
        assert "walking" in sentence.format("walking")


def test_the_ensemble_has_eighteen_sentences_of_three_kinds() -> None:
    sentences = template_set("ensemble")
    kinds = (
        [sentence.startswith("{}") for sentence in sentences],
        [sentence.rstrip(".").endswith("{}") for sentence in sentences],
    )
    assert len(sentences) == 18
    assert sum(kinds[0]) >= 5
    assert sum(kinds[1]) >= 5
