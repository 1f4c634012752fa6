"""Published lists of class names that protocols are made of; one name a line in ``classes/``.

Source: Ju et al., "Prompting Visual-Language Models for Efficient Video Understanding", ECCV 2022, arXiv:2112.04478,
appendix D, and its release (ju-chen/Efficient-Prompt, ``datasplits``). Departures: names are spelt as their dataset
spells them. The paper prints "breeding or breadcrumbing" for "breading or breadcrumbing", UCF101's names in lower case
without spaces and one of them as "volleyballsiking", and HMDB51's with a space for an underscore.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from vlp.datasplits.class_text import readings
from vlp.datasplits.errors import UnknownName, UnmatchedNames

CLASS_LISTS = {
    "hmdb51-5way": "arXiv:2112.04478, appendix D.1: the 10 test classes of 5-shot 5-way",
    "kinetics400-5way": "arXiv:2112.04478, appendix D.1: the 24 test classes of 5-shot 5-way",
    "kinetics700-test300": "arXiv:2112.04478, appendix D.2: the 300 classes that zero-shot is tested on",
    "kinetics700-train400": "arXiv:2112.04478, appendix D.2: the 400 classes that zero-shot is trained on",
    "ucf101-5way": "arXiv:2112.04478, appendix D.1: the 21 test classes of 5-shot 5-way",
}
_FOLDER = Path(__file__).with_name("classes")


def class_list(name: str) -> tuple[str, ...]:
    """Return a published list, in its order.

    Args:
        name: one of `CLASS_LISTS`.

    Raises:
        UnknownName: naming the known ones.

    Example:
        >>> class_list("hmdb51-5way")[:3]
        ('fencing', 'kick', 'kick_ball')
    """
    if name not in CLASS_LISTS:
        raise UnknownName("class list", name, sorted(CLASS_LISTS))
    return tuple((_FOLDER / f"{name}.txt").read_text(encoding="utf-8").splitlines())


def resolve_names(names: Iterable[str], classes: Sequence[str]) -> tuple[str, ...]:
    """Find the classes of a dataset that a list means: as they are spelt, or else by their words.

    Args:
        names: of a list, in any spelling of the same words: `readings`.
        classes: as the dataset spells them.

    Returns:
        Members of ``classes``, in the order of ``names``.

    Raises:
        UnmatchedNames: naming all that are none of ``classes``.

    Example:
        >>> resolve_names(["kick ball", "FENCING"], ["fencing", "kick", "kick_ball"])
        ('kick_ball', 'fencing')
    """
    listed, spelt = list(names), {*classes}
    by_words = {words: name for name in reversed(classes) for words in readings(name)}
    found = [name if name in spelt else _first(by_words, readings(name)) for name in listed]
    unmatched = [name for name, match in zip(listed, found, strict=True) if match is None]
    if unmatched:
        raise UnmatchedNames(unmatched, len(classes))
    return tuple(match for match in found if match is not None)


def _first(by_words: Mapping[str, str], words: Iterable[str]) -> str | None:
    return next((by_words[reading] for reading in words if reading in by_words), None)
