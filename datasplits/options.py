"""What a user may choose about a dataset: which list, which exclusions, whose class names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from vlp.datasplits.errors import BadOption


@dataclass(frozen=True)
class Option:
    """One choice of a dataset, given as ``--dataset-option NAME=VALUE``.

    Args:
        help: what it decides, in one line.
        default: the value where none is given.
        choices: all values there are; empty for free text.
    """

    help: str
    default: str
    choices: tuple[str, ...] = ()


def parse_options(dataset: str, given: Sequence[str], known: Mapping[str, Option]) -> dict[str, str]:
    """Read NAME=VALUE pairs; the last of one name counts.

    Args:
        dataset: its name.
        given: as typed.
        known: the dataset's own options.

    Returns:
        The options that were given, without the defaults of others.

    Raises:
        BadOption: for another name, another value, or a text without ``=``.

    Example:
        >>> parse_options("d", ["lists=paper"], {"lists": Option("whose lists", "common", ("common", "paper"))})
        {'lists': 'paper'}
    """
    options: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise BadOption(dataset, f"{text!r} is not NAME=VALUE")
        if name not in known:
            names = ", ".join(known) or "it has none"
            raise BadOption(dataset, f"{dataset} has no option {name!r}. Known: {names}")
        choices = known[name].choices
        if choices and value not in choices:
            raise BadOption(dataset, f"{name} cannot be {value!r}. Known: {', '.join(choices)}")
        options[name] = value
    return options
