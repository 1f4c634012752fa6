"""How a class name becomes words: versioned rules, recorded with every result.

Papers differ here in silence: released code feeds "applyeyemakeup" where the paper prints "apply eye makeup", and the
tokens differ. ``natural`` is what the papers print; ``raw`` reproduces code that feeds names as they are.
"""

import re
from collections.abc import Callable

from vlp.datasplits.errors import UnknownName

CLASS_TEXT_VERSION = 1

# Between a small letter and a capital (EyeMakeup), and before the capital that starts a word after a run of capitals or
# a digit (TVShow, walk2Run; but 3D stays one word).
_WORD_BORDER = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z0-9])(?=[A-Z][a-z])")


def _natural(name: str) -> str:
    without_brackets = name.replace("[", "").replace("]", "")  # Something-Something marks its placeholders so
    spaced = _WORD_BORDER.sub(" ", without_brackets.replace("_", " "))
    return " ".join(spaced.lower().split())


RULES: dict[str, Callable[[str], str]] = {"natural": _natural, "raw": str}


def class_text(name: str, *, rule: str = "natural") -> str:
    """Write a class name as words.

    Args:
        name: as the dataset spells it.
        rule: "natural" (underscores to spaces, CamelCase split, lower case, brackets dropped) or "raw".

    Raises:
        UnknownName: for another rule.

    Example:
        >>> class_text("ApplyEyeMakeup"), class_text("brush_hair"), class_text("Pushing [something] off")
        ('apply eye makeup', 'brush hair', 'pushing something off')
        >>> class_text("YoYo", rule="raw")
        'YoYo'
    """
    if rule not in RULES:
        raise UnknownName("class-text rule", rule, sorted(RULES))
    return RULES[rule](name)
