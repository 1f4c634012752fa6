"""What a user can cause in decoding, and what a file that cannot be read is called."""

from vlp.pipeline.errors import PipelineError


class DecodingError(PipelineError):
    """Base of the errors that decoding raises; a bad *file* is an outcome, not an error."""


class BadTimeline(DecodingError):
    """A timeline that is none of ``fps:K``, ``native``, ``frames:N``."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(
            f"timeline {text!r} is none of 'fps:30' (any rate above 0, also '30000/1001'), "
            "'native', 'frames:16' (any count above 0)"
        )


class ChildrenBroken(DecodingError):
    """Decode children die before they can take a video: an installation that cannot decode."""

    def __init__(self, num_deaths: int, detail: str) -> None:
        self.num_deaths = num_deaths
        self.detail = detail
        super().__init__(f"decode children ended {num_deaths} times before taking a video: {detail}")


class UnreadableVideo(Exception):
    """A file that gives no frames; stays inside the child and becomes a failed outcome.

    Attributes:
        reason: a short code: missing, empty, not-a-file, permission, not-a-video, truncated, ...
        detail: one line for a person.
    """

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        self.detail = detail
        super().__init__(f"{reason}: {detail}")
