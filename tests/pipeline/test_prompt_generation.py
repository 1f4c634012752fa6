"""Files of sentences that grow answer by answer, from answers of every quality."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from vlp.datasplits.class_prompts import ClassPrompts, parse_prompts
from vlp.datasplits.prompt_check import check_prompts
from vlp.datasplits.prompt_errors import PromptsUnreadable
from vlp.datasplits.prompt_questions import ATTRIBUTES, QUESTION_SETS
from vlp.datasplits.prompt_text import MOST_TOKENS
from vlp.pipeline.prompt_generation import (
    NUM_ROUNDS,
    Answered,
    PromptsDiffer,
    Wanted,
    begin,
    generate,
    request,
    wanted_of,
)
from vlp.pipeline.prompt_tokens import token_counter

CLASSES = ("Archery", "brush_hair")
FIRST = (("scene", "place"), ("scene", "objects"))


def words(text: str) -> int:
    return len(text.split())


def start(path: Path, sets: Sequence[str] = ("attributes",)) -> ClassPrompts:
    return begin(path, dataset="made_up", model="a-model", date="2026-11-21", question_sets=sets)


def ask_for(path: Path, ask: Callable[[str], str], sets: Sequence[str] = ("attributes",)) -> list[Answered]:
    prompts = start(path, sets)
    return list(generate(path, prompts, wanted_of(prompts, CLASSES, sets), ask, words))


class Model:
    """Answers every numbered question with a sentence of its own, and counts."""

    def __init__(self) -> None:
        self.questions: list[str] = []

    def __call__(self, question: str) -> str:
        self.questions.append(question)
        count = question.count("\n") - 2
        return json.dumps({str(n): f"Sentence {len(self.questions)} {n}." for n in range(1, count + 1)})


def test_every_question_is_asked_once_a_class_and_gives_a_whole_file(tmp_path: Path) -> None:
    path, model = tmp_path / "new" / "a.json", Model()
    sets = list(QUESTION_SETS)
    answered = ask_for(path, model, sets)
    assert len(model.questions) == len(CLASSES) * (3 + 3 + 1)
    assert not any(one.lacking for one in answered)
    prompts = parse_prompts(path.read_bytes(), "a")
    for found in prompts.classes.values():
        kinds = [one.kind for one in found]
        assert {kind: kinds.count(kind) for kind in set(kinds)} == {
            "action-conditioned": 36,
            "customised": 12,
            "direct": 12,
        }
    assert [one for one in check_prompts(prompts, words, CLASSES) if one.problem != "off topic?"] == []
    assert (prompts.dataset, prompts.model, prompts.date) == ("made_up", "a-model", "2026-11-21")


def test_a_request_names_the_action_in_words_and_says_what_each_attribute_is(tmp_path: Path) -> None:
    asked = request(start(tmp_path / "a"), Wanted("BrushHair", "describe", FIRST)).splitlines()
    text = QUESTION_SETS["attributes"]["describe"].replace("{action}", "brush hair")
    assert asked[-2:] == [
        f"{number}. {text.replace('{attribute}', ATTRIBUTES['scene'][name])}"
        for number, name in ((1, "place"), (2, "objects"))
    ]


def test_a_class_called_like_a_placeholder_is_only_a_name(tmp_path: Path) -> None:
    assert "{attribute}" in request(start(tmp_path / "a"), Wanted("{attribute}", "describe", FIRST[:1]))


@pytest.mark.parametrize("calls", range(1, 7))
def test_what_was_got_before_an_end_is_kept_and_only_the_rest_is_asked(calls: int, tmp_path: Path) -> None:
    path, model = tmp_path / "a.json", Model()

    def interrupted(question: str) -> str:
        if len(model.questions) == calls - 1:
            raise KeyboardInterrupt
        return model(question)

    with pytest.raises(KeyboardInterrupt):
        ask_for(path, interrupted)
    before = path.read_bytes() if path.exists() else None
    ask_for(path, model)
    assert len(model.questions) == 6
    whole = parse_prompts(path.read_bytes(), "a")
    assert all(len(whole.classes[name]) == 36 for name in CLASSES)
    if before is not None:
        kept = parse_prompts(before, "before")
        assert all(whole.classes[name][: len(found)] == found for name, found in kept.classes.items())
    ask_for(path, model)
    assert len(model.questions) == 6


def answers(*given: str) -> tuple[Callable[[str], str], list[str]]:
    left, asked = list(given), []

    def ask(question: str) -> str:
        asked.append(question)
        return left.pop(0) if left else "nothing more"

    return ask, asked


def two(path: Path, ask: Callable[[str], str], num_tokens: Callable[[str], int] = words) -> Answered:
    """Ask for two sentences of one class."""
    (answered,) = generate(path, start(path), [Wanted("Archery", "describe", FIRST)], ask, num_tokens)
    return answered


@pytest.mark.parametrize(
    "answer",
    [
        '{"1": "A field.", "2": "A bow."}',
        'Here you are:\n```json\n{"1": " a  field ", "2": "**A bow**!!"}\n```\nAnything else?',
        '{"2": "- A bow", "1": "\\"A field.\\"", "3": "More.", "x": []}',
    ],
)
def test_an_answer_in_any_wrapping_is_tidied(answer: str, tmp_path: Path) -> None:
    ask, asked = answers(answer)
    assert two(tmp_path / "a", ask).lacking == ()
    texts = [
        one.text.rstrip(".!") for one in parse_prompts((tmp_path / "a").read_bytes(), "a").classes["Archery"]
    ]
    assert texts == ["A field", "A bow"]
    assert len(asked) == 1


@pytest.mark.parametrize(
    "useless",
    [
        "",
        "I cannot.",
        "{",
        "[1]",
        '{"1": }',
        '{"a": ' * 5000,
        '{"1": 5, "2": null}',
        '{"1": " ", "2": "..."}',
    ],
)
def test_a_useless_answer_is_asked_again_and_then_reported(useless: str, tmp_path: Path) -> None:
    ask, asked = answers(useless, '{"1": "A field.", "2": "A bow."}')
    assert two(tmp_path / "a", ask).lacking == ()
    assert len(asked) == 2
    ask, asked = answers(*[useless] * NUM_ROUNDS)
    assert two(tmp_path / "b", ask).lacking == tuple((slot, "not answered") for slot in FIRST)
    assert len(asked) == NUM_ROUNDS
    assert not (tmp_path / "b").exists()


def test_only_what_lacks_is_asked_again(tmp_path: Path) -> None:
    ask, asked = answers('{"1": "A field."}', '{"1": "A bow."}')
    assert two(tmp_path / "a", ask).lacking == ()
    assert asked[1].count(ATTRIBUTES["scene"]["objects"]) == 1
    assert ATTRIBUTES["scene"]["place"] not in asked[1]
    found = parse_prompts((tmp_path / "a").read_bytes(), "a").classes["Archery"]
    assert [(one.attribute, one.text) for one in found] == [("place", "A field."), ("objects", "A bow.")]


def test_long_answers_are_cut_at_the_end_of_a_sentence_or_refused(tmp_path: Path) -> None:
    long = " ".join(["word"] * (MOST_TOKENS + 1))
    again = json.dumps({"1": long})
    ask, _ = answers(json.dumps({"1": f"It is short. {long}.", "2": long}), again, again)
    answered = two(tmp_path / "a", ask, token_counter())
    assert answered.lacking == ((("scene", "objects"), "too long"),)
    (kept,) = parse_prompts((tmp_path / "a").read_bytes(), "a").classes["Archery"]
    assert kept.text == "It is short."


def test_a_sentence_is_not_taken_twice_for_a_class(tmp_path: Path) -> None:
    ask, _ = answers(*['{"1": "A field.", "2": "a  FIELD"}'] * NUM_ROUNDS)
    assert two(tmp_path / "a", ask).lacking == ((("scene", "objects"), "given twice"),)


def test_a_file_begun_with_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(start(path).to_bytes())
    with pytest.raises(PromptsDiffer, match="model"):
        begin(path, dataset="made_up", model="another", date="2026-11-22", question_sets=["attributes"])
    with pytest.raises(PromptsDiffer, match="dataset"):
        begin(path, dataset="other", model="a-model", date="2026-11-22", question_sets=["attributes"])
    path.write_bytes(replace(start(path), questions={"describe": "What {attribute}? {action}"}).to_bytes())
    with pytest.raises(PromptsDiffer, match="question describe"):
        start(path)
    path.write_bytes(b"{")
    with pytest.raises(PromptsUnreadable):
        start(path)


def test_more_questions_join_those_that_are_there_with_its_first_date(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    ask_for(path, Model())
    more = begin(path, dataset="made_up", model="a-model", date="2030-01-01", question_sets=["direct"])
    assert list(more.questions) == [*QUESTION_SETS["attributes"], "direct"]
    assert more.date == "2026-11-21"
    assert len(wanted_of(more, CLASSES, ["direct"])) == len(CLASSES)
