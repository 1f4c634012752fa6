"""`vlp prompts` as it is typed, against a real server; no key in anything it leaves behind."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

KEY = "sk-secret-0123456789"
Type = Callable[..., Any]


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    (tmp_path / "classes.txt").write_text("Archery\nbrush_hair\n")
    return tmp_path / "classes.txt"


@pytest.fixture
def arguments(
    classes: Path, chat_server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[object]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    place = ["--base-url", chat_server.base_url, "--output", tmp_path / "made.json"]
    return ["prompts", "generate", "--dataset", "made_up", "--classes", classes, "--model", "a-model", *place]


def test_sentences_are_asked_for_then_checked_and_shown(
    typed: Type, arguments: list[object], classes: Path, chat_server: Any, tmp_path: Path
) -> None:
    made = typed(*arguments, "--json")
    assert made.status == 0
    assert made.json == {"file": str(tmp_path / "made.json"), "classes": 2, "asked": 6, "lacking": []}
    assert chat_server.headers[0]["Authorization"] == f"Bearer {KEY}"
    again = typed(*arguments, "--json")
    assert (again.status, again.json["asked"], len(chat_server.requests)) == (0, 0, 6)
    assert KEY not in (tmp_path / "made.json").read_text() + made.stdout + made.stderr

    checked = typed("prompts", "check", tmp_path / "made.json", "--classes", classes, "--json")
    assert (checked.status, checked.json["sentences"]) == (0, 72)
    shown = typed("prompts", "show", tmp_path / "made.json", "--class", "BrushHair", "--json").json
    assert list(shown["classes"]) == ["BrushHair"]
    assert len(shown["classes"]["BrushHair"]) == 36
    table = typed("prompts", "show", tmp_path / "made.json").stdout
    assert "Archery" in table
    assert "moving_parts" in table


def test_what_is_still_lacking_is_listed_with_status_1(
    typed: Type, arguments: list[object], chat_server: Any
) -> None:
    useless = [lambda handler, _: chat_server.say(handler, "I would rather not.")] * 3
    chat_server.replies = [*useless]
    made = typed(*arguments)
    assert made.status == 1
    assert "still lacking" in made.stdout
    assert made.stdout.count("not answered") == 12
    chat_server.replies = [*useless]
    assert len(typed(*arguments, "--json").json["lacking"]) == 12
    whole = typed(*arguments, "--json")
    assert (whole.status, whole.json["asked"], whole.json["lacking"]) == (0, 1, [])


def test_a_key_that_the_server_refuses_is_not_shown(
    typed: Type, arguments: list[object], chat_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat_server.replies = [lambda handler, _: chat_server.send(handler, 401, f"bad {KEY}".encode())]
    refused = typed(*arguments)
    assert refused.status == 1
    assert "status 401" in refused.stderr
    assert "--api-key-env" in refused.stderr
    assert KEY not in refused.stdout + refused.stderr
    monkeypatch.setenv("OTHER_KEY", "no key\nat all")
    unusable = typed(*arguments, "--api-key-env", "OTHER_KEY")
    assert unusable.status == 1
    assert "OTHER_KEY" in unusable.stderr
    assert "at all" not in unusable.stderr


def good(server: Any) -> Callable[[BaseHTTPRequestHandler, str], None]:
    return lambda handler, question: server.say(handler, server.good(question))


def num_kept(path: Path) -> int:
    return sum(map(len, json.loads(path.read_text())["classes"].values()))


def test_a_generation_that_is_killed_goes_on_where_it_was(
    typed: Type, arguments: list[object], chat_server: Any, tmp_path: Path
) -> None:
    """The third question never comes back; the process is killed while it waits for it."""
    arrived, release = threading.Event(), threading.Event()

    def hang(handler: BaseHTTPRequestHandler, _: str) -> None:
        arrived.set()
        release.wait(60)
        handler.close_connection = True

    chat_server.replies = [good(chat_server)] * 2 + [hang]
    process = subprocess.Popen(
        [sys.executable, "-m", "vlp.cli", *map(str, arguments)], stderr=subprocess.DEVNULL
    )
    assert arrived.wait(120)
    process.kill()
    process.wait()
    release.set()
    assert num_kept(tmp_path / "made.json") == 24
    assert typed(*arguments, "--json").json["asked"] == 4
    assert num_kept(tmp_path / "made.json") == 72


def test_ctrl_c_keeps_what_was_got(
    typed: Type, arguments: list[object], chat_server: Any, tmp_path: Path
) -> None:
    release = threading.Event()

    def interrupt(handler: BaseHTTPRequestHandler, _: str) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        release.wait(60)
        handler.close_connection = True

    chat_server.replies = [good(chat_server), interrupt]
    stopped = typed(*arguments)
    release.set()
    assert stopped.status == 130
    assert "Traceback" not in stopped.stderr
    assert num_kept(tmp_path / "made.json") == 12


def test_help_comes_without_the_client(tmp_path: Path) -> None:
    script = (
        "import sys; sys.argv = ['vlp', 'prompts', 'generate', '--help']\n"
        "from vlp.cli.__main__ import run\n"
        "try: run()\n"
        "except SystemExit as ended: assert not ended.code\n"
        "heavy = {'torch', 'numpy', 'httpx2', 'tenacity'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("name", ["ucf101", "hmdb51", "toy"])
def test_what_ships_is_checked_by_its_name(name: str, typed: Type) -> None:
    assert typed("prompts", "check", name).status == 0


def test_faults_are_listed_with_status_1(typed: Type, classes: Path) -> None:
    checked = typed("prompts", "check", "ucf101", "--classes", classes)
    assert checked.status == 1
    assert "missing class" in checked.stdout
    assert "unknown class" in checked.stdout
    problems = {
        one["problem"]
        for one in typed("prompts", "check", "ucf101", "--classes", classes, "--json").json["findings"]
    }
    assert {"missing class", "unknown class"} <= problems


def test_a_dataset_s_own_classes_are_compared(typed: Type, videos: Path) -> None:
    checked = typed("prompts", "check", "toy", "--dataset", "folder", "--root", videos, "--json")
    missing = [one["class_name"] for one in checked.json["findings"] if one["problem"] == "missing class"]
    assert missing == ["run", "walk"]


def test_what_is_no_file_of_sentences_is_a_line(typed: Type, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("[1]")
    for command in ("check", "show"):
        missing = typed("prompts", command, tmp_path / "none.json")
        assert missing.status == 1
        assert "Shipped: hmdb51, toy, ucf101." in missing.stderr
        damaged = typed("prompts", command, tmp_path / "bad.json")
        assert damaged.status == 1
        assert "bad.json holds no usable sentences" in damaged.stderr
    unknown = typed("prompts", "show", "toy", "--class", "Archery")
    assert unknown.status == 1
    assert "toy has no sentence for 1 of the classes: Archery" in unknown.stderr


def test_what_would_steer_the_terminal_is_escaped(typed: Type, tmp_path: Path) -> None:
    text = {"aspect": None, "attribute": None, "question": "q", "text": "a \x1b[31m word"}
    held = {"format": "vlp-prompts/1", "dataset": "d\x1b", "model": "m", "date": "", "aspects": {}}
    held |= {"questions": {"q": "?"}, "classes": {"a\x1bb": [text]}}
    (tmp_path / "a.json").write_text(json.dumps(held))
    assert "\x1b" not in typed("prompts", "show", tmp_path / "a.json").stdout
    assert "\x1b" not in typed("prompts", "check", tmp_path / "a.json").stdout
