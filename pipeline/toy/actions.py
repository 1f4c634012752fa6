"""The toy actions: eight that only the order of frames tells apart, and eight that one frame shows.

The first of each time pair is drawn, its partner is the same drawing played backwards: as sets of frames
the two are alike, so that no single frame and no average over frames can tell them apart (as in
Something-Something).
"""

import numpy as np
from numpy.typing import NDArray

from vlp.pipeline.toy.world import (
    ANCHOR,
    BACKGROUNDS,
    RADII,
    SHAPES,
    Floats,
    Scenes,
    object_name,
    sample_looks,
)

TIME_PAIRS = (
    ("moving left", "moving right"),
    ("moving up", "moving down"),
    ("growing", "shrinking"),
    ("turning clockwise", "turning counter-clockwise"),
)
TIME_ONLY_ACTIONS = tuple(action for pair in TIME_PAIRS for action in pair)
PLACE_ACTIONS = {
    "resting at the left": (-ANCHOR, 0.0),
    "resting at the right": (ANCHOR, 0.0),
    "resting at the top": (0.0, -ANCHOR),
    "resting at the bottom": (0.0, ANCHOR),
}
GROUND_ACTIONS = {
    "resting on stripes": "striped",
    "resting on checks": "checkered",
    "resting on dots": "dotted",
    "resting on waves": "wavy",
}
ACTIONS = (*TIME_ONLY_ACTIONS, *PLACE_ACTIONS, *GROUND_ACTIONS)
BASE_ACTIONS = (
    *TIME_PAIRS[0],
    *TIME_PAIRS[2],
    *tuple(PLACE_ACTIONS)[:2],
    *tuple(GROUND_ACTIONS)[:2],
)
NOVEL_ACTIONS = tuple(action for action in ACTIONS if action not in BASE_ACTIONS)
"""The other half of `ACTIONS`; both halves keep pairs together and hold two pairs of each kind."""

TURN_REACH = {
    "square": np.pi / 6,
    "triangle": np.pi / 4.5,
    "star": np.pi / 7.5,
    "cross": np.pi / 6,
    "heart": np.pi / 3,
    "crescent": np.pi / 3,
}
"""How far to either side of upright a shape turns, at most; circles and rings never look turned.

A shape that looks the same after a smaller turn turns less, so that each of its frames looks different.
"""


def sample_video_scenes(
    rng: np.random.Generator, action: str, *, colour: int, shape: int, num_frames: int
) -> Scenes:
    """Draw the scenes of one video, frame by frame.

    Given equal ``rng`` states, the actions of a time pair give the same scenes in opposite orders.

    Args:
        rng: the only source of chance.
        action: one of `ACTIONS`.
        colour: index of the object's colour, kept all along.
        shape: index of the object's shape, kept all along.
        num_frames: T, length of the video.

    Returns:
        T scenes in order of time.

    Raises:
        ValueError: for an unknown action, or a turning shape that never looks turned.
    """
    if action not in ACTIONS:
        raise ValueError(f"unknown action {action!r}; known: {', '.join(ACTIONS)}")
    backward = action in {second for _, second in TIME_PAIRS}
    drawn = next((first for first, second in TIME_PAIRS if second == action), action)
    if drawn == "turning clockwise" and SHAPES[shape] not in TURN_REACH:
        raise ValueError(f"a {SHAPES[shape]} never looks turned")
    path = sample_path(rng, drawn, SHAPES[shape], np.linspace(0, 1, num_frames))
    background = BACKGROUNDS.index(GROUND_ACTIONS.get(action, "plain"))
    looks = {name: np.repeat(values, num_frames, axis=0) for name, values in sample_looks(rng, 1).items()}
    scenes = Scenes(
        colour=np.full(num_frames, colour),
        shape=np.full(num_frames, shape),
        background=np.full(num_frames, background),
        **path,
        **looks,
    )
    return scenes[::-1] if backward else scenes


def sample_path(
    rng: np.random.Generator, action: str, shape: str, progress: NDArray[np.float64]
) -> dict[str, Floats]:
    """Draw place, radius and angle at each moment.

    Args:
        rng: the only source of chance; every action takes the same draws from it.
        action: not the second of a time pair.
        shape: what turns, as it decides how far a turn can be told from its reverse.
        progress: (T,) moments from 0, the start of the video, to 1, its end.
    """
    x, y = PLACE_ACTIONS.get(action, (0.0, 0.0)) + rng.uniform(-0.05, 0.05, 2)
    start, end = rng.uniform(0.32, 0.42, 2)
    radius, angle = rng.uniform(0.40, 0.56), rng.uniform(-0.15, 0.15)
    small, large = rng.uniform(RADII[0] + 0.01, 0.40), rng.uniform(0.56, RADII[1] - 0.01)
    reach = rng.uniform(0.75, 1.0) * TURN_REACH.get(shape, 0.0)
    swept = start - (start + end) * progress  # from the right, or the bottom, to the opposite side
    path = {"x": x, "y": y, "radius": radius, "angle": angle}
    if action == "moving left":
        path["x"] = swept
    elif action == "moving up":
        path["y"] = swept
    elif action == "growing":
        path["radius"] = small + (large - small) * progress
    elif action == "turning clockwise":
        path["angle"] = angle / 2 + reach * (2 * progress - 1)
    return {name: np.broadcast_to(values, progress.shape).astype(np.float32) for name, values in path.items()}


def describe(action: str, colour: int, shape: int) -> str:
    """Write a video's caption, as in "a red circle moving left"."""
    subject = object_name(colour, shape)
    return f"{'an' if subject[0] in 'aeiou' else 'a'} {subject} {action}"
