"""What exists in the toy world: coloured shapes, where they lie, and which of them the toy CLIP never saw.

Lengths are in half-frames: half of the frame's shorter side is 1, (0, 0) is the middle, x grows to the
right, y grows downwards. Angles are in radians, clockwise as seen on the screen.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

PALETTE: dict[str, tuple[int, int, int]] = {
    "red": (225, 30, 35),
    "green": (30, 165, 45),
    "blue": (35, 65, 225),
    "yellow": (240, 225, 40),
    "orange": (250, 140, 20),
    "purple": (135, 40, 170),
    "pink": (250, 150, 200),
    "cyan": (40, 220, 225),
    "brown": (135, 75, 30),
    "white": (245, 245, 245),
}
COLOURS = tuple(PALETTE)
SHAPES = ("circle", "square", "triangle", "star", "cross", "heart", "ring", "crescent")
POSITIONS = ("left", "right", "top", "bottom", "centre")
SIZES = ("small", "large")
BACKGROUNDS = ("plain", "striped", "checkered", "dotted", "wavy")
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "colour": COLOURS,
    "shape": SHAPES,
    "position": POSITIONS,
    "size": SIZES,
    "background": BACKGROUNDS,
}
"""The words of each attribute; their order here is the order of columns in `Scenes.attributes`."""

HELD_OUT = (
    ("red", "square"),
    ("green", "star"),
    ("blue", "ring"),
    ("yellow", "cross"),
    ("orange", "heart"),
    ("purple", "triangle"),
    ("pink", "crescent"),
    ("cyan", "circle"),
    ("brown", "star"),
    ("white", "cross"),
)
"""Combinations kept from the toy CLIP, fixed before training: each colour once, a shape at most twice."""

ANCHOR = 0.36  # distance of the four outer positions from the middle
ANCHORS = np.array(((-ANCHOR, 0), (ANCHOR, 0), (0, -ANCHOR), (0, ANCHOR), (0, 0)), np.float32)
ANCHOR_REACH = 0.11  # how far from an anchor a shape may lie and still be said to be there
RADII = (0.36, 0.62)  # the smallest and largest shape; below about a third the ViT never learns shapes
SMALL_BELOW, LARGE_ABOVE = 0.45, 0.52  # between them a shape is neither small nor large


@dataclass(frozen=True)
class Scenes:
    """A batch of B scenes, one object each.

    Args:
        colour, shape, background: (B,) indices into `COLOURS`, `SHAPES`, `BACKGROUNDS`.
        x, y, radius: (B,) centre and radius of the object, in half-frames.
        angle: (B,) clockwise rotation of the object, in radians.
        shade: (B, 3) what to add to the object's RGB values, in levels of 255.
        tones: (B, 2, 3) the darker and the lighter RGB value of the background, in levels of 255.
        pattern: (B, 3) cycles of the background per half-frame, and its two phases in cycles.
    """

    colour: Ints
    shape: Ints
    background: Ints
    x: Floats
    y: Floats
    radius: Floats
    angle: Floats
    shade: Floats
    tones: Floats
    pattern: Floats

    def __len__(self) -> int:
        return len(self.colour)

    def __getitem__(self, rows: Any) -> "Scenes":
        """Take some scenes, as numpy would: a slice, a mask, or indices."""
        return Scenes(*(getattr(self, field.name)[rows] for field in fields(self)))

    @property
    def attributes(self) -> Ints:
        """(B, 5) index of the word that is true of each attribute; -1 where no word is."""
        return np.stack(
            (
                self.colour,
                self.shape,
                named_position(self.x, self.y),
                named_size(self.radius),
                self.background,
            ),
            axis=1,
        )


def named_position(x: Floats, y: Floats) -> Ints:
    """Name where objects lie: (B,) indices into `POSITIONS`, -1 for places between them."""
    offset = np.abs(np.stack((x, y), axis=1)[:, None] - ANCHORS).max(axis=2)
    nearest = offset.argmin(axis=1)
    return np.where(offset.min(axis=1) <= ANCHOR_REACH, nearest, -1)


def named_size(radius: Floats) -> Ints:
    """Name how large objects are: (B,) indices into `SIZES`, -1 for those in between."""
    return np.where(radius < SMALL_BELOW, 0, np.where(radius > LARGE_ABOVE, 1, -1))


def pair_indices(*, held_out: bool) -> Ints:
    """List the colour and shape pairs that are, or are not, held out: (10 or 70, 2) indices."""
    pairs = [
        (c, s)
        for c, colour in enumerate(COLOURS)
        for s, shape in enumerate(SHAPES)
        if ((colour, shape) in HELD_OUT) == held_out
    ]
    return np.array(pairs, np.int64)


def object_name(colour: int, shape: int) -> str:
    """Name an object by the indices of its colour and shape, as in ``"red circle"``."""
    return f"{COLOURS[colour]} {SHAPES[shape]}"


def sample_scenes(rng: np.random.Generator, count: int) -> Scenes:
    """Draw scenes for training: every place, size and turn that a frame of a video may show.

    Half of the objects stand upright, half are turned at will; six in ten lie at a named position.
    No colour and shape pair of `HELD_OUT` is drawn.

    Args:
        rng: the only source of chance.
        count: B, number of scenes.
    """
    pairs = pair_indices(held_out=False)
    colour, shape = pairs[rng.integers(len(pairs), size=count)].T
    anchored = ANCHORS[rng.integers(len(ANCHORS), size=count)] + rng.uniform(-0.09, 0.09, (count, 2))
    centre = np.where(rng.random((count, 1)) < 0.6, anchored, rng.uniform(-0.45, 0.45, (count, 2)))
    turned = rng.random(count) < 0.5
    angle = np.where(turned, rng.uniform(0, 2 * np.pi, count), rng.uniform(-0.2, 0.2, count))
    return Scenes(
        colour=colour,
        shape=shape,
        background=rng.integers(len(BACKGROUNDS), size=count),
        x=centre[:, 0].astype(np.float32),
        y=centre[:, 1].astype(np.float32),
        radius=rng.uniform(*RADII, count).astype(np.float32),
        angle=angle.astype(np.float32),
        **sample_looks(rng, count),
    )


def sample_looks(rng: np.random.Generator, count: int) -> dict[str, Floats]:
    """Draw what no caption mentions: the fields ``shade``, ``tones`` and ``pattern`` of ``count`` scenes."""
    dark = rng.uniform(20, 60, (count, 1)) + rng.uniform(-6, 6, (count, 3))
    light = dark + rng.uniform(40, 60, (count, 1))
    phases = rng.random((count, 2))
    cycles = rng.uniform(2.0, 3.2, (count, 1))
    return {
        "shade": rng.uniform(-9, 9, (count, 3)).astype(np.float32),
        "tones": np.stack((dark, light), axis=1).astype(np.float32),
        "pattern": np.concatenate((cycles, phases), axis=1).astype(np.float32),
    }
