"""Figures are well-formed, self-contained SVG in the page's colours."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from vlp.pipeline.report.plots import confusion_map, curve

SVG = "{http://www.w3.org/2000/svg}"


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314  # what we drew ourselves


def line_of(svg: str) -> list[tuple[float, float]]:
    """Points of the one line in the accent colour."""
    paths = [
        path for path in parsed(svg).iter(f"{SVG}path") if "stroke: var(--accent)" in path.get("style", "")
    ]
    longest = max(paths, key=lambda path: path.get("style", "").count("stroke-width: 1.6"))
    return [(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", longest.get("d", ""))]


def test_a_falling_loss_is_a_falling_line() -> None:
    points = line_of(curve([1, 2, 3, 4], [4.0, 2.0, 1.0, 0.5], name="loss"))
    assert len(points) == 4
    xs, ys = zip(*points, strict=True)
    assert list(xs) == sorted(xs)
    assert list(ys) == sorted(ys)  # downwards is larger in SVG
    assert (ys[1] - ys[0]) / (ys[2] - ys[1]) == pytest.approx(2.0, rel=1e-3)


def test_values_that_are_not_finite_are_left_out() -> None:
    assert len(line_of(curve([1, 2, 3, 4], [4.0, float("nan"), float("inf"), 0.5], name="loss"))) == 2


@pytest.mark.parametrize("values", [[], [0.5], [float("nan")], [1e-300], [3.0, 3.0]])
def test_a_curve_of_hardly_any_point_is_still_a_figure(values: list[float]) -> None:
    assert parsed(curve(range(len(values)), values, name="accuracy", unit="fraction")).tag == f"{SVG}svg"


def test_fractions_are_written_as_percent() -> None:
    texts = [
        node.text or ""
        for node in parsed(curve([1, 2], [0.2, 0.8], name="x", unit="fraction")).iter(f"{SVG}text")
    ]
    assert any(text.endswith("%") for text in texts)


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="zip"):
        curve([1, 2], [0.5], name="loss")


def test_colours_follow_the_page_and_nothing_is_fetched() -> None:
    for svg in (curve([1, 2], [1, 2], name="loss"), confusion_map(np.eye(30, dtype=np.int64), name="map")):
        assert not re.findall(r"#[0-9a-fA-F]{6}\b", svg)
        assert "var(--" in svg
        assert "<style" not in svg
        assert "font-family" not in svg
        assert not re.findall(r'href="(?!#|data:)', svg)


def test_figures_of_one_page_share_no_id() -> None:
    ids = [set(re.findall(r'\bid="([^"]+)"', curve([1, 2], [1, 2], name=name))) for name in ("loss", "rate")]
    assert ids[0]
    assert not ids[0] & ids[1]
    svg = curve([1, 2], [1, 2], name="loss")
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', svg))
    assert used <= set(re.findall(r'\bid="([^"]+)"', svg))


def test_a_name_cannot_leave_its_attribute() -> None:
    svg = curve([1], [1], name='"><script>alert(1)</script>')
    assert "<script" not in svg
    assert parsed(svg).get("role") == "img"


def test_the_same_figure_has_the_same_bytes() -> None:
    assert curve([1, 2], [3, 4], name="loss") == curve([1, 2], [3, 4], name="loss")


def test_a_map_is_one_picture_with_a_cell_a_pair(tmp_path: object) -> None:
    import base64
    import io

    from PIL import Image

    confusion = np.zeros((120, 120), dtype=np.int64)
    confusion[3, 7], confusion[3, 3], confusion[9, 9] = 1, 99, 5
    svg = confusion_map(confusion, name="map")
    encoded = re.search(r"data:image/png;base64,([^\"]+)", svg)
    assert encoded is not None
    alpha = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded[1]))).convert("RGBA"))[..., 3]
    assert alpha.shape == (120, 120)
    seen = {(3, 7), (3, 3), (9, 9)}
    assert {tuple(place) for place in np.argwhere(alpha > 0).tolist()} == seen
    assert alpha[3, 3] > alpha[3, 7] > 20  # one error of a hundred is seen
    assert len(svg) < 100_000


@pytest.mark.parametrize("shape", [(3,), (2, 3)])
def test_a_matrix_must_be_square(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="square"):
        confusion_map(np.zeros(shape, dtype=np.int64), name="map")
