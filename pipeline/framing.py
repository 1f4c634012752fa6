"""Which squares of a frame are encoded, and at what size the frame is when they are cut. Imports no torch.

A view is one crop; the axis V of a store counts them. Two, three and four views are cut from a frame whose short
side is 256 for an encoder that takes 224, and in that proportion for any other: the frame of `short256-center224`.
What the model's own transform leaves is one square, which has a mirror image and no corners.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from vlp.pipeline.encoder_spec import Preprocess
from vlp.pipeline.errors import PipelineError

MODEL = "model"
SHORT_SIDE = "short256-center224"
VARIANTS = (MODEL, SHORT_SIDE)

MIRRORED = frozenset({"centre-mirrored"})

VIEWS: Mapping[str, tuple[str, ...]] = {
    "1": ("centre",),
    "2": ("top-left", "bottom-right"),
    "3": ("long-side-start", "centre", "long-side-end"),
    "4": ("top-left", "top-right", "bottom-left", "bottom-right"),
    "flip": ("centre", "centre-mirrored"),
}
_OF_ONE_SQUARE = frozenset({"centre", "centre-mirrored"})

# How far down and to the right a square lies: 0 at the top or left edge, 1 at the bottom or right edge.
_PLACES = {
    "centre": (0.5, 0.5),
    "centre-mirrored": (0.5, 0.5),
    "top-left": (0.0, 0.0),
    "top-right": (0.0, 1.0),
    "bottom-left": (1.0, 0.0),
    "bottom-right": (1.0, 1.0),
}
_ALONG_THE_LONG_SIDE = {"long-side-start": 0.0, "long-side-end": 1.0}


class BadFraming(PipelineError):
    """Views, or a preprocessing, that nobody can cut."""

    def __init__(self, what: str, text: str) -> None:
        known = {"views": VIEWS, "preprocessing": VARIANTS}[what]
        super().__init__(f"no {what} {text!r}. Known: {', '.join(known)}.")
        self.what = what
        self.text = text


@dataclass(frozen=True)
class Framing:
    """Which squares of a frame are encoded.

    Args:
        views: names of the V squares, one of the values of `VIEWS`.
        variant: "model", the model's own resize and crop; or "short256-center224", the bicubic resize of the short
            side to 256, and squares of 224, or both in that proportion for an encoder of another size.

    Raises:
        BadFraming: if the views are not known, or not to be had from this variant.

    Example:
        >>> Framing.parse("3", "model")  # the variant that three views are cut from
        Framing(views=('long-side-start', 'centre', 'long-side-end'), variant='short256-center224')
    """

    views: tuple[str, ...] = VIEWS["1"]
    variant: str = MODEL

    def __post_init__(self) -> None:
        if self.variant not in VARIANTS:
            raise BadFraming("preprocessing", self.variant)
        if self.views not in VIEWS.values():
            raise BadFraming("views", ", ".join(self.views))
        if self.variant == MODEL and not _OF_ONE_SQUARE.issuperset(self.views):
            raise BadFraming("preprocessing", f"{self.variant} of {', '.join(self.views)}")

    @classmethod
    def parse(cls, views: str, preprocess: str = MODEL) -> "Framing":
        """Read what a person asks for; views that the model's own square has not are cut from the larger frame.

        Raises:
            BadFraming: if one of the two is not known.
        """
        if views not in VIEWS:
            raise BadFraming("views", views)
        if preprocess not in VARIANTS:
            raise BadFraming("preprocessing", preprocess)
        names = VIEWS[views]
        return cls(names, preprocess if _OF_ONE_SQUARE.issuperset(names) else SHORT_SIDE)

    @classmethod
    def of_meaning(cls, meaning: Mapping[str, Any]) -> "Framing":
        """Read what a store, or a run, says of its features.

        Raises:
            BadFraming: if it says nothing, or nothing known.
        """
        views, preprocess = meaning.get("views"), meaning.get("preprocess")
        if not isinstance(views, list | tuple):
            raise BadFraming("views", str(views))
        if not isinstance(preprocess, Mapping):
            raise BadFraming("preprocessing", str(preprocess))
        return cls(tuple(map(str, views)), str(preprocess.get("variant")))

    def applied_to(self, preprocess: Preprocess) -> Preprocess:
        """Give the encoder's preprocessing as this framing changes it; mean and deviation stay."""
        if self.variant == MODEL:
            return preprocess
        return replace(preprocess, interpolation="bicubic", resize_mode="shortest", fill_color=0)

    def meaning(self, preprocess: Mapping[str, Any], image_size: int) -> dict[str, Any]:
        """Say what is done to a frame, for the fingerprint.

        Args:
            preprocess: `applied_to`'s as plain data.
            image_size: S, side of the encoder's square.
        """
        short_side = {} if self.variant == MODEL else {"short_side": short_side_of(image_size)}
        return {"variant": self.variant, **short_side, **preprocess}


CENTRE = Framing()


def short_side_of(image_size: int) -> int:
    """Give the short side of the frame that squares are cut from, in pixels: 256 for 224, and in that proportion.

    Example:
        >>> [short_side_of(size) for size in (224, 336, 48)]
        [256, 384, 55]
    """
    return round(image_size * 256 / 224)


def corner_of(view: str, height: int, width: int, size: int) -> tuple[int, int]:
    """Say where a view's square begins.

    Args:
        view: its name.
        height: of the frame, in pixels; not less than ``size``.
        width: likewise; the long side of a frame that is square.
        size: side of the view, in pixels.

    Returns:
        Its top row and its left column; half-way offsets round to even, as torchvision's centre crop does.

    Example:
        >>> corner_of("centre", 256, 341, 224), corner_of("long-side-end", 256, 341, 224)
        ((16, 58), (16, 117))
    """
    if view in _ALONG_THE_LONG_SIDE:
        share = _ALONG_THE_LONG_SIDE[view]
        down, right = (share, 0.5) if height > width else (0.5, share)
    else:
        down, right = _PLACES[view]
    return round((height - size) * down), round((width - size) * right)
