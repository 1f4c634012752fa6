"""Protocols of many trainings, on features whose classes are known to lie apart."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vlp.datasplits.manifest import Manifest, Video
from vlp.pipeline.bank import FeatureBank
from vlp.pipeline.base_to_novel import UnfitDraw, base_to_novel
from vlp.pipeline.coverage import Coverage, cover_classes
from vlp.pipeline.coverage_errors import DuplicateVideos, NoFeatures
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.episodes import can_be_stacked, episode_accuracies
from vlp.pipeline.learning import Learner
from vlp.pipeline.method_table import FIGURES, Comparison, Entry, default_entries, method_table, read_entries
from vlp.pipeline.methods import METHODS
from vlp.pipeline.protocols import ClassOverlap, TooFewVideos, draw_episodes
from vlp.pipeline.published_lists import Draws
from vlp.pipeline.settings import SettingsUnreadable, resolve
from vlp.pipeline.text import class_features
from vlp.pipeline.trained import ClosedVocabulary
from vlp.pipeline.trials import Laboratory, closed_set, episodes, few_shot
from vlp.stores.features import FeatureStore

CLASSES = ("archery", "boxing", "diving", "fencing", "rowing", "surfing")
JU = (
    "method.num_prefix=2",
    "method.num_suffix=1",
    "method.num_layers=1",
    "method.num_heads=4",
    "method.max_frames=4",
    "recipe.num_frames=4",
    "recipe.num_test_clips=1",
    "recipe.num_epochs=4",
    "recipe.batch_size=4",
    "recipe.learning_rate=0.01",
)


def tell(_: str) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")


@pytest.fixture
def manifest() -> Manifest:
    videos = tuple(
        Video(
            f"{name}/{number}",
            f"{name}/{number}.avi",
            (name,),
            splits=(("s1", "test" if number < 3 else "train"), ("s2", "train" if number < 4 else "test")),
        )
        for name in CLASSES
        for number in range(8)
    )
    return Manifest("sports", Path(), videos, CLASSES)


@pytest.fixture
def store(make_store: Any, manifest: Manifest, encoder: FrozenEncoder) -> FeatureStore:
    """Every video shows the text of its class, and hardly any noise."""
    rng = np.random.default_rng(0)
    looks = class_features(encoder, CLASSES, ["a photo of {}."]).features.numpy()
    videos = {
        video.video_id: (20 * looks[CLASSES.index(video.labels[0])] + 0.002 * rng.normal(size=(9, 16)))[
            :, None
        ]
        for video in manifest.videos
    }
    description = encoder.description
    meaning = {
        "weights": description.weights_sha256,
        "activation": description.activation,
        "embed_dim": description.embed_dim,
    }
    stored: FeatureStore = make_store(videos, meaning=meaning, names=("sports", "tiny", "random"))
    return stored


def laboratory(
    manifest: Manifest, store: FeatureStore, encoder: FrozenEncoder, method: str, *overrides: str
) -> Laboratory:
    return Laboratory(manifest, store, encoder, resolve(method, overrides=overrides))


def of_split(manifest: Manifest, store: FeatureStore, role: str, split: str = "s1") -> Coverage:
    return cover_classes(manifest, store, split=split, role=role)[0]


def test_closed_set_trains_and_tests_on_each_split(
    manifest: Manifest, store: FeatureStore, encoder: FrozenEncoder
) -> None:
    trained, tested = (cover_classes(manifest, store, role=role) for role in ("train", "test"))
    result = closed_set(
        laboratory(manifest, store, encoder, "linear_probe"), trained, tested, seed=0, tell=tell
    )
    assert [split.top1 for split in result.splits] == [1.0, 1.0]
    assert [len(split.videos) for split in result.splits] == [18, 24]
    plain = result.to_json(with_videos=True)
    assert (plain["protocol"], plain["method"], plain["num_found"]) == ("closed-set", "linear_probe", 42)
    assert plain["splits"][0]["videos"][0]["predicted"] == plain["splits"][0]["videos"][0]["label"]


def test_k_shots_of_every_class_are_trained_on(
    manifest: Manifest, store: FeatureStore, encoder: FrozenEncoder
) -> None:
    lab = laboratory(manifest, store, encoder, "tip_adapter")
    train, test = of_split(manifest, store, "train"), of_split(manifest, store, "test")
    told: list[str] = []
    result = few_shot(lab, train, test, shots=2, rounds=4, seed=7, tell=told.append)
    assert [trial.seed for trial in result.trials] == [7, 8, 9, 10]
    assert told[0] == "Round 1 of 4: 12 videos"
    assert result.metrics == ("top1", "top5")
    plain = result.to_json()
    assert (plain["shots"], plain["ways"], plain["drawn"]) == (2, 6, "seeded")
    assert plain["top1"] == pytest.approx(np.mean([trial.values["top1"] for trial in result.trials]))
    given = few_shot(lab, train, test, shots=1, rounds=Draws((train.found,), ()), seed=0, tell=tell)
    assert given.provenance["drawn"] == "published lists"
    assert given.summary("top1")[1] is None
    with pytest.raises(TooFewVideos):
        few_shot(lab, train, test, shots=6, rounds=1, seed=0, tell=tell)


def test_base_and_novel_are_each_scored_among_their_own_names(
    manifest: Manifest, store: FeatureStore, encoder: FrozenEncoder
) -> None:
    lab = laboratory(manifest, store, encoder, "residual_adapter", "method.ratio=0.0")
    train, test = of_split(manifest, store, "train"), of_split(manifest, store, "test")
    result = base_to_novel(lab, train, test, shots=2, rounds=2, seed=3, tell=tell)
    assert [trial.seed for trial in result.trials] == [3, 4]
    assert result.metrics == ("base", "novel", "harmonic_mean")
    # A ratio of 0 is CLIP as it is, whose texts the videos were made of: whatever was trained, all is right.
    assert [trial.values["base"] for trial in result.trials] == [1.0, 1.0]
    assert [trial.values["harmonic_mean"] for trial in result.trials] == [1.0, 1.0]
    assert result.provenance["novel_classes"] == list(CLASSES[:3])  # equal counts: the first half
    with pytest.raises(ClosedVocabulary, match="linear_probe knows only the classes"):
        base_to_novel(
            laboratory(manifest, store, encoder, "linear_probe"),
            train,
            test,
            shots=2,
            rounds=1,
            seed=0,
            tell=tell,
        )


def test_trials_trained_together_learn_what_each_learns_alone(
    manifest: Manifest, store: FeatureStore, encoder: FrozenEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scores of stacked trainings against `Learner.train`, which runs the one loop."""
    settings = resolve("ju2022", overrides=JU)
    learner = Learner(settings, encoder, FeatureBank(store, sorted(store.videos()), placement="ram"))
    assert can_be_stacked(learner)
    trials = list(draw_episodes(manifest.videos, CLASSES, ways=len(CLASSES), shots=2, trials=3, seed=0))
    scores: dict[str, list[np.ndarray]] = {"together": [], "alone": []}
    original = Learner.score
    collected = scores["together"]

    def recorded(self: Learner, method: torch.nn.Module, videos: Any, seed: int) -> np.ndarray:
        found = original(self, method, videos, seed)
        collected.append(found)
        return found

    monkeypatch.setattr(Learner, "score", recorded)
    together = episode_accuracies(learner, CLASSES, trials, 11)
    collected = scores["alone"]
    for number, trial in enumerate(trials):
        # All classes take part, in the candidates' own order: the same loss as in the stacked training.
        method = learner.train(trial.train, CLASSES, 11 + number)
        recorded(learner, method, trial.test, 11 + number)
    for one, other in zip(scores["together"], scores["alone"], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert len({tuple(values.ravel()) for values in scores["alone"]}) == 3
    assert len(together) == 3


@pytest.mark.parametrize(
    ("method", "overrides"),
    [("tip_adapter", ()), ("linear_probe", ()), ("residual_adapter", ()), ("ju2022", JU)],
)
def test_n_way_trials_run_with_every_kind_of_method(
    method: str, overrides: tuple[str, ...], manifest: Manifest, store: FeatureStore, encoder: FrozenEncoder
) -> None:
    lab = laboratory(manifest, store, encoder, method, *overrides)
    result = episodes(lab, ways=3, shots=2, num_trials=4, seed=0, tell=tell)
    assert len(result.trials) == 4
    assert all(0.0 <= trial.values["top1"] <= 1.0 for trial in result.trials)
    assert (result.provenance["ways"], result.provenance["shots"]) == (3, 2)
    again = episodes(lab, ways=3, shots=2, num_trials=2, seed=0, tell=tell)
    assert again.trials == result.trials[:2]


def test_logits_of_absent_classes_are_not_looked_at(
    manifest: Manifest, store: FeatureStore, encoder: FrozenEncoder
) -> None:
    """Videos lie on the texts of their classes: among any N of them the right one is nearest."""
    lab = laboratory(manifest, store, encoder, "residual_adapter", "method.ratio=0.0")
    result = episodes(lab, ways=2, shots=1, num_trials=6, seed=0, tell=tell)
    assert [trial.values["top1"] for trial in result.trials] == [1.0] * 6


def test_trials_do_not_train_on_a_file_that_they_test_on(
    manifest: Manifest, make_store: Any, encoder: FrozenEncoder
) -> None:
    rng = np.random.default_rng(0)
    looks = {video.video_id: rng.normal(size=(4, 1, 16)) for video in manifest.videos}
    same = {"archery/0": "one file", "archery/5": "one file"}
    store = make_store(looks, meaning={"weights": "x"}, names=("sports", "t", "r"), contents=same)
    lab = laboratory(manifest, store, encoder, "tip_adapter")
    with pytest.raises(DuplicateVideos, match="archery/0 = archery/5"):
        episodes(lab, ways=2, shots=1, num_trials=1, seed=0, tell=tell)
    allowed = episodes(lab, ways=2, shots=1, num_trials=1, seed=0, tell=tell, allow_duplicates=True)
    assert len(allowed.trials) == 1


def test_trials_need_features(manifest: Manifest, make_store: Any, encoder: FrozenEncoder) -> None:
    empty = make_store({"other": np.zeros((1, 1, 16))}, meaning={"weights": "x"}, names=("sports", "t", "r"))
    lab = laboratory(manifest, empty, encoder, "tip_adapter")
    with pytest.raises(NoFeatures, match="holds none of the videos of sports"):
        episodes(lab, ways=2, shots=1, num_trials=1, seed=0, tell=tell)


def compared(
    manifest: Manifest, store: FeatureStore, encoder: FrozenEncoder, subset: frozenset[str] = frozenset()
) -> Comparison:
    """Videos of a split, two seeds."""
    return Comparison(
        laboratory(manifest, store, encoder, "zero_shot"),
        of_split(manifest, store, "train"),
        of_split(manifest, store, "test"),
        subset,
        shots=2,
        base_shots=2,
        num_seeds=2,
        seed=3,
    )


def test_a_table_says_what_each_protocol_says_alone(
    manifest: Manifest, store: FeatureStore, encoder: FrozenEncoder
) -> None:
    comparison = compared(manifest, store, encoder, frozenset(("boxing", "rowing")))
    told: list[str] = []
    entries = (Entry("prompts", resolve("ju2022", overrides=JU)), Entry("probe", resolve("linear_probe")))
    prompts, probe = method_table(comparison, entries, told.append)
    assert [line.split(":")[0] for line in told] == ["prompts", "probe"]
    assert tuple(prompts.figures) == FIGURES
    assert tuple(probe.figures) == ("closed_set", "subset", "few_shot")
    lab = laboratory(manifest, store, encoder, "ju2022", *JU)
    trained, tested = comparison.trained, comparison.tested
    few = few_shot(lab, trained, tested, shots=2, rounds=2, seed=3, tell=tell)
    assert prompts.figures["few_shot"] == few.summary("top1")
    novel = base_to_novel(lab, trained, tested, shots=2, rounds=2, seed=3, tell=tell)
    for name in ("base", "novel", "harmonic_mean"):
        assert prompts.figures[name] == novel.summary(name)
    results = [closed_set(lab, [trained], [tested], seed=seed, tell=tell).splits[0] for seed in (3, 4)]
    assert prompts.figures["closed_set"][0] == pytest.approx(np.mean([split.top1 for split in results]))
    by_class = {row.name: row.top1 for row in results[0].classes}
    first = np.mean([float(by_class[name] or 0) for name in ("boxing", "rowing")])
    second = {row.name: row.top1 for row in results[1].classes}
    both = [first, np.mean([float(second[name] or 0) for name in ("boxing", "rowing")])]
    assert prompts.figures["subset"][0] == pytest.approx(np.mean(both))
    assert prompts.to_json()["few_shot_interval"] == few.summary("top1")[1]


def test_zero_shot_in_a_table_is_among_the_novel_names_only(
    manifest: Manifest, store: FeatureStore, encoder: FrozenEncoder
) -> None:
    """Without training, it is what an untrained method says of the novel videos; base and novel add nothing."""
    (row,) = method_table(compared(manifest, store, encoder), [Entry("CLIP", resolve("zero_shot"))], tell)
    assert row.figures["zero_shot"] == row.figures["novel"]
    assert row.figures["zero_shot"][1] == 0
    assert "subset" not in row.figures


def test_entries_are_read_with_their_settings(tmp_path: Path) -> None:
    file = tmp_path / "methods.yaml"
    file.write_text(
        "- {method: ju2022, row: A4}\n- {name: few prompts, method: ju2022, set: [method.num_prefix=2]}\n"
    )
    first, second = read_entries(file)
    assert (first.name, first.settings) == ("ju2022 A4", resolve("ju2022", row="A4"))
    assert (second.name, second.settings.config.num_prefix) == ("few prompts", 2)
    assert [entry.name for entry in default_entries()] == list(METHODS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("method: ju2022", "it is no list of methods"),
        ("[]", "it is no list of methods"),
        ("- ju2022", "entry 1 names no method"),
        ("- {method: ju2022}\n- {method: 3}", "entry 2 has 'method': 3"),
        ("- {method: ju2022, rows: A1}", "entry 1 has 'rows': 'A1'. Known: name, method, row, set"),
        ("- {method: ju2022}\n- {method: ju2022}", "two entries have one name"),
        ("- {method: [", "it is no YAML"),
        ("- !!python/object/apply:os.getcwd []", "it is no YAML"),
        ("#" * (1 << 20) + "#", "more than 1,048,576 bytes"),
    ],
)
def test_entries_of_another_shape_are_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "methods.yaml").write_text(text)
    with pytest.raises(SettingsUnreadable, match=re.escape(said)):
        read_entries(tmp_path / "methods.yaml")


def test_a_file_of_entries_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsUnreadable, match=r"gone\.yaml: No such file"):
        read_entries(tmp_path / "gone.yaml")


def test_a_base_and_a_novel_class_of_one_name_stop_with_it(
    manifest: Manifest, store: FeatureStore, encoder: FrozenEncoder
) -> None:
    twins = {"rowing": "Box_ing", "boxing": "box ing"}
    videos = tuple(
        replace(video, labels=tuple(twins.get(name, name) for name in video.labels))
        for video in manifest.videos
    )
    named = replace(manifest, videos=videos, classes=tuple(twins.get(name, name) for name in CLASSES))
    lab = laboratory(named, store, encoder, "residual_adapter")
    train, test = of_split(named, store, "train"), of_split(named, store, "test")
    with pytest.raises(ClassOverlap, match="box ing"):
        base_to_novel(lab, train, test, shots=1, rounds=1, seed=0, tell=tell)


def test_draws_for_another_division_are_refused_by_name(
    manifest: Manifest, store: FeatureStore, encoder: FrozenEncoder
) -> None:
    lab = laboratory(manifest, store, encoder, "residual_adapter")
    train, test = of_split(manifest, store, "train"), of_split(manifest, store, "test")
    with pytest.raises(
        UnfitDraw, match=r"15 of the drawn videos are of no base class, such as 'archery/3'"
    ) as caught:
        base_to_novel(lab, train, test, shots=1, rounds=Draws((train.found,), ()), seed=0, tell=tell)
    assert (caught.value.label, caught.value.num_videos) == ("archery", 15)
