"""Sentences made uniform, and what is found wrong with them, from the rules in words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlp.datasplits.class_prompts import ClassPrompts, Sentence, read_prompts, shipped_prompts
from vlp.datasplits.prompt_check import SUSPICION, check_prompts
from vlp.datasplits.prompt_questions import graph
from vlp.datasplits.prompt_text import MOST_TOKENS, cut, tidy
from vlp.datasplits.ucf101_names import CLASSES as UCF101
from vlp.pipeline.prompt_tokens import token_counter
from vlp.pipeline.toy.actions import ACTIONS

ASPECTS = {"scene": ("place", "objects")}
QUESTIONS = {"describe": "{action} {attribute}"}
HMDB51 = [
    "brush_hair",
    "cartwheel",
    "catch",
    "chew",
    "clap",
    "climb",
    "climb_stairs",
    "dive",
    "draw_sword",
    "dribble",
    "drink",
    "eat",
    "fall_floor",
    "fencing",
    "flic_flac",
    "golf",
    "handstand",
    "hit",
    "hug",
    "jump",
    "kick",
    "kick_ball",
    "kiss",
    "laugh",
    "pick",
    "pour",
    "pullup",
    "punch",
    "push",
    "pushup",
    "ride_bike",
    "ride_horse",
    "run",
    "shake_hands",
    "shoot_ball",
    "shoot_bow",
    "shoot_gun",
    "sit",
    "situp",
    "smile",
    "smoke",
    "somersault",
    "stand",
    "swing_baseball",
    "sword",
    "sword_exercise",
    "talk",
    "throw",
    "turn",
    "walk",
    "wave",
]


def words(text: str) -> int:
    return len(text.split())


def prompts(**classes: tuple[str, str]) -> ClassPrompts:
    """One sentence for each of two attributes."""
    made = {
        name: tuple(
            Sentence(text, "describe", "scene", attribute)
            for text, attribute in zip(texts, ASPECTS["scene"], strict=True)
        )
        for name, texts in classes.items()
    }
    return ClassPrompts("x", "x", "", ASPECTS, QUESTIONS, made)


GOOD = {
    "Archery": ("A bow and an arrow.", "An arrow flies from the bow."),
    "Swimming": ("Water in a pool.", "The pool holds blue water."),
}


@given(st.text())
def test_a_tidy_text_is_one_line_of_single_spaces_and_tidying_it_again_changes_nothing(text: str) -> None:
    tidied = tidy(text)
    assert tidied == " ".join(tidied.split())
    assert tidied.isprintable()
    assert not tidied or tidied[-1] in ".!?"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a man   runs", "A man runs."),
        ("1. A man runs .", "A man runs."),
        ("\u201cA man runs.\u201d", "A man runs."),
        ("- *A man* runs!!", "A man runs!"),
        ("A man runs,", "A man runs."),
        ("A man\nruns \u2014 fast\u2026", "A man runs - fast."),
        ("A man\x1b[31m runs", "A man [31m runs."),
        ("  ", ""),
        ("3 men run.", "3 men run."),
    ],
)
def test_spaces_and_punctuation_are_made_uniform(text: str, expected: str) -> None:
    assert tidy(text) == expected


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 20))
def test_a_text_is_cut_to_the_most_whole_sentences_that_fit(lengths: list[int], most: int) -> None:
    sentences = [" ".join(["word"] * length) + "." for length in lengths]
    fitting = [number for number in range(len(lengths) + 1) if sum(lengths[:number]) <= most]
    assert cut(" ".join(sentences), words, most=most) == " ".join(sentences[: max(fitting)])


def test_a_file_without_faults_has_no_findings() -> None:
    assert check_prompts(prompts(**GOOD), words, list(GOOD)) == []


@pytest.mark.parametrize(
    ("classes", "names", "expected"),
    [
        (GOOD, ["Archery", "Swimming", "Diving"], [("missing class", "Diving", "")]),
        (GOOD, ["Archery"], [("unknown class", "Swimming", "")]),
        (GOOD, ["archery", "Swimming"], [("missing class", "archery", ""), ("unknown class", "Archery", "")]),
        (GOOD | {"Archery": ("A bow and an arrow.", " . ")}, None, [("empty", "Archery", " . ")]),
        (
            GOOD | {"Archery": ("A bow and an arrow.", "a  bow and an arrow")},
            None,
            [("duplicate", "Archery", "a  bow and an arrow")],
        ),
        (
            GOOD | {"Archery": ("Water in a pool", "An arrow and a bow.")},
            None,
            [("duplicate", "Swimming", "Water in a pool.")],
        ),
    ],
)
def test_each_fault_is_found_where_it_is(
    classes: dict[str, tuple[str, str]], names: list[str] | None, expected: list[tuple[str, str, str]]
) -> None:
    found = check_prompts(prompts(**classes), words, names)
    assert [(one.problem, one.class_name, one.text) for one in found if one.problem != SUSPICION] == expected


def test_a_sentence_of_one_token_too_many_is_found() -> None:
    fits, exceeds = (" ".join(["arrow"] * count) for count in (MOST_TOKENS, MOST_TOKENS + 1))
    (found,) = check_prompts(prompts(Archery=(fits, exceeds)), words)
    assert (found.problem, found.text) == ("too long", exceeds)


def test_an_attribute_without_a_sentence_and_a_class_without_any_are_found() -> None:
    whole = prompts(**GOOD)
    lacking = {"Archery": whole.classes["Archery"][1:], "Swimming": ()}
    found = check_prompts(ClassPrompts("x", "x", "", ASPECTS, QUESTIONS, lacking), words)
    assert [(one.problem, one.class_name, one.detail) for one in found] == [
        ("missing class", "Swimming", ""),
        ("missing sentence", "Archery", "describe: place"),
    ]


def test_a_sentence_in_the_words_of_another_class_is_suspected() -> None:
    astray = GOOD | {"Archery": ("A bow and an arrow.", "Blue water fills the pool.")}
    (found,) = check_prompts(prompts(**astray), words)
    assert (found.problem, found.class_name, found.text) == (
        SUSPICION,
        "Archery",
        "Blue water fills the pool.",
    )
    assert found.detail == "by its words nearer to Swimming"


@pytest.mark.parametrize(("name", "classes"), [("ucf101", UCF101), ("hmdb51", HMDB51), ("toy", ACTIONS)])
def test_what_ships_has_twelve_faultless_sentences_a_class(name: str, classes: tuple[str, ...]) -> None:
    shipped = read_prompts(name).prompts
    findings = check_prompts(shipped, token_counter(), classes)
    assert [one for one in findings if one.problem != SUSPICION] == []
    assert {len(found) for found in shipped.classes.values()} == {12}
    assert shipped.dataset == name
    assert shipped.aspects == graph()
    assert all(one.text == tidy(one.text) for found in shipped.classes.values() for one in found)


def test_the_shipped_names_are_those_of_datasets() -> None:
    assert shipped_prompts() == ("hmdb51", "toy", "ucf101")
