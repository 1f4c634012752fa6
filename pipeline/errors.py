"""What a user can cause in the pipeline. `cli` adds what to type."""

from collections.abc import Sequence
from pathlib import Path


class PipelineError(Exception):
    """Base of the pipeline's errors: `str()` says what is wrong, where, and what exists."""


class UnknownModel(PipelineError):
    """No architecture of this name."""

    def __init__(self, model: str, known: Sequence[str]) -> None:
        super().__init__(f"no model is called {model!r}. Close or known: {', '.join(known)}.")
        self.model = model
        self.known = known


class UnknownWeights(PipelineError):
    """Neither a tag of this model nor a file."""

    def __init__(self, model: str, pretrained: str, known: Sequence[str]) -> None:
        tags = ", ".join(known) or "none"
        super().__init__(f"{pretrained!r} is neither a file nor weights known for {model}. Known: {tags}.")
        self.model = model
        self.pretrained = pretrained
        self.known = known


class WeightsUnavailable(PipelineError):
    """Weights that have to be downloaded, and cannot be."""

    def __init__(self, model: str, pretrained: str, source: str, cause: str) -> None:
        name = f"{pretrained} of {model}" if pretrained else model
        super().__init__(f"the weights {name} cannot be fetched from {source}: {cause}.")
        self.model = model
        self.pretrained = pretrained
        self.source = source


class WeightsUnusable(PipelineError):
    """A weights file that is damaged, of another architecture, or more than tensors."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"cannot load weights from {path}: {why}.")
        self.path = path
        self.why = why


class PreprocessUnknown(PipelineError):
    """A local weights file whose mean, standard deviation or resize nobody states."""

    def __init__(self, model: str, path: Path, choices: Sequence[str]) -> None:
        super().__init__(
            f"{path} does not say how its frames were preprocessed, and the published weights of {model} differ: "
            f"{'; '.join(choices)}. Put an open_clip_config.json with a preprocess_cfg beside it."
        )
        self.model = model
        self.path = path
        self.choices = choices


class BatchSizeFixed(PipelineError):
    """A batch size other than the one a store was begun with: it would change the last bits of the features."""

    def __init__(self, store: str, begun_with: int, asked: int) -> None:
        super().__init__(
            f"{store} was begun with batches of {begun_with}, not {asked}; leave --batch-size out."
        )
        self.store = store
        self.begun_with = begun_with
        self.asked = asked


class DeviceUnavailable(PipelineError):
    """A device or precision that this machine lacks."""


class ClipLengthUnsuitable(PipelineError):
    """Clips of another number of frames than a method has learnt positions."""

    def __init__(
        self, method: str, num_frames: int, num_positions: int, setting: str, *, unless: str
    ) -> None:
        super().__init__(
            f"{method} learns {num_positions} positions and was given clips of {num_frames} frames: "
            f"recipe.num_frames and method.{setting} must be one number, unless {unless}."
        )
        self.method = method
        self.num_frames = num_frames
        self.num_positions = num_positions


class SettingsUnfit(PipelineError):
    """Settings of a method that its model has no room for."""

    def __init__(self, method: str, why: str) -> None:
        super().__init__(f"{method} cannot be built with these settings: {why}.")
        self.method = method
        self.why = why
