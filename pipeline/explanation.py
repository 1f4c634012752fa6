"""Which sentences of a class each frame of a video is most like: AP-CLIP's correspondence of frames and prompts."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch

from vlp.pipeline.bank import FeatureBank
from vlp.pipeline.clips import Clips
from vlp.pipeline.errors import PipelineError
from vlp.pipeline.parts.late_interaction import SentenceMatch
from vlp.pipeline.scoring import scored_clips
from vlp.pipeline.trained import TrainedRun


class NothingToExplain(PipelineError):
    """A method that does not compare frames with sentences."""

    def __init__(self, method: str) -> None:
        super().__init__(
            f"{method} does not compare single frames with sentences, so there is nothing to explain."
        )
        self.method = method


@dataclass(frozen=True)
class FrameMatches:
    """The sentences that one frame is most like.

    Attributes:
        clip, view, frame: which test clip, which view of the store, which frame of the clip, each from 1.
        best: the most alike first.
    """

    clip: int
    view: int
    frame: int
    best: tuple[SentenceMatch, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


@runtime_checkable
class ComparesFrames(Protocol):
    """A method that can be explained."""

    def frame_matches(
        self, clips: Clips, class_index: int, num_best: int
    ) -> Sequence[tuple[SentenceMatch, ...]]:
        """Give the best sentences of a class for every frame of one clip."""


def explain(
    trained: TrainedRun,
    bank: FeatureBank,
    video: int,
    class_index: int,
    *,
    seed: int,
    device: torch.device,
    num_best: int,
) -> tuple[FrameMatches, ...]:
    """Compare every frame of a video's test clips with the sentences of one class.

    Args:
        trained: the run.
        bank: features.
        video: place in the bank's list.
        class_index: of the class, such as the likeliest.
        seed: of random clips.
        device: where the method is.
        num_best: sentences a frame, at most.

    Raises:
        NothingToExplain: if the method compares no frames with sentences.
    """
    recipe, method = trained.settings.recipe, trained.method
    if not isinstance(method, ComparesFrames):
        raise NothingToExplain(trained.settings.method)
    clips = scored_clips(bank, np.array([video]), recipe, seed).to(device)
    one_clip = Clips(clips.embeddings.reshape(1, -1, clips.embeddings.shape[-1]))
    with torch.inference_mode():
        found = method.frame_matches(one_clip, class_index, num_best)
    places = np.ndindex(len(found) // (bank.num_views * recipe.num_frames), bank.num_views, recipe.num_frames)
    return tuple(
        FrameMatches(clip + 1, view + 1, frame + 1, best)
        for (clip, view, frame), best in zip(places, found, strict=True)
    )
