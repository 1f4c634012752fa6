"""Which source frames of a video are kept; pure and exact.

A frame is shown from its own time until the next frame's. ``fps:K`` keeps every frame that is shown at
some instant k/K (k = 0, 1, 2, ... until the end of the video), each once; ``native`` keeps every frame;
``frames:N`` keeps the middle frame of each of N equal parts of the video. Times are integers counted in
an exact unit, as floats drop a frame where an instant and a frame's start coincide.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction

from vlp.pipeline.decoding.errors import BadTimeline

# (index, start, end) -> kept? Start and end of the frame's display, in units from the video's start.
Selector = Callable[[int, int, int], bool]

_RATE = re.compile(r"\d{1,6}(?:\.\d{1,6})?|\d{1,9}/\d{1,9}", re.ASCII)
_COUNT = re.compile(r"\d{1,6}", re.ASCII)


@dataclass(frozen=True)
class Timeline:
    """A rule that picks frames: a rate, a number of frames, or (neither given) all of them.

    Args:
        rate_fps: K of ``fps:K``; above 0.
        num_frames: N of ``frames:N``; at least 1.

    Raises:
        BadTimeline: if both are given or one is not above 0.

    Example:
        >>> Timeline.parse("fps:29.97").canonical
        'fps:2997/100'
        >>> keep = Timeline.parse("fps:10").selector(unit_seconds=Fraction(1, 25), num_frames=5)
        >>> [keep(i, i, i + 1) for i in range(5)]  # 25 fps: frames 0, 2 and 5 are shown at 0, 0.1, 0.2 s
        [True, False, True, False, False]
    """

    rate_fps: Fraction | None = None
    num_frames: int | None = None

    def __post_init__(self) -> None:
        both = self.rate_fps is not None and self.num_frames is not None
        too_small = (self.rate_fps is not None and self.rate_fps <= 0) or (
            self.num_frames is not None and self.num_frames < 1
        )
        if both or too_small:
            raise BadTimeline(self.canonical)

    @classmethod
    def parse(cls, text: str) -> "Timeline":
        """Read ``fps:K`` (K whole, decimal or a ratio), ``native`` or ``frames:N``.

        Raises:
            BadTimeline: for anything else.
        """
        kind, _, value = text.partition(":")
        if text == "native":
            return cls()
        if kind == "fps" and _RATE.fullmatch(value) and not re.search(r"/0+$", value):
            return cls(rate_fps=Fraction(value))
        if kind == "frames" and _COUNT.fullmatch(value):
            return cls(num_frames=int(value))
        raise BadTimeline(text)

    @property
    def canonical(self) -> str:
        """The one spelling of this rule; rates are whole numbers or ratios in lowest terms."""
        if self.rate_fps is not None:
            return f"fps:{self.rate_fps}"
        return "native" if self.num_frames is None else f"frames:{self.num_frames}"

    def selector(self, *, unit_seconds: Fraction, num_frames: int) -> Selector:
        """Make the function that says of each frame, in order, whether it is kept.

        Args:
            unit_seconds: length of one unit of the times it will be given.
            num_frames: frames in the whole video; matters to ``frames:N`` only.
        """
        if self.num_frames is not None:
            middles = uniform_middles(num_frames, self.num_frames)
            return lambda index, _start, _end: index in middles
        if self.rate_fps is None:
            return lambda _index, _start, _end: True
        instants, units = (unit_seconds * self.rate_fps).as_integer_ratio()

        def shown_at_an_instant(_index: int, start: int, end: int) -> bool:
            first_instant = -(-start * instants // units)  # at or after the frame's start
            return first_instant * units < end * instants

        return shown_at_an_instant

    def count(self, spans: Iterable[tuple[int, int]], *, unit_seconds: Fraction, num_frames: int) -> int:
        """Count the frames kept of those with these (start, end) times, in units, in order."""
        keep = self.selector(unit_seconds=unit_seconds, num_frames=num_frames)
        return sum(keep(index, start, end) for index, (start, end) in enumerate(spans))


def uniform_middles(num_video_frames: int, num_frames: int) -> frozenset[int]:
    """Give the middle frame of each of ``num_frames`` equal parts; fewer where parts share a frame.

    Example:
        >>> sorted(uniform_middles(10, 5)), sorted(uniform_middles(2, 4))
        ([1, 3, 5, 7, 9], [0, 1])
    """
    return frozenset((2 * part + 1) * num_video_frames // (2 * num_frames) for part in range(num_frames))
