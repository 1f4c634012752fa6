"""Hand-written class texts, and the training videos themselves as a cache; nothing is trained.

Paper: Tip-Adapter (Zhang et al., ECCV 2022, arXiv:2207.09519), sections 3.1 and 3.2; cited by Efficient-Prompt (Ju et
al., ECCV 2022, arXiv:2112.04478). Original code: gaopengcuhk/Tip-Adapter at 327763e, main.py and utils.py.

Departures: a video is its mean frame; keys are not averaged over augmentations, of which cached features have none;
1 / τ is the one that CLIP was trained to, where the released code writes 100; α and β are chosen on folds of the
training videos, from the grid of `vlp.pipeline.parts.feature_cache`, where the released code takes a validation set and
a grid for each dataset. With one video a class they are the paper's 1 and 5.5, and ``num_folds`` is 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from vlp.datasplits.class_text import class_text
from vlp.datasplits.templates import template_set
from vlp.pipeline.class_texts import described_classes
from vlp.pipeline.clips import Clips
from vlp.pipeline.parts.cached_videos import CachedVideos
from vlp.pipeline.recipe import Recipe
from vlp.pipeline.text import TextEncoder, learnt_logit_scale

READS = "embedding"
RECIPE = Recipe(sampling="whole", num_frames=1, num_test_clips=1, optimizer="none")


@dataclass(frozen=True)
class Config:
    """Settings of the method.

    Attributes:
        open_vocabulary: it knows the classes it was shown, and no others.
        template_set: name of a set in `vlp.datasplits.templates`.
        class_text: rule that turns a class name into words, such as "natural".
        text_prompts: sentences of the classes in place of the templates: a file, or the name of what ships.

    Raises:
        UnknownName: for a set or rule that is not there.
    """

    open_vocabulary: ClassVar[bool] = False
    template_set: str = "single"
    class_text: str = "natural"
    text_prompts: str | None = None

    def __post_init__(self) -> None:
        template_set(self.template_set)
        class_text("", rule=self.class_text)


def build(config: Config, encoder: TextEncoder, class_names: Sequence[str]) -> CachedVideos:
    """Encode the classes; the cache is empty until `fit`.

    Args:
        config: the method's settings.
        encoder: a frozen CLIP.
        class_names: C names as the dataset spells them.

    Raises:
        ValueError: if there is no class.
        DatasetError: if the sentences cannot be read, or lack a class.
    """
    encoded = described_classes(
        encoder,
        class_names,
        rule=config.class_text,
        template_set=config.template_set,
        text_prompts=config.text_prompts,
    )
    cut = [class_names[index] for index in encoded.truncated]
    return CachedVideos(encoded.features.clone(), learnt_logit_scale(encoder), cut, trains_keys=False)


def fit(method: nn.Module, clips: Clips, labels: Tensor, *, seed: int) -> None:
    """Keep the training videos, and choose α and β.

    Args:
        method: as `build` gave it.
        clips: one clip of each of B training videos.
        labels: (B,) classes.
        seed: of the folds.

    Raises:
        TypeError: if the method is another.
    """
    if not isinstance(method, CachedVideos):
        raise TypeError(f"{type(method).__name__} has no cache")
    method.fill(clips, labels, seed=seed)
