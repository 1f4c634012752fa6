"""Results on features whose right answers are known: each video lies on the text of some class."""

import json
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from vlp.datasplits.manifest import Manifest, Video
from vlp.pipeline.coverage import cover_classes
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.evaluation import evaluate_zero_shot
from vlp.pipeline.methods.zero_shot import Config
from vlp.pipeline.results import AccuracyResult
from vlp.pipeline.text import class_features
from vlp.stores.errors import StoreMismatch
from vlp.stores.features import FeatureStore

MakeStore = Callable[..., FeatureStore]
CLASSES = ("archery", "bowling", "cricket", "diving", "eating", "fencing")

# video: (its class, the class it looks like, its splits)
VIDEOS = {
    "a1": ("archery", "archery", "s1/test s2/train"),
    "a2": ("archery", "bowling", "s1/test s2/train"),
    "a3": ("archery", "archery", "s1/train s2/test"),
    "b1": ("bowling", "bowling", "s1/test s2/test"),
    "c1": ("cricket", "cricket", "s1/test s2/test"),
    "d1": ("diving", "diving", "s1/test s2/test"),
    "e1": ("eating", "eating", "s1/test s2/test"),
    "f1": ("fencing", "fencing", "s1/test s2/test"),
}
MANIFEST = Manifest(
    dataset="sports",
    root=Path("sports"),
    videos=tuple(
        Video(
            video_id=video_id,
            path=f"{video_id}.mp4",
            labels=(label,),
            splits=tuple((name, role) for name, role in (text.split("/") for text in splits.split())),
        )
        for video_id, (label, _, splits) in VIDEOS.items()
    ),
    classes=CLASSES,
    notes=("9 videos are listed elsewhere",),
)


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def looks(encoder: FrozenEncoder) -> Mapping[str, np.ndarray]:
    """Class to its text feature, made long: direction alone must count."""
    features = class_features(encoder, CLASSES, ["a photo of {}."]).features.numpy()
    return {name: 7 * row for name, row in zip(CLASSES, features, strict=True)}


def meaning_of(encoder: FrozenEncoder) -> dict[str, Any]:
    return {
        "weights": encoder.description.weights_sha256,
        "activation": encoder.description.activation,
        "embed_dim": encoder.description.embed_dim,
    }


@pytest.fixture
def store(make_store: MakeStore, encoder: FrozenEncoder, looks: Mapping[str, np.ndarray]) -> FeatureStore:
    videos = {video_id: looks[seen][None, None] for video_id, (_, seen, _) in VIDEOS.items()}
    return make_store(videos, meaning=meaning_of(encoder), names=("sports", "tiny", "random"))


def evaluate(store: FeatureStore, encoder: FrozenEncoder, **settings: Any) -> AccuracyResult:
    split = settings.pop("split", None)
    return evaluate_zero_shot(
        MANIFEST, cover_classes(MANIFEST, store, split=split), store, encoder, Config(), **settings
    )


def test_each_split_is_scored_on_its_own_test_videos(store: FeatureStore, encoder: FrozenEncoder) -> None:
    first, second = evaluate(store, encoder).splits
    assert first.top1 == pytest.approx(6 / 7)
    assert first.mean_class == pytest.approx((0.5 + 5) / 6)
    assert [row.top1 for row in first.classes] == [0.5, 1, 1, 1, 1, 1]
    assert [row.num_videos for row in first.classes] == [2, 1, 1, 1, 1, 1]
    assert first.confusion[0].tolist() == [1, 1, 0, 0, 0, 0]
    assert (second.top1, second.mean_class, second.top5) == (1.0, 1.0, 1.0)
    assert first.top5 is not None
    assert first.top1 <= first.top5 <= 1.0
    assert first.top1_top5_mean == pytest.approx((first.top1 + first.top5) / 2)


def test_splits_are_summarised_by_mean_and_sample_deviation(
    store: FeatureStore, encoder: FrozenEncoder
) -> None:
    result = evaluate(store, encoder).to_json()
    assert result["top1"] == pytest.approx((6 / 7 + 1) / 2)
    assert result["top1_std"] == pytest.approx(statistics.stdev([6 / 7, 1.0]))
    assert (result["num_expected"], result["num_found"]) == (13, 13)
    alone = evaluate(store, encoder, split="s1").to_json()
    assert alone["top1"] == pytest.approx(6 / 7)
    assert alone["top1_std"] is None


def test_the_result_says_how_it_was_made(store: FeatureStore, encoder: FrozenEncoder) -> None:
    result = json.loads(json.dumps(evaluate(store, encoder, num_frames=4).to_json(), allow_nan=False))
    assert result["protocol"] == "zero-shot"
    assert result["method"] == "zero_shot"
    assert result["dataset"] == "sports"
    assert result["dataset_notes"] == ["9 videos are listed elsewhere"]
    assert result["seed"] is None
    assert (result["class_text"], result["template_set"]) == ("natural", "single")
    assert result["templates"] == ["a photo of {}."]
    assert result["templates_version"]
    assert result["logit_scale"] == pytest.approx(1 / 0.07)
    assert result["frames"] == "4 segment centres"
    assert result["timeline"] == "fps:10"
    assert result["view_aggregation"] == "mean of probabilities"
    assert result["ties"] == "the lower class index first"
    assert (result["model"], result["pretrained"]) == ("tiny", "random")
    assert result["store"] == {
        "path": str(store.path),
        "fingerprint": store.fingerprint,
        "dataset": "sports",
        "mismatch": [],
    }
    assert result["code"]["version"]
    assert [split["split"] for split in result["splits"]] == ["s1", "s2"]
    assert result["splits"][0]["role"] == "test"
    assert len(result["splits"][0]["per_class"]) == len(result["splits"][0]["confusion"]) == 6


def test_a_class_without_a_scored_video_has_no_accuracy_and_no_part_in_the_mean(
    make_store: MakeStore, encoder: FrozenEncoder, looks: Mapping[str, np.ndarray]
) -> None:
    videos = {"a1": looks["archery"][None, None], "a2": looks["bowling"][None, None]}
    failed = dict.fromkeys(["b1", "c1", "d1", "e1"], "empty")
    partial = make_store(videos, meaning=meaning_of(encoder), failed=failed)
    (split,) = evaluate(partial, encoder, split="s1").splits
    assert (split.top1, split.mean_class) == (0.5, 0.5)
    assert [row.top1 for row in split.classes] == [0.5, None, None, None, None, None]
    found = json.loads(json.dumps(split.to_json(), allow_nan=False))
    assert (found["num_expected"], found["num_found"]) == (7, 2)
    assert found["missing"] == {**failed, "f1": "not extracted"}


def test_views_are_joined_by_the_mean_of_their_probabilities(
    make_store: MakeStore, encoder: FrozenEncoder, looks: Mapping[str, np.ndarray]
) -> None:
    """One view is certain of bowling, two lean to archery: probabilities and logits disagree."""
    text = np.stack([looks[name] / 7 for name in CLASSES])
    wanted = np.array([[0, 1, 0, 0, 0, 0], [0.6, 0.5, 0, 0, 0, 0], [0.6, 0.5, 0, 0, 0, 0]])
    views = wanted @ np.linalg.pinv(text).T  # the embeddings whose products with the texts are as wanted
    scale = 200.0
    unit = torch.nn.functional.normalize(torch.tensor(views).half().float(), dim=-1)
    logits = scale * unit @ torch.tensor(text).T
    by_probability = int(logits.double().softmax(dim=-1).mean(dim=0).argmax())
    by_logit = int(logits.mean(dim=0).argmax())
    assert (CLASSES[by_probability], CLASSES[by_logit]) == ("archery", "bowling")

    many = make_store(dict.fromkeys(VIDEOS, views[None]), meaning=meaning_of(encoder))
    (split,) = evaluate_zero_shot(
        MANIFEST, cover_classes(MANIFEST, many, split="s1"), many, encoder, Config(logit_scale=scale)
    ).splits
    assert split.confusion[:, by_probability].sum() == split.confusion.sum()


def test_fewer_than_five_classes_have_no_top_5(make_store: MakeStore, encoder: FrozenEncoder) -> None:
    videos = tuple(Video(video_id=name, path=f"{name}.mp4", labels=(name,)) for name in CLASSES[:4])
    few = Manifest(dataset="few", root=Path("few"), videos=videos, classes=CLASSES[:4])
    store = make_store({name: np.ones((1, 1, 16)) for name in CLASSES[:4]}, meaning=meaning_of(encoder))
    result = evaluate_zero_shot(few, cover_classes(few, store), store, encoder, Config())
    (split,) = result.splits
    assert (split.top1, split.top5, split.top1_top5_mean) == (0.25, None, None)
    assert (result.to_json()["top5"], result.to_json()["top5_std"]) == (None, None)


def test_features_of_another_model_are_refused_or_recorded(
    make_store: MakeStore, encoder: FrozenEncoder, looks: Mapping[str, np.ndarray]
) -> None:
    videos = {video_id: looks[seen][None, None] for video_id, (_, seen, _) in VIDEOS.items()}
    foreign = make_store(videos, meaning={**meaning_of(encoder), "weights": "f" * 64})
    with pytest.raises(StoreMismatch, match="weights"):
        evaluate(foreign, encoder)
    result = evaluate(foreign, encoder, allow_mismatch=True)
    (difference,) = result.to_json()["store"]["mismatch"]
    assert "f" * 64 in difference


def test_names_that_were_cut_are_in_the_result(make_store: MakeStore, encoder: FrozenEncoder) -> None:
    long_name = " ".join(["very"] * 80)
    videos = tuple(Video(video_id=name[:4], path="v.mp4", labels=(name,)) for name in ("diving", long_name))
    cut = Manifest(dataset="cut", root=Path("cut"), videos=videos, classes=("diving", long_name))
    store = make_store(
        {"divi": np.ones((1, 1, 16)), "very": np.ones((1, 1, 16))}, meaning=meaning_of(encoder)
    )
    result = evaluate_zero_shot(cut, cover_classes(cut, store), store, encoder, Config())
    assert result.to_json()["truncated_classes"] == [long_name]
