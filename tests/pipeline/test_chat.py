"""A client against a real server that is busy, down, slow, unintelligible or hostile."""

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest
from tenacity import wait_none

from vlp.pipeline import chat
from vlp.pipeline.chat import AddressUnusable, ChatClient, ChatRefused, KeyRefused, KeyUnusable, sendable_key

KEY = "sk-secret-0123456789"
Reply = Callable[[BaseHTTPRequestHandler, str], object]


@pytest.fixture(autouse=True)
def no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "_BACKOFF", wait_none())


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def client(chat_server: Any, told: list[str]) -> Iterator[ChatClient]:
    with ChatClient(
        chat_server.base_url, "a-model", key=KEY, timeout_seconds=0.3, num_attempts=3, told=told.append
    ) as made:
        yield made


def status(server: Any, code: int, body: bytes = b"{}", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, _: server.send(handler, code, body, named)


def test_a_question_goes_out_as_the_protocol_says_and_the_answer_comes_back(
    client: ChatClient, chat_server: Any
) -> None:
    chat_server.replies = [lambda handler, _: chat_server.say(handler, "It is seen.")]
    assert client.ask("What is seen?") == "It is seen."
    message = {"role": "user", "content": "What is seen?"}
    assert chat_server.requests == [
        {"path": "/v1/chat/completions", "model": "a-model", "messages": [message]}
    ]
    assert chat_server.headers[0]["Authorization"] == f"Bearer {KEY}"


def test_without_a_key_none_is_sent(chat_server: Any) -> None:
    with ChatClient(chat_server.base_url, "a-model", key=None) as client:
        client.ask("What is seen?")
    assert "Authorization" not in chat_server.headers[0]


@pytest.mark.parametrize("code", [408, 429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(
    code: int, client: ChatClient, chat_server: Any, told: list[str]
) -> None:
    chat_server.replies = [status(chat_server, code), status(chat_server, code)]
    assert client.ask("1. x") == chat_server.good("1. x")
    assert len(chat_server.requests) == 3
    assert told == [f"status {code}; asked again in 0.0 s"] * 2


@pytest.mark.parametrize("as_date", [False, True])
def test_the_server_says_how_long_to_wait(as_date: bool, client: ChatClient, chat_server: Any) -> None:
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=2)
    asked = format_datetime(until, usegmt=True) if as_date else "1"
    chat_server.replies = [status(chat_server, 429, Retry_After=asked)]
    began = time.monotonic()
    client.ask("1. x")
    assert time.monotonic() - began >= 0.9


@pytest.mark.parametrize("value", ["soon", "", "Wed, 99 Oct 2026", "-5"])
def test_a_wait_that_makes_no_sense_is_passed_over(value: str, client: ChatClient, chat_server: Any) -> None:
    chat_server.replies = [status(chat_server, 429, Retry_After=value)]
    assert client.ask("1. x")


def test_a_wait_beyond_the_limit_ends_it_at_once(client: ChatClient, chat_server: Any) -> None:
    chat_server.replies = [status(chat_server, 429, Retry_After="86400")]
    with pytest.raises(ChatRefused, match=r"status 429, and it asks to wait 86,400 s"):
        client.ask("1. x")
    assert len(chat_server.requests) == 1


def test_a_server_that_stays_down_is_given_up(client: ChatClient, chat_server: Any) -> None:
    chat_server.replies = [status(chat_server, 500)] * 5
    with pytest.raises(ChatRefused, match="gives no answer: status 500"):
        client.ask("1. x")
    assert len(chat_server.requests) == 3


def slow(handler: BaseHTTPRequestHandler, _: str) -> None:
    time.sleep(0.6)
    handler.close_connection = True


def dripping(handler: BaseHTTPRequestHandler, _: str) -> None:
    """Send a little often enough that no read ever times out."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000000")
    handler.end_headers()
    try:
        for _number in range(40):
            handler.wfile.write(b" " * (1 << 14))
            handler.wfile.flush()
            time.sleep(0.05)
    except OSError:
        pass
    handler.close_connection = True


def hung_up(handler: BaseHTTPRequestHandler, _: str) -> None:
    handler.close_connection = True


@pytest.mark.parametrize("reply", [slow, dripping, hung_up])
def test_a_server_that_is_slow_or_hangs_up_is_asked_again(
    reply: Reply, client: ChatClient, chat_server: Any
) -> None:
    chat_server.replies = [reply]
    assert client.ask("1. x") == chat_server.good("1. x")
    assert len(chat_server.requests) == 2


def test_no_server_at_all_is_an_error() -> None:
    with (
        ChatClient("http://127.0.0.1:9/v1", "a-model", key=KEY, num_attempts=2) as client,
        pytest.raises(
            ChatRefused, match=r"http://127\.0\.0\.1:9/v1/chat/completions gives no answer: ConnectError"
        ),
    ):
        client.ask("1. x")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b"{}",
        b'{"choices": []}',
        b'{"choices": [{"message": {"content": null}}]}',
        b"[" * 9999,
    ],
)
def test_what_is_no_chat_completion_is_asked_again_then_quoted(
    body: bytes, client: ChatClient, chat_server: Any
) -> None:
    chat_server.replies = [status(chat_server, 200, body)]
    assert client.ask("1. x") == chat_server.good("1. x")
    chat_server.replies = [status(chat_server, 200, body)] * 3
    with pytest.raises(ChatRefused, match="its answer is no chat completion: ") as raised:
        client.ask("1. x")
    assert len(str(raised.value)) < 400


def test_an_answer_without_end_is_cut_off(client: ChatClient, chat_server: Any) -> None:
    chat_server.replies = [status(chat_server, 200, b" " * (chat.LIMIT_BYTES + 1))] * 3
    with pytest.raises(ChatRefused, match="more than 1,048,576 bytes"):
        client.ask("1. x")


@pytest.mark.parametrize("code", [400, 404, 422, 301])
def test_a_refusal_is_quoted_and_not_asked_again(code: int, client: ChatClient, chat_server: Any) -> None:
    chat_server.replies = [status(chat_server, code, b"no such\n\x1b[31mmodel")]
    with pytest.raises(ChatRefused, match=rf"status {code}, no such \[31mmodel"):
        client.ask("1. x")
    assert len(chat_server.requests) == 1


@pytest.mark.parametrize("code", [401, 403])
def test_a_key_that_is_refused_is_not_asked_with_again(
    code: int, client: ChatClient, chat_server: Any
) -> None:
    chat_server.replies = [status(chat_server, code, f"wrong key {KEY}".encode())]
    with pytest.raises(KeyRefused, match=f"status {code}") as raised:
        client.ask("1. x")
    assert KEY not in str(raised.value)


def test_what_the_server_repeats_of_the_key_is_struck_out(
    client: ChatClient, chat_server: Any, told: list[str]
) -> None:
    echo = json.dumps({"error": f"{KEY} may not"}).encode()
    for reply in (status(chat_server, 400, echo), status(chat_server, 200, echo)):
        chat_server.replies = [reply] * 3
        with pytest.raises(ChatRefused, match=r"\[key\] may not") as raised:
            client.ask("1. x")
        assert KEY not in str(raised.value) + "".join(told)
    chat_server.replies = [lambda handler, _: chat_server.say(handler, f"my key is {KEY}")]
    assert client.ask("1. x") == "my key is [key]"


def test_names_and_passwords_of_the_address_are_not_shown() -> None:
    with (
        ChatClient("http://me:hush@127.0.0.1:9/v1", "a-model", key=None, num_attempts=1) as client,
        pytest.raises(ChatRefused) as raised,
    ):
        client.ask("1. x")
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize(
    "base_url", ["", "localhost:8000", "ftp://here/v1", "http://", "http://a\x00b", "file:///etc"]
)
def test_what_is_no_address_is_refused(base_url: str) -> None:
    with pytest.raises(AddressUnusable, match="no address that begins with http"):
        ChatClient(base_url, "a-model", key=None)


@pytest.mark.parametrize("value", ["two\nlines", "a b", "schlüssel", "\x00"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_shown(value: str) -> None:
    with pytest.raises(KeyUnusable, match="MY_KEY") as raised:
        sendable_key("MY_KEY", value)
    assert value not in str(raised.value)


def test_a_key_is_taken_without_the_space_around_it() -> None:
    assert sendable_key("MY_KEY", f" {KEY}\n") == KEY
    assert sendable_key("MY_KEY", None) is None
    assert sendable_key("MY_KEY", " ") is None
