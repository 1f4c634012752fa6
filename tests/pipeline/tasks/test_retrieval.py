"""Retrieval on features that lie on the captions of known videos."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlp.datasplits.manifest import Manifest, Video
from vlp.pipeline.coverage import cover_captions
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.tasks.retrieval import RetrievalResult, evaluate_retrieval
from vlp.pipeline.text import sentence_features
from vlp.stores.errors import StoreMismatch
from vlp.stores.features import FeatureStore

MakeStore = Callable[..., FeatureStore]
CAPTIONS = {
    "cook": ("a man cooks", "somebody fries an egg"),
    "swim": ("a woman swims",),
    "read": ("a child reads a book", "pages are turned", "a quiet room"),
}
MANIFEST = Manifest(
    dataset="told",
    root=Path("told"),
    videos=tuple(
        Video(video_id=name, path=f"{name}.mp4", captions=captions) for name, captions in CAPTIONS.items()
    ),
    classes=(),
)


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")


def meaning_of(encoder: FrozenEncoder) -> dict[str, Any]:
    return {
        "weights": encoder.description.weights_sha256,
        "activation": encoder.description.activation,
        "embed_dim": encoder.description.embed_dim,
    }


def feature(encoder: FrozenEncoder, caption: str) -> np.ndarray:
    return sentence_features(encoder, [caption]).features.numpy()[None]


def evaluate(store: FeatureStore, encoder: FrozenEncoder, **settings: Any) -> RetrievalResult:
    return evaluate_retrieval(MANIFEST, cover_captions(MANIFEST, store), store, encoder, **settings)


def test_a_video_on_its_own_caption_is_found_by_it_and_finds_it(
    make_store: MakeStore, encoder: FrozenEncoder
) -> None:
    """The second video lies on a caption of the first: only its own caption and direction suffer."""
    store = make_store(
        {
            "cook": feature(encoder, "somebody fries an egg"),
            "swim": feature(encoder, "a man cooks"),
            "read": feature(encoder, "pages are turned"),
        },
        meaning=meaning_of(encoder),
    )
    (split,) = evaluate(store, encoder).splits
    rank_of_caption = dict(
        zip((text for texts in CAPTIONS.values() for text in texts), split.text_to_video.rank, strict=True)
    )
    assert rank_of_caption["somebody fries an egg"] == rank_of_caption["pages are turned"] == 1
    assert rank_of_caption["a man cooks"] > 1
    assert split.video_to_text.rank[[0, 2]].tolist() == [1, 1]
    assert split.video_to_text.rank[1] > 1
    assert split.video_to_text.num_ties.tolist() == [0, 0, 0]


def test_equal_videos_tie_and_rank_as_asked(make_store: MakeStore, encoder: FrozenEncoder) -> None:
    one = feature(encoder, "a man cooks")
    store = make_store(dict.fromkeys(CAPTIONS, one), meaning=meaning_of(encoder))
    (first,) = evaluate(store, encoder).splits
    assert first.text_to_video.rank.tolist() == [1.0] * 6
    assert first.text_to_video.num_ties.tolist() == [2] * 6
    (middle,) = evaluate(store, encoder, ties="average").splits
    assert middle.text_to_video.rank.tolist() == [2.0] * 6


def test_the_result_says_how_it_was_made(make_store: MakeStore, encoder: FrozenEncoder) -> None:
    store = make_store(
        {"cook": feature(encoder, "a man cooks"), "swim": feature(encoder, "a woman swims")},
        meaning=meaning_of(encoder),
        failed={"read": "empty"},
    )
    result = json.loads(json.dumps(evaluate(store, encoder).to_json(), allow_nan=False))
    assert (result["protocol"], result["method"], result["ties"]) == ("retrieval", "zero_shot", "first")
    assert (result["template_set"], result["class_text"]) == ("none", "raw")
    assert result["view_aggregation"] == "mean of similarities"
    (split,) = result["splits"]
    assert (split["num_expected"], split["num_found"], split["missing"]) == (3, 2, {"read": "empty"})
    assert split["num_truncated"] == 0
    assert split["text_to_video"]["num_queries"] == 3
    assert split["video_to_text"] == {
        "recall_at_1": 1.0,
        "recall_at_5": 1.0,
        "recall_at_10": 1.0,
        "median_rank": 1.0,
        "mean_rank": 1.0,
        "num_queries": 2,
        "num_tied_queries": 0,
    }


def test_features_of_another_model_are_refused(make_store: MakeStore, encoder: FrozenEncoder) -> None:
    videos = {name: np.ones((1, 1, 16)) for name in CAPTIONS}
    store = make_store(videos, meaning={**meaning_of(encoder), "activation": "other"})
    with pytest.raises(StoreMismatch, match="activation"):
        evaluate(store, encoder)
