"""Videos and sentences of their classes, matched within the batch; a head over the frames of a clip.

Paper: ActionCLIP (Wang et al., 2021, arXiv:2109.08472), sections 3.1 to 3.3, 4.1 and 4.2. Original code:
sallymmx/ActionCLIP@31c34df, train.py, utils/KLLoss.py, modules/Visual_Prompt.py.

Several videos of a batch may be of one class, so that a row has several right answers: see
`vlp.pipeline.parts.matching_loss`. `variant="paper"` (the default) spreads a row's target evenly over them;
`variant="official"` takes the release's targets, and tests at its fixed factor of 100.

The image tower is frozen: its features come from the cache. So is the text tower, whose sentences are computed once,
unless `tune_text` (Table 5) trains a copy of it, or `init_text="random"` (Table 2) begins one at random: its weights
are saved with the run. What comes from CLIP, the factor on cosines included, moves at the recipe's
`tower_learning_rate`, as in the release, where that factor is in CLIP's own group; so does a tower begun at random.

`classifier="linear"` is the unimodal row of Table 1: the same head, and a linear layer from its feature, as it is, to
the classes, with PyTorch's initial values; it is trained by cross-entropy and takes no new class names.

Templates are our own wording, of the paper's three kinds. At test the similarities of a video's clips and views are
averaged, then come softmax over the classes and mean over the templates.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlp.datasplits.class_text import class_text
from vlp.datasplits.templates import template_set
from vlp.pipeline.class_texts import class_sentences
from vlp.pipeline.clips import Clips
from vlp.pipeline.errors import SettingsUnfit
from vlp.pipeline.parts.class_sentences import EncodedSentences, FrozenSentences
from vlp.pipeline.parts.class_targets import class_targets
from vlp.pipeline.parts.matching_loss import matching_loss
from vlp.pipeline.parts.temporal_heads import HEADS, temporal_head
from vlp.pipeline.recipe import Recipe
from vlp.pipeline.text import TextEncoder, learnt_logit_scale, too_long
from vlp.pipeline.trainable_text import TrainableTextTower

READS = "embedding"
STACKS = False
MULTI_LABEL = "similarities"
RECIPE = Recipe(
    sampling="segments",
    num_frames=8,
    num_test_clips=1,
    aggregation="similarities",
    learning_rate=5e-5,
    tower_learning_rate=5e-6,
    weight_decay=0.2,
    betas=(0.9, 0.98),
    batch_size=64,
    num_epochs=50,
    schedule="cosine",
    warmup_epochs=5,
)
ROWS: dict[str, dict[str, object]] = {
    "unimodal": {"classifier": "linear"},
    "random-text": {"init_text": "random", "tune_text": True},
    "no-templates": {"template_set": "none"},
    "MeanP": {"head": "meanp"},
    "Conv1D": {"head": "conv1d"},
    "LSTM": {"head": "lstm"},
    "Transf": {"head": "transf"},
    "Transf_cls": {"head": "transf_cls"},
    "tuned-text": {"tune_text": True},
}
"""Of the paper's Tables 1, 2, 3, 4 (its post-network rows) and 5, all with a frozen image tower."""
_OFFICIAL_TEST_SCALE = 100.0


@dataclass(frozen=True)
class Config:
    """Settings of the method.

    Attributes:
        head: over the frames: "meanp", "conv1d", "lstm", "transf" or "transf_cls".
        num_layers, num_heads: of a Transformer head.
        max_frames: frames of a clip, which a Transformer head has positions for.
        classifier: what the head's feature is compared with: "text", or the weights of a "linear" layer.
        tune_text: whether the text tower is trained.
        init_text: weights that the text tower begins with: those of "clip", or "random" ones.
        template_set: name of a set in `vlp.datasplits.templates`.
        text_prompts: sentences in place of templates, as many of each class: a file, or the name of what ships.
        class_text: rule that turns a class name into words, such as "natural".
        variant: "paper" or "official".

    Raises:
        ValueError: naming the field that cannot be.
        UnknownName: for a set or rule that is not there.
    """

    head: Literal["meanp", "conv1d", "lstm", "transf", "transf_cls"] = "transf"
    num_layers: int = 6
    num_heads: int = 8
    max_frames: int = 8
    classifier: Literal["text", "linear"] = "text"
    tune_text: bool = False
    init_text: Literal["clip", "random"] = "clip"
    template_set: str = "ensemble"
    text_prompts: str | None = None
    class_text: str = "natural"
    variant: Literal["paper", "official"] = "paper"

    def __post_init__(self) -> None:
        template_set(self.template_set)
        class_text("", rule=self.class_text)
        for name in ("num_layers", "num_heads", "max_frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} ({getattr(self, name)}) must be at least 1")
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} ({getattr(self, name)}) must be one of {', '.join(known)}")
        if self.classifier == "linear" and (self.has_own_tower or self.text_prompts is not None):
            raise ValueError(
                "tune_text, init_text and text_prompts need classifier text: a linear one reads none"
            )

    @property
    def has_own_tower(self) -> bool:
        """Whether sentences are encoded by other weights than CLIP's own."""
        return self.tune_text or self.init_text == "random"

    @property
    def open_vocabulary(self) -> bool:
        """Whether it takes new class names once it is trained."""
        return self.classifier == "text"


_CHOICES = {
    "head": HEADS,
    "classifier": ("text", "linear"),
    "init_text": ("clip", "random"),
    "variant": ("paper", "official"),
}


class ActionClip(nn.Module):
    """A head over frames, against the sentences of the classes.

    Attributes:
        config: the method's settings.
        head: from (B, T, D) to (B, D).
        log_scale: learnt logarithm of the factor on cosines, a scalar.
        sentences: every class in every template, as unit features.
        truncated: class names, as given, of which a sentence was cut.
    """

    def __init__(
        self,
        config: Config,
        head: nn.Module,
        sentences: FrozenSentences | EncodedSentences,
        logit_scale: Tensor,
        truncated: Sequence[str],
    ) -> None:
        super().__init__()
        self.config = config
        self.head = head
        self.sentences = sentences
        self.log_scale = nn.Parameter(logit_scale.log())
        self.truncated = tuple(truncated)

    def forward(self, clips: Clips) -> Tensor:
        """Score B clips: (B, C) logarithms of the mean, over templates, of the chances of the classes."""
        return self.logits_of(self.similarities(clips))

    def similarities(self, clips: Clips) -> Tensor:
        """Compare B clips with all sentences: (B, K, C) float32, cosines times the factor."""
        videos, sentences = self.video_features(clips), self.sentences()
        scale = self.log_scale.exp() if self.config.variant == "paper" else _OFFICIAL_TEST_SCALE
        with torch.autocast(videos.device.type, enabled=False):
            return scale * torch.einsum("bd,ckd->bkc", videos, sentences)

    def logits_of(self, similarities: Tensor) -> Tensor:
        """Turn (B, K, C) similarities into logits (B, C)."""
        num_templates = similarities.shape[1]
        return similarities.log_softmax(dim=-1).logsumexp(dim=1) - math.log(num_templates)

    def video_features(self, clips: Clips) -> Tensor:
        """Encode B clips: (B, D) float32, of length 1.

        Raises:
            ClipLengthUnsuitable: if the head has other positions than a clip frames.
        """
        return F.normalize(self.head(clips.embeddings.float()).float(), dim=-1)

    def loss(self, clips: Clips, labels: Tensor) -> Tensor:
        """Match the videos of a batch with one sentence each, of a random template (eqs. 2 to 4).

        Videos of several classes are matched with one sentence of every class.
        """
        classes = labels if labels.ndim == 1 else torch.arange(labels.shape[1], device=labels.device)
        drawn = torch.randint(self.sentences.num_templates, classes.shape).to(labels.device)
        videos, sentences = self.video_features(clips), self.sentences.of(classes, drawn)
        with torch.autocast(videos.device.type, enabled=False):
            logits = self.log_scale.exp() * videos @ sentences.T
            return matching_loss(logits, labels, variant=self.config.variant)

    def pretrained_parameters(self) -> list[nn.Parameter]:
        """List what comes from CLIP: the factor on cosines and, where it is the method's own, the text tower."""
        return [self.log_scale, *self.sentences.parameters()]


class UnimodalClassifier(nn.Module):
    """A head over frames, and a linear layer from its feature to the classes: no text is read.

    Attributes:
        head: from (B, T, D) to (B, D).
        linear: from D to C.
        truncated: no class name is read, so none is cut.
    """

    def __init__(self, head: nn.Module, width: int, num_classes: int) -> None:
        super().__init__()
        self.head = head
        self.linear = nn.Linear(width, num_classes)
        self.truncated: tuple[str, ...] = ()

    def forward(self, clips: Clips) -> Tensor:
        """Score B clips: (B, C) float32 logits.

        Raises:
            ClipLengthUnsuitable: if the head has other positions than a clip frames.
        """
        logits: Tensor = self.linear(self.head(clips.embeddings.float())).float()
        return logits

    def loss(self, clips: Clips, labels: Tensor) -> Tensor:
        """Cross-entropy over all classes."""
        return F.cross_entropy(self(clips), class_targets(labels))


def build(
    config: Config, encoder: TextEncoder, class_names: Sequence[str]
) -> ActionClip | UnimodalClassifier:
    """Put a head over the frames, and behind it what tells the classes apart.

    Args:
        config: the method's settings.
        encoder: a frozen CLIP, which stays as it is: a text tower that is trained is a copy.
        class_names: C names as the dataset spells them.

    Raises:
        ValueError: if there is no class.
        SettingsUnfit: if the heads of attention do not divide D, or classes differ in their number of sentences.
        DatasetError: if the sentences cannot be read, or lack a class.
        TextTowerNotTrainable: if the text tower is to be trained, or random, and is not CLIP's causal one.
    """
    if not class_names:
        raise ValueError("no class to match videos with")
    empty = encoder.encode_text([""])
    width = empty.shape[-1]
    try:
        head = temporal_head(
            config.head,
            width,
            num_layers=config.num_layers,
            num_heads=config.num_heads,
            num_frames=config.max_frames,
        )
    except ValueError as error:
        raise SettingsUnfit("actionclip", str(error)) from error
    if config.classifier == "linear":
        return UnimodalClassifier(head, width, len(class_names)).to(empty.device)
    sentences, cut = _sentences(config, encoder, class_names)
    scale = learnt_logit_scale(encoder)
    return ActionClip(config, head, sentences, scale, [class_names[index] for index in cut]).to(empty.device)


def loss(method: ActionClip | UnimodalClassifier, clips: Clips, labels: Tensor) -> Tensor:
    """Match a batch, or classify it.

    Args:
        method: as `build` gave it.
        clips: B clips.
        labels: (B,) classes; or (B, C) marks of the classes that each shows.
    """
    return method.loss(clips, labels)


def _sentences(
    config: Config, encoder: TextEncoder, class_names: Sequence[str]
) -> tuple[FrozenSentences | EncodedSentences, list[int]]:
    """Put every class into every template; also give the indices of classes of which a sentence was cut."""
    by_class = class_sentences(
        class_names,
        rule=config.class_text,
        template_set=config.template_set,
        text_prompts=config.text_prompts,
    )
    counts = {len(found) for found in by_class}
    if len(counts) > 1:
        why = f"classes have between {min(counts)} and {max(counts)} sentences, and all must have as many"
        raise SettingsUnfit("actionclip", why)
    (num_each,) = counts
    sentences = [sentence for found in by_class for sentence in found]
    cut = sorted({sentence // num_each for sentence in too_long(encoder, sentences)})
    if config.has_own_tower:
        tower = TrainableTextTower(encoder, config.init_text)
        tower.requires_grad_(config.tune_text)
        return EncodedSentences(tower, sentences, num_each), cut
    return FrozenSentences(encoder, sentences, num_each), cut
