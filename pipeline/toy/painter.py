"""Paints scenes as frames: anti-aliased shapes on patterned backgrounds, a whole batch at a time.

Shapes are signed distances to an outline (negative inside) in the shape's own coordinates, where its radius
is about 1; the idea is common, see https://iquilezles.org/articles/distfunctions2d.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlp.pipeline.toy.world import BACKGROUNDS, PALETTE, SHAPES, Floats, Scenes

Outline = Callable[[Floats, Floats], Floats]
COLOUR_LEVELS = np.array(list(PALETTE.values()), np.float32)


def single(values: NDArray[Any]) -> Floats:
    """Keep single precision, which is all that a pixel needs and twice as fast."""
    return np.asarray(values, np.float32)


def circle(u: Floats, v: Floats) -> Floats:
    """Return the signed distance to a disc."""
    return single(np.hypot(u, v) - 1)


def square(u: Floats, v: Floats) -> Floats:
    """Return the signed distance to a square, rounded up outside its corners."""
    return single(np.maximum(np.abs(u), np.abs(v)) - 0.82)


def triangle(u: Floats, v: Floats) -> Floats:
    """Return the signed distance to an equilateral triangle that points up."""
    slope = np.float32(np.sqrt(0.75))
    return single(np.maximum(slope * np.abs(u) - 0.5 * v, v) - 0.55)


def star(u: Floats, v: Floats) -> Floats:
    """Return the signed distance to a star of five points, one of them up."""
    fifth = np.float32(2 * np.pi / 5)
    folded = np.abs(np.mod(np.arctan2(u, -v) + fifth / 2, fifth) - fifth / 2)
    reach = np.hypot(u, v)
    along, across = reach * np.cos(folded), reach * np.sin(folded)
    notch = 0.45 * np.array((np.cos(fifth / 2), np.sin(fifth / 2)), np.float32)
    edge = notch - np.array((1.08, 0), np.float32)
    edge /= np.float32(np.hypot(*edge))
    return single((along - 1.08) * edge[1] - across * edge[0])


def cross(u: Floats, v: Floats) -> Floats:
    """Return the signed distance to a cross with two equal bars."""
    wide, high = np.abs(u), np.abs(v)
    return single(np.minimum(np.maximum(wide - 1, high - 0.33), np.maximum(wide - 0.33, high - 1)))


def heart(u: Floats, v: Floats) -> Floats:
    """Return the signed distance to a heart: a square on its corner and two discs."""
    half = np.float32(0.52)
    right, left = (u + v - 0.1) * np.float32(np.sqrt(0.5)), (v - u - 0.1) * np.float32(np.sqrt(0.5))
    body = np.maximum(np.abs(right), np.abs(left)) - half
    discs = np.minimum(np.hypot(right, left + half), np.hypot(right + half, left)) - half
    return single(np.minimum(discs, body))


def ring(u: Floats, v: Floats) -> Floats:
    """Return the signed distance to a ring."""
    return single(np.abs(np.hypot(u, v) - 0.74) - 0.26)


def crescent(u: Floats, v: Floats) -> Floats:
    """Return the signed distance to a crescent that opens to the right."""
    return single(np.maximum(np.hypot(u, v) - 1, 0.78 - np.hypot(u - 0.5, v)))


def plain(x: Floats, y: Floats) -> Floats:
    """Paint nothing."""
    return np.zeros(np.broadcast_shapes(x.shape, y.shape), np.float32)


def striped(x: Floats, y: Floats) -> Floats:
    """Paint slanted stripes."""
    return single(np.sin(2 * np.pi * (x + 0.5 * y)))


def checkered(x: Floats, y: Floats) -> Floats:
    """Paint a chequerboard."""
    return single(2.5 * np.sin(np.pi * x) * np.sin(np.pi * y))


def dotted(x: Floats, y: Floats) -> Floats:
    """Paint round dots on a square lattice."""
    return single(np.cos(2 * np.pi * x) + np.cos(2 * np.pi * y) - 0.9)


def wavy(x: Floats, y: Floats) -> Floats:
    """Paint waves that run from left to right."""
    return single(np.sin(2 * np.pi * (y + 0.35 * np.sin(np.pi * x))))


OUTLINES: dict[str, Outline] = {
    "circle": circle,
    "square": square,
    "triangle": triangle,
    "star": star,
    "cross": cross,
    "heart": heart,
    "ring": ring,
    "crescent": crescent,
}
PATTERNS: dict[str, Outline] = {
    "plain": plain,
    "striped": striped,
    "checkered": checkered,
    "dotted": dotted,
    "wavy": wavy,
}


def paint(
    scenes: Scenes, *, height: int, width: int, grain: float = 0.0, rng: np.random.Generator | None = None
) -> NDArray[np.uint8]:
    """Paint every scene.

    Args:
        scenes: B scenes.
        height: of a frame, in pixels.
        width: of a frame, in pixels.
        grain: largest noise, in levels of 255, added to each value of each frame by itself.
        rng: where the grain comes from.

    Returns:
        (B, height, width, 3) RGB.

    Raises:
        ValueError: if a side is not positive, or grain is asked for without ``rng``.
    """
    if height < 1 or width < 1:
        raise ValueError(f"height ({height}) and width ({width}) must be at least 1")
    x, y = pixel_centres(height, width)
    cover = coverage(scenes, x, y, pixels=min(height, width) / 2)
    light = background_light(scenes, x, y)
    frames = np.empty((len(scenes), height, width, 3), np.float32)
    object_levels = COLOUR_LEVELS[scenes.colour] + scenes.shade
    dark, step = scenes.tones[:, 0], scenes.tones[:, 1] - scenes.tones[:, 0]
    for channel in range(3):
        behind = light * column(step[:, channel]) + column(dark[:, channel])
        frames[..., channel] = behind + cover * (column(object_levels[:, channel]) - behind)
    if grain:
        if rng is None:
            raise ValueError("grain needs rng")
        frames += (rng.random(frames.shape, np.float32) - 0.5) * np.float32(2 * grain)
    np.clip(frames, 0, 255, out=frames)
    frames += 0.5
    return frames.astype(np.uint8)


def pixel_centres(height: int, width: int) -> tuple[Floats, Floats]:
    """Place pixel centres in half-frames: x (1, 1, width) and y (1, height, 1)."""
    half = min(height, width) / 2
    x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / half
    y = (np.arange(height, dtype=np.float32) + 0.5 - height / 2) / half
    return single(x[None, None, :]), single(y[None, :, None])


def coverage(scenes: Scenes, x: Floats, y: Floats, *, pixels: float) -> Floats:
    """Tell how much of each pixel the object covers: (B, H, W) in [0, 1]; ``pixels`` are in a half-frame."""
    cover = np.empty((len(scenes), y.shape[1], x.shape[2]), np.float32)
    for index, name in enumerate(SHAPES):
        rows = np.flatnonzero(scenes.shape == index)
        if len(rows):
            some = scenes[rows]
            u, v = shape_coordinates(some, x, y)
            distance = OUTLINES[name](u, v) * column(some.radius * np.float32(pixels))
            cover[rows] = np.clip(0.5 - distance, 0, 1)
    return cover


def shape_coordinates(scenes: Scenes, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Turn frame coordinates into each shape's own: two arrays (B, H, W), in radii."""
    across, down = (x - column(scenes.x)), (y - column(scenes.y))
    cosine, sine = column(np.cos(scenes.angle) / scenes.radius), column(np.sin(scenes.angle) / scenes.radius)
    return cosine * across + sine * down, cosine * down - sine * across


def background_light(scenes: Scenes, x: Floats, y: Floats) -> Floats:
    """Paint the backgrounds between their dark (0) and light (1) tone: (B, H, W)."""
    light = np.empty((len(scenes), y.shape[1], x.shape[2]), np.float32)
    for index, name in enumerate(BACKGROUNDS):
        rows = np.flatnonzero(scenes.background == index)
        if len(rows):
            cycles, phase_x, phase_y = (column(part) for part in scenes.pattern[rows].T)
            light[rows] = np.clip(0.5 + PATTERNS[name](cycles * x + phase_x, cycles * y + phase_y), 0, 1)
    return light


def column(values: NDArray[Any]) -> Floats:
    """Shape one number a scene (B,) to be spread over its pixels (B, 1, 1)."""
    return single(values)[:, None, None]
