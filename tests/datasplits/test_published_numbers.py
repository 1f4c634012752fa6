"""Published numbers: their form, their arithmetic, and, where the papers are at hand, every one of them in the text."""

import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from vlp.datasplits.errors import PublishedNumbersUnreadable
from vlp.datasplits.published_numbers import published_numbers
from vlp.datasplits.published_rows import METRICS, Paper, PublishedNumbers, PublishedRow

DOCS = Path(__file__).parents[2] / "docs" / "published.md"
NUMBERS = published_numbers()
PAPERS = os.environ.get("VLP_PAPERS")
"""A folder with the papers as text, one file each; without it the text itself cannot be checked."""
SMALL = """
papers: {smith: {short: Smith, title: On Videos, venue: none}}
inconsistencies:
  two-means: {paper: smith, says: The means differ., places: [{where: Table 1, prints: "52.4"}, {where: Table 2}]}
tables:
  - paper: smith
    table: "1"
    protocol: closed-set
    rows: [{printed: Ours, flags: [two-means], values: [{dataset: ucf101, top1: "52.40"}]}]
"""
TRANSPOSED = {("actionclip2021", "1"), ("actionclip2021", "3"), ("flowing2023", "7")}
"""Tables whose rows are printed as columns."""


def write(folder: Path, held: object) -> PublishedNumbers:
    """Read a file that holds this."""
    (folder / "numbers.yaml").write_text(yaml.safe_dump(held), encoding="utf-8")
    return published_numbers(folder / "numbers.yaml")


def half_unit(number: str) -> float:
    """How far the printed number may be from the exact one."""
    return 0.5 * 10.0 ** -len(number.partition(".")[2])


def bounds(function: Callable[..., float], numbers: list[str]) -> tuple[float, float]:
    """The least and the greatest value of an increasing function, given that its arguments were rounded."""
    low = function(*(float(number) - half_unit(number) for number in numbers))
    return low, function(*(float(number) + half_unit(number) for number in numbers))


def mean(*numbers: float) -> float:
    return sum(numbers) / len(numbers)


def harmonic(base: float, novel: float) -> float:
    return 2 * base * novel / (base + novel)


def derived(row: PublishedRow) -> list[tuple[str, Callable[..., float], list[str]]]:
    """What a row prints that follows from other numbers of it."""
    found: list[tuple[str, Callable[..., float], list[str]]] = []
    if {"top1", "top5", "top1_top5_mean"} <= row.values.keys():
        found.append(("top1_top5_mean", mean, [row.values["top1"], row.values["top5"]]))
    if "harmonic_mean" in row.values:
        found.append(("harmonic_mean", harmonic, [row.values["base"], row.values["novel"]]))
    if "map_mean" in row.values and row.dataset == "thumos14":
        found.append(("map_mean", mean, [row.values[f"map_0.{tenth}"] for tenth in range(3, 8)]))
    return found


def test_what_follows_from_other_numbers_does_so_or_is_flagged() -> None:
    wrong = {}
    for row in NUMBERS.rows:
        for name, function, numbers in derived(row):
            low, high = bounds(function, numbers)
            printed = float(row.values[name])
            slack = half_unit(row.values[name]) + 1e-9
            if not low - slack <= printed <= high + slack:
                wrong[row.place, row.dataset] = {flag.name for flag in row.inconsistencies}
    assert all(wrong.values()), wrong
    assert {flag for flags in wrong.values() for flag in flags} >= {
        "ap-ucf101-base",
        "vilt-harmonic-mean-multimodal",
        "vilt-vl-prompting-base",
    }


def test_percentages_are_some_and_no_row_stands_twice() -> None:
    for row in NUMBERS.rows:
        for name, number in row.values.items():
            assert METRICS[name] != "percent" or 0 < float(number.split()[0]) < 100
    places = [(row.place, row.protocol, row.dataset, str(row.settings)) for row in NUMBERS.rows]
    assert len(set(places)) == len(places)


def test_every_paper_has_rows_and_every_inconsistency_two_places() -> None:
    assert {row.paper.name for row in NUMBERS.rows} == NUMBERS.papers.keys()
    assert len({(row.paper.name, row.table, row.printed) for row in NUMBERS.rows}) >= 60
    for name, found in NUMBERS.inconsistencies.items():
        of_one_place = {"ap-number-of-prompts", "flowing-share-of-videos", "vilt-harmonic-mean-multimodal"}
        assert len(found.places) >= 2 or name in of_one_place  # these contradict arithmetic


def test_settings_of_a_table_hold_for_its_rows_unless_these_say_otherwise() -> None:
    (probe, trained) = (
        next(row for row in NUMBERS.rows if (row.table, row.printed, row.dataset) == wanted)
        for wanted in (("1", "Baseline-II", "kinetics700"), ("1", "A5", "kinetics700"))
    )
    assert "num_frames" not in probe.settings
    assert (trained.settings["num_frames"], trained.settings["num_classes"]) == (16, 700)
    assert trained.recipe["optimizer"] == "adamw"
    few = [row.settings for row in NUMBERS.rows if row.settings.get("ways") == 5]
    assert {settings["num_classes"] for settings in few} == {10, 21, 24}  # those that five are drawn from


def test_the_documentation_lists_every_inconsistency() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert [name for name in NUMBERS.inconsistencies if f"`{name}`" not in text] == []


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (["tables"], "none", "tables is no list"),
        (["tables", 0, "rows", 0, "printed"], None, "printed: None is no text"),
        (["tables", 0, "rows", 0, "colour"], "red", "'colour' is not known. Known: printed"),
        (["tables", 0, "paper"], "jones", "'jones' is not known. Known: smith"),
        (["tables", 0, "protocol"], "guessing", "'guessing' is not known. Known: closed-set"),
        (["tables", 0, "rows", 0, "flags"], ["none"], "flags: 'none' is not known"),
        (["tables", 0, "rows", 0, "values", 0, "top1"], 52.4, 'not a number in quotes such as "76.6"'),
        (["tables", 0, "rows", 0, "values", 0], {"dataset": "ucf101"}, "a value has no number"),
        (["tables", 0, "settings"], {"frames": 8}, "'frames' is not known. Known: model"),
        (["tables", 0, "settings"], {"num_frames": "8"}, "num_frames is '8', which is no int"),
        (["tables", 0, "settings"], {"num_frames": True}, "num_frames is True, which is no int"),
        (["papers"], ["a"], "papers: it is no mapping of names"),
        (["inconsistencies", "two-means", "says"], 3, "inconsistency two-means, says: 3 is no text"),
    ],
)
def test_a_broken_rule_is_named_with_its_place(
    path: list[object], value: object, said: str, tmp_path: Path
) -> None:
    held = yaml.safe_load(SMALL)
    assert write(tmp_path, held).rows[0].values == {"top1": "52.40"}
    place = held
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(PublishedNumbersUnreadable) as refused:
        write(tmp_path, held)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "it is no YAML"),
        (b"\xff\xfe\x00", "it is no YAML"),
        (b"[" * 100_000, "it is no YAML"),
        (b"date: 2001-13-45", "it is no YAML"),
        (b"- 1", "the file: it is no mapping of names"),
        (b"1: 2", "the file: it is no mapping of names"),
        (b"#" * (5 << 20), "more than 4,194,304 bytes"),
        (None, "No such file"),
    ],
)
def test_what_is_no_file_of_numbers_is_refused(content: bytes | None, said: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "numbers.yaml").write_bytes(content)
    with pytest.raises(PublishedNumbersUnreadable, match=re.escape(said)):
        published_numbers(tmp_path / "numbers.yaml")


def plain(text: str) -> str:
    """Take off the marks of formatting that the text of a paper carries."""
    text = re.sub(r"\$?\\pm\s*\$?", "±", text)
    text = re.sub(r"\\(math|text)bf|</?[bi]>|[*$\\{}_]", "", text)
    return re.sub(r"[ \t]*±[ \t]*", " ± ", text)


def text_of(paper: Paper) -> str:
    """Read the file of the folder that begins with the paper's title."""
    words = re.sub(r"\W+", "", paper.title).lower()
    for file in sorted(Path(str(PAPERS)).glob("*.txt")):
        text = file.read_text(encoding="utf-8")
        if words in re.sub(r"\W+", "", text[:1000]).lower():
            return plain(text)
    raise AssertionError(f"no text of {paper.title} in {PAPERS}")


def times(number: str, text: str) -> int:
    """Count where a number stands by itself."""
    return len(re.findall(rf"(?<![\d.]){re.escape(number)}(?![\d.]|,\d)", text))


def table_lines(text: str, number: str) -> list[str]:
    """The lines around a table's caption."""
    lines = text.splitlines()
    captions = [at for at, line in enumerate(lines) if re.match(rf"\W*Table {number}[:.]", line)]
    assert captions, f"no caption of Table {number}"
    return [line for at in captions for line in lines[max(0, at - 35) : at + 35]]


@pytest.mark.skipif(PAPERS is None, reason="VLP_PAPERS names no folder with the papers as text")
@pytest.mark.parametrize("name", sorted(NUMBERS.papers))
def test_every_number_stands_in_its_table_on_one_line(name: str) -> None:
    text = text_of(NUMBERS.papers[name])
    printed: dict[tuple[str, str, str], Counter[str]] = {}
    for row in NUMBERS.rows:
        if row.paper.name == name:
            key = (row.table, row.protocol, row.printed)
            printed.setdefault(key, Counter()).update(row.values.values())
    for (table, _, row_name), numbers in printed.items():
        lines = table_lines(text, table)
        if (name, table) in TRANSPOSED:
            lines = ["\n".join(lines)]
        # One count of parameters stands for three data sets.
        wanted = Counter(set(numbers)) if (name, table) == ("flowing2023", "3") else numbers
        found = [line for line in lines if all(times(n, line) >= count for n, count in wanted.items())]
        assert found, (table, row_name, wanted)


@pytest.mark.skipif(PAPERS is None, reason="VLP_PAPERS names no folder with the papers as text")
def test_what_an_inconsistency_quotes_is_printed() -> None:
    texts = {name: re.sub(r"\s+", " ", plain(text_of(paper))) for name, paper in NUMBERS.papers.items()}
    missing = [
        (found.name, place.prints)
        for found in NUMBERS.inconsistencies.values()
        for place in found.places
        if place.prints is not None and place.prints not in texts[place.paper]
    ]
    assert missing == []


@pytest.mark.skipif(PAPERS is None, reason="VLP_PAPERS names no folder with the papers as text")
def test_what_is_counted_is_stated() -> None:
    texts = {name: text_of(paper) for name, paper in NUMBERS.papers.items()}
    counted = {
        (row.paper.name, row.settings[name])
        for row in NUMBERS.rows
        for name in ("num_test_videos", "num_frames", "num_trials", "shots")
        if name in row.settings
    }
    for name, count in sorted(counted):
        spellings = {str(count), f"{count:,}", f"{count:,}".replace(",", ", ")}
        assert any(times(one, texts[name]) for one in spellings), (name, count)
