from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlp.pipeline.toy.world import (
    ANCHORS,
    ATTRIBUTES,
    COLOURS,
    HELD_OUT,
    POSITIONS,
    SHAPES,
    SIZES,
    named_position,
    named_size,
    object_name,
    pair_indices,
    sample_scenes,
)


def test_ten_pairs_are_held_out_and_each_colour_and_shape_is_still_seen_in_others() -> None:
    assert len(set(HELD_OUT)) == len(HELD_OUT) == 10
    assert Counter(colour for colour, _ in HELD_OUT) == dict.fromkeys(COLOURS, 1)
    assert {shape for _, shape in HELD_OUT} <= set(SHAPES)
    assert max(Counter(shape for _, shape in HELD_OUT).values()) <= 2


@settings(deadline=None)  # the machine may be busy
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 300))
def test_no_training_scene_shows_a_held_out_pair(seed: int, count: int) -> None:
    scenes = sample_scenes(np.random.default_rng(seed), count)
    shown = {(COLOURS[c], SHAPES[s]) for c, s in zip(scenes.colour, scenes.shape, strict=True)}
    assert not shown & set(HELD_OUT)


def test_training_scenes_show_every_other_pair_and_every_word() -> None:
    scenes = sample_scenes(np.random.default_rng(0), 4000)
    shown = set(zip(scenes.colour.tolist(), scenes.shape.tolist(), strict=True))
    assert shown == set(map(tuple, pair_indices(held_out=False).tolist()))
    for column, words in zip(scenes.attributes.T, ATTRIBUTES.values(), strict=True):
        assert set(column.tolist()) >= set(range(len(words)))


def test_seen_and_held_out_pairs_are_all_eighty() -> None:
    pairs = [*pair_indices(held_out=False).tolist(), *pair_indices(held_out=True).tolist()]
    assert sorted(pairs) == [[c, s] for c in range(10) for s in range(8)]
    assert {object_name(c, s) for c, s in pair_indices(held_out=True)} == {
        " ".join(pair) for pair in HELD_OUT
    }


@pytest.mark.parametrize(
    ("x", "y", "word"), [(-0.4, 0, "left"), (0.4, 0, "right"), (0, -0.4, "top"), (0, 0.4, "bottom")]
)
def test_places_are_named_as_seen_on_the_screen(x: float, y: float, word: str) -> None:
    assert POSITIONS[named_position(np.float32([x]), np.float32([y]))[0]] == word


def test_places_between_two_anchors_have_no_name() -> None:
    between = ANCHORS[:4] / 2
    assert named_position(between[:, 0], between[:, 1]).tolist() == [-1] * 4
    assert named_position(ANCHORS[:, 0], ANCHORS[:, 1]).tolist() == [0, 1, 2, 3, 4]


def test_sizes_in_between_have_no_name() -> None:
    small, medium, large = named_size(np.float32([0.38, 0.49, 0.6]))
    assert (SIZES[small], medium, SIZES[large]) == ("small", -1, "large")


def test_scenes_are_taken_as_rows_are() -> None:
    scenes = sample_scenes(np.random.default_rng(3), 10)
    some = scenes[np.array([4, 1])]
    assert len(some) == 2
    assert some.attributes.tolist() == scenes.attributes[[4, 1]].tolist()
    assert some.tones.tolist() == scenes.tones[[4, 1]].tolist()
