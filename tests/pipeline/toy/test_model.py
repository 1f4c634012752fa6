import json

import pytest
import torch

from vlp.pipeline.toy import MODEL_DIR
from vlp.pipeline.toy.measure import embed_prompts, load_toy_clip, measure
from vlp.pipeline.toy.stills import MEAN, STD
from vlp.pipeline.toy.train_clip import MODEL_CONFIG, PREPROCESS_CONFIG
from vlp.pipeline.toy.videos import ToySet


@pytest.fixture(scope="module")
def figures(small_set: ToySet) -> dict[str, dict[str, float]]:
    return measure(*load_toy_clip(), small_set.root)


def test_the_shipped_weights_are_small_and_documented() -> None:
    assert (MODEL_DIR / "open_clip_model.safetensors").stat().st_size <= 16_000_000
    config = json.loads((MODEL_DIR / "open_clip_config.json").read_text())
    assert config == {"model_cfg": MODEL_CONFIG, "preprocess_cfg": PREPROCESS_CONFIG}
    assert (MODEL_DIR / "MODEL_CARD.md").is_file()


def test_open_clip_preprocesses_as_training_did() -> None:
    clip_model, _ = load_toy_clip()
    assert clip_model.visual.image_mean == [MEAN] * 3
    assert clip_model.visual.image_std == [STD] * 3
    assert clip_model.visual.image_size in (48, (48, 48))


@pytest.mark.parametrize("how", ["per_frame", "per_video"])
def test_objects_on_new_videos_are_recognised(figures: dict[str, dict[str, float]], how: str) -> None:
    assert figures["objects_seen"][how] >= 0.98
    assert figures["objects_held_out"][how] >= 0.90


def test_hand_written_prompts_know_what_one_frame_shows_and_guess_the_rest(
    figures: dict[str, dict[str, float]],
) -> None:
    assert figures["actions_one_frame"]["per_video"] >= 0.5
    assert figures["actions_time_only"]["per_video"] <= 0.25


def test_long_prompts_are_understood_as_short_ones() -> None:
    clip_model, _ = load_toy_clip()
    names = ("red circle", "blue square", "green heart", "white ring")
    short = embed_prompts(clip_model, "a photo of a {}.", names)
    words = " ".join(["nobody knows who painted it and the picture hangs in the hall"] * 4)
    long = embed_prompts(clip_model, words + " a photo of a {}", names)
    assert torch.equal((short @ long.T).argmax(dim=1), torch.arange(4))
