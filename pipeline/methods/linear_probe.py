"""A linear classifier on the mean frame: CLIP's linear probe (baseline II).

Paper: CLIP (Radford et al., ICML 2021, arXiv:2103.00020), appendix A.3: multinomial logistic regression by L-BFGS on
frozen features, its regularisation chosen on held-out training data, at most 1000 iterations; as baseline II of
Efficient-Prompt (Ju et al., ECCV 2022, arXiv:2112.04478). Original code: the linear-probe example of openai/CLIP's
README, which, as here, takes embeddings as they are, neither of length 1 nor standardised.

Departures: a video is the mean of its frames' embeddings, where the paper takes what lies before the projection; C is
chosen from `INVERSE_STRENGTHS` on a third of each class, in place of CLIP's 96-step search on validation sets that
videos do not have; with fewer than three videos in some class nothing is held out, and C is 1. Videos of several
classes are told apart class by class, one against the rest, with one C for all.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import ShuffleSplit, StratifiedShuffleSplit
from torch import Tensor, nn

from vlp.pipeline.clips import Clips
from vlp.pipeline.errors import PipelineError
from vlp.pipeline.metrics.multilabel import mean_average_precision
from vlp.pipeline.recipe import Recipe
from vlp.pipeline.text import TextEncoder

READS = "embedding"
MULTI_LABEL = "sigmoid"
RECIPE = Recipe(sampling="whole", num_frames=1, num_test_clips=1, optimizer="none")
INVERSE_STRENGTHS = (1e-3, 1e-2, 1e-1, 1.0)
"""The C that are tried: enough for embeddings of lengths from 1 to some tens."""
SHARE_HELD_OUT = 1 / 3
FEWEST_VIDEOS = 3
"""Of a class, for a third of them to be held out."""


Fitted = tuple[NDArray[np.float64], NDArray[np.float64], int]  # weights (C, D), biases (C,), iterations


class ClassWithoutVideo(PipelineError):
    """A candidate class without a training video, which a classifier of fixed classes cannot know."""

    def __init__(self, class_name: str, index: int) -> None:
        super().__init__(
            f"no training video shows {class_name!r} (class {index}), and a linear probe knows only what it was shown."
        )
        self.class_name = class_name
        self.index = index


@dataclass(frozen=True)
class Config:
    """Settings of the probe.

    Attributes:
        open_vocabulary: it knows the classes it was shown, and no others.
        inverse_strength: scikit-learn's C; None chooses it.
        max_iterations: of L-BFGS; what has not converged by then is taken as it is, as CLIP takes it.

    Raises:
        ValueError: for values that are not positive.
    """

    open_vocabulary: ClassVar[bool] = False
    inverse_strength: float | None = None
    max_iterations: int = 1000

    def __post_init__(self) -> None:
        if self.inverse_strength is not None and not 0 < self.inverse_strength < float("inf"):
            raise ValueError(f"inverse_strength ({self.inverse_strength}) must be positive and finite")
        if self.max_iterations < 1:
            raise ValueError(f"max_iterations ({self.max_iterations}) must be at least 1")


class LinearProbe(nn.Module):
    """A linear map from the mean frame to the classes. All of it is 0 until `fit`, and saved.

    Attributes:
        weight: (C, D).
        bias: (C,).
        inverse_strength: the C that was used, a scalar.
        num_held_out: videos that it was chosen on, a scalar; 0 where it was given, or too few videos left it at 1.
        num_iterations: of L-BFGS, a scalar; with ``config.max_iterations`` it has not converged.
        truncated: no class name is read, so none is cut.
    """

    weight: Tensor
    bias: Tensor
    inverse_strength: Tensor
    num_held_out: Tensor
    num_iterations: Tensor

    def __init__(self, config: Config, class_names: Sequence[str], embed_dim: int) -> None:
        super().__init__()
        self.config = config
        self.class_names = tuple(class_names)
        self.truncated: tuple[str, ...] = ()
        self.register_buffer("weight", torch.zeros(len(class_names), embed_dim))
        self.register_buffer("bias", torch.zeros(len(class_names)))
        self.register_buffer("inverse_strength", torch.zeros(()))
        self.register_buffer("num_held_out", torch.zeros((), dtype=torch.int64))
        self.register_buffer("num_iterations", torch.zeros((), dtype=torch.int64))

    def forward(self, clips: Clips) -> Tensor:
        """Score B clips: (B, C) logits."""
        return nn.functional.linear(_videos(clips), self.weight, self.bias)


def build(config: Config, encoder: TextEncoder, class_names: Sequence[str]) -> LinearProbe:
    """Make a probe that has yet to be fitted.

    Args:
        config: its settings.
        encoder: a frozen CLIP, for the width of its embeddings.
        class_names: C names.

    Raises:
        ValueError: if there is no class.
    """
    if not class_names:
        raise ValueError("no class to tell from others")
    empty = encoder.encode_text([""])
    return LinearProbe(config, class_names, empty.shape[-1]).to(empty.device)


def fit(method: nn.Module, clips: Clips, labels: Tensor, *, seed: int) -> None:
    """Fit the probe.

    Args:
        method: as `build` gave it.
        clips: one clip of each of B training videos.
        labels: (B,) classes; or (B, C) marks of the classes that each shows.
        seed: of the choice of what is held out.

    Raises:
        ClassWithoutVideo: naming the first such class.
        TypeError: if the method is another.
    """
    if not isinstance(method, LinearProbe):
        raise TypeError(f"{type(method).__name__} is no LinearProbe")
    features, truth = _videos(clips).double().cpu().numpy(), labels.cpu().numpy()
    several = truth.ndim == 2
    counts = truth.sum(axis=0) if several else np.bincount(truth, minlength=len(method.class_names))
    if not counts.all():
        index = int(counts.argmin())
        raise ClassWithoutVideo(method.class_names[index], index)
    if len(counts) == 1:
        return  # every video shows the one class
    choose, fit_with = (_strength_of_each, _fitted_to_each) if several else (_strength, _fitted_to_one)
    strength, num_held_out = choose(method.config, features, truth, seed)
    weight, bias, num_iterations = fit_with(method.config, strength, features, truth)
    facts = {
        "weight": weight,
        "bias": bias,
        "inverse_strength": strength,
        "num_held_out": num_held_out,
        "num_iterations": num_iterations,
    }
    for name, fact in facts.items():
        method.get_buffer(name).copy_(torch.as_tensor(fact))


def _videos(clips: Clips) -> Tensor:
    return clips.embeddings.float().mean(dim=1)


def _strength(
    config: Config, features: NDArray[np.float64], labels: NDArray[np.int64], seed: int
) -> tuple[float, int]:
    """Choose C by the accuracy on a held-out third, the smallest of the best: C, and how many videos chose it."""
    if config.inverse_strength is not None:
        return config.inverse_strength, 0
    if np.bincount(labels).min() < FEWEST_VIDEOS:
        return 1.0, 0
    splitter = StratifiedShuffleSplit(1, test_size=SHARE_HELD_OUT, random_state=seed)
    kept, held_out = next(splitter.split(features, labels))
    scores = [
        _fitted(config, strength, features[kept], labels[kept]).score(features[held_out], labels[held_out])
        for strength in INVERSE_STRENGTHS
    ]
    return INVERSE_STRENGTHS[int(np.argmax(scores))], len(held_out)


def _strength_of_each(
    config: Config, features: NDArray[np.float64], marks: NDArray[np.float32], seed: int
) -> tuple[float, int]:
    """Choose C as `_strength` does, by the mean average precision of the classes."""
    if config.inverse_strength is not None:
        return config.inverse_strength, 0
    if marks.sum(axis=0).min() < FEWEST_VIDEOS:
        return 1.0, 0
    kept, held_out = next(ShuffleSplit(1, test_size=SHARE_HELD_OUT, random_state=seed).split(features))
    precisions = []
    for strength in INVERSE_STRENGTHS:
        weight, bias, _ = _fitted_to_each(config, strength, features[kept], marks[kept])
        precisions.append(mean_average_precision(features[held_out] @ weight.T + bias, marks[held_out]))
    return INVERSE_STRENGTHS[int(np.argmax(precisions))], len(held_out)


def _fitted_to_one(
    config: Config, strength: float, features: NDArray[np.float64], labels: NDArray[np.int64]
) -> Fitted:
    """Fit all classes against one another."""
    fitted = _fitted(config, strength, features, labels)
    return *_linear_map(fitted), int(fitted.n_iter_.max())


def _fitted_to_each(
    config: Config, strength: float, features: NDArray[np.float64], marks: NDArray[np.float32]
) -> Fitted:
    """Fit each class against the rest; one that all or none of the videos show has the same score for all, 0."""
    weight, bias = np.zeros((marks.shape[1], features.shape[1])), np.zeros(marks.shape[1])
    num_iterations = 0
    for index in np.flatnonzero((marks.min(axis=0) == 0) & (marks.max(axis=0) == 1)):
        fitted = _fitted(config, strength, features, marks[:, index].astype(np.int64))
        weight[index], bias[index] = fitted.coef_[0], fitted.intercept_[0]
        num_iterations = max(num_iterations, int(fitted.n_iter_.max()))
    return weight, bias, num_iterations


def _fitted(
    config: Config, strength: float, features: NDArray[np.float64], labels: NDArray[np.int64]
) -> LogisticRegression:
    """Fit on centred features: the solution is that of the features as they are, but for the bias, and found sooner."""
    mean = features.mean(axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # `num_iterations` tells
        fitted = LogisticRegression(C=strength, max_iter=config.max_iterations)
        fitted.fit(features - mean, labels)
    fitted.intercept_ = fitted.intercept_ - fitted.coef_ @ mean
    return fitted


def _linear_map(fitted: LogisticRegression) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give weights (C, D) and biases (C,)."""
    weight, bias = fitted.coef_, fitted.intercept_
    if len(weight) == 1:  # of two classes scikit-learn keeps one row: of the second over the first
        return np.concatenate([np.zeros_like(weight), weight]), np.concatenate([np.zeros_like(bias), bias])
    return weight, bias
