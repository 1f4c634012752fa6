"""Many sentences a class, each about one attribute of the action, aligned with single frames.

Paper: AP-CLIP (Jia et al., ACM MM 2024, doi:10.1145/3664647.3680690), sections 3.2, 3.3 and 4.3. No code was released.

A class is "a video of {action}." followed by a sentence, once for each sentence that `vlp.datasplits.class_prompts`
reads; `similarity="maka"` aligns frames and sentences one by one, `similarity="mean"` is what the paper starts from,
ViFi-CLIP (Rasheed et al., CVPR 2023, arXiv:2212.03640): the mean frame against the mean sentence. At test the frames of
all clips and views of a video are aligned together.

Departures: the paper tunes CLIP from pixels; here both towers are frozen, and what is trained is a light residual
adapter on the cached frame embeddings, which the paper does not have (`mode="adapter"`), or nothing
(`mode="zero-shot"`). Attributes, questions and sentences are our own, as the paper's lie in an appendix that is not
published with it. The order of template and sentence is our choice. Without a file of sentences (`text_prompts`) only
the strategies of hand-written templates, single and set, can be built; set is then the default: any class names do.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlp.datasplits.class_prompts import Kind, Sentence, read_prompts, shipped_prompts
from vlp.datasplits.class_text import class_text
from vlp.datasplits.templates import template_set
from vlp.pipeline.class_texts import classes_of, joined
from vlp.pipeline.clips import Clips
from vlp.pipeline.errors import PipelineError
from vlp.pipeline.parts.late_interaction import SentenceMatch, maka_similarity, sentence_table
from vlp.pipeline.recipe import Recipe
from vlp.pipeline.text import TextEncoder, learnt_logit_scale, sentence_features

READS = "embedding"
MULTI_LABEL = "softmax"
RECIPE = Recipe(
    sampling="segments",
    num_frames=8,
    num_test_clips=2,
    aggregation="frames",
    learning_rate=1e-3,
    weight_decay=1e-3,
    batch_size=64,
    num_epochs=50,
    schedule="cosine",
    warmup_epochs=5,
)
"""Frames and clips are the paper's; learning rate, batch and epochs are ours, as the paper tunes something else."""
TEMPLATE_SETS = {"single": "video", "set": "ensemble"}
"""Of the strategies that need no file of sentences."""


def _row(strategy: str, similarity: str, **more: object) -> dict[str, object]:
    frozen = {"mode": "zero-shot", "recipe.optimizer": "none"}
    return {"strategy": strategy, "similarity": similarity, **frozen, **more}


ROWS: dict[str, dict[str, object]] = {
    "single": _row("single", "mean"),
    "set": _row("set", "mean"),
    "customised": _row("customised", "mean"),
    "direct": _row("direct", "mean"),
    "AP": _row("action-conditioned", "mean"),
    "customised+MAKA": _row("customised", "maka"),
    "AP+MAKA": _row("action-conditioned", "maka"),
    "AP+MAKA-without-body": _row("action-conditioned", "maka", aspects=("scene", "actor")),
    "ViFi-CLIP": {"strategy": "single", "similarity": "mean"},
    "adapter": {"strategy": "action-conditioned"},
}
"""The rows of the paper's Tables 6 and 7, and Table 5's without body, with CLIP as it is, where the paper's has been
tuned on Kinetics-400; then the adapter, with one template and the mean, and with sentences and MAKA."""


class SentencesNeeded(PipelineError):
    """A strategy that reads sentences, and no file of them."""

    def __init__(self, strategy: str, shipped: Sequence[str]) -> None:
        super().__init__(
            f"ap_clip's strategy {strategy} needs sentences about the classes: method.text_prompts names a file of "
            f"them, or shipped ones. Shipped: {', '.join(shipped) or 'none'}."
        )
        self.strategy = strategy
        self.shipped = tuple(shipped)


@dataclass(frozen=True)
class Config:
    """Settings of the method.

    Attributes:
        text_prompts: sentences of the classes: a file, or the name of what ships.
        strategy: "single" template, "set" of templates, sentences "customised", "direct" or "action-conditioned"; None
            for the last where ``text_prompts`` gives sentences, and for the set where it does not.
        aspects: of action-conditioned sentences, which are used; None for all that the file has.
        similarity: "maka", or "mean" for the mean frame against the mean sentence.
        mode: "adapter" trains one on the frames; "zero-shot" trains nothing, and wants ``recipe.optimizer`` none.
        reduction: D over the width of the adapter's bottleneck.
        class_text: rule that turns a class name into words, such as "natural".

    Raises:
        SentencesNeeded: for a strategy of sentences without ``text_prompts``.
        ValueError: naming the field that cannot be.
        UnknownName: for a class-text rule that is not there.
    """

    text_prompts: str | None = None
    strategy: Literal["single", "set", "customised", "direct", "action-conditioned"] | None = None
    aspects: tuple[str, ...] | None = None
    similarity: Literal["maka", "mean"] = "maka"
    mode: Literal["adapter", "zero-shot"] = "adapter"
    reduction: int = 4
    class_text: str = "natural"

    def __post_init__(self) -> None:
        class_text("", rule=self.class_text)
        reads_templates = self.chosen_strategy in TEMPLATE_SETS
        if not reads_templates and self.text_prompts is None:
            raise SentencesNeeded(self.chosen_strategy, shipped_prompts())
        if reads_templates and self.text_prompts is not None:
            raise ValueError(f"strategy {self.strategy} reads no sentences, and text_prompts gives some")
        if self.aspects is not None and (self.chosen_strategy != "action-conditioned" or not self.aspects):
            raise ValueError(f"aspects {self.aspects} must be some of those of action-conditioned sentences")
        if self.reduction < 1:
            raise ValueError(f"reduction ({self.reduction}) must be at least 1")

    @property
    def chosen_strategy(self) -> str:
        """The strategy, also where it was left open."""
        return self.strategy or ("set" if self.text_prompts is None else "action-conditioned")


@dataclass(frozen=True)
class ClassSentence:
    """A sentence as it is encoded.

    Attributes:
        text: behind its template.
        attribute: what it is about; None for a template, or where nothing was asked for.
    """

    text: str
    attribute: str | None = None


class ApClip(nn.Module):
    """Frames, perhaps adapted, against the sentences of the classes.

    Attributes:
        config: the method's settings.
        sentences: those of each class, as they were encoded.
        features: (C, N, D), of length 1; see `SentenceTable`.
        weights: (C, N).
        logit_scale: 1 / τ.
        truncated: class names, as given, of which a sentence was cut.
    """

    features: Tensor
    weights: Tensor
    logit_scale: Tensor

    def __init__(
        self,
        config: Config,
        sentences: Sequence[Sequence[ClassSentence]],
        encoded: Tensor,
        logit_scale: Tensor,
        truncated: Sequence[str],
    ) -> None:
        super().__init__()
        self.config = config
        self.sentences = tuple(map(tuple, sentences))
        table = sentence_table(encoded, [len(found) for found in sentences])
        self.register_buffer("features", table.features, persistent=False)
        self.register_buffer("weights", table.weights, persistent=False)
        self.register_buffer("logit_scale", logit_scale, persistent=False)
        self.truncated = tuple(truncated)
        self.adapter = _adapter(encoded.shape[1], config.reduction) if config.mode == "adapter" else None

    def forward(self, clips: Clips) -> Tensor:
        """Score B clips, of any number of frames: (B, C) float32 logits."""
        frames = self.frame_features(clips)
        with torch.autocast(frames.device.type, enabled=False):
            if self.config.similarity == "maka":
                unit = F.normalize(frames, dim=-1)
                return self.logit_scale * maka_similarity(unit, self.features, self.weights)
            classes = F.normalize((self.weights[..., None] * self.features).sum(dim=1), dim=-1)
            return self.logit_scale * F.normalize(frames.mean(dim=1), dim=-1) @ classes.T

    def frame_matches(
        self, clips: Clips, class_index: int, num_best: int
    ) -> Sequence[tuple[SentenceMatch, ...]]:
        """Find the sentences of a class that each frame of one clip is most like.

        Args:
            clips: one clip of T frames.
            class_index: of the class.
            num_best: sentences a frame, at most.

        Returns:
            T tuples, the most alike first.

        Raises:
            ValueError: for more clips than one.
        """
        if len(clips.embeddings) != 1:
            raise ValueError(f"{len(clips.embeddings)} clips, not one")
        sentences = self.sentences[class_index]
        frames = F.normalize(self.frame_features(clips)[0], dim=-1)
        cosines = frames @ self.features[class_index, : len(sentences)].T
        best, places = cosines.topk(min(num_best, len(sentences)), dim=-1)
        return [
            tuple(
                SentenceMatch(sentences[place].text, sentences[place].attribute, cosine)
                for cosine, place in zip(*row, strict=True)
            )
            for row in zip(best.tolist(), places.tolist(), strict=True)
        ]

    def frame_features(self, clips: Clips) -> Tensor:
        """Adapt the frames of B clips, each on its own: (B, T, D) float32."""
        frames = clips.embeddings.float()
        return frames if self.adapter is None else frames + self.adapter(frames).float()


def build(config: Config, encoder: TextEncoder, class_names: Sequence[str]) -> ApClip:
    """Encode every sentence of the classes, and put an adapter before them where the mode wants one.

    Args:
        config: the method's settings.
        encoder: a frozen CLIP.
        class_names: C names as the dataset spells them.

    Raises:
        ValueError: if there is no class.
        PromptsMissing, PromptsUnreadable: as `read_prompts`.
        ClassesWithoutSentences, UnknownAspects: as `PromptsFile.sentences`.
    """
    sentences = _sentences(config, class_names)
    encoded = sentence_features(encoder, [one.text for found in sentences for one in found])
    cut = classes_of(encoded.truncated, [len(found) for found in sentences])
    # A copy: what was made in inference mode cannot take part in a step.
    features = encoded.features.clone()
    truncated = [class_names[index] for index in cut]
    return ApClip(config, sentences, features, learnt_logit_scale(encoder), truncated).to(features.device)


def _sentences(config: Config, class_names: Sequence[str]) -> list[list[ClassSentence]]:
    words = [class_text(name, rule=config.class_text) for name in class_names]
    strategy = config.chosen_strategy
    if strategy in TEMPLATE_SETS:
        templates = template_set(TEMPLATE_SETS[strategy])
        return [[ClassSentence(template.replace("{}", word)) for template in templates] for word in words]
    kind: Kind = strategy  # type: ignore[assignment]  # the others have returned
    found = read_prompts(str(config.text_prompts)).sentences(class_names, kind=kind, aspects=config.aspects)
    return [[_joined(one, word) for one in some] for word, some in zip(words, found, strict=True)]


def _joined(sentence: Sentence, action: str) -> ClassSentence:
    return ClassSentence(joined(action, sentence.text), sentence.attribute)


def _adapter(width: int, reduction: int) -> nn.Sequential:
    """A bottleneck that begins as nothing: what is trained starts as CLIP's own frames."""
    up = nn.Linear(max(width // reduction, 1), width, bias=False)
    nn.init.zeros_(up.weight)
    return nn.Sequential(nn.Linear(width, up.in_features, bias=False), nn.ReLU(), up)
