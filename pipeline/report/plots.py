"""Figures as inline SVG, in the page's own colours and fonts.

Drawn by matplotlib on its Agg canvas, without pyplot and its global state. Colours are placeholders that become CSS
variables, so that a figure follows the page into its dark scheme. No text of a run is drawn (class names may be
anything): what has names is HTML.
"""

import io
import re
from collections.abc import Sequence
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import NDArray

# Colours that no figure contains otherwise, and what they become in the page.
_INK, _ACCENT, _LINE = "#010203", "#040506", "#070809"
_VARIABLES = {_INK: "var(--muted)", _ACCENT: "var(--accent)", _LINE: "var(--line)"}
# A picture has no variables: this blue is seen on white and on black.
_BLUE = (0.23, 0.51, 0.96)

_SETTINGS: Any = {
    "svg.fonttype": "none",  # the page's font
    "svg.hashsalt": "vlp",  # the same figure has the same bytes
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
}


def curve(
    steps: Sequence[float],
    values: Sequence[float],
    *,
    name: str,
    unit: Literal["number", "fraction"] = "number",
    x_label: str = "epoch",
) -> str:
    """Draw one quantity over the training.

    Args:
        steps: (n,) where it was measured.
        values: (n,) what it was; those that are not finite are left out.
        name: what it is, for readers who do not see the figure.
        unit: "fraction" is written as percent.
        x_label: what is counted along the bottom.

    Returns:
        An `<svg>` element.

    Raises:
        ValueError: if the lengths differ.
    """
    points = np.array(list(zip(steps, values, strict=True)), dtype=np.float64).reshape(-1, 2)
    points = points[np.isfinite(points).all(axis=1)]
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(3.7, 2.2), layout="constrained")
        axes = _axes(figure)
        marker = "o" if len(points) <= 40 else ""
        axes.plot(points[:, 0], points[:, 1], color=_ACCENT, linewidth=1.6, marker=marker, markersize=2.6)
        axes.set_xlabel(x_label)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        if unit == "fraction":
            axes.yaxis.set_major_formatter(PercentFormatter(1.0))
        return _svg(figure, name)


def confusion_map(confusion: NDArray[np.int64], *, name: str) -> str:
    """Draw a confusion matrix too large for a table: one cell a pair of classes, the stronger the more of its row.

    Args:
        confusion: (C, C) counts, rows true.
        name: what it is, for readers who do not see the figure.

    Returns:
        An `<svg>` element; classes are numbered from 1.

    Raises:
        ValueError: if the matrix is not square.
    """
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1]:
        raise ValueError(f"a confusion matrix of shape {confusion.shape} is not square")
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    cells = np.empty((*shares.shape, 4))
    cells[..., :3] = _BLUE
    cells[..., 3] = np.where(shares > 0, 0.12 + 0.88 * shares, 0)  # one error of a hundred is still seen
    last = len(shares) + 0.5
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=(5.6, 5.4), layout="constrained")
        axes = _axes(figure)
        axes.imshow(cells, interpolation="none", extent=(0.5, last, last, 0.5))
        axes.grid(visible=False)
        axes.set_xlabel("predicted class")
        axes.set_ylabel("true class")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(nbins=10, integer=True))
        return _svg(figure, name)


def _axes(figure: Figure) -> Axes:
    FigureCanvasAgg(figure)
    axes: Axes = figure.add_subplot()
    axes.tick_params(length=0)
    axes.set_axisbelow(True)
    return axes


def _svg(figure: Figure, name: str) -> str:
    """Write a figure as an element for a page that holds others: own ids, a name, the page's colours."""
    written = io.StringIO()
    figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    text = written.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(
        r"<(metadata|style).*?</\1>", "", text, flags=re.DOTALL
    )  # a style would be the whole page's
    text = re.sub(r"font-family: [^;\"]*;?", "", text)
    for placeholder, variable in _VARIABLES.items():
        text = text.replace(placeholder, variable)
    label = re.sub(r"[^\w .,()%-]", " ", name)
    prefix = re.sub(r"\W+", "-", name)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'href="#|url\(#', lambda found: f"{found[0]}{prefix}-", text)
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
