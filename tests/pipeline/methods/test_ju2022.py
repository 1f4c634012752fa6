"""The method against what the paper says of it, and its refusals."""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from vlp.datasplits.errors import DatasetError
from vlp.pipeline.clips import Clips
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.errors import ClipLengthUnsuitable, SettingsUnfit
from vlp.pipeline.methods.ju2022 import Config, PromptedClip, build
from vlp.pipeline.settings import from_json, resolve, to_json
from vlp.pipeline.text_tower import PromptableTextTower

CLASSES = ("Archery", "BrushHair", "riding a bike", "yo-yo")
VARIANTS = ("paper", "official")


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")


def made(encoder: Any, seed: int = 0, names: Sequence[str] = CLASSES, **settings: Any) -> PromptedClip:
    torch.manual_seed(seed)
    return build(Config(**settings), encoder, names)


def clips(num_clips: int = 4, num_frames: int = 16, gap: int | None = 1, seed: int = 1) -> Clips:
    frames = torch.randn(num_clips, num_frames, 16, generator=torch.Generator().manual_seed(seed))
    return Clips(frames, None if gap is None else torch.full((num_clips,), gap))


def test_the_defaults_are_the_papers() -> None:
    settings = resolve("ju2022")
    config, recipe = settings.config, settings.recipe
    assert (config.num_prefix, config.num_suffix, config.num_layers, config.num_heads) == (16, 16, 2, 8)
    assert (config.temperature, config.max_frames) == (0.07, 16)
    assert (config.init_std, config.table_std) == (0.01, 0.01)
    assert (config.variant, config.num_candidates, config.class_text) == ("paper", 400, "natural")
    assert config.gaps == recipe.gaps == (1, 2, 3, 4, 5, 6, 10, 15)
    assert (recipe.optimizer, recipe.learning_rate, recipe.weight_decay) == ("adamw", 1e-4, 0.01)
    assert (recipe.batch_size, recipe.schedule, recipe.sampling) == (64, "constant", "random-gap")
    assert (recipe.num_frames, recipe.num_test_clips, recipe.aggregation) == (16, 5, "probabilities")


def test_the_default_is_a5_and_retrieval_has_gaps_of_its_own() -> None:
    assert resolve("ju2022", row="A5").config == Config()
    assert resolve("ju2022", row="retrieval").config.gaps == (10, 15, 30)


def test_settings_survive_being_saved() -> None:
    settings = resolve(
        "ju2022", row="retrieval", overrides=["method.variant=official", "method.gap_encoding=true"]
    )
    assert from_json(json.loads(json.dumps(to_json(settings)))) == settings


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        *[(name, -1, "must not be negative") for name in ("num_prefix", "num_suffix", "num_layers")],
        *[(name, 0, "must be at least 1") for name in ("num_heads", "max_frames", "num_candidates")],
        *[
            (name, value, "must be positive and finite")
            for name in ("temperature", "init_std", "table_std")
            for value in (0.0, -1.0, math.inf, math.nan)
        ],
        *[("gaps", gaps, "all of them positive and different") for gaps in ((), (0, 1), (2, 2))],
        ("variant", "offical", "must be paper or official"),
    ],
)
def test_settings_without_a_meaning_are_refused_by_name(field: str, value: Any, why: str) -> None:
    with pytest.raises(ValueError, match=rf"{field} .*{why}"):
        Config(**{field: value})


def test_settings_that_train_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="leave nothing to train"):
        Config(num_prefix=0, num_suffix=0, num_layers=0)


def test_an_unknown_class_text_rule_is_refused() -> None:
    with pytest.raises(DatasetError, match="nonsense"):
        Config(class_text="nonsense")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"num_heads": 3}, r"num_heads \(3\) does not divide the width of the embeddings \(16\)"),
        ({"num_prefix": 40, "num_suffix": 35}, "77 positions leave 0 for a name"),
    ],
)
def test_settings_that_the_model_has_no_room_for_are_refused(
    settings: dict[str, int], why: str, encoder: FrozenEncoder
) -> None:
    with pytest.raises(SettingsUnfit, match=why) as caught:
        build(Config(**settings), encoder, CLASSES)
    assert re.search(why, caught.value.why)


def test_no_class_is_refused(encoder: FrozenEncoder) -> None:
    with pytest.raises(ValueError, match="no class"):
        build(Config(), encoder, ())


@pytest.mark.parametrize("num_frames", [1, 15, 17])
def test_clips_without_one_position_a_frame_are_refused(num_frames: int, encoder: FrozenEncoder) -> None:
    with pytest.raises(ClipLengthUnsuitable, match=r"16 positions .* clips of \d+ frames") as caught:
        made(encoder)(clips(num_frames=num_frames))
    assert (caught.value.num_frames, caught.value.num_positions) == (num_frames, 16)


@pytest.mark.parametrize("num_frames", [1, 7, 40])
def test_without_layers_a_video_of_any_length_is_the_mean_of_its_raw_frames(
    num_frames: int, encoder: FrozenEncoder
) -> None:
    seen = clips(num_frames=num_frames)
    features = made(encoder, num_layers=0).video_features(seen)
    torch.testing.assert_close(features, F.normalize(seen.embeddings.mean(dim=1), dim=-1))


def test_order_matters_with_layers_and_not_without(encoder: FrozenEncoder) -> None:
    seen = clips()
    backwards = Clips(seen.embeddings.flip(1), seen.gaps)
    temporal = made(encoder, table_std=1.0, init_std=0.2)
    assert (temporal(seen) - temporal(backwards)).abs().max() > 0.01
    mean = made(encoder, num_layers=0)
    torch.testing.assert_close(mean(seen), mean(backwards))


@pytest.mark.parametrize(
    ("variant", "gap_encoding", "matters"),
    [("paper", None, True), ("official", None, False), ("paper", False, False), ("official", True, True)],
)
def test_the_gap_matters_where_it_has_a_vector(
    variant: str, gap_encoding: bool | None, matters: bool, encoder: FrozenEncoder
) -> None:
    method = made(encoder, variant=variant, gap_encoding=gap_encoding, table_std=1.0)
    slow, fast, none = (method(clips(gap=gap)) for gap in (1, 15, None))
    assert torch.equal(slow, fast) is not matters
    assert torch.equal(slow, none) is not matters


def test_frames_are_taken_in_half_precision_and_scored_in_full(encoder: FrozenEncoder) -> None:
    half = Clips(clips().embeddings.half(), clips().gaps)
    full = Clips(half.embeddings.float(), half.gaps)
    method = made(encoder)
    assert torch.equal(method(half), method(full))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert method(half).dtype == torch.float32


@pytest.mark.parametrize("variant", VARIANTS)
def test_logits_are_cosines_over_the_temperature(variant: str, encoder: FrozenEncoder) -> None:
    method = made(encoder, variant=variant, temperature=0.5)
    videos, classes = method.video_features(clips()), method.class_features()
    for features in (videos, classes):
        torch.testing.assert_close(features.norm(dim=-1), torch.ones(4))
    torch.testing.assert_close(method(clips()), torch.einsum("bd,cd->bc", videos, classes) / 0.5)


def test_the_class_is_its_bare_name_between_the_vectors(encoder: FrozenEncoder) -> None:
    """By CLIP's own call: vectors taken from the words around the name give the feature of the sentence."""
    method = made(encoder, names=["BrushHair", "Archery"], num_prefix=4, num_suffix=2, num_layers=0)
    tower = PromptableTextTower(encoder)
    ids = encoder.tokenizer(["a video of someone outdoors today"])[0, 1:7]
    with torch.no_grad():
        method.prompts.vectors.copy_(tower.token_embeddings()[ids])
        sentences = [f"a video of someone {name} outdoors today" for name in ("brush hair", "archery")]
        expected = encoder.clip.encode_text(encoder.tokenizer(sentences), normalize=True)
        torch.testing.assert_close(method.class_features(), expected, atol=1e-5, rtol=0)


def test_in_the_release_the_vectors_behind_a_name_depend_on_its_length(encoder: FrozenEncoder) -> None:
    names = ("archery", "riding a bike")  # one token, three
    shared, positioned = (made(encoder, names=names, variant=variant) for variant in VARIANTS)
    assert shared.prompts.vectors.shape == (32, 16)
    assert positioned.prompts.vectors.shape == (77, 16)
    assert shared.prompts()[1].shape == (16, 16)
    one, three = positioned.prompts()[1]
    assert torch.equal(one[2:], three[:-2])
    assert torch.equal(one, positioned.prompts.vectors[18:34])


def test_blocks_begin_as_the_variant_says(encoder: FrozenEncoder) -> None:
    deviation = {}
    for variant in VARIANTS:
        method = made(encoder, variant=variant, init_std=0.01)
        assert method.temporal is not None
        deviation[variant] = float(method.temporal.get_parameter("blocks.0.c_fc.weight").detach().std())
    assert deviation["paper"] == pytest.approx(0.01, rel=0.1)
    assert deviation["official"] == pytest.approx(1 / math.sqrt(3 * 16), rel=0.1)


def test_one_side_alone_may_have_vectors(encoder: FrozenEncoder) -> None:
    for prefix, suffix in ((3, 0), (0, 3)):
        method = made(encoder, num_prefix=prefix, num_suffix=suffix, num_layers=0)
        method(clips()).square().mean().backward()
        assert method.prompts.vectors.grad is not None
        assert (method.prompts.vectors.grad.abs().sum(dim=-1) > 0).tolist() == [True] * 3


def test_names_that_are_cut_are_reported_as_they_were_given(encoder: FrozenEncoder) -> None:
    long_name = "_".join(["Very"] * 50)
    assert made(encoder, names=("Archery", long_name)).truncated == (long_name,)


@pytest.mark.parametrize("variant", VARIANTS)
def test_prompt_vectors_are_those_before_then_those_behind_a_name(
    variant: str, encoder: FrozenEncoder
) -> None:
    method = made(encoder, variant=variant, num_prefix=2, num_suffix=3)
    first = {"paper": [0, 1, 2, 3, 4], "official": [1, 2, 4, 5, 6]}[variant]
    assert torch.equal(method.prompt_vectors(), method.prompts.vectors[first])


def test_prompt_words_name_the_nearest_token_of_each_vector(encoder: FrozenEncoder) -> None:
    method = made(encoder, num_prefix=1, num_suffix=1)
    table = PromptableTextTower(encoder).token_embeddings()
    with torch.no_grad():
        method.prompts.vectors.copy_(table[encoder.tokenizer(["archery bowling"])[0, 1:3]])
    assert [(row.vector, row.word) for row in method.prompt_words()] == [(1, "archery"), (2, "bowling")]
