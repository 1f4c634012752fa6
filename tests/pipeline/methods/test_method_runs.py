"""What holds for the runs of every method: saved and loaded, started from, cut short, in half precision."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vlp.datasplits.manifest import Manifest, Video
from vlp.pipeline.bank import FeatureBank
from vlp.pipeline.clips import Clips
from vlp.pipeline.coverage import label_indices
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.methods import METHODS
from vlp.pipeline.scoring import score_videos
from vlp.pipeline.settings import MethodSettings, resolve
from vlp.pipeline.stopping import StopRequest
from vlp.pipeline.trained import ClosedVocabulary, is_open_vocabulary, load_run
from vlp.pipeline.training import build_method, train_to_end
from vlp.pipeline.training_data import LabelledVideos
from vlp.pipeline.training_events import StepTaken, TrainingStopped
from vlp.pipeline.training_runs import NothingToStartFrom, config_of, plan_training, train_run
from vlp.stores.features import FeatureStore
from vlp.stores.runs import RunDirectory

CLASSES, OTHERS = ("archery", "bowling", "diving"), ("swimming", "archery")
CASES: dict[str, tuple[str, str | None]] = {
    **{name: (name, None) for name in METHODS},
    **{f"actionclip-{row}": ("actionclip", row) for row in ("unimodal", "random-text", "Transf_cls")},
}
SEED = 3


def settings_of(case: str, *overrides: str) -> MethodSettings:
    """A case with few and small steps: 12 videos are three steps an epoch."""
    method, row = CASES[case]
    quick = ["recipe.num_epochs=2", "recipe.batch_size=5"]
    return resolve(method, row=row, overrides=[*quick, *overrides])


def learns_by_steps(case: str) -> bool:
    return settings_of(case).recipe.optimizer != "none"


def manifest_of(names: tuple[str, ...]) -> Manifest:
    ids = [f"{name}-{number}" for name in names for number in range(4)]
    videos = tuple(Video(video_id, video_id, (video_id.split("-")[0],)) for video_id in ids)
    return Manifest("sports", Path("sports"), videos, names)


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")


@pytest.fixture
def store(make_store: Any, encoder: FrozenEncoder) -> FeatureStore:
    rng = np.random.default_rng(0)
    centres = {name: rng.normal(size=16) for name in (*CLASSES, *OTHERS)}
    videos = {
        f"{name}-{number}": (centre + 0.5 * rng.normal(size=(9, 16)))[:, None]
        for name, centre in centres.items()
        for number in range(4)
    }
    stored: FeatureStore = make_store(videos, meaning={"kind": "made up"}, names=("sports", "tiny", "random"))
    return stored


Begin = Callable[..., RunDirectory]


@pytest.fixture
def begin(store: FeatureStore, encoder: FrozenEncoder, tmp_path: Path) -> Begin:
    """Train a run to its end, or until it has taken some steps; one of that name is gone on with."""

    def begun(
        settings: MethodSettings,
        name: str = "run",
        *,
        classes: tuple[str, ...] = CLASSES,
        init_from: RunDirectory | None = None,
        stop_after: int | None = None,
    ) -> RunDirectory:
        plan = plan_training(manifest_of(classes), store, seed=SEED)
        config = config_of(plan, settings, store, encoder, init_from=init_from)
        path = tmp_path / "runs" / name
        run = RunDirectory.open(path) if path.exists() else RunDirectory.create(path, config)
        stop, num_steps = StopRequest(), 0
        for event in train_run(run, plan, settings, store, encoder, init_from=init_from, stop=stop):
            num_steps += isinstance(event, StepTaken)
            if num_steps == stop_after:
                stop.signal = signal.SIGTERM
        assert isinstance(event, TrainingStopped) == (stop_after is not None)
        return run

    return begun


def weights_of(run: RunDirectory) -> dict[str, NDArray[Any]]:
    return run.read_weights()[0]


def equal(one: RunDirectory, other: RunDirectory) -> bool:
    ours, theirs = weights_of(one), weights_of(other)
    return ours.keys() == theirs.keys() and all(np.array_equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("case", CASES)
def test_a_loaded_run_scores_as_what_was_trained_in_memory(
    case: str, begin: Begin, store: FeatureStore, encoder: FrozenEncoder
) -> None:
    settings = settings_of(case)
    loaded = load_run(begin(settings), encoder).method
    videos = manifest_of(CLASSES).videos
    bank = FeatureBank(store, [video.video_id for video in videos])
    places = bank.positions(bank.video_ids)
    data = LabelledVideos(bank, places, label_indices(videos, CLASSES))
    here = build_method(settings.method, settings.config, encoder, CLASSES, SEED)
    train_to_end(here, settings.module, settings.recipe, data, seed=SEED, device=encoder.device)
    scores = [
        score_videos(method, bank, places, settings.recipe, seed=0, device=encoder.device)
        for method in (loaded, here)
    ]
    assert np.array_equal(*scores)


@pytest.mark.parametrize("case", [case for case in CASES if learns_by_steps(case)])
def test_a_run_that_was_stopped_and_gone_on_with_ends_as_one_that_was_not(case: str, begin: Begin) -> None:
    settings = settings_of(case)
    begin(settings, "stopped", stop_after=2)
    assert equal(begin(settings, "stopped"), begin(settings, "alone"))


@pytest.mark.parametrize("case", CASES)
def test_a_run_starts_from_anothers_weights_or_says_why_not(case: str, begin: Begin) -> None:
    rests = ("recipe.learning_rate=0", "recipe.tower_learning_rate=0")
    settings, origin = settings_of(case, *rests), begin(settings_of(case), "origin")
    if hasattr(settings.module, "fit"):
        with pytest.raises(NothingToStartFrom, match=f"{settings.method} computes its weights"):
            begin(settings, "same", init_from=origin)
    else:
        assert equal(begin(settings, "same", init_from=origin), origin)
    if is_open_vocabulary(settings):
        assert equal(begin(settings, "others", classes=OTHERS, init_from=origin), origin)
    else:
        with pytest.raises(ClosedVocabulary, match=f"{settings.method} knows only .*swimming"):
            begin(settings, "others", classes=OTHERS, init_from=origin)


@pytest.mark.parametrize("case", CASES)
def test_half_precision_moves_logits_by_its_own_error(
    case: str, begin: Begin, encoder: FrozenEncoder
) -> None:
    """bfloat16 keeps 8 bits: some of its steps of 0.4% add up along a method's layers."""
    settings = settings_of(case)
    run = begin(settings)
    method, again = (load_run(run, encoder).method for _ in range(2))  # each encodes its texts once
    generator = torch.Generator().manual_seed(1)
    clips = Clips(3 * torch.randn(20, settings.recipe.num_frames, 16, generator=generator))
    with torch.no_grad():
        exact = method(clips).double()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rough = again(clips).double()
    assert float((rough - exact).norm() / (exact - exact.mean()).norm()) < 0.03
