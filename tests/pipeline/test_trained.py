"""A trained run is loaded as it was, or refused by name: other encoders, other classes, damaged or foreign weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file, save_file

from vlp.datasplits.manifest import Manifest, Video
from vlp.pipeline.bank import FeatureBank
from vlp.pipeline.coverage import cover_classes
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.scoring import score_videos
from vlp.pipeline.settings import resolve
from vlp.pipeline.trained import ClosedVocabulary, check_features, check_leaks, load_run
from vlp.pipeline.training_runs import config_of, plan_training, train_run
from vlp.stores.errors import RunDamaged, RunMismatch, RunUnfinished, StoreMismatch
from vlp.stores.features import FeatureStore
from vlp.stores.runs import CONFIG, WEIGHTS, RunDirectory

CLASSES = ("archery", "bowling", "diving")
TRAIN = tuple(f"{name}-{number}" for name in CLASSES for number in range(4))
TEST = tuple(f"{name}-test" for name in CLASSES)
MANIFEST = Manifest(
    dataset="sports",
    root=Path("sports"),
    videos=tuple(
        Video(video_id=video_id, path=video_id, labels=(video_id.split("-")[0],), splits=(("s1", role),))
        for role, listed in (("train", TRAIN), ("test", TEST))
        for video_id in listed
    ),
    classes=CLASSES,
    notes=(),
)
SETTINGS = {
    "linear_probe": (),
    "ju2022": (
        "method.num_prefix=2",
        "method.num_suffix=1",
        "recipe.num_epochs=1",
        "recipe.num_test_clips=1",
    ),
    "tip_adapter_f": ("recipe.num_epochs=1",),
    "residual_adapter": ("recipe.num_epochs=1",),
}
CLOSED = [name for name in SETTINGS if name not in ("ju2022", "residual_adapter")]


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")


@pytest.fixture
def store(make_store: Any, encoder: FrozenEncoder) -> FeatureStore:
    rng = np.random.default_rng(0)
    centres = {name: rng.normal(size=encoder.description.embed_dim) for name in CLASSES}
    videos = {
        video_id: (
            centres[video_id.split("-")[0]] + 0.1 * rng.normal(size=(5, len(next(iter(centres.values())))))
        )[:, None]
        for video_id in (*TRAIN, *TEST)
    }
    meaning = {
        "weights": encoder.description.weights_sha256,
        "activation": encoder.description.activation,
        "embed_dim": encoder.description.embed_dim,
    }
    return make_store(videos, meaning=meaning, names=("sports", "tiny", "random"))


@pytest.fixture
def train(store: FeatureStore, encoder: FrozenEncoder, tmp_path: Path) -> Callable[..., RunDirectory]:
    def trained(method: str, *, finish: bool = True, name: str = "run") -> RunDirectory:
        plan = plan_training(MANIFEST, store)
        settings = resolve(method, overrides=SETTINGS[method])
        run = RunDirectory.create(tmp_path / "runs" / name, config_of(plan, settings, store, encoder))
        if finish:
            list(train_run(run, plan, settings, store, encoder))
        return run

    return trained


def rewrite_config(run: RunDirectory, **changes: Any) -> None:
    path = run.path / CONFIG
    held = yaml.safe_load(path.read_text())
    held.update(changes)
    path.write_text(yaml.safe_dump({name: value for name, value in held.items() if value is not None}))


@pytest.mark.parametrize("method", SETTINGS)
def test_what_was_learnt_is_what_is_loaded(
    method: str, train: Callable[..., RunDirectory], store: FeatureStore, encoder: FrozenEncoder
) -> None:
    run = train(method)
    loaded = load_run(run, encoder)
    held, _ = run.read_weights()
    state = {name: tensor.numpy() for name, tensor in loaded.method.state_dict().items()}
    assert {name: array.tobytes() for name, array in state.items()} == {
        name: array.tobytes() for name, array in held.items()
    }
    assert not loaded.method.training
    assert loaded.class_names == loaded.trained_classes == CLASSES
    again = load_run(run, encoder)
    first, second = (
        score_videos(
            one.method,
            FeatureBank(store, TEST),
            np.arange(len(TEST)),
            one.settings.recipe,
            seed=0,
            device=encoder.device,
        )
        for one in (loaded, again)
    )
    np.testing.assert_array_equal(first, second)
    if method == "linear_probe":  # three clusters far apart
        assert first.argmax(axis=1).tolist() == [0, 1, 2]


def test_a_run_that_has_not_ended_is_refused(
    train: Callable[..., RunDirectory], encoder: FrozenEncoder
) -> None:
    with pytest.raises(RunUnfinished):
        load_run(train("linear_probe", finish=False), encoder)


def test_another_encoder_is_refused_before_its_weights_are_read(
    train: Callable[..., RunDirectory], encoder: FrozenEncoder
) -> None:
    run = train("linear_probe")
    rewrite_config(run, weights_sha256="0" * 64)
    with pytest.raises(RunMismatch, match="weights"):
        load_run(run, encoder)


@pytest.mark.parametrize("method", CLOSED)
def test_other_classes_are_refused_where_a_method_knows_only_its_own(
    method: str, train: Callable[..., RunDirectory], encoder: FrozenEncoder
) -> None:
    run = train(method)
    with pytest.raises(ClosedVocabulary, match="swimming"):
        load_run(run, encoder, ["archery", "swimming"])
    with pytest.raises(ClosedVocabulary, match=r"in their order"):
        load_run(run, encoder, CLASSES[::-1])
    assert load_run(run, encoder, CLASSES).class_names == CLASSES


def test_an_open_method_takes_other_classes(
    train: Callable[..., RunDirectory], encoder: FrozenEncoder
) -> None:
    loaded = load_run(train("ju2022"), encoder, ["swimming", "archery"])
    assert (loaded.class_names, loaded.trained_classes) == (("swimming", "archery"), CLASSES)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"method": None}, "no method", id="no-method"),
        pytest.param({"method": ["ju2022"]}, "no method", id="method-is-a-list"),
        pytest.param({"class_names": None}, "no classes", id="no-classes"),
        pytest.param({"class_names": []}, "no classes", id="empty-classes"),
        pytest.param({"class_names": [1, 2, 3]}, "no classes", id="classes-are-numbers"),
    ],
)
def test_settings_that_are_damaged_are_told_by_name(
    changes: dict[str, Any], told: str, train: Callable[..., RunDirectory], encoder: FrozenEncoder
) -> None:
    run = train("linear_probe")
    rewrite_config(run, **changes)
    with pytest.raises(RunDamaged, match=told):
        load_run(run, encoder)


def test_the_weights_of_another_run_are_refused(
    train: Callable[..., RunDirectory], encoder: FrozenEncoder
) -> None:
    probe, adapter = train("linear_probe"), train("residual_adapter", name="other")
    (probe.path / WEIGHTS).write_bytes((adapter.path / WEIGHTS).read_bytes())
    with pytest.raises(RunDamaged, match="not of this run"):
        load_run(probe, encoder)


def test_weights_of_other_shapes_are_refused(
    train: Callable[..., RunDirectory], encoder: FrozenEncoder
) -> None:
    run = train("linear_probe")
    _, facts = run.read_weights()
    longer = {name: np.stack([array, array]) for name, array in load_file(run.path / WEIGHTS).items()}
    run.write_weights(longer, facts)
    with pytest.raises(RunDamaged, match="do not fit"):
        load_run(run, encoder)


@pytest.mark.parametrize("damage", ["cut", "noise", "foreign"])
def test_a_file_of_weights_that_cannot_be_read_is_refused(
    damage: str, train: Callable[..., RunDirectory], encoder: FrozenEncoder
) -> None:
    run = train("linear_probe")
    path = run.path / WEIGHTS
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "noise":
        path.write_bytes(b"\xff" * len(whole))
    else:
        save_file({"weight": np.zeros((3, 2), np.float32)}, path)
    with pytest.raises(RunDamaged):
        load_run(run, encoder)


def test_features_of_another_meaning_are_refused_or_noted(
    train: Callable[..., RunDirectory], store: FeatureStore
) -> None:
    config = train("linear_probe").config()
    assert check_features(config, store) == ()
    other = {**config, "features": {**config["features"], "timeline": "fps:25"}}
    with pytest.raises(StoreMismatch, match="timeline"):
        check_features(other, store)
    (line,) = check_features(other, store, allow_mismatch=True)
    assert "timeline" in line


def test_a_tested_video_that_was_trained_on_is_found_by_its_bytes(
    train: Callable[..., RunDirectory], store: FeatureStore
) -> None:
    run = train("linear_probe")
    coverages = cover_classes(MANIFEST, store)
    assert check_leaks(run, coverages, store) == ()
    tested = coverages[0].found[0].video_id
    held = run.training_videos()
    run.write_training_videos({**held, "under-another-name": store.videos()[tested].source_sha256})
    assert check_leaks(run, coverages, store) == (("under-another-name", tested),)
    found = replace(coverages[0], found=())
    assert check_leaks(run, [found], store) == ()
