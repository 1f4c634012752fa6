"""How a class name becomes words: versioned rules, recorded with every result.

Papers differ here in silence: released code feeds "applyeyemakeup" where the paper prints "apply eye makeup", and the
tokens differ. ``natural`` writes names as words, misspelt ones corrected (`vlp.datasplits.aliases`); ``uncorrected``
is what the papers print; ``raw`` reproduces code that feeds names as they are.
"""

import re
from collections.abc import Callable

from vlp.datasplits.aliases import alias_of
from vlp.datasplits.errors import UnknownName

CLASS_TEXT_VERSION = 2  # 1 knew no corrections

# Between a small letter and a capital (EyeMakeup), and before the capital that starts a word after a run of capitals or
# a digit (TVShow, walk2Run; but 3D stays one word).
_WORD_BORDER = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z0-9])(?=[A-Z][a-z])")


def _natural(name: str) -> str:
    return alias_of(name) or _uncorrected(name)


def _uncorrected(name: str) -> str:
    without_brackets = name.replace("[", "").replace("]", "")  # Something-Something marks its placeholders so
    spaced = _WORD_BORDER.sub(" ", without_brackets.replace("_", " "))
    return " ".join(spaced.lower().split())


RULES: dict[str, Callable[[str], str]] = {"natural": _natural, "uncorrected": _uncorrected, "raw": str}


def class_text(name: str, *, rule: str = "natural") -> str:
    """Write a class name as words.

    Args:
        name: as the dataset spells it.
        rule: "natural" (underscores to spaces, CamelCase split, lower case, brackets dropped, misspelt names
            corrected), "uncorrected" (the same without the corrections) or "raw".

    Raises:
        UnknownName: for another rule.

    Example:
        >>> class_text("ApplyEyeMakeup"), class_text("brush_hair"), class_text("Pushing [something] off")
        ('apply eye makeup', 'brush hair', 'pushing something off')
        >>> class_text("Plataform diving"), class_text("YoYo", rule="raw")
        ('platform diving', 'YoYo')
    """
    if rule not in RULES:
        raise UnknownName("class-text rule", rule, sorted(RULES))
    return RULES[rule](name)


def readings(name: str) -> tuple[str, str]:
    """Return a class name as words, as it is spelt and as it should be: two names are one where they share a reading.

    Example:
        >>> readings("playing_rubiks_cube"), readings("Playing rubik cube")
        (('playing rubiks cube', 'playing rubiks cube'), ('playing rubik cube', "playing rubik's cube"))
    """
    return class_text(name, rule="uncorrected"), class_text(name)
