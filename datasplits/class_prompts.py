"""Sentences about classes, in a versioned JSON file: several a class, each with the question it answers.

    {"format": "vlp-prompts/1", "dataset": "ucf101", "model": "…", "date": "2026-11-21",
     "aspects": {"scene": ["place", …], …}, "questions": {"describe": "… {action} … {attribute} …"},
     "classes": {"Archery": [{"aspect": "scene", "attribute": "place", "question": "describe", "text": "…"}, …]}}

``aspect`` and ``attribute`` are null where the question asks for none. Files may come from anywhere: they are parsed as
data, of limited size, and every member is checked.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vlp.datasplits.class_text import class_text
from vlp.datasplits.prompt_errors import (
    ClassesWithoutSentences,
    PromptsMissing,
    PromptsUnreadable,
    UnknownAspects,
)

FORMAT = "vlp-prompts/1"
DIRECT = "direct"
"""The id of the question without attributes that is asked alone; other such questions are customised ones."""
LIMIT_BYTES = 64 << 20
_SHIPPED = Path(__file__).parent / "prompts"
_MOST_PROBLEMS = 20

Kind = Literal["action-conditioned", "customised", "direct"]


@dataclass(frozen=True)
class Sentence:
    """One sentence about a class.

    Attributes:
        text: the sentence.
        question: id of the question that it answers.
        aspect, attribute: what was asked for; None where the question asks for neither.
    """

    text: str
    question: str
    aspect: str | None = None
    attribute: str | None = None

    @property
    def kind(self) -> Kind:
        """Which of the paper's ways of asking it came from."""
        if self.attribute is not None:
            return "action-conditioned"
        return "direct" if self.question == DIRECT else "customised"


@dataclass(frozen=True)
class ClassPrompts:
    """The sentences of many classes, and where they come from.

    Attributes:
        dataset: whose classes they are.
        model: what wrote them, a language model's name or "written by hand".
        date: when, YYYY-MM-DD.
        aspects: attributes of each aspect.
        questions: text of each question, with ``{action}`` and perhaps ``{attribute}``.
        classes: sentences by class name.
    """

    dataset: str
    model: str
    date: str
    aspects: Mapping[str, tuple[str, ...]]
    questions: Mapping[str, str]
    classes: Mapping[str, tuple[Sentence, ...]]

    def to_json(self) -> dict[str, Any]:
        """Return plain data in the file's format."""
        return {
            "format": FORMAT,
            "dataset": self.dataset,
            "model": self.model,
            "date": self.date,
            "aspects": {aspect: list(names) for aspect, names in self.aspects.items()},
            "questions": dict(self.questions),
            "classes": {name: [_plain(one) for one in found] for name, found in self.classes.items()},
        }

    def to_bytes(self) -> bytes:
        """Return the file's contents: UTF-8, a line a sentence, ended by a line feed."""
        head = {key: value for key, value in self.to_json().items() if key != "classes"}
        members = [f"{_dumped(key)}: {_dumped(value)}" for key, value in head.items()]
        classes = [
            f"{_dumped(name)}: [\n" + ",\n".join(_dumped(_plain(one)) for one in found) + "\n]"
            for name, found in self.classes.items()
        ]
        return (
            "{\n" + ",\n".join([*members, '"classes": {\n' + ",\n".join(classes) + "\n}"]) + "\n}\n"
        ).encode()


@dataclass(frozen=True)
class PromptsFile:
    """A file of sentences as it was read.

    Attributes:
        source: a path, or the name of what ships.
        sha256: of its contents.
        prompts: what it holds.
    """

    source: str
    sha256: str
    prompts: ClassPrompts

    def sentences(
        self, class_names: Sequence[str], *, kind: Kind | None = None, aspects: Sequence[str] | None = None
    ) -> list[tuple[Sentence, ...]]:
        """Find the sentences of classes, by their names or by these as words ("brush_hair", "BrushHair").

        Args:
            class_names: C names.
            kind: only sentences from this way of asking; None for all.
            aspects: only sentences about these; None for all.

        Returns:
            For each class its sentences, at least one.

        Raises:
            UnknownAspects: naming the aspects there are.
            ClassesWithoutSentences: naming the classes that have none.
        """
        known = self.prompts.aspects
        if unknown := [aspect for aspect in aspects or () if aspect not in known]:
            raise UnknownAspects(self.source, unknown, list(known))
        by_words = {class_text(name): found for name, found in self.prompts.classes.items()}
        chosen = []
        for name in class_names:
            found = self.prompts.classes.get(name, by_words.get(class_text(name), ()))
            chosen.append(tuple(one for one in found if _is_wanted(one, kind, aspects)))
        if lacking := [name for name, found in zip(class_names, chosen, strict=True) if not found]:
            what = f"{kind} sentence" if kind else "sentence"
            raise ClassesWithoutSentences(self.source, what, lacking, len(self.prompts.classes))
        return chosen


def shipped_prompts() -> tuple[str, ...]:
    """Name the sentences that ship."""
    return tuple(sorted(path.stem for path in _SHIPPED.glob("*.json")))


def read_prompts(source: str) -> PromptsFile:
    """Read sentences.

    Args:
        source: the name of what ships, or else a path.

    Raises:
        PromptsMissing: naming what ships.
        PromptsUnreadable: naming each problem, the first twenty of them.
    """
    path = _SHIPPED / f"{source}.json" if source in shipped_prompts() else Path(source)
    try:
        if path.is_file() and path.stat().st_size > LIMIT_BYTES:
            raise PromptsUnreadable(source, [f"it has more than {LIMIT_BYTES:,} bytes"])
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise PromptsMissing(source, shipped_prompts()) from None
    except (OSError, ValueError) as error:  # ValueError: a path with a null character
        raise PromptsUnreadable(source, [getattr(error, "strerror", None) or str(error)]) from error
    return PromptsFile(source, hashlib.sha256(data).hexdigest(), parse_prompts(data, source))


def parse_prompts(data: bytes, source: str) -> ClassPrompts:
    """Read the contents of a file.

    Args:
        data: JSON in UTF-8.
        source: what it is called in errors.

    Raises:
        PromptsUnreadable: naming each problem.
    """
    problems: list[str] = []
    try:
        held = json.loads(data.decode("utf-8"), object_pairs_hook=lambda pairs: _object(pairs, problems))
    except (ValueError, RecursionError) as error:
        raise PromptsUnreadable(source, [f"it is no JSON in UTF-8 ({str(error)[:100]})"]) from error
    if not isinstance(held, dict) or held.get("format") != FORMAT:
        raise PromptsUnreadable(source, [f'its "format" is not "{FORMAT}"'])
    problems += [*_problems_of_head(held), *_problems_of_classes(held)]
    if problems:
        raise PromptsUnreadable(source, problems[:_MOST_PROBLEMS], len(problems))
    classes = {
        name: tuple(Sentence(one["text"], one["question"], one["aspect"], one["attribute"]) for one in found)
        for name, found in held["classes"].items()
    }
    aspects = {aspect: tuple(names) for aspect, names in held["aspects"].items()}
    return ClassPrompts(held["dataset"], held["model"], held["date"], aspects, held["questions"], classes)


def _plain(sentence: Sentence) -> dict[str, str | None]:
    return {
        "aspect": sentence.aspect,
        "attribute": sentence.attribute,
        "question": sentence.question,
        "text": sentence.text,
    }


def _dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _is_wanted(sentence: Sentence, kind: Kind | None, aspects: Sequence[str] | None) -> bool:
    return (kind is None or sentence.kind == kind) and (aspects is None or sentence.aspect in aspects)


def _object(pairs: list[tuple[str, Any]], problems: list[str]) -> dict[str, Any]:
    """Build an object; a name that stands in it twice, of which JSON would keep one, is a problem."""
    held = dict(pairs)
    if len(held) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        problems += [f"{name!r} stands in one object twice" for name, count in counts.items() if count > 1]
    return held


def _problems_of_head(held: Mapping[str, Any]) -> Iterable[str]:
    for name in ("dataset", "model", "date"):
        if not isinstance(held.get(name), str):
            yield f'"{name}" is no text'
    aspects, questions = held.get("aspects"), held.get("questions")
    if not isinstance(aspects, dict) or not all(map(_is_texts, aspects.values())):
        yield '"aspects" does not give a list of attributes for each aspect'
    if not isinstance(questions, dict) or not _is_texts(list(questions.values())):
        yield '"questions" does not give a text for each question'
    if not isinstance(held.get("classes"), dict):
        yield '"classes" does not give a list of sentences for each class'


def _problems_of_classes(held: Mapping[str, Any]) -> Iterable[str]:
    aspects, questions, classes = (held.get(name) for name in ("aspects", "questions", "classes"))
    if not (isinstance(aspects, dict) and isinstance(questions, dict) and isinstance(classes, dict)):
        return
    for name, found in classes.items():
        if not isinstance(found, list):
            yield f"class {name!r}: it has no list of sentences"
            continue
        for number, sentence in enumerate(found, 1):
            if why := _problem_of(sentence, aspects, questions):
                yield f"class {name!r}, sentence {number}: {why}"


def _problem_of(sentence: Any, aspects: Mapping[str, Any], questions: Mapping[str, Any]) -> str | None:
    if not isinstance(sentence, dict) or set(sentence) != {"aspect", "attribute", "question", "text"}:
        return "it has not just the members aspect, attribute, question and text"
    aspect, attribute, question = sentence["aspect"], sentence["attribute"], sentence["question"]
    if not isinstance(sentence["text"], str):
        return '"text" is no text'
    if not isinstance(question, str) or question not in questions:
        return f"question {question!r} is none of those above"
    if (aspect, attribute) == (None, None):
        return None
    if not isinstance(aspect, str) or attribute not in aspects.get(aspect, ()):
        return f"attribute {attribute!r} is none of aspect {aspect!r}"
    return None


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
