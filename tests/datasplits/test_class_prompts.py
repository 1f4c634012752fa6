"""Files of sentences: what is written is read, what is wrong is named, nothing of a file is believed."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlp.datasplits import class_prompts
from vlp.datasplits.class_prompts import ClassPrompts, Sentence, parse_prompts, read_prompts
from vlp.datasplits.prompt_errors import (
    ClassesWithoutSentences,
    PromptsMissing,
    PromptsUnreadable,
    UnknownAspects,
)
from vlp.datasplits.prompt_questions import ATTRIBUTES, QUESTION_SETS, graph

SENTENCES = (
    Sentence("The room is bright.", "describe", "scene", "place"),
    Sentence("The arms swing.", "describe", "body", "moving_parts"),
    Sentence("It looks like a dance.", "custom_look"),
    Sentence("A person dances.", "direct"),
)
QUESTIONS = {question: text for found in QUESTION_SETS.values() for question, text in found.items()}


def prompts(**classes: tuple[Sentence, ...]) -> ClassPrompts:
    return ClassPrompts("made_up", "somebody", "2026-11-21", graph(), QUESTIONS, classes)


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    held = prompts(BrushHair=SENTENCES).to_json()
    change(held)
    return json.dumps(held).encode()


@given(
    st.dictionaries(
        st.text(max_size=8), st.lists(st.tuples(st.text(max_size=20), st.sampled_from(SENTENCES))), max_size=4
    )
)
def test_what_is_written_is_read(found: dict[str, list[tuple[str, Sentence]]]) -> None:
    classes = {
        name: tuple(Sentence(text, like.question, like.aspect, like.attribute) for text, like in some)
        for name, some in found.items()
    }
    written = prompts(**classes)
    assert parse_prompts(written.to_bytes(), "here") == written


def test_a_file_is_read_with_the_hash_of_its_contents(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes(prompts(BrushHair=SENTENCES).to_bytes())
    read = read_prompts(str(path))
    assert read.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read.prompts == prompts(BrushHair=SENTENCES)
    assert read.source == str(path)


@pytest.mark.parametrize("name", ["BrushHair", "brush_hair", "brush hair"])
def test_sentences_are_found_by_a_class_s_name_or_by_its_words(name: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(prompts(BrushHair=SENTENCES).to_bytes())
    assert read_prompts(str(tmp_path / "a.json")).sentences([name]) == [SENTENCES]


def test_sentences_are_chosen_by_the_way_of_asking_and_by_aspect(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(prompts(Run=SENTENCES).to_bytes())
    file = read_prompts(str(tmp_path / "a.json"))
    assert file.sentences(["Run"], kind="action-conditioned") == [SENTENCES[:2]]
    assert file.sentences(["Run"], kind="action-conditioned", aspects=["body"]) == [SENTENCES[1:2]]
    assert file.sentences(["Run"], kind="customised") == [SENTENCES[2:3]]
    assert file.sentences(["Run"], kind="direct") == [SENTENCES[3:]]
    with pytest.raises(UnknownAspects, match=r"no aspect called weather\. Known: scene, actor, body"):
        file.sentences(["Run"], aspects=["scene", "weather"])
    with pytest.raises(
        ClassesWithoutSentences, match="no action-conditioned sentence for 1 of the classes: Run"
    ):
        file.sentences(["Run"], kind="action-conditioned", aspects=["actor"])
    with pytest.raises(ClassesWithoutSentences, match="for 7 of the classes: a, b, c, d, e and 2 more"):
        file.sentences(["Run", *"abcdefg"])


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"\xff\xfe", "no JSON in UTF-8"),
        (b'{"format": ', "no JSON in UTF-8"),
        (b"[" * 100_000, "no JSON in UTF-8"),
        (b"[]", '"format" is not "vlp-prompts/1"'),
        (b'{"format": "vlp-prompts/2"}', '"format" is not "vlp-prompts/1"'),
        (changed(lambda held: held.pop("date")), '"date" is no text'),
        (changed(lambda held: held.update(model=3)), '"model" is no text'),
        (changed(lambda held: held.update(aspects={"scene": "place"})), '"aspects" does not give'),
        (changed(lambda held: held.update(questions={"describe": 1})), '"questions" does not give'),
        (changed(lambda held: held.update(questions=None)), '"questions" does not give'),
        (changed(lambda held: held.update(classes=[])), '"classes" does not give'),
        (changed(lambda held: held["classes"].update(Run="x")), "class 'Run': it has no list of sentences"),
        (changed(lambda held: held["classes"]["BrushHair"].append("x")), "sentence 5: it has not just"),
        (changed(lambda held: held["classes"]["BrushHair"][1].pop("text")), "sentence 2: it has not just"),
        (
            changed(lambda held: held["classes"]["BrushHair"][0].update(text=5)),
            'sentence 1: "text" is no text',
        ),
        (
            changed(lambda held: held["classes"]["BrushHair"][0].update(question=[])),
            r"sentence 1: question \[\] is none",
        ),
        (
            changed(lambda held: held["classes"]["BrushHair"][0].update(aspect="body")),
            "sentence 1: attribute 'place' is none of aspect 'body'",
        ),
        (
            changed(lambda held: held["classes"]["BrushHair"][0].update(attribute={})),
            "attribute {} is none of aspect 'scene'",
        ),
        (b'{"format": "vlp-prompts/1", "format": "vlp-prompts/1"}', "'format' stands in one object twice"),
    ],
)
def test_what_is_wrong_in_a_file_is_named(data: bytes, why: str) -> None:
    with pytest.raises(PromptsUnreadable, match=why):
        parse_prompts(data, "here")


def test_a_class_that_stands_in_a_file_twice_is_a_problem() -> None:
    text = prompts(Run=SENTENCES).to_bytes().decode()
    twice = text.replace('"Run": [', '"Run": [], "Run": [')
    with pytest.raises(PromptsUnreadable, match="'Run' stands in one object twice"):
        parse_prompts(twice.encode(), "here")


def test_of_many_problems_the_first_are_named_and_all_counted() -> None:
    data = changed(lambda held: held.update(classes={f"c{number}": None for number in range(50)}))
    with pytest.raises(PromptsUnreadable, match="… and 30 more") as raised:
        parse_prompts(data, "here")
    assert len(raised.value.problems) == 20


def test_a_source_that_is_neither_a_file_nor_shipped_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PromptsMissing, match=r"there is no such file\. Shipped:"):
        read_prompts(str(tmp_path / "none.json"))
    with pytest.raises(PromptsUnreadable, match="Is a directory"):
        read_prompts(str(tmp_path))
    with pytest.raises(PromptsUnreadable, match="null"):
        read_prompts("a\0b")


def test_files_beyond_the_limit_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.json").write_bytes(b" " * 101)
    monkeypatch.setattr(class_prompts, "LIMIT_BYTES", 100)
    with pytest.raises(PromptsUnreadable, match="more than 100 bytes"):
        read_prompts(str(tmp_path / "a.json"))


def test_the_graph_and_the_questions_are_whole() -> None:
    assert {aspect: len(found) for aspect, found in ATTRIBUTES.items()} == {"scene": 4, "actor": 4, "body": 4}
    assert [len(QUESTION_SETS[name]) for name in ("attributes", "customised", "direct")] == [3, 3, 1]
    for name, questions in QUESTION_SETS.items():
        for text in questions.values():
            assert "{action}" in text
            assert ("{attribute}" in text) == (name == "attributes")
