"""Where the views of a frame lie, for every shape of frame, and how views are named."""

import json
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlp.pipeline.decoding.timeline import Timeline
from vlp.pipeline.encoder_spec import EncoderDescription, Preprocess
from vlp.pipeline.framing import (
    CENTRE,
    MODEL,
    SHORT_SIDE,
    VARIANTS,
    VIEWS,
    BadFraming,
    Framing,
    corner_of,
    short_side_of,
)
from vlp.pipeline.planning import meaning_of
from vlp.stores.fingerprint import fingerprint

SIDES = st.integers(1, 4000)
SIZES = st.integers(16, 448)


def resized(height: int, width: int, short_side: int) -> tuple[int, int]:
    """The frame that views are cut from, by the definition: its short side is given, its proportion kept."""
    long_side = int(Fraction(short_side * max(height, width), min(height, width)))
    return (long_side, short_side) if height > width else (short_side, long_side)


@given(height=SIDES, width=SIDES, size=SIZES, views=st.sampled_from(sorted(VIEWS)))
def test_every_view_lies_inside_the_frame(height: int, width: int, size: int, views: str) -> None:
    """Frames smaller than the view too: they are enlarged first."""
    tall, wide = resized(height, width, short_side_of(size))
    for view in VIEWS[views]:
        top, left = corner_of(view, tall, wide, size)
        assert 0 <= top <= tall - size
        assert 0 <= left <= wide - size


@given(height=SIDES, width=SIDES, size=SIZES)
def test_three_views_reach_both_ends_of_the_long_side_and_the_middle(
    height: int, width: int, size: int
) -> None:
    tall, wide = resized(height, width, short_side_of(size))
    corners = [corner_of(view, tall, wide, size) for view in VIEWS["3"]]
    along, across = (0, 1) if tall > wide else (1, 0)
    extent, other = (tall, wide) if tall > wide else (wide, tall)
    assert corners[0][along] == 0
    assert corners[2][along] + size == extent
    assert abs(corners[1][along] - (extent - size) / 2) <= 0.5
    assert {abs(corner[across] - (other - size) / 2) <= 0.5 for corner in corners} == {True}


@given(height=SIDES, width=SIDES, size=SIZES)
def test_corners_touch_the_edges_that_they_are_named_by(height: int, width: int, size: int) -> None:
    tall, wide = resized(height, width, short_side_of(size))
    for view in {*VIEWS["2"], *VIEWS["4"]}:
        top, left = corner_of(view, tall, wide, size)
        assert top == (0 if "top" in view else tall - size)
        assert left == (0 if "left" in view else wide - size)


def test_two_views_are_opposite_and_four_are_all() -> None:
    assert VIEWS["2"] == ("top-left", "bottom-right")
    assert {*VIEWS["2"]} < {*VIEWS["4"]}
    assert len({*VIEWS["4"]}) == 4


@given(size=SIZES)
def test_the_short_side_keeps_the_proportion_of_256_to_224(size: int) -> None:
    assert abs(Fraction(short_side_of(size)) - Fraction(size * 256, 224)) <= Fraction(1, 2)
    assert short_side_of(size) >= size
    assert short_side_of(224) == 256


@pytest.mark.parametrize("views", sorted(VIEWS))
@pytest.mark.parametrize("preprocess", [MODEL, SHORT_SIDE])
def test_what_a_store_says_of_its_views_is_read_back(views: str, preprocess: str) -> None:
    framing = Framing.parse(views, preprocess)
    said = {
        "views": list(framing.views),
        "preprocess": framing.meaning({"image_size": 224}, 224),
    }
    assert Framing.of_meaning(json.loads(json.dumps(said))) == framing
    assert framing.views == VIEWS[views]


@pytest.mark.parametrize("views", ["2", "3", "4"])
def test_views_that_the_models_own_square_has_not_are_of_the_larger_frame(views: str) -> None:
    assert Framing.parse(views, MODEL) == Framing.parse(views, SHORT_SIDE)
    assert Framing.parse(views).variant == SHORT_SIDE
    with pytest.raises(BadFraming):
        Framing(VIEWS[views], MODEL)


def test_one_view_and_its_mirror_image_are_the_models_own_unless_asked_otherwise() -> None:
    assert Framing.parse("1") == CENTRE
    assert Framing.parse("flip").variant == MODEL
    assert Framing.parse("flip", SHORT_SIDE).variant == SHORT_SIDE


def test_the_larger_frame_is_resized_alike_for_every_model_and_normalised_as_the_model_says() -> None:
    stated = Preprocess(336, (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bilinear", "longest", fill_color=7)
    applied = Framing.parse("3").applied_to(stated)
    assert (applied.interpolation, applied.resize_mode, applied.fill_color) == ("bicubic", "shortest", 0)
    assert (applied.image_size, applied.mean, applied.std) == (336, stated.mean, stated.std)
    assert CENTRE.applied_to(stated) == stated
    assert Framing.parse("3").meaning({}, 336) == {"variant": SHORT_SIDE, "short_side": 384}
    assert CENTRE.meaning({}, 336) == {"variant": MODEL}


def test_another_choice_is_another_meaning_and_the_same_squares_are_the_same() -> None:
    encoder = EncoderDescription(
        "m", "p", "0" * 64, "gelu", 8, 77, Preprocess(224, (0.5,) * 3, (0.5,) * 3, "bicubic", "shortest")
    )

    def meant(framing: Framing) -> str:
        return fingerprint(meaning_of(encoder, Timeline.parse("native"), framing))

    found = {
        (views, variant): meant(Framing.parse(views, variant)) for views in VIEWS for variant in VARIANTS
    }
    assert len(set(found.values())) == 7
    for views in VIEWS:  # two, three and four are never cut from the model's own square
        assert (found[views, MODEL] == found[views, SHORT_SIDE]) == (views in "234")
    assert meant(CENTRE) == found["1", MODEL]


@pytest.mark.parametrize(
    ("views", "preprocess", "said"),
    [
        ("5", MODEL, "no views '5'. Known: 1, 2, 3, 4, flip."),
        ("", MODEL, "no views ''. Known"),
        ("1", "centre", "no preprocessing 'centre'. Known: model, short256-center224."),
    ],
)
def test_what_cannot_be_cut_is_refused_by_name(views: str, preprocess: str, said: str) -> None:
    with pytest.raises(BadFraming) as caught:
        Framing.parse(views, preprocess)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"views": ["centre"]},
        {"views": "centre", "preprocess": {"variant": MODEL}},
        {"views": ["centre"], "preprocess": {"variant": "other"}},
        {"views": ["left"], "preprocess": {"variant": SHORT_SIDE}},
        {"views": ["top-left", "bottom-right"], "preprocess": {"variant": MODEL}},
    ],
)
def test_a_meaning_without_known_views_is_refused(said: dict[str, object]) -> None:
    with pytest.raises(BadFraming):
        Framing.of_meaning(said)
