"""Several actions a video: covered, trained on and ranked, on features whose classes are known to lie apart."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.multiclass import OneVsRestClassifier

from vlp.datasplits.manifest import Manifest, Video
from vlp.pipeline.bank import FeatureBank
from vlp.pipeline.clips import Clips
from vlp.pipeline.coverage import cover_labels, label_marks
from vlp.pipeline.coverage_errors import DuplicateVideos, EmptyRole, NoFeatures, NoLabels
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.methods import METHODS
from vlp.pipeline.methods.zero_shot import Config
from vlp.pipeline.scoring import OneLabelOnly, score_kind, score_videos
from vlp.pipeline.settings import resolve
from vlp.pipeline.tasks.multilabel import NothingToRank, evaluate_untrained
from vlp.pipeline.text import class_features
from vlp.pipeline.training import build_method, train_to_end
from vlp.pipeline.training_data import LabelledVideos, hold_out, share_right
from vlp.pipeline.training_runs import plan_training
from vlp.stores.features import FeatureStore

CLASSES = ("archery", "boxing", "diving", "fencing", "rowing")
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")


def listed(num_videos: int = 40, seed: int = 0) -> Manifest:
    """Videos of none, one or several of the first four classes, half to train on; none shows rowing."""
    rng = np.random.default_rng(seed)
    videos = []
    for number in range(num_videos):
        shown = tuple(name for name in CLASSES[:4] if rng.random() < 0.4)
        role = "train" if number % 2 else "test"
        videos.append(Video(f"v{number:02d}", f"v{number:02d}.mp4", labels=shown, splits=(("s1", role),)))
    return Manifest("acts", Path(), tuple(videos), CLASSES)


@pytest.fixture
def store(make_store: Any, encoder: FrozenEncoder) -> FeatureStore:
    """A video looks like the sum of the texts of its classes, with some noise."""
    rng = np.random.default_rng(0)
    looks = class_features(encoder, CLASSES, ["a photo of {}."]).features.numpy()
    looks = looks - looks.mean(axis=0)
    manifest = listed()
    marks = label_marks(manifest.videos, CLASSES)
    videos = {
        video.video_id: (20 * shown @ looks + 0.5 * rng.normal(size=(6, 16)))[:, None]
        for video, shown in zip(manifest.videos, marks, strict=True)
    }
    description = encoder.description
    meaning = {
        "weights": description.weights_sha256,
        "activation": description.activation,
        "embed_dim": description.embed_dim,
    }
    stored: FeatureStore = make_store(videos, meaning=meaning, names=("acts", "tiny", "random"))
    return stored


def mean_frame(store: FeatureStore, video_id: str) -> NDArray[np.float64]:
    """Mean of a video's embeddings, (16,)."""
    mean: NDArray[np.float64] = store.read(video_id).features[:, 0].astype(np.float64).mean(axis=0)
    return mean


def test_videos_of_any_number_of_labels_are_covered(store: FeatureStore, make_store: Any) -> None:
    manifest = listed()
    (covered,) = cover_labels(manifest, store)
    assert (covered.role, len(covered.found)) == ("test", 20)
    assert any(not video.labels for video in covered.found)
    marks = label_marks(covered.found, CLASSES)
    assert marks.shape == (20, 5)
    for row, video in zip(marks, covered.found, strict=True):
        assert [name for name, mark in zip(CLASSES, row, strict=True) if mark] == list(video.labels)
    silent = replace(
        manifest, videos=tuple(Video(v.video_id, v.path, splits=v.splits) for v in manifest.videos)
    )
    with pytest.raises(NoLabels, match=r"no test video of acts \(s1\) has a label"):
        cover_labels(silent, store)
    with pytest.raises(EmptyRole):
        cover_labels(manifest, store, role="val")
    with pytest.raises(NoFeatures):
        cover_labels(manifest, make_store({"other": np.ones((1, 1, 4))}, meaning={"a": "b"}))


def test_a_tested_file_that_is_in_train_is_refused(make_store: Any) -> None:
    manifest = listed(4)
    one = {video.video_id: np.ones((1, 1, 4)) for video in manifest.videos}
    same = make_store(one, meaning={"a": "b"}, contents=dict.fromkeys(one, "one file"))
    with pytest.raises(DuplicateVideos):
        cover_labels(manifest, same)
    (allowed,) = cover_labels(manifest, same, allow_duplicates=True)
    assert allowed.duplicates


def test_nothing_trained_is_ranked_as_scikit_learn_ranks_it(
    store: FeatureStore, encoder: FrozenEncoder
) -> None:
    manifest = listed()
    covered = cover_labels(manifest, store)
    result = evaluate_untrained(manifest, covered, store, encoder, Config(), empty_last=False)
    (split,) = result.splits
    looks = class_features(encoder, CLASSES, ["a photo of {}."]).features.numpy()
    videos = np.stack([mean_frame(store, video.video_id) for video in covered[0].found])
    videos /= np.linalg.norm(videos, axis=1, keepdims=True)
    logits = float(result.provenance["logit_scale"]) * (videos @ looks.T).astype(np.float64)
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    marks = label_marks(covered[0].found, CLASSES)
    expected = [average_precision_score(marks[:, index], chances[:, index]) for index in range(4)]
    found = [row.average_precision for row in split.classes]
    assert found[4] is None
    assert found[:4] == pytest.approx(expected, abs=1e-6)
    assert split.mean_ap == pytest.approx(np.mean(expected), abs=1e-6)
    plain = result.to_json()
    empty = sum(not video.labels for video in covered[0].found)
    assert (plain["splits"][0]["num_empty"], plain["splits"][0]["num_absent_classes"]) == (empty, 1)
    assert (plain["mean_ap_std"], plain["num_found"]) == (None, 20)


def test_classes_that_no_found_video_shows_cannot_be_ranked(
    store: FeatureStore, encoder: FrozenEncoder
) -> None:
    manifest = listed()
    (covered,) = cover_labels(manifest, store)
    empty = tuple(video for video in covered.found if not video.labels)
    with pytest.raises(NothingToRank, match="none of the videos of s1"):
        evaluate_untrained(manifest, [replace(covered, found=empty)], store, encoder, Config())


def learnt(
    store: FeatureStore, encoder: FrozenEncoder, method: str, *values: str
) -> tuple[NDArray[np.float64], NDArray[np.float32], Any]:
    """Train on every label of the training videos; scores and marks of the tested ones."""
    settings = resolve(method, overrides=values)
    manifest = listed()
    shown = replace(manifest, classes=CLASSES[:4])
    plan = plan_training(shown, store, multi_label=True)
    assert all(video.labels for video in plan.videos)
    (tested,) = cover_labels(shown, store)
    bank = FeatureBank(store, [video.video_id for video in (*plan.videos, *tested.found)], placement="ram")
    places = bank.positions([video.video_id for video in plan.videos])
    data = LabelledVideos(bank, places, label_marks(plan.videos, shown.classes))
    built = build_method(method, settings.config, encoder, shown.classes, 0)
    train_to_end(built, settings.module, settings.recipe, data, seed=0, device=CPU)
    at = bank.positions([video.video_id for video in tested.found])
    scores = score_videos(built, bank, at, settings.recipe, seed=0, device=CPU, kind=score_kind(settings))
    return scores, label_marks(tested.found, shown.classes), (bank, data, built, at)


QUICK = ("recipe.num_frames=4", "recipe.num_test_clips=1", "recipe.batch_size=8", "recipe.num_epochs=30")
JU = (
    *QUICK,
    "method.num_prefix=2",
    "method.num_suffix=1",
    "method.num_layers=0",
    "recipe.learning_rate=0.01",
)


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("linear_probe", ()),
        ("residual_adapter", ()),
        ("ju2022", JU),
        ("ju2022", (*JU, "method.variant=official", "method.num_candidates=2")),
        ("actionclip", (*QUICK, "method.head=meanp", "method.template_set=single", "method.max_frames=4")),
        ("actionclip", (*QUICK, "method.head=meanp", "method.classifier=linear", "method.max_frames=4",
                        "recipe.learning_rate=0.01")),
    ],
)  # fmt: skip
def test_methods_learn_to_rank_every_class(
    store: FeatureStore, encoder: FrozenEncoder, method: str, values: tuple[str, ...]
) -> None:
    scores, marks, _ = learnt(store, encoder, method, *values)
    chance = marks.mean(axis=0)
    found = [average_precision_score(marks[:, index], scores[:, index]) for index in range(4)]
    assert np.mean(found) > np.mean(chance) + 0.25


def test_the_linear_probe_fits_each_class_against_the_rest(
    store: FeatureStore, encoder: FrozenEncoder
) -> None:
    scores, _, (bank, data, _, at) = learnt(store, encoder, "linear_probe", "method.inverse_strength=0.1")

    def means(places: NDArray[np.int64]) -> NDArray[np.float64]:
        features = [mean_frame(store, bank.video_ids[place]) for place in places]
        return np.stack(features)

    reference = OneVsRestClassifier(LogisticRegression(C=0.1, max_iter=1000)).fit(
        means(data.videos), data.labels
    )
    raw = np.stack([one.decision_function(means(at)) for one in reference.estimators_], axis=1)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-raw)), atol=2e-3)


def test_methods_say_which_scores_rank_and_others_are_refused() -> None:
    stores_one_class = {"tip_adapter", "tip_adapter_f"}
    for method in stores_one_class:
        with pytest.raises(OneLabelOnly, match=f"{method} learns from videos of one class each"):
            score_kind(resolve(method))
    kinds = {method: score_kind(resolve(method)) for method in METHODS.keys() - stores_one_class}
    others = {"actionclip": "similarities", "linear_probe": "sigmoid"}
    assert kinds == dict.fromkeys(kinds, "softmax") | others


class TwoReadings(torch.nn.Module):
    """Two similarities with each of three classes."""

    def similarities(self, clips: Clips) -> torch.Tensor:
        last = clips.embeddings.float()[:, -1]
        return torch.stack([last[:, :3], last[:, 3:6]], dim=1)

    def forward(self, clips: Clips) -> torch.Tensor:
        return self.similarities(clips).amax(dim=1)


def test_scores_that_rank_are_means_over_clips_views_and_sentences(make_store: Any) -> None:
    from vlp.pipeline.bank import drawn_test_clips
    from vlp.pipeline.recipe import Recipe

    rng = np.random.default_rng(0)
    videos = {f"v{number}": rng.normal(size=(20, 2, 8)) for number in range(3)}
    bank = FeatureBank(make_store(videos, meaning={"kind": "made up"}), sorted(videos), placement="ram")
    recipe = Recipe(sampling="uniform", num_frames=4, num_test_clips=3)
    last = drawn_test_clips(bank, np.array([1]), recipe, np.random.default_rng(0)).embeddings.double()[:, -1]
    kinds: tuple[Any, Any] = ("similarities", "sigmoid")
    compared, sure = (
        score_videos(TwoReadings(), bank, np.array([1]), recipe, seed=0, device=CPU, kind=kind)[0]
        for kind in kinds
    )
    both = torch.stack([last[:, :3], last[:, 3:6]])
    np.testing.assert_allclose(compared, both.mean(dim=(0, 1)).numpy(), rtol=1e-5)
    np.testing.assert_allclose(sure, both.amax(dim=0).sigmoid().mean(dim=0).numpy(), rtol=1e-5)


def test_of_several_labels_any_may_be_the_one_predicted_and_a_share_of_all_is_held_out() -> None:
    marks = np.array([[1, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]], dtype=np.float32)
    assert share_right(np.array([1, 2, 1, 0]), marks) == 0.5
    assert share_right(np.array([1, 2]), np.array([1, 0])) == 0.5
    assert hold_out(np.repeat(marks, 5, axis=0), 0.25, seed=0).sum() == 5
