from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlp.pipeline.toy.painter import OUTLINES, PATTERNS, coverage, paint, pixel_centres
from vlp.pipeline.toy.world import BACKGROUNDS, COLOURS, PALETTE, SHAPES, Scenes, sample_scenes


def one_scene(shape: str, *, x: float = 0, y: float = 0, radius: float = 0.5, angle: float = 0) -> Scenes:
    scene = sample_scenes(np.random.default_rng(0), 1)
    numbers = {"x": x, "y": y, "radius": radius, "angle": angle}
    return replace(
        scene,
        shape=np.array([SHAPES.index(shape)]),
        background=np.array([BACKGROUNDS.index("plain")]),
        **{name: np.array([value], np.float32) for name, value in numbers.items()},
    )


def test_every_shape_and_background_can_be_painted() -> None:
    assert tuple(OUTLINES) == SHAPES
    assert tuple(PATTERNS) == BACKGROUNDS


@pytest.mark.parametrize(
    ("shape", "area"),
    [("circle", np.pi), ("square", 1.64**2), ("ring", np.pi * (1 - 0.48**2)), ("cross", 4 * 0.66 - 0.66**2)],
)
def test_the_covered_area_is_that_of_the_shape(shape: str, area: float) -> None:
    x, y = pixel_centres(96, 96)
    for radius in (0.36, 0.6):
        covered = coverage(one_scene(shape, radius=radius), x, y, pixels=48).sum()
        assert covered == pytest.approx(area * (radius * 48) ** 2, rel=0.02)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_quarter_turn_is_clockwise_on_the_screen(shape: str) -> None:
    upright = paint(one_scene(shape, x=0.2), height=48, width=48)[0]
    turned = paint(one_scene(shape, y=0.2, angle=np.pi / 2), height=48, width=48)[0]
    assert np.abs(np.rot90(upright, k=-1).astype(int) - turned).max() <= 1


def test_x_grows_to_the_right_and_y_downwards() -> None:
    frame = paint(one_scene("circle", x=0.3, y=0.2, radius=0.36), height=60, width=80)[0].astype(int)
    rows, columns = np.nonzero(np.abs(frame - frame[0, 0]).sum(axis=2) > 30)
    assert columns.mean() == pytest.approx(39.5 + 0.3 * 30, abs=0.3)
    assert rows.mean() == pytest.approx(29.5 + 0.2 * 30, abs=0.3)


@settings(max_examples=25, deadline=None)
@given(height=st.integers(1, 70), width=st.integers(1, 70), count=st.integers(1, 4), seed=st.integers(0, 999))
def test_frames_have_the_size_asked_for_and_do_not_depend_on_their_batch(
    height: int, width: int, count: int, seed: int
) -> None:
    scenes = sample_scenes(np.random.default_rng(seed), count)
    frames = paint(scenes, height=height, width=width)
    assert frames.shape == (count, height, width, 3)
    assert frames.dtype == np.uint8
    alone = paint(scenes[-1:], height=height, width=width)
    assert np.array_equal(frames[-1:], alone)


def test_objects_have_their_colour_up_to_a_shade() -> None:
    scenes = sample_scenes(np.random.default_rng(5), 200)
    scenes = replace(scenes, shape=np.zeros(200, np.int64))  # circles cover their middle
    frames = paint(scenes, height=96, width=96)
    rows, columns = ((47.5 + 48 * place).round().astype(int) for place in (scenes.y, scenes.x))
    middles = frames[np.arange(200), rows, columns].astype(int)
    expected = np.array([PALETTE[COLOURS[colour]] for colour in scenes.colour])
    assert np.abs(middles - expected).max() <= 10


def test_grain_stays_within_its_bound_and_comes_from_the_generator() -> None:
    scenes = sample_scenes(np.random.default_rng(6), 8)
    clean = paint(scenes, height=48, width=48).astype(int)
    grainy = [paint(scenes, height=48, width=48, grain=5, rng=np.random.default_rng(1)) for _ in range(2)]
    assert np.array_equal(*grainy)
    assert 4 <= np.abs(grainy[0] - clean).max() <= 6


def test_impossible_frames_are_refused() -> None:
    scenes = sample_scenes(np.random.default_rng(7), 1)
    with pytest.raises(ValueError, match=r"height \(0\) and width \(5\) must be at least 1"):
        paint(scenes, height=0, width=5)
    with pytest.raises(ValueError, match="grain needs rng"):
        paint(scenes, height=5, width=5, grain=1)
