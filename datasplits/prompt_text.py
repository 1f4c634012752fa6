"""Sentences from elsewhere, made uniform and short enough: AP-CLIP's section 3.2.2."""

import re
import unicodedata
from collections.abc import Callable

MOST_TOKENS = 30
"""Of a sentence, by CLIP's tokenizer, without the template that it is joined with."""

_QUOTES = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-"}
)
_BULLET = re.compile(r"^(?:[-*\u2022]|\d{1,2}[.)])\s+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def tidy(text: str) -> str:
    """Make spaces and punctuation uniform: one line, one space, no list marks or emphasis, one mark at the end.

    A text without a letter or a number becomes empty.

    Example:
        >>> tidy("2) the  **archer** stands still , and aims…")
        'The archer stands still, and aims.'
    """
    shown = unicodedata.normalize("NFKC", text).translate(_QUOTES)
    plain = "".join(letter if letter.isprintable() else " " for letter in shown)
    line = _BULLET.sub("", " ".join(re.sub(r"[*_`]{1,3}", "", plain).split())).strip("\"' ")
    line = re.sub(r"\s+([.,;:!?])", r"\1", line)
    line = re.sub(r"([.!?])[.!?]+", r"\1", line).rstrip(",;:- ")
    if not any(map(str.isalnum, line)):
        return ""
    if line[-1] not in ".!?":
        line += "."
    return line[:1].upper() + line[1:]


def cut(text: str, num_tokens: Callable[[str], int], *, most: int = MOST_TOKENS) -> str:
    """Keep as many whole sentences from the beginning as fit: none, if the first is too long.

    Args:
        text: one or more sentences.
        num_tokens: counts the tokens of a text.
        most: tokens that fit.

    Example:
        >>> cut("The sun shines. It is hot. Nobody moves.", lambda text: len(text.split()), most=6)
        'The sun shines. It is hot.'
    """
    kept = ""
    for sentence in _SENTENCE_END.split(text):
        longer = f"{kept} {sentence}".strip()
        if num_tokens(longer) > most:
            break
        kept = longer
    return kept
