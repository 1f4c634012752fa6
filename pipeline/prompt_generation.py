"""Sentences about classes, asked of a language model: one file a dataset, and only what it lacks is asked.

    for answered in generate(path, wanted, ask, num_tokens): ...

After every answer the whole file is written aside and renamed: a run that is killed loses the answer it waits for.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vlp.datasplits.class_prompts import ClassPrompts, Sentence, read_prompts
from vlp.datasplits.class_text import class_text
from vlp.datasplits.prompt_questions import (
    ATTRIBUTES,
    NUM_SENTENCES_WITHOUT_ATTRIBUTES,
    QUESTION_SETS,
    graph,
)
from vlp.datasplits.prompt_text import cut, tidy
from vlp.pipeline.errors import PipelineError
from vlp.stores.fingerprint import differences
from vlp.stores.storage import make_folder, write_file

NUM_ROUNDS = 3
"""How often a question is asked before what it still lacks is reported."""
_LONGEST_ANSWER = 2000  # letters of one sentence that are looked at

Ask = Callable[[str], str]
Slot = tuple[str | None, str | None]


class PromptsDiffer(PipelineError):
    """A file that was begun with something else."""

    def __init__(self, path: Path, found: Sequence[str]) -> None:
        super().__init__(f"{path} was begun with something else: {'; '.join(found)}.")
        self.path = path
        self.differences = tuple(found)


@dataclass(frozen=True)
class Wanted:
    """What one question is still to give for one class.

    Attributes:
        class_name: as the dataset spells it.
        question: its id.
        slots: (aspect, attribute) of each sentence; (None, None) where the question asks for neither.
    """

    class_name: str
    question: str
    slots: tuple[Slot, ...]


@dataclass(frozen=True)
class Answered:
    """One question has been asked for one class.

    Attributes:
        wanted: what was asked for.
        lacking: the slots that no usable sentence came for, each with the reason.
    """

    wanted: Wanted
    lacking: tuple[tuple[Slot, str], ...]


def begin(path: Path, *, dataset: str, model: str, date: str, question_sets: Sequence[str]) -> ClassPrompts:
    """Open the file, or begin one in memory.

    Args:
        path: the file.
        dataset: whose classes they are about.
        model: what is asked.
        date: of today; a file that is there keeps its own.
        question_sets: names in `QUESTION_SETS`, whose questions it will have beside those that are there.

    Raises:
        PromptsDiffer: if it was begun with another dataset, model or wording.
        PromptsUnreadable: if it is damaged.
    """
    questions = {name: text for chosen in question_sets for name, text in QUESTION_SETS[chosen].items()}
    fresh = ClassPrompts(dataset, model, date, graph(), questions, {})
    if not path.exists():
        return fresh
    # Read as a path, even where something that ships has this name.
    held = read_prompts(str(path.absolute())).prompts
    shared = {name: text for name, text in questions.items() if name in held.questions}
    there: dict[str, Any] = {"dataset": held.dataset, "model": held.model, "aspects": _plain(held.aspects)}
    asked: dict[str, Any] = {"dataset": dataset, "model": model, "aspects": _plain(graph())}
    there |= {f"question {name}": held.questions[name] for name in shared}
    asked |= {f"question {name}": text for name, text in shared.items()}
    if found := differences(there, asked):
        raise PromptsDiffer(path, found)
    return replace(held, questions={**held.questions, **questions})


def wanted_of(
    prompts: ClassPrompts, class_names: Sequence[str], question_sets: Sequence[str]
) -> list[Wanted]:
    """List what a file lacks, class by class."""
    found = []
    for name in class_names:
        there = Counter((one.question, one.aspect, one.attribute) for one in prompts.classes.get(name, ()))
        for chosen in question_sets:
            for question in QUESTION_SETS[chosen]:
                slots = []
                for aspect, attribute in _slots(chosen):
                    if there[question, aspect, attribute] > 0:
                        there[question, aspect, attribute] -= 1
                    else:
                        slots.append((aspect, attribute))
                if slots:
                    found.append(Wanted(name, question, tuple(slots)))
    return found


def generate(
    path: Path, prompts: ClassPrompts, wanted: Sequence[Wanted], ask: Ask, num_tokens: Callable[[str], int]
) -> Iterator[Answered]:
    """Ask, and keep every usable sentence at once.

    Args:
        path: where the file is written.
        prompts: what it holds so far, from `begin`.
        wanted: from `wanted_of`.
        ask: from a question to an answer; what it raises ends the generation, and loses nothing.
        num_tokens: counts the tokens of a text, as CLIP's tokenizer does.

    Yields:
        One event for each of ``wanted``, when what it gave is on disk.

    Raises:
        StoreUnwritable, StoreFull: from the disk.
    """
    for one in wanted:
        open_slots, reasons = list(one.slots), dict.fromkeys(one.slots, "not answered")
        for _ in range(NUM_ROUNDS):
            answer = _object_in(ask(request(prompts, replace(one, slots=tuple(open_slots)))))
            there = {tidy(sentence.text).casefold() for sentence in prompts.classes.get(one.class_name, ())}
            kept, open_slots = _sorted(one.question, open_slots, answer, there, num_tokens, reasons)
            if kept:
                prompts = _with(prompts, one.class_name, kept)
                _write(path, prompts)
            if not open_slots:
                break
        yield Answered(one, tuple((slot, reasons[slot]) for slot in open_slots))


def request(prompts: ClassPrompts, wanted: Wanted) -> str:
    """Word what is asked for: a numbered question a slot, answered by one JSON object.

    Example:
        >>> fresh = ClassPrompts("d", "m", "", {}, {"direct": "Describe the action {action}."}, {})
        >>> print(request(fresh, Wanted("BrushHair", "direct", ((None, None),))))
        Answer each question in one English sentence of at most 20 words, about what a camera sees.
        Do not begin with the name of the action. No two sentences are alike.
        Reply with one JSON object, from each question's number to its sentence, and nothing else.
        1. Describe the action brush hair.
    """
    lines = [
        "Answer each question in one English sentence of at most 20 words, about what a camera sees.",
        "Do not begin with the name of the action. No two sentences are alike.",
        "Reply with one JSON object, from each question's number to its sentence, and nothing else.",
    ]
    for number, (aspect, attribute) in enumerate(wanted.slots, 1):
        about = ATTRIBUTES[aspect][attribute] if aspect and attribute else ""
        question = prompts.questions[wanted.question].replace("{attribute}", about)
        lines.append(f"{number}. {question.replace('{action}', class_text(wanted.class_name))}")
    return "\n".join(lines)


def _slots(question_set: str) -> list[Slot]:
    """What one question of a set gives for a class."""
    if question_set == "attributes":
        return [(aspect, name) for aspect, names in ATTRIBUTES.items() for name in names]
    return [(None, None)] * (NUM_SENTENCES_WITHOUT_ATTRIBUTES // len(QUESTION_SETS[question_set]))


def _object_in(answer: str) -> dict[str, Any]:
    """Find the JSON object in an answer, also behind a greeting or inside a code block; empty if there is none."""
    first, last = answer.find("{"), answer.rfind("}")
    try:
        held = json.loads(answer[first : last + 1])
    except (ValueError, RecursionError):
        return {}
    return held if isinstance(held, dict) else {}


def _sorted(
    question: str,
    slots: Sequence[Slot],
    answer: dict[str, Any],
    there: set[str],
    num_tokens: Callable[[str], int],
    reasons: dict[Slot, str],
) -> tuple[list[Sentence], list[Slot]]:
    """Part an answer into sentences to keep and slots to ask for again, noting why."""
    kept, lacking = [], []
    for number, (aspect, attribute) in enumerate(slots, 1):
        text = answer.get(str(number))
        sentence = cut(tidy(text[:_LONGEST_ANSWER]), num_tokens) if isinstance(text, str) else ""
        if sentence and sentence.casefold() not in there:
            there.add(sentence.casefold())
            kept.append(Sentence(sentence, question, aspect, attribute))
            continue
        lacking.append((aspect, attribute))
        reasons[aspect, attribute] = (
            "given twice"
            if sentence
            else "too long"
            if isinstance(text, str) and tidy(text)
            else "not answered"
        )
    return kept, lacking


def _with(prompts: ClassPrompts, class_name: str, sentences: Sequence[Sentence]) -> ClassPrompts:
    there = prompts.classes.get(class_name, ())
    return replace(prompts, classes={**prompts.classes, class_name: (*there, *sentences)})


def _write(path: Path, prompts: ClassPrompts) -> None:
    make_folder(path.parent, ".")
    write_file(path.parent, path.name, prompts.to_bytes(), writer="generate")


def _plain(aspects: Any) -> dict[str, list[str]]:
    return {aspect: list(names) for aspect, names in aspects.items()}
