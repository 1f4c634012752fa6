"""The page: what it says of runs, finished or not, whole or damaged; and that nothing of a run becomes markup."""

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from vlp.pipeline.report.page import MOST_STRIPS, render_report, write_report
from vlp.pipeline.report.reading import read_run
from vlp.stores.errors import RunMissing, StoreUnwritable

MakeRun = Callable[..., Path]
MakeSplit = Callable[..., dict[str, Any]]
WriteVideo = Callable[..., Path]
_VOID = {"meta", "link", "img", "br"}


class Page(HTMLParser):
    """A page as a browser reads it: visible text, elements, and what is not well nested."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.unbalanced: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data + " "

    def tags(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == name]


def page_of(*runs: Path, root: Path | None = None) -> Page:
    page = Page(render_report([read_run(run) for run in runs], root=root))
    assert (page.unbalanced, page.open) == ([], [])
    return page


def test_a_finished_run_says_what_was_trained_and_measured(make_run: MakeRun, make_split: MakeSplit) -> None:
    names = ["growing", "moving left", "shrinking"]
    run = make_run("one", names, results={"closed-set": {"dataset": "folder", "splits": [make_split(names)]}})
    page = page_of(run)
    shown = re.sub(r"\s+", " ", page.text)
    for said in (
        "Report of one",
        "finished",
        "Method ju2022",
        "Shots a class 16",
        "Seed 7",
        "Training videos 123",
        "Trained parameters 6,300,000",
        "20 of 20, the best was 17",
        "75.0 (50.0 to 90.0)",
        "config.num_layers",
        "cache/x.vlp",
        "f00d",
        "cd" * 32,
        *names,
    ):
        assert said in shown, said
    assert len(page.tags("svg")) == 3  # loss, learning rate, held-out accuracy
    assert "not finished" not in shown


def test_an_unfinished_run_is_said_to_be_one(make_run: MakeRun) -> None:
    shown = page_of(make_run("half", ["a", "b"], num_epochs=7, is_finished=False)).text
    assert "not finished: 7 of 20 epochs" in shown
    assert (
        "not finished: 0 of 20 epochs"
        in page_of(make_run("new", ["a"], num_epochs=0, is_finished=False)).text
    )


def test_a_run_without_an_epoch_or_a_result_says_so(make_run: MakeRun) -> None:
    page = page_of(make_run("bare", ["a", "b"], num_epochs=0))
    assert "No epoch has ended yet." in page.text
    assert "No result is saved" in page.text
    assert page.tags("svg") == []
    assert page.tags("img") == []


@pytest.mark.parametrize("num_classes", [3, 101, 400])
def test_names_of_all_classes_can_be_read(make_run: MakeRun, make_split: MakeSplit, num_classes: int) -> None:
    names = [f"class number {number}" for number in range(num_classes)]
    page = page_of(make_run("many", names, results={"closed": {"splits": [make_split(names)]}}))
    bars = [element for element in page.tags("span") if element.get("class") == "track"]
    assert len(bars) == num_classes
    assert all(name in page.text for name in names)
    assert ("matrix" in [table.get("class") for table in page.tags("table")]) == (num_classes <= 20)
    assert len(page.tags("image")) == (num_classes > 20)


def test_nothing_of_a_run_becomes_markup(make_run: MakeRun, make_split: MakeSplit, hostile: str) -> None:
    names = [hostile, "\"quoted' &amp; {{ 7 * 7 }}", "x\u202ey", "z"]
    split = make_split(names, video_ids=[f"{hostile}/0", hostile], name=hostile)
    words = [{"vector": 1, "word": hostile, "cosine": 0.1}]
    results = {"closed": {"dataset": hostile, "splits": [split]}, "prompt-semantics": {"rows": words}}
    run = make_run("hostile", names, results=results, dataset=hostile)
    odd = {"dataset": "x\x00y", "splits": [make_split(["\ud800 alone", "a"], name="\udfff")]}
    (run / "results" / "odd.json").write_text(json.dumps(odd))
    html = render_report([read_run(run)])
    page = Page(html)
    assert page.tags("script") == []
    assert page.tags("b") == []
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert hostile in page.text
    assert "{{ 7 * 7 }}" in page.text
    write_report([run], run / "page.html")
    assert (run / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_the_page_names_no_other_resource(make_run: MakeRun, make_split: MakeSplit) -> None:
    names = [f"c{number}" for number in range(30)]
    runs = [
        make_run(name, names, results={"closed": {"top1": 0.5, "splits": [make_split(names)]}})
        for name in "ab"
    ]
    html = render_report([read_run(run) for run in runs])
    page = Page(html)
    links = [
        value
        for _, attributes in page.elements
        for name, value in attributes.items()
        if name in ("href", "src", "xlink:href", "srcset", "action", "data", "poster")
    ]
    assert links
    assert all(str(link).startswith(("#", "data:")) for link in links)
    assert "@import" not in html
    assert not re.findall(r"url\((?!#)", html)
    (policy,) = [meta for meta in page.tags("meta") if meta.get("http-equiv")]
    assert str(policy["content"]).startswith("default-src 'none'")


def test_ids_are_unique_and_links_lead_somewhere(make_run: MakeRun, make_split: MakeSplit) -> None:
    names = [f"c{number}" for number in range(30)]
    splits = [make_split(names, name=name) for name in ("split1", "split2")]
    runs = [make_run(name, names, results={"closed": {"top1": 0.5, "splits": splits}}) for name in "ab"]
    page = page_of(*runs)
    ids = [str(attributes["id"]) for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {str(link["href"])[1:] for link in page.tags("a")}
    assert targets
    assert targets <= set(ids)


def test_several_runs_are_set_side_by_side(make_run: MakeRun) -> None:
    runs = [
        make_run("first", ["a"], results={"closed": {"top1": 0.5}, "b2n": {"harmonic_mean": 0.25}}),
        make_run("second", ["a"], results={"closed": {"top1": 0.625}}, is_finished=False),
    ]
    html = render_report([read_run(run) for run in runs])
    table = html[html.index("side by side") : html.index("</table>")]
    rows = [re.findall(r'class="cell">([^<]*)<', row) for row in table.split("<tr>")[2:]]
    assert [row[0] for row in rows] == ["first", "second"]
    assert rows[0][2:5] == ["25.0", "50.0", "93.0"]
    assert rows[1][2:5] == ["-", "62.5", "-"]
    assert rows[1][-1] == "not finished: 20 of 20 epochs"
    assert "side by side" not in page_of(runs[0]).text


def test_videos_show_their_frames_with_class_and_prediction(
    make_run: MakeRun, make_split: MakeSplit, write_video: WriteVideo, tmp_path: Path
) -> None:
    for name in ("run/0.mp4", "run/1.mp4"):
        write_video(f"data/{name}", [20, 120, 220])
    (tmp_path / "data/run/broken.mp4").write_bytes(b"nothing")
    split = make_split(["run", "walk"], video_ids=["run/0", "run/1", "run/broken", "run/unlisted"])
    results = {"closed": {"dataset": "folder", "splits": [split]}}
    page = page_of(make_run("shown", ["run", "walk"], results=results, root=tmp_path / "data"))
    pictures = page.tags("img")
    assert sorted(str(picture["alt"]) for picture in pictures) == ["Frames of run/0", "Frames of run/1"]
    assert all(str(picture["src"]).startswith("data:image/jpeg;base64,") for picture in pictures)
    assert "not-a-video" in page.text
    assert "no longer lists it" in page.text
    assert (page.text.count("✓"), page.text.count("✗")) == (2, 2)


def test_videos_that_have_gone_leave_a_note_and_another_root_brings_them_back(
    make_run: MakeRun, make_split: MakeSplit, write_video: WriteVideo, tmp_path: Path
) -> None:
    write_video("moved/run/0.mp4", [20, 120, 220])
    split = make_split(["run", "walk"], video_ids=["run/0"])
    run = make_run("gone", ["run", "walk"], results={"closed": {"dataset": "folder", "splits": [split]}})
    lost = page_of(run)
    assert "cannot be shown" in lost.text
    assert lost.tags("img") == []
    assert len(page_of(run, root=tmp_path / "moved").tags("img")) == 1


def test_pictures_of_many_videos_are_bounded(
    make_run: MakeRun, make_split: MakeSplit, write_video: WriteVideo, tmp_path: Path
) -> None:
    video_ids = [f"run/{number}" for number in range(40)]
    whole = write_video("data/run/0.mp4", [20, 120, 220]).read_bytes()
    for video_id in video_ids:
        (tmp_path / f"data/{video_id}.mp4").write_bytes(whole)
    split = make_split(["run", "walk"], video_ids=video_ids)
    results = {"closed": {"dataset": "folder", "splits": [split]}}
    runs = [make_run(name, ["run", "walk"], results=results, root=tmp_path / "data") for name in "ab"]
    assert len(page_of(runs[0]).tags("img")) == MOST_STRIPS
    assert len(page_of(*runs).tags("img")) == MOST_STRIPS


@pytest.mark.parametrize(
    "name", ["config.yaml", "env.json", "metrics.jsonl", "summary.json", "results/closed.json"]
)
@pytest.mark.parametrize("content", ["{", "[1, 2]\n", "\x00\n", "[" * 5000 + "\n"])
def test_a_damaged_file_is_a_line_on_the_page(
    make_run: MakeRun, make_split: MakeSplit, name: str, content: str
) -> None:
    run = make_run("hurt", ["a", "b"], results={"closed": {"splits": [make_split(["a", "b"])]}})
    (run / name).write_text(content)
    assert f"{name} is damaged" in page_of(run).text


@pytest.mark.parametrize("method", [None, "ju2022", ["x"], {"name": {"a": 1}, "config": 3, "recipe": "fast"}])
def test_a_config_of_another_shape_is_shown_as_far_as_it_goes(make_run: MakeRun, method: object) -> None:
    import yaml

    run = make_run("odd", ["a", "b"])
    held = yaml.safe_load((run / "config.yaml").read_text())
    odd = held | {"method": method, "places": 3, "features": "x", "class_names": "y", "init_from": [1]}
    (run / "config.yaml").write_text(yaml.safe_dump(odd))
    assert "Provenance" in page_of(run).text


def test_a_missing_run_names_those_beside_it(make_run: MakeRun) -> None:
    run = make_run("there", ["a"])
    with pytest.raises(RunMissing) as caught:
        write_report([run.parent / "none"], run / "report.html")
    assert caught.value.found == ("there",)


def test_an_older_page_is_replaced_and_only_a_plain_file_is(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("one", ["a"])
    page = tmp_path / "new folder" / "page.html"
    for _ in range(2):
        write_report([run], page)
        assert page.read_text().endswith("</html>\n")
    assert [path.name for path in page.parent.iterdir()] == ["page.html"]
    with pytest.raises(StoreUnwritable, match="no plain file"):
        write_report([run], tmp_path)
