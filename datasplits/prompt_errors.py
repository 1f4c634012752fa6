"""What can be wrong with the sentences of classes. `cli` adds what to type."""

from collections.abc import Sequence

from vlp.datasplits.errors import DatasetError

_MOST_SHOWN = 5


class PromptsError(DatasetError):
    """Base of the errors of files of sentences."""


class PromptsMissing(PromptsError):
    """Neither a file nor the name of sentences that ship."""

    def __init__(self, source: str, shipped: Sequence[str]) -> None:
        super().__init__(
            f"no sentences {source!r}: there is no such file. Shipped: {', '.join(shipped) or 'none'}."
        )
        self.source = source
        self.shipped = tuple(shipped)


class PromptsUnreadable(PromptsError):
    """A file of sentences that is damaged or of another format.

    Attributes:
        source: the file, as it was given.
        problems: one line each; the first of them, where there are many.
    """

    def __init__(self, source: str, problems: Sequence[str], num_problems: int | None = None) -> None:
        rest = (num_problems or len(problems)) - len(problems)
        more = f"\n… and {rest:,} more" if rest > 0 else ""
        super().__init__(f"{source} holds no usable sentences:\n" + "\n".join(problems) + more)
        self.source = source
        self.problems = tuple(problems)


class ClassesWithoutSentences(PromptsError):
    """Classes that are asked for, and that a file says nothing of."""

    def __init__(self, source: str, what: str, names: Sequence[str], num_known: int) -> None:
        shown = ", ".join(names[:_MOST_SHOWN])
        more = f" and {len(names) - _MOST_SHOWN} more" if len(names) > _MOST_SHOWN else ""
        super().__init__(
            f"{source} has no {what} for {len(names)} of the classes: {shown}{more}. "
            f"It knows {num_known:,} classes."
        )
        self.source = source
        self.names = tuple(names)


class UnknownAspects(PromptsError):
    """Aspects that a file's attributes are not sorted by."""

    def __init__(self, source: str, asked: Sequence[str], known: Sequence[str]) -> None:
        super().__init__(
            f"{source} has no aspect called {', '.join(asked)}. Known: {', '.join(known) or 'none'}."
        )
        self.source = source
        self.asked = tuple(asked)
        self.known = tuple(known)
