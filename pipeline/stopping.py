"""SIGINT and SIGTERM end a run at a safe place, so that what is whole is committed."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import TypeVar

Item = TypeVar("Item")


class Interrupted(BaseException):  # a request, which no `except Exception` may swallow
    """A signal arrived while the run was waiting, with nothing to lose."""


class StopRequest:
    """SIGINT and SIGTERM become a request to stop at the next safe place.

    Used as a context manager around the run. While the run waits, for frames as long as a decoder hangs or for
    another writer's lock, the handler raises out of the wait; at any other time it only leaves a mark.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._waiting = False
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._previous = {
                number: signal.signal(number, self._receive) for number in (signal.SIGINT, signal.SIGTERM)
            }
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal returned

    def _receive(self, number: int, _frame: FrameType | None) -> None:
        self.signal = number
        if self._waiting:
            self._waiting = False
            raise Interrupted

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """Let a signal, also one that has come already, raise `Interrupted` out of the body.

        Raises:
            Interrupted: whatever the body was doing must be worth nothing half done.
        """
        try:
            self._waiting = True
            if self.signal is not None:
                raise Interrupted
            yield
        finally:
            self._waiting = False

    def wait_for(self, items: Iterator[Item]) -> Item | None:
        """Take the next item; None at the end, or when a signal has come."""
        try:
            with self.interrupting():
                return next(items, None)
        except Interrupted:
            return None
