"""From a dataset and a store to a run: which videos, which settings, then the loop.

plan = plan_training(manifest, store, split="split1", shots=None, seed=0)
run = RunDirectory.create(path, config_of(plan, settings, store, encoder))
for event in train_run(run, plan, settings, store, encoder): ...
"""

import hashlib
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vlp.datasplits.manifest import Manifest, Video
from vlp.pipeline.bank import FeatureBank
from vlp.pipeline.checkpoints import as_arrays
from vlp.pipeline.class_texts import text_prompts_record
from vlp.pipeline.coverage import Coverage, cover_classes, cover_labels, label_indices, label_marks
from vlp.pipeline.efficiency import ScoringCost, cost_of_scoring
from vlp.pipeline.encoders import FrozenEncoder
from vlp.pipeline.errors import PipelineError
from vlp.pipeline.prompt_semantics import NearestWord
from vlp.pipeline.protocols import draw_shots, only_classes
from vlp.pipeline.provenance import code_version
from vlp.pipeline.scoring import score_kind
from vlp.pipeline.settings import MethodSettings, to_json
from vlp.pipeline.stopping import StopRequest
from vlp.pipeline.trained import check_vocabulary, settings_of, trained_classes
from vlp.pipeline.training import CHECKPOINT_SECONDS, build_method, train
from vlp.pipeline.training_data import LabelledVideos
from vlp.pipeline.training_events import EpochEnded, TrainingEnded, TrainingEvent, TrainingStarted
from vlp.stores.errors import RunMismatch
from vlp.stores.features import FeatureStore
from vlp.stores.fingerprint import differences, fingerprint
from vlp.stores.runs import WEIGHTS, RunDirectory


class NothingToStartFrom(PipelineError):
    """A method whose weights another run's cannot stand in for."""

    def __init__(self, method: str) -> None:
        super().__init__(
            f"{method} computes its weights from the training videos at once: those of another run would be lost, "
            "so that it cannot start from one."
        )
        self.method = method


@dataclass(frozen=True)
class TrainingPlan:
    """What is trained on.

    Attributes:
        manifest: the dataset, with the candidate classes only.
        coverage: the training videos of the split, found and missing.
        videos: those trained on: all that were found, or the shots drawn of them.
        shots: K videos a class; None for all.
        seed: of the draw and of everything else.
        multi_label: whether the target is every label of a video.
    """

    manifest: Manifest
    coverage: Coverage
    videos: tuple[Video, ...]
    shots: int | None
    seed: int
    multi_label: bool = False


def plan_training(
    manifest: Manifest,
    store: FeatureStore,
    *,
    split: str | None = None,
    classes: Sequence[str] | None = None,
    shots: int | None = None,
    seed: int = 0,
    multi_label: bool = False,
) -> TrainingPlan:
    """Choose the videos to train on.

    Args:
        manifest: the dataset.
        store: its features.
        split: whose training videos; the dataset's default if None, or its first by name. A dataset without splits
            gives all its videos.
        classes: the candidates; all classes of the dataset if None.
        shots: K videos drawn of every class; None for all.
        seed: of the draw.
        multi_label: train on all labels of each video that has any, and not on one class a video; without ``shots``.

    Raises:
        NoLabels: as `cover_labels`.
        UnknownSplit, EmptyRole, NotOneLabel, ClassAbsent, NoFeatures: as `cover_classes`.
        UnknownClasses, TooFewVideos: as `only_classes` and `draw_shots`.
    """
    kept = manifest if classes is None else only_classes(manifest, classes)
    chosen = split or kept.first_split
    if multi_label:
        coverage = cover_labels(kept, store, split=chosen, role="train")[0]
        videos = tuple(video for video in coverage.found if video.labels)
        return TrainingPlan(kept, coverage, videos, None, seed, multi_label=True)
    coverage = cover_classes(kept, store, split=chosen, role="train")[0]
    videos = coverage.found if shots is None else draw_shots(coverage.found, kept.classes, shots, seed)
    return TrainingPlan(kept, coverage, videos, shots, seed)


def config_of(
    plan: TrainingPlan,
    settings: MethodSettings,
    store: FeatureStore,
    encoder: FrozenEncoder,
    *,
    init_from: RunDirectory | None = None,
    manifest_file: Path | None = None,
) -> dict[str, Any]:
    """Write down every resolved setting of a run, as plain data.

    Two runs of equal configs, but for ``places``, are one run.

    Raises:
        RunUnfinished, RunDamaged: if ``init_from`` cannot be read.
        RunMismatch: if its weights are of another method, or were trained with another encoder.
        ClosedVocabulary: if it was trained on other classes, and the method takes no others.
        PromptsMissing, PromptsUnreadable: if the method names sentences that are none.
        NothingToStartFrom: if the method fits its weights to the training videos, whatever they were.
        OneLabelOnly: if the plan has several labels a video, and the method cannot learn from them.
    """
    if plan.multi_label:
        score_kind(settings)
    weights_sha256 = encoder.description.weights_sha256
    origin = (
        None if init_from is None else _origin(init_from, settings, plan.manifest.classes, weights_sha256)
    )
    text_prompts = text_prompts_record(settings.config)
    return {
        "dataset": plan.manifest.dataset,
        **({"dataset_options": dict(plan.manifest.options)} if plan.manifest.options else {}),
        "split": plan.coverage.split,
        "shots": plan.shots,
        **({"targets": "every label"} if plan.multi_label else {}),
        "seed": plan.seed,
        "num_videos": len(plan.videos),
        "videos_sha256": _digest("\n".join(video.video_id for video in plan.videos).encode()),
        "method": to_json(settings),
        **({"text_prompts": text_prompts} if text_prompts else {}),
        "init_from": origin,
        "model": store.model,
        "pretrained": store.pretrained,
        "weights_sha256": weights_sha256,
        "features": dict(store.meaning),
        "class_names": list(plan.manifest.classes),
        "places": {
            "root": str(plan.manifest.root),
            "annotations": None if plan.manifest.annotations is None else str(plan.manifest.annotations),
            "manifest": None if manifest_file is None else str(manifest_file),
            "store": str(store.path),
            "pretrained": encoder.spec.pretrained,
        },
    }


def train_run(
    run: RunDirectory,
    plan: TrainingPlan,
    settings: MethodSettings,
    store: FeatureStore,
    encoder: FrozenEncoder,
    *,
    init_from: RunDirectory | None = None,
    stop: StopRequest | None = None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> Iterator[TrainingEvent]:
    """Train, and keep everything in the run; a run with a checkpoint is gone on with.

    Yields:
        The events of `train`. After `TrainingEnded` the run is finished.

    Raises:
        RunMismatch: if the weights of ``init_from`` do not fit the method.
        LossNotFinite, RunDamaged: as `train`.
    """
    run.write_env(environment(encoder.device))
    stored = store.videos()
    seen = {video.video_id: stored[video.video_id].source_sha256 for video in plan.videos}
    run.write_training_videos(seen if init_from is None else {**init_from.training_videos(), **seen})
    method = build_method(settings.method, settings.config, encoder, plan.manifest.classes, plan.seed)
    if init_from is not None:
        _start_from(init_from, method, run)
    bank = FeatureBank(store, [video.video_id for video in plan.videos])
    labels_of = label_marks if plan.multi_label else label_indices
    labels = labels_of(plan.videos, plan.manifest.classes)
    data = LabelledVideos(bank, bank.positions(bank.video_ids), labels)
    with _Scalars(run) as scalars:
        for event in train(
            method,
            settings.module,
            settings.recipe,
            data,
            seed=plan.seed,
            device=encoder.device,
            run=run,
            stop=stop,
            checkpoint_seconds=checkpoint_seconds,
        ):
            if isinstance(event, TrainingStarted):
                scalars.begin(after=event.step)
            elif isinstance(event, EpochEnded):
                scalars.add(event)
            elif isinstance(event, TrainingEnded):
                cost = cost_of_scoring(method, settings.recipe.num_frames, bank.embed_dim, encoder.device)
                _finish(run, method, event, cost)
            yield event


def environment(device: torch.device) -> dict[str, Any]:
    """Say on what a run runs."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "threads": torch.get_num_threads(),
        "code": code_version(),
    }


def _start_from(origin: RunDirectory, method: nn.Module, run: RunDirectory) -> None:
    tensors, _ = origin.read_weights()
    try:
        method.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise RunMismatch(run.path, [f"the weights of {origin.path} do not fit ({error})"]) from error


def _finish(run: RunDirectory, method: nn.Module, ended: TrainingEnded, cost: ScoringCost) -> None:
    config = run.config()
    names = ("dataset", "split", "shots", "seed", "model", "pretrained", "weights_sha256", "class_names")
    facts = {name: config[name] for name in names}
    facts |= {"method": config["method"]["name"], "features": fingerprint(config["features"])}
    run.write_weights(as_arrays(method.state_dict()), facts)
    prompt_words: Callable[[], Sequence[NearestWord]] | None = getattr(method, "prompt_words", None)
    if prompt_words is not None:
        run.write_result("prompt-semantics", {"rows": [asdict(word) for word in prompt_words()]})
    more = {
        "seconds": round(ended.seconds, 3),
        "truncated_classes": list(getattr(method, "truncated", ())),
        "init_from": config["init_from"] and config["init_from"]["run"],
    }
    run.write_summary(asdict(ended) | asdict(cost) | more)


def _origin(
    run: RunDirectory, settings: MethodSettings, class_names: Sequence[str], weights_sha256: str
) -> Mapping[str, str]:
    """Name the run to start from, which is refused here where it cannot be: before anything is written."""
    config = run.config()
    trained = settings_of(run, config)
    here = {"method": trained.method, "weights_sha256": config.get("weights_sha256")}
    if found := differences(here, {"method": settings.method, "weights_sha256": weights_sha256}):
        raise RunMismatch(run.path, found)
    check_vocabulary(settings, trained_classes(run, config), class_names)
    if hasattr(settings.module, "fit"):
        raise NothingToStartFrom(settings.method)
    run.read_weights()
    return {"run": run.name, "weights_file_sha256": _digest((run.path / WEIGHTS).read_bytes())}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class _Scalars:
    """The metrics once more, for TensorBoard."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._writer: Any = None

    def __enter__(self) -> "_Scalars":
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def begin(self, *, after: int) -> None:
        """Begin; what a killed process told of later steps is purged, since they are done again."""
        from torch.utils.tensorboard import SummaryWriter

        writer: Any = SummaryWriter
        self._writer = writer(log_dir=str(self._run.path), purge_step=after + 1)

    def add(self, event: EpochEnded) -> None:
        """Write an epoch, before the checkpoint that follows it."""
        self._writer.add_scalar("loss", event.loss, event.step)
        self._writer.add_scalar("learning_rate", event.learning_rate, event.step)
        if event.held_out_top1 is not None:
            self._writer.add_scalar("held_out_top1", event.held_out_top1, event.step)
        self._writer.flush()
