"""Questions to a language model, through any server that speaks OpenAI's chat-completions protocol.

    client = ChatClient("http://localhost:8000/v1", "a-model", key=None)
    answer = client.ask("Describe archery.")

What a server sends is of limited size and taken as data. The key goes into one header and nowhere else: what a server
repeats of it is struck out before anyone sees it.
"""

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_exponential_jitter,
)

from vlp.pipeline.errors import PipelineError

LIMIT_BYTES = 1 << 20
"""Of one answer; a dozen sentences are two thousand."""
LONGEST_WAIT_SECONDS = 300.0
"""That a server may ask for; a longer one ends the run, which can be started again then."""
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 520, 522, 524, 529})
_MOST_QUOTED = 200


class ChatError(PipelineError):
    """A server that gives no answer.

    Attributes:
        url: what was asked, without user name or password.
    """

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"{url} gives no answer: {why}.")
        self.url = url


class ChatRefused(ChatError):
    """A server that will not answer, however often it is asked."""


class AddressUnusable(PipelineError):
    """A base URL that is none."""

    def __init__(self, why: str) -> None:
        super().__init__(f"the base URL is no address that begins with http:// or https:// ({why}).")


class KeyRefused(ChatError):
    """A server that wants a key, or another one."""


class KeyUnusable(PipelineError):
    """A key that is not there, or cannot be sent."""

    def __init__(self, variable: str, why: str) -> None:
        super().__init__(f"the environment variable {variable} {why}.")
        self.variable = variable


class _Again(Exception):
    """No answer this time.

    Attributes:
        why: in words.
        wait_seconds: that the server asks for; None if it says nothing.
    """

    def __init__(self, why: str, wait_seconds: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.wait_seconds = wait_seconds


class ChatClient:
    """One model on one server.

    Args:
        base_url: such as ``https://api.openai.com/v1``.
        model: the server's name for it.
        key: sent as a bearer token; None sends none.
        timeout_seconds: for a whole answer.
        num_attempts: before a question is given up.
        told: is told, in words, why it waits.

    Raises:
        AddressUnusable: if the base URL is none.
    """

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        key: str | None,
        timeout_seconds: float = 120.0,
        num_attempts: int = 6,
        told: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._key = key
        self._model = model
        self._timeout_seconds = timeout_seconds
        self._told = told
        self._url = _address(base_url)
        self._shown_url = str(self._url.copy_with(username=None, password=None, query=None))
        self._client = httpx2.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=timeout_seconds
        )
        self._retrying = Retrying(
            retry=retry_if_exception_type(_Again),
            stop=stop_after_attempt(num_attempts),
            wait=_wait_seconds,
            before_sleep=self._tell,
            reraise=True,
        )

    def __enter__(self) -> "ChatClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def ask(self, question: str) -> str:
        """Ask once, and again while the server is busy, down or unintelligible.

        Args:
            question: the user's message.

        Returns:
            The answer's text.

        Raises:
            KeyRefused: for 401 and 403.
            ChatRefused: for another refusal, or when it is given up.
        """
        try:
            answer: str = self._retrying(self._ask_once, question)
        except _Again as error:
            raise ChatRefused(self._shown_url, error.why) from None
        return answer

    def _ask_once(self, question: str) -> str:
        message = {"model": self._model, "messages": [{"role": "user", "content": question}]}
        try:
            with self._client.stream("POST", self._url, json=message) as response:
                body = self._read(response)
        except httpx2.TimeoutException:
            raise _Again("it took too long") from None
        except (httpx2.TransportError, httpx2.DecodingError) as error:
            raise _Again(self._clean(f"{type(error).__name__}: {error}")) from None
        if response.status_code in {401, 403}:
            raise KeyRefused(self._shown_url, f"status {response.status_code}, it does not take the key")
        if response.status_code in _AGAIN:
            self._busy(response)
        if not response.is_success:
            raise ChatRefused(self._shown_url, f"status {response.status_code}, {self._clean(body)}")
        return self._content(body)

    def _read(self, response: httpx2.Response) -> str:
        """Read a body, no longer and no larger than a reasonable answer is."""
        began, body = time.monotonic(), b""
        for chunk in response.iter_bytes(1 << 14):
            body += chunk
            if len(body) > LIMIT_BYTES:
                raise _Again(f"its answer has more than {LIMIT_BYTES:,} bytes")
            if time.monotonic() - began > self._timeout_seconds:
                raise _Again("it took too long")
        text = body.decode("utf-8", errors="replace")
        return text.replace(self._key, "[key]") if self._key else text

    def _busy(self, response: httpx2.Response) -> None:
        wait_seconds = _retry_after(response.headers.get("retry-after"))
        why = f"status {response.status_code}"
        if wait_seconds is not None and wait_seconds > LONGEST_WAIT_SECONDS:
            raise ChatRefused(self._shown_url, f"{why}, and it asks to wait {wait_seconds:,.0f} s")
        raise _Again(why, wait_seconds)

    def _content(self, body: str) -> str:
        try:
            content: Any = json.loads(body)["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError, RecursionError):
            content = None
        if not isinstance(content, str):
            raise _Again(f"its answer is no chat completion: {self._clean(body)}")
        return content

    def _clean(self, text: str) -> str:
        """Quote a server: a short line, without the key."""
        line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
        return (line.replace(self._key, "[key]") if self._key else line)[:_MOST_QUOTED]

    def _tell(self, state: RetryCallState) -> None:
        if state.outcome is not None and state.next_action is not None:
            error = state.outcome.exception()
            self._told(f"{error}; asked again in {state.next_action.sleep:.1f} s")


def sendable_key(variable: str, value: str | None) -> str | None:
    """Check a key that stood in an environment variable.

    Raises:
        KeyUnusable: if no header can hold it; the message does not show it.
    """
    key = (value or "").strip()
    if not all("!" <= letter <= "~" for letter in key):
        raise KeyUnusable(variable, "holds more than one line of plain letters, which no key does")
    return key or None


def _address(base_url: str) -> httpx2.URL:
    try:
        url = httpx2.URL(base_url.rstrip("/") + "/chat/completions")
    except (httpx2.InvalidURL, ValueError) as error:
        raise AddressUnusable(str(error)) from None
    if url.scheme not in {"http", "https"} or not url.host:
        raise AddressUnusable("a scheme or a host is missing")
    return url


_BACKOFF = wait_exponential_jitter(max=60)


def _wait_seconds(state: RetryCallState) -> float:
    """Wait as long as the server asks for, or else twice as long as the last time."""
    error = state.outcome.exception() if state.outcome is not None else None
    asked = error.wait_seconds if isinstance(error, _Again) else None
    return float(_BACKOFF(state)) if asked is None else asked


def _retry_after(value: str | None) -> float | None:
    """Read a Retry-After header, in seconds or as a date."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # TypeError: a date without a zone
        return None
