"""What later stages will report of a dataset as it lies on disk today."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from vlp.datasplits.manifest import Video
from vlp.datasplits.presence import Presence

_MOST_NAMED = 5


@dataclass(frozen=True)
class Expectation:
    """What one stage will say.

    Args:
        stage: the command.
        report: in words.
    """

    stage: str
    report: str


def outlook(presence: Presence) -> Iterator[Expectation]:
    """Say what extraction, training and evaluation will report; extraction failures apart, which nobody can foresee.

    Args:
        presence: which listed videos are there.
    """
    listed = presence.manifest
    missing = {video.video_id for video in presence.missing}
    total = len(listed.videos)
    if missing:
        report = f"{len(missing):,} of {total:,} videos failed (missing), and exit status 3"
    else:
        report = f"all {total:,} videos to decode"
    yield Expectation("vlp extract", report)
    splits = (listed.default_split,) if listed.default_split else listed.split_names
    for split in splits:
        for stage, role in (("vlp train", "train"), ("vlp eval", listed.test_role)):
            videos = listed.videos_in(str(split), role)
            by_caption = bool(videos) and not any(video.labels for video in videos)
            if not videos or (by_caption and role == "train"):
                continue
            command = (
                f"{stage} retrieval" if by_caption and any(video.captions for video in videos) else stage
            )
            yield Expectation(f"{command} ({split})", "; ".join(_of_role(videos, missing, role)))
    if not splits:
        yield Expectation("vlp eval", "; ".join(_of_role(listed.videos, missing, "listed")))


def _of_role(videos: Sequence[Video], missing: set[str], role: str) -> Iterator[str]:
    found = [video for video in videos if video.video_id not in missing]
    yield f"{len(found):,} of {len(videos):,} {role} videos"
    if not found:
        yield "an error, as none is there"
        return
    counts = Counter(name for video in found for name in set(video.labels))
    gone = sorted({name for video in videos for name in video.labels} - counts.keys())
    if gone:
        more = f" and {len(gone) - _MOST_NAMED} more" if len(gone) > _MOST_NAMED else ""
        yield f"no video left of {', '.join(gone[:_MOST_NAMED])}{more}"
    elif counts and role == "train":
        yield f"{min(counts.values()):,} or more of each class, the most that few-shot can draw"
    for what, some in (
        ("label", [video for video in videos if not video.labels and not video.segments]),
        ("caption", [video for video in videos if not video.captions]),
    ):
        if some and len(some) < len(videos):
            yield f"{len(some):,} without a {what}"
