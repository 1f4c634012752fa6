"""The page in a real browser: nothing is fetched, nothing is complained about, nothing sticks out."""

import functools
import http.server
import json
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from vlp.pipeline.report.page import write_report

MakeRun = Callable[..., Path]
MakeSplit = Callable[..., dict[str, Any]]
WriteVideo = Callable[..., Path]

SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--virtual-time-budget=10000",
    "--dump-dom",
)
# A page around the page: a frame has any width, however narrow a window may be.
MEASURE = """<!doctype html><title>measure</title>
<iframe src="page.html" style="border:0;width:%dpx;height:900px"></iframe>
<script>
onload = () => {
  const view = document.querySelector("iframe"), page = view.contentDocument;
  for (const details of page.querySelectorAll("details")) details.open = true;
  const root = page.documentElement, inside = node => node.closest(".box, pre, svg, ol.bars, table.matrix");
  const out = [...page.body.querySelectorAll("*")].filter(
    node => !inside(node) && node.getBoundingClientRect().right > root.clientWidth + 0.5);
  document.body.textContent = "MEASURED" + JSON.stringify({
    width: root.clientWidth, scroll: root.scrollWidth, text: page.body.innerText.length,
    out: out.map(node => node.tagName + "." + node.className),
    pictures: [...page.images].map(picture => picture.naturalWidth),
    ink: view.contentWindow.getComputedStyle(page.body).color,
    paper: view.contentWindow.getComputedStyle(page.body).backgroundColor}) + "END";
};
</script>"""


@dataclass
class Shown:
    """What the browser said of a page."""

    measured: dict[str, Any]
    console: list[str]
    requested: list[str] = field(default_factory=list)


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder to this machine, and keep what is asked for."""
    requested: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            requested.append(self.path)

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", requested
        server.shutdown()
        thread.join()


def shown(page: Path, width: int, profile: Path, *switches: str) -> Shown:
    """Open a page in a frame of this width; no other host can be reached."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert chromium is not None, "this test needs chromium"
    (page.parent / "measure.html").write_text(MEASURE % width)
    with served(page.parent) as (address, requested):
        command = [chromium, *SWITCHES, *switches, f"--user-data-dir={profile}", f"{address}/measure.html"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=True)
    found = re.search(r"MEASURED(\{.*\})END", done.stdout)
    assert found is not None, done.stdout[:2000] + done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Shown(json.loads(found[1].replace("&amp;", "&")), console, requested)


@pytest.fixture
def page(
    make_run: MakeRun, make_split: MakeSplit, write_video: WriteVideo, tmp_path: Path, hostile: str
) -> Path:
    """Two runs: few classes with hostile names and videos; a hundred classes with long names."""
    video_ids = [f"run/{number}" for number in range(3)]
    for number, video_id in enumerate(video_ids):
        write_video(f"data/{video_id}.mp4", [20, 120, 220], (160, 48 + 40 * number))
    few = [
        hostile,
        "x" * 300,
        "two words",
        "\u202eright to left",
        *(f"class {number}" for number in range(12)),
    ]
    many = [f"Class{number}" + "WithAVeryLongName" * (number % 5 == 0) for number in range(101)]
    words = {"rows": [{"vector": 1, "word": "w" * 200, "cosine": 0.5}]}
    split = make_split(few, video_ids=[*video_ids, "run/" + "gone" * 50])
    runs = [
        make_run(
            "few-classes-" + "long-name" * 8,
            few,
            results={
                "closed-set": {"dataset": "folder", "top1": 0.7, "splits": [split]},
                "prompt-semantics": words,
            },
            root=tmp_path / "data",
        ),
        make_run(
            "many",
            many,
            results={"closed-set": {"top1": 0.5, "splits": [make_split(many)]}},
            is_finished=False,
        ),
    ]
    path = tmp_path / "served" / "page.html"
    write_report(runs, path)
    return path


@pytest.mark.full
@pytest.mark.parametrize("width", [360, 1400])
def test_the_page_fits_its_window_and_asks_for_nothing(page: Path, width: int, tmp_path: Path) -> None:
    found = shown(page, width, tmp_path / "profile")
    assert found.measured["width"] in range(width - 20, width + 1)  # less a scroll bar
    assert found.measured["scroll"] <= found.measured["width"]
    assert found.measured["out"] == []
    assert found.measured["text"] > 3000
    assert found.measured["pictures"]
    assert all(found.measured["pictures"])
    assert found.console == []
    assert set(found.requested) <= {
        "/measure.html",
        "/page.html",
        "/favicon.ico",
    }  # the last: of the frame's page


@pytest.mark.full
def test_the_page_follows_the_reader_into_the_dark(page: Path, tmp_path: Path) -> None:
    def luminance(colour: str) -> float:
        return sum(map(float, re.findall(r"[\d.]+", colour)[:3])) / 3

    light = shown(page, 800, tmp_path / "light").measured
    dark = shown(page, 800, tmp_path / "dark", "--blink-settings=preferredColorScheme=0").measured
    assert luminance(light["paper"]) - luminance(light["ink"]) > 150
    assert luminance(dark["ink"]) - luminance(dark["paper"]) > 150


@pytest.mark.full
def test_the_measurement_finds_what_is_wrong(tmp_path: Path) -> None:
    page = tmp_path / "served" / "page.html"
    page.parent.mkdir()
    page.write_text(
        "<!doctype html><p style='width:2000px'>wide</p><img src='other.png'><script>console.error('loud')</script>"
    )
    found = shown(page, 360, tmp_path / "profile")
    assert found.measured["scroll"] > 1900
    assert found.measured["out"]
    assert "/other.png" in found.requested
    assert any("loud" in line for line in found.console)
    assert found.measured["pictures"] == [0]
