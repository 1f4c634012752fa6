import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlp.pipeline.toy.actions import (
    ACTIONS,
    BASE_ACTIONS,
    GROUND_ACTIONS,
    NOVEL_ACTIONS,
    PLACE_ACTIONS,
    TIME_ONLY_ACTIONS,
    TIME_PAIRS,
    describe,
    sample_video_scenes,
)
from vlp.pipeline.toy.painter import paint
from vlp.pipeline.toy.world import ANCHORS, BACKGROUNDS, RADII, Scenes, named_position

SQUARE = 1


def scenes_of(action: str, *, seed: int = 0, num_frames: int = 12) -> Scenes:
    rng = np.random.default_rng(seed)
    return sample_video_scenes(rng, action, colour=2, shape=SQUARE, num_frames=num_frames)


def test_half_of_sixteen_actions_need_time() -> None:
    assert len(set(ACTIONS)) == 16
    assert len(TIME_ONLY_ACTIONS) == len(ACTIONS) // 2
    assert set(ACTIONS) == {*TIME_ONLY_ACTIONS, *PLACE_ACTIONS, *GROUND_ACTIONS}


def test_base_and_novel_halves_keep_pairs_together() -> None:
    assert len(BASE_ACTIONS) == len(NOVEL_ACTIONS) == 8
    assert set(BASE_ACTIONS) | set(NOVEL_ACTIONS) == set(ACTIONS)
    for pair in TIME_PAIRS:
        assert set(pair) <= set(BASE_ACTIONS) or set(pair) <= set(NOVEL_ACTIONS)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), num_frames=st.integers(1, 40), pair=st.sampled_from(TIME_PAIRS))
def test_time_pairs_are_exact_reversals(seed: int, num_frames: int, pair: tuple[str, str]) -> None:
    forward, backward = (
        paint(scenes_of(action, seed=seed, num_frames=num_frames), height=24, width=32) for action in pair
    )
    assert np.array_equal(forward, backward[::-1])


@pytest.mark.parametrize(
    ("action", "quantity", "sign"),
    [
        ("moving left", "x", -1),
        ("moving right", "x", 1),
        ("moving up", "y", -1),
        ("moving down", "y", 1),
        ("growing", "radius", 1),
        ("shrinking", "radius", -1),
        ("turning clockwise", "angle", 1),
        ("turning counter-clockwise", "angle", -1),
    ],
)
def test_what_an_action_changes_and_which_way(action: str, quantity: str, sign: int) -> None:
    scenes = scenes_of(action, seed=4)
    for name in ("x", "y", "radius", "angle"):
        steps = np.diff(getattr(scenes, name))
        assert (sign * steps > 0).all() if name == quantity else not steps.any()
    assert abs(getattr(scenes, quantity)[-1] - getattr(scenes, quantity)[0]) > 0.15


@pytest.mark.parametrize(("action", "place"), PLACE_ACTIONS.items())
def test_resting_shapes_stay_at_their_place(action: str, place: tuple[float, float]) -> None:
    for seed in range(20):
        scenes = scenes_of(action, seed=seed)
        assert np.allclose(ANCHORS[named_position(scenes.x, scenes.y)], place)


@pytest.mark.parametrize("action", ACTIONS)
def test_patterned_grounds_belong_to_their_actions_alone(action: str) -> None:
    expected = GROUND_ACTIONS.get(action, "plain")
    assert {BACKGROUNDS[index] for index in scenes_of(action).background} == {expected}


@pytest.mark.parametrize("action", ACTIONS)
def test_videos_stay_within_what_training_stills_show(action: str) -> None:
    for seed in range(20):
        scenes = scenes_of(action, seed=seed)
        assert max(np.abs(scenes.x).max(), np.abs(scenes.y).max()) <= 0.45
        assert RADII[0] <= scenes.radius.min() <= scenes.radius.max() <= RADII[1]


def test_impossible_videos_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown action 'dancing'; known: moving left, "):
        scenes_of("dancing")
    with pytest.raises(ValueError, match="a circle never looks turned"):
        sample_video_scenes(
            np.random.default_rng(0), "turning counter-clockwise", colour=0, shape=0, num_frames=4
        )


def test_captions_name_the_object_and_the_action() -> None:
    assert describe("growing", 0, 0) == "a red circle growing"
    assert describe("moving left", 4, 3) == "an orange star moving left"
