"""A trained run, loaded: the method with its weights, for the classes it was trained on or for others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vlp.pipeline.class_texts import text_prompts_record
from vlp.pipeline.coverage import Coverage
from vlp.pipeline.encoders import FrozenEncoder
from vlp.pipeline.errors import PipelineError
from vlp.pipeline.settings import MethodSettings, from_json, with_text_prompts
from vlp.stores.errors import RunDamaged, RunMismatch, StoreMismatch
from vlp.stores.features import FeatureStore
from vlp.stores.fingerprint import differences
from vlp.stores.runs import CONFIG, WEIGHTS, RunDirectory


class ClosedVocabulary(PipelineError):
    """A method that knows the classes it was trained on, and no others."""

    def __init__(self, method: str, names: Sequence[str]) -> None:
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        super().__init__(
            f"{method} knows only the classes it was trained on, in their order; asked: {shown}."
        )
        self.method = method
        self.names = tuple(names)


class TextPromptsChanged(PipelineError):
    """Sentences that are no longer those that a run was trained with."""

    def __init__(self, run: Path, source: str, then: str, now: str) -> None:
        super().__init__(
            f"the sentences of {source} are not those that {run} was trained with: SHA-256 {then[:12]}… then, "
            f"{now[:12]}… now."
        )
        self.run = run
        self.source = source


@dataclass(frozen=True)
class TrainedRun:
    """A run with its weights.

    Attributes:
        run: its folder.
        config: every resolved setting.
        settings: method and recipe.
        method: the module, on the encoder's device, in evaluation mode.
        class_names: the C candidates.
        trained_classes: those it was trained on.
    """

    run: RunDirectory
    config: Mapping[str, Any]
    settings: MethodSettings
    method: nn.Module
    class_names: tuple[str, ...]
    trained_classes: tuple[str, ...]


def load_run(
    run: RunDirectory,
    encoder: FrozenEncoder,
    class_names: Sequence[str] | None = None,
    *,
    text_prompts: str | None = None,
) -> TrainedRun:
    """Load a finished run.

    Args:
        run: where it lies.
        encoder: the CLIP it was trained with.
        class_names: C candidates; those it was trained on if None.
        text_prompts: sentences about them, in place of those it was trained with.

    Raises:
        TextPromptsChanged: if its own sentences are not what they were.
        TextPromptsUnread: if it reads none, and some are given.
        RunUnfinished, RunDamaged: as `RunDirectory.read_weights`; also for weights of other shapes.
        RunMismatch: if the encoder is another.
        ClosedVocabulary: for other classes, where the method cannot take them.
        UnknownMethod, UnknownSetting, BadSetting: if its settings are not of this version.
    """
    config = run.config()
    settings = settings_of(run, config)
    if text_prompts is None:
        _check_text_prompts(run, config, settings)
    else:
        settings = with_text_prompts(settings, text_prompts)
    trained = trained_classes(run, config)
    names = trained if class_names is None else tuple(class_names)
    check_vocabulary(settings, trained, names)
    weights_sha256 = encoder.description.weights_sha256
    if found := differences({"weights": config.get("weights_sha256")}, {"weights": weights_sha256}):
        raise RunMismatch(run.path, found)
    tensors, facts = run.read_weights()
    belongs = {"method": settings.method, "class_names": list(trained), "weights_sha256": weights_sha256}
    if found := differences({name: facts.get(name) for name in belongs}, belongs):
        raise RunDamaged(run.path / WEIGHTS, f"its weights are not of this run ({'; '.join(found)[:300]})")
    method = settings.module.build(settings.config, encoder, names)
    try:
        method.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise RunDamaged(run.path / WEIGHTS, f"its weights do not fit {settings.method} ({error})") from error
    return TrainedRun(run, config, settings, method.to(encoder.device).eval(), names, trained)


def settings_of(run: RunDirectory, config: Mapping[str, Any]) -> MethodSettings:
    """Read the method and recipe of a run.

    Raises:
        RunDamaged: if there are none.
        UnknownMethod, UnknownSetting, BadSetting: if they are not of this version.
    """
    saved = config.get("method")
    if not isinstance(saved, Mapping):
        raise RunDamaged(run.path / CONFIG, "it names no method")
    return from_json(saved)


def trained_classes(run: RunDirectory, config: Mapping[str, Any]) -> tuple[str, ...]:
    """Read the classes that a run was trained on.

    Raises:
        RunDamaged: if there are none.
    """
    names = config.get("class_names")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise RunDamaged(run.path / CONFIG, "it names no classes")
    return tuple(names)


def _check_text_prompts(run: RunDirectory, config: Mapping[str, Any], settings: MethodSettings) -> None:
    now, held = text_prompts_record(settings.config), config.get("text_prompts")
    then = str(held.get("sha256")) if isinstance(held, Mapping) else "none"
    if now is not None and now["sha256"] != then:
        raise TextPromptsChanged(run.path, now["source"], then, now["sha256"])


def check_vocabulary(settings: MethodSettings, trained: Sequence[str], asked: Sequence[str]) -> None:
    """Refuse other classes where a method cannot take them.

    Raises:
        ClosedVocabulary: naming some of those asked.
    """
    if tuple(asked) != tuple(trained) and not is_open_vocabulary(settings):
        raise ClosedVocabulary(
            settings.method, [name for name in asked if name not in trained] or list(asked)
        )


def is_open_vocabulary(settings: MethodSettings) -> bool:
    """Tell whether a trained method takes new class names: it does where its `Config` does not say otherwise."""
    return bool(getattr(settings.config, "open_vocabulary", True))


def check_leaks(
    run: RunDirectory, coverages: Sequence[Coverage], store: FeatureStore
) -> tuple[tuple[str, str], ...]:
    """Find tested videos that the run was trained on: the same file, by the hash of its bytes, under any name.

    Returns:
        (trained id, tested id) of each.

    Raises:
        RunDamaged: if the run's list of videos cannot be read.
    """
    trained = {digest: video_id for video_id, digest in run.training_videos().items()}
    stored = store.videos()
    tested = dict.fromkeys(video.video_id for coverage in coverages for video in coverage.found)
    digests = {video_id: stored[video_id].source_sha256 for video_id in tested}
    return tuple((trained[digest], video_id) for video_id, digest in digests.items() if digest in trained)


def check_features(
    config: Mapping[str, Any], store: FeatureStore, *, allow_mismatch: bool = False
) -> tuple[str, ...]:
    """Make sure that a store's features mean what the run was trained on.

    Returns:
        One line for each difference that was let pass.

    Raises:
        StoreMismatch: naming the differences.
    """
    found = differences(store.meaning, config.get("features"))
    if found and not allow_mismatch:
        raise StoreMismatch(store.path, found)
    return tuple(found)
