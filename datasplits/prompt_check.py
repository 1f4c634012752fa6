"""What is wrong, or may be wrong, with the sentences of a file; nothing here decides for the person who reads it."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from vlp.datasplits.class_prompts import ClassPrompts, Sentence
from vlp.datasplits.class_text import class_text
from vlp.datasplits.prompt_text import MOST_TOKENS, tidy

Problem = Literal[
    "missing class", "unknown class", "missing sentence", "empty", "too long", "duplicate", "off topic?"
]
SUSPICION: Problem = "off topic?"
"""The one problem that only a person can tell."""
OFF_TOPIC_GAP = 0.5
"""Share of a sentence's words, weighed, by which another class must be closer: of the sentences that ship for UCF101
1.6% are suspected so; of sentences put into a class at random, 17%. Words alone tell no more."""
_STEM = 5  # letters: climbs, climbing, climber
_WORD = re.compile(r"[^\W\d_]{3,}")


@dataclass(frozen=True)
class Finding:
    """One problem.

    Attributes:
        problem: of which kind.
        class_name: where.
        text: of the sentence; empty for a class, or where there is none.
        detail: what else is known of it, in words.
    """

    problem: Problem
    class_name: str
    text: str = ""
    detail: str = ""


def check_prompts(
    prompts: ClassPrompts, num_tokens: Callable[[str], int], class_names: Sequence[str] | None = None
) -> list[Finding]:
    """Look through the sentences of a file.

    Args:
        prompts: the file.
        num_tokens: counts the tokens of a text, as CLIP's tokenizer does.
        class_names: those that should be there, spelled so; None asks for none.
    """
    return list(
        chain(
            _classes(prompts, class_names),
            _lacking(prompts),
            _empty_or_long(prompts, num_tokens),
            _duplicates(prompts),
            _off_topic(prompts),
        )
    )


def _every(prompts: ClassPrompts) -> Iterator[tuple[str, Sentence]]:
    return ((name, sentence) for name, found in prompts.classes.items() for sentence in found)


def _classes(prompts: ClassPrompts, class_names: Sequence[str] | None) -> Iterator[Finding]:
    wanted = prompts.classes if class_names is None else dict.fromkeys(class_names)
    yield from (Finding("missing class", name) for name in wanted if not prompts.classes.get(name))
    yield from (Finding("unknown class", name) for name in prompts.classes if name not in wanted)


def _lacking(prompts: ClassPrompts) -> Iterator[Finding]:
    """Every question over attributes is to be answered once for each attribute."""
    questions = [question for question, text in prompts.questions.items() if "{attribute}" in text]
    wanted = [
        (question, name) for question in questions for found in prompts.aspects.values() for name in found
    ]
    for class_name, found in prompts.classes.items():
        there = {(sentence.question, sentence.attribute) for sentence in found}
        for question, attribute in wanted if found else ():
            if (question, attribute) not in there:
                yield Finding("missing sentence", class_name, detail=f"{question}: {attribute}")


def _empty_or_long(prompts: ClassPrompts, num_tokens: Callable[[str], int]) -> Iterator[Finding]:
    for name, sentence in _every(prompts):
        if not tidy(sentence.text):
            yield Finding("empty", name, sentence.text, sentence.attribute or sentence.question)
        elif (count := num_tokens(sentence.text)) > MOST_TOKENS:
            yield Finding("too long", name, sentence.text, f"{count} tokens, at most {MOST_TOKENS}")


def _duplicates(prompts: ClassPrompts) -> Iterator[Finding]:
    first: dict[str, str] = {}
    for name, sentence in _every(prompts):
        plain = tidy(sentence.text).casefold()
        if plain in first:
            yield Finding("duplicate", name, sentence.text, f"also of {first[plain]}")
        elif plain:
            first[plain] = name


def _off_topic(prompts: ClassPrompts) -> Iterator[Finding]:
    """Suspect what shares more words, by weight, with another class than with the rest of its own."""
    counts = {
        name: Counter(
            word for text in (class_text(name), *(one.text for one in found)) for word in _words(text)
        )
        for name, found in prompts.classes.items()
    }
    users: dict[str, list[str]] = {}
    for name, words in counts.items():
        for word in words:
            users.setdefault(word, []).append(name)
    for name, sentence in _every(prompts):
        # The sentence itself is among its class's: there a word must stand once more.
        shared: defaultdict[str, float] = defaultdict(float)
        total = 0.0
        for word in sorted(_words(sentence.text)):
            weight = math.log((len(counts) + 1) / len(users[word]))
            total += weight
            for user in users[word]:
                if user != name or counts[name][word] > 1:
                    shared[user] += weight
        own = shared.pop(name, 0.0)
        nearest = max(shared, key=lambda user: (shared[user], user), default=name)
        if shared[nearest] - own > OFF_TOPIC_GAP * total:
            yield Finding(SUSPICION, name, sentence.text, f"by its words nearer to {nearest}")


def _words(text: str) -> frozenset[str]:
    return frozenset(word[:_STEM] for word in _WORD.findall(text.casefold()))
