"""Classes of new videos, by a trained run.

    with new_features(paths, FeatureKind.of_run(run), encoder, stop=stop, seconds=seconds, told=print) as new:
        predictions = predict(new, trained, device=encoder.device, seed=0, num_top=5)

New videos go through the extraction that made the run's features, into a store of their own that is thrown away:
same timeline, preprocessing, batch shape and failure handling, so the same file gives the same features. A video
that cannot be read becomes an entry with its reason; the others go on.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vlp.datasplits.errors import DatasetError
from vlp.datasplits.manifest import Manifest, Video, real_path
from vlp.pipeline.bank import FeatureBank
from vlp.pipeline.encoders import FrozenEncoder
from vlp.pipeline.errors import PipelineError
from vlp.pipeline.events import Event, StageSeconds, Stopped, VideoFinished
from vlp.pipeline.explanation import FrameMatches, explain
from vlp.pipeline.extraction import run_extraction
from vlp.pipeline.feature_kind import FeatureKind
from vlp.pipeline.planning import ExtractionPlan, Part, Retry, Settings, plan_extraction
from vlp.pipeline.scoring import score_videos
from vlp.pipeline.stopping import StopRequest
from vlp.pipeline.trained import TrainedRun
from vlp.stores.features import FeatureStore
from vlp.stores.fingerprint import differences

_DATASET = "new"
# Paths are anywhere, and a video's id, which its random clips depend on, is the same in every list of paths.
_ROOT = Path("/")


class FeaturesDiffer(PipelineError):
    """New videos would not get the kind of features that a run was trained on."""

    def __init__(self, run: Path, found: Sequence[str]) -> None:
        super().__init__(
            f"new videos would get other features than {run} was trained on: {'; '.join(found)}."
        )
        self.run = run
        self.differences = tuple(found)


@dataclass(frozen=True)
class NewVideo:
    """One path that was given.

    Attributes:
        path: as it was given.
        video_id: of its features; two paths to one file share it.
        status: "ok"; "short", if it could be decoded in part; "failed"; "skipped", if a signal came first.
        reason: a short code; None where ok.
        detail: one line for a person.
    """

    path: Path
    video_id: str
    status: str
    reason: str | None
    detail: str

    @property
    def has_features(self) -> bool:
        """Whether anything of it could be read."""
        return self.status in ("ok", "short")


@dataclass(frozen=True)
class NewFeatures:
    """New videos, and their features for as long as the store is there.

    Attributes:
        videos: one a path.
        store: features of those that have any; None if none has.
        signal: that ended the extraction; None if it went through.
    """

    videos: tuple[NewVideo, ...]
    store: FeatureStore | None
    signal: int | None


@dataclass(frozen=True)
class Prediction:
    """What one video shows.

    Attributes:
        video: the video.
        top: (class name, probability) pairs, the most probable first; none without features.
        frames: for every frame that was scored the sentences of the first class that it is most like, where asked for.
    """

    video: NewVideo
    top: tuple[tuple[str, float], ...] = ()
    frames: tuple[FrameMatches, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "path": os.fsencode(self.video.path).decode(errors="replace"),
            "status": self.video.status,
            "reason": self.video.reason,
            "detail": self.video.detail,
            "top": [{"class": name, "probability": probability} for name, probability in self.top],
            **({"frames": [frame.to_json() for frame in self.frames]} if self.frames else {}),
        }


@contextmanager
def new_features(
    paths: Sequence[Path],
    kind: FeatureKind,
    encoder: FrozenEncoder,
    *,
    stop: StopRequest,
    seconds: StageSeconds,
    told: Callable[[Event], None],
) -> Iterator[NewFeatures]:
    """Extract new videos into a store that lasts as long as the block.

    Args:
        paths: files anywhere; links are followed.
        kind: how the run's features were made.
        encoder: the run's.
        stop: asked between any two blocks of frames.
        seconds: filled in while it runs.
        told: called with every event of the extraction.

    Yields:
        The videos, in the order of their paths.

    Raises:
        FeaturesDiffer: if this encoder and version make features of another meaning.
        StoreError, PipelineError: as `run_extraction`.
    """
    listed, refused = _listed(paths)
    with tempfile.TemporaryDirectory(prefix="vlp-predict-") as folder:
        plan = _plan(listed, kind, encoder, Path(folder))
        ended: dict[str, VideoFinished] = {}
        signal: int | None = None
        settings = Settings(
            device=str(encoder.device), precision=encoder.precision, batch_size=kind.batch_size
        )
        for event in (
            run_extraction(plan, encoder.spec, settings, seconds=seconds, stop=stop, encoder=encoder)
            if plan.pending
            else ()
        ):
            told(event)
            if isinstance(event, VideoFinished):
                ended[event.video_id] = event
            elif isinstance(event, Stopped):
                signal = event.signal
        videos = tuple(_settled(path, refused, ended) for path in paths)
        has_features = any(video.has_features for video in videos)
        yield NewFeatures(videos, FeatureStore.open(plan.store) if has_features else None, signal)


def predict(
    new: NewFeatures,
    trained: TrainedRun,
    *,
    device: torch.device,
    seed: int,
    num_top: int,
    num_sentences: int = 0,
) -> tuple[Prediction, ...]:
    """Score new videos as the run's evaluation scores a dataset's.

    Args:
        new: the videos.
        trained: the run.
        device: where its method is.
        seed: of random clips.
        num_top: classes a video, at most.
        num_sentences: of the likeliest class, named for every frame, at most; 0 for none.

    Returns:
        One prediction a video, in their order.

    Raises:
        NothingToExplain: if sentences are asked for, and the method compares none with frames.
    """
    ids = tuple(dict.fromkeys(video.video_id for video in new.videos if video.has_features))
    if new.store is None or not ids:
        return tuple(map(Prediction, new.videos))
    bank = FeatureBank(new.store, ids)
    scores = score_videos(
        trained.method,
        bank,
        np.arange(len(ids)),
        trained.settings.recipe,
        seed=seed,
        device=device,
    )
    if trained.settings.recipe.aggregation == "logits":
        scores = _softmax(scores)
    top = {
        video_id: _top(row, trained.class_names, num_top) for video_id, row in zip(ids, scores, strict=True)
    }
    frames: dict[str, tuple[FrameMatches, ...]] = {}
    for place, video_id in enumerate(ids if num_sentences else ()):
        likeliest = int(np.argmax(scores[place]))
        frames[video_id] = explain(
            trained, bank, place, likeliest, seed=seed, device=device, num_best=num_sentences
        )
    return tuple(
        Prediction(video, top.get(video.video_id, ()), frames.get(video.video_id, ())) for video in new.videos
    )


def _listed(paths: Sequence[Path]) -> tuple[list[Video], dict[str, str]]:
    """List each file once; those whose names no store can hold are refused, each with the reason."""
    videos: dict[str, Video] = {}
    refused: dict[str, str] = {}
    for path in paths:
        video_id = _video_id(path)
        video = Video(video_id, video_id)
        try:
            Manifest(_DATASET, _ROOT, (video,), ())
            videos[video_id] = video
        except DatasetError as error:
            refused[video_id] = str(error)
    return list(videos.values()), refused


def _video_id(path: Path) -> str:
    return real_path(path).relative_to(_ROOT).as_posix()


def _plan(videos: Sequence[Video], kind: FeatureKind, encoder: FrozenEncoder, cache: Path) -> ExtractionPlan:
    forced = kind.meaning.get("precision")
    plan = plan_extraction(
        Manifest(_DATASET, _ROOT, tuple(videos), ()),
        encoder.description,
        kind.timeline,
        kind.framing,
        cache=cache,
        part=Part(),
        retry=Retry(),
        forced_precision=None if forced is None else str(forced),
    )
    if found := differences(kind.meaning, plan.meaning):
        raise FeaturesDiffer(kind.run, found)
    return plan


def _settled(path: Path, refused: Mapping[str, str], ended: Mapping[str, VideoFinished]) -> NewVideo:
    video_id = _video_id(path)
    if video_id in refused:
        return NewVideo(path, video_id, "failed", "name", refused[video_id])
    if video_id not in ended:
        return NewVideo(path, video_id, "skipped", "interrupted", "a signal came first")
    event = ended[video_id]
    return NewVideo(path, video_id, event.status, event.reason, event.detail)


def _top(scores: NDArray[np.float64], names: Sequence[str], num_top: int) -> tuple[tuple[str, float], ...]:
    order = np.argsort(-scores, kind="stable")[:num_top]  # ties: the lower class index first
    return tuple((names[index], float(scores[index])) for index in order.tolist())


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return shares
