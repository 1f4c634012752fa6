"""Motion prompts: the three blocks, each against its definition."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from vlp.pipeline.clips import Clips
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.errors import ClipLengthUnsuitable, SettingsUnfit
from vlp.pipeline.methods.motion_prompts import (
    RECIPE,
    ROWS,
    Config,
    MotionPromptedClip,
    build,
    frame_differences,
)
from vlp.pipeline.text import class_features

CLASSES = ("dog", "cat", "SkyDiving")


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")


def built(encoder: FrozenEncoder, **settings: Any) -> MotionPromptedClip:
    torch.manual_seed(0)
    return build(Config(**settings), encoder, CLASSES)


def clips(num_videos: int = 4, num_frames: int = 8) -> Clips:
    generator = torch.Generator().manual_seed(1)
    return Clips(torch.randn(num_videos, num_frames, 16, generator=generator))


def moved(method: MotionPromptedClip) -> MotionPromptedClip:
    """With an adapter that no longer adds nothing."""
    assert method.adapter is not None
    torch.nn.init.normal_(method.adapter[2].weight, std=0.5)
    return method


@given(num_frames=st.integers(1, 12), max_step=st.integers(1, 12))
def test_differences_are_those_of_all_pairs_up_to_s_steps_apart_by_step_then_time(
    num_frames: int, max_step: int
) -> None:
    frames = torch.arange(num_frames, dtype=torch.float64)[None, :, None] ** 2
    pairs = sorted(
        (later - earlier, earlier, later)
        for earlier, later in itertools.combinations(range(num_frames), 2)
        if later - earlier <= max_step
    )
    expected = [float(later**2 - earlier**2) for _, earlier, later in pairs]
    assert frame_differences(frames, max_step)[0, :, 0].tolist() == (expected or [0.0])


def test_eight_frames_up_to_four_steps_apart_have_22_differences() -> None:
    assert frame_differences(torch.zeros(1, 8, 2), 4).shape == (1, 22, 2)


def test_differences_of_a_video_played_backwards_are_the_same_with_the_other_sign() -> None:
    frames = clips().embeddings
    forwards, backwards = (frame_differences(each, 4) for each in (frames, frames.flip(1)))
    torch.testing.assert_close(forwards.sort(dim=1).values, (-backwards).sort(dim=1).values)


def test_only_the_motion_stream_sees_the_order_of_frames(encoder: FrozenEncoder) -> None:
    frames = clips()
    backwards = Clips(frames.embeddings.flip(1))
    spatial = built(encoder, motion_stream=False, prompts="static", communication=False)
    torch.testing.assert_close(spatial(frames), spatial(backwards), atol=1e-4, rtol=1e-4)
    both = built(encoder, prompts="static", communication=False)
    assert (both(frames) - both(backwards)).abs().max() > 1e-2


def test_at_the_beginning_the_prompts_are_the_initial_words(encoder: FrozenEncoder) -> None:
    """The adapter adds nothing yet: texts are those that CLIP gives the written sentences."""
    method = built(encoder, communication=False)
    texts = class_features(encoder, ["dog", "cat", "sky diving"], ["a common human action of {}."]).features
    video = method.spatial(clips().embeddings).mean(dim=1)
    assert method.motion is not None
    video = video + method.motion(frame_differences(clips().embeddings, 4)).mean(dim=1)
    expected = F.normalize(video, dim=-1) @ texts.T / 0.07
    torch.testing.assert_close(method(clips()), expected, atol=1e-3, rtol=1e-3)
    hand_made = built(encoder, communication=False, prompts="hand-made")
    hand_made.load_state_dict({name: method.state_dict()[name] for name in hand_made.state_dict()})
    torch.testing.assert_close(hand_made(clips()), expected, atol=1e-3, rtol=1e-3)


def test_prompts_follow_the_motion_of_each_video(encoder: FrozenEncoder) -> None:
    """The features of a video's classes are those of its own prompts: base vectors plus what its motion adds."""
    method = moved(built(encoder, communication=False))
    frames = clips().embeddings
    assert method.motion is not None
    assert method.adapter is not None
    assert method.prompts is not None
    motion = method.motion(frame_differences(frames, 4)).mean(dim=1)
    video = F.normalize(method.spatial(frames).mean(dim=1) + motion, dim=-1)
    added = method.adapter(motion)
    logits = method(clips())
    for index in range(len(frames)):
        texts = method._tower.encode_plain(
            method.names.tokens, method.prompts + added[index], torch.empty(0, method._tower.width)
        )
        expected = F.normalize(texts, dim=-1) @ video[index] / 0.07
        torch.testing.assert_close(logits[index], expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("row", list(ROWS))
def test_every_row_is_built_scores_and_trains_all_it_has(row: str, encoder: FrozenEncoder) -> None:
    torch.manual_seed(0)
    method = build(Config(**ROWS[row]), encoder, CLASSES)  # type: ignore[arg-type]  # a row is plain data
    if method.adapter is not None:
        moved(method)
    logits = method(clips())
    assert logits.shape == (4, 3)
    F.cross_entropy(logits, torch.tensor([0, 1, 2, 0])).backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in method.parameters())


def test_the_blocks_are_there_or_not(encoder: FrozenEncoder) -> None:
    def blocks(row: str) -> list[bool]:
        method = build(Config(**ROWS[row]), encoder, CLASSES)  # type: ignore[arg-type]  # a row is plain data
        return [part is not None for part in (method.motion, method.adapter, method.matching)]

    assert blocks("Baseline") == [False, False, False]
    assert blocks("MCB") == [False, False, True]
    assert blocks("MMB") == [True, False, False]
    assert blocks("MMB-MAP") == [True, True, False]
    assert blocks("MMB-MAP-MCB") == [True, True, True]


def test_parameters_are_as_many_as_the_paper_says_without_projections(encoder: FrozenEncoder) -> None:
    """Table 3 counts 4.2 M at D = 512, of which a stream has 2.1 M: 8 D² + 11 D and what the prompts need."""
    width = text_width = 16  # the tiny CLIP's
    stream = 8 * width**2 + 11 * width
    prompts = 5 * text_width + (width + 1) * 16 + 17 * text_width
    attention = 4 * width**2 + 4 * width

    def count(**settings: Any) -> int:
        method = built(encoder, **settings)
        assert (method._tower.width, method._tower.embed_dim) == (text_width, width)
        return sum(p.numel() for p in method.parameters())

    assert count(projections=False) == 2 * stream + prompts
    assert count() == 2 * stream + prompts + 2 * attention
    assert round((8 * 512**2 + 11 * 512) / 1e6, 1) == 2.1


@pytest.mark.parametrize("prompts", ["motion", "static"])
def test_a_batch_in_parts_has_the_logits_and_gradients_of_the_whole(
    prompts: Any, encoder: FrozenEncoder
) -> None:
    whole, parts = (built(encoder, prompts=prompts, text_memory_gib=gib) for gib in (4.0, 1e-9))
    results = []
    for method in (whole, parts):
        if method.adapter is not None:
            torch.manual_seed(5)
            moved(method)
        logits = method(clips(6))
        F.cross_entropy(logits, torch.arange(6) % 3).backward()  # type: ignore[no-untyped-call]
        results.append([logits, *(p.grad for p in method.parameters())])
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_a_video_has_the_same_logits_in_any_batch(encoder: FrozenEncoder) -> None:
    method = moved(built(encoder)).eval()
    together = method(clips(5))
    alone = torch.cat([method(Clips(clips(5).embeddings[[index]])) for index in range(5)])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)


def test_pooled_texts_are_all_moved_by_one_vector_and_tokens_are_not(encoder: FrozenEncoder) -> None:
    """With one key the attention of every text is 1, whatever it says."""
    texts = torch.randn(2, 3, 16)
    for kv, num_keys, is_one_vector in (("pooled", 1, True), ("tokens", 30, False)):
        method = built(encoder, kv=kv)
        assert method.matching is not None
        added = method.matching(texts, torch.randn(2, num_keys, 16)) - texts
        assert bool((added - added[:, :1]).abs().max() < 1e-5) == is_one_vector


@pytest.mark.parametrize("num_frames", [1, 4, 16])
def test_clips_of_any_length_fit_without_positions(num_frames: int, encoder: FrozenEncoder) -> None:
    assert built(encoder)(clips(2, num_frames)).shape == (2, 3)


def test_positions_tell_frames_apart_and_fit_one_length_only(encoder: FrozenEncoder) -> None:
    method = built(encoder, num_positions=8, motion_stream=False, prompts="static")
    assert method.spatial.positions is not None
    torch.nn.init.normal_(method.spatial.positions)
    backwards = Clips(clips().embeddings.flip(1))
    assert (method(clips()) - method(backwards)).abs().max() > 1e-2
    with pytest.raises(
        ClipLengthUnsuitable, match=r"8 positions .* clips of 5 frames.*method.num_positions must"
    ):
        method(clips(2, 5))


def test_prompts_begin_as_the_words_they_were_given(encoder: FrozenEncoder) -> None:
    words = built(encoder, init_text="a popular human action of").prompt_words()
    assert [word.word for word in words] == ["a", "popular", "human", "action", "of"]


def test_a_long_name_is_cut_and_told(encoder: FrozenEncoder) -> None:
    name = " ".join(["unicycle"] * 90)
    assert build(Config(), encoder, ["dog", name]).truncated == (name,)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_step": 0}, r"max_step \(0\) must be at least 1"),
        ({"num_heads": 0}, r"num_heads \(0\) must be at least 1"),
        ({"num_positions": -1}, r"num_positions \(-1\) must be at least 0"),
        ({"temperature": 0.0}, r"temperature \(0.0\) must be positive"),
        ({"text_memory_gib": float("inf")}, r"text_memory_gib \(inf\) must be positive and finite"),
        ({"prompts": "no"}, r"prompts \(no\) must be one of motion, static, hand-made"),
        ({"kv": "no"}, r"kv \(no\) must be one of pooled, tokens"),
        ({"motion_stream": False}, r"prompts \(motion\) need motion_stream"),
        ({"init_text": " "}, r"init_text holds no word"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Config(**settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"num_heads": 3}, "does not divide"), ({"init_text": "a " * 80}, "positions leave")],
)
def test_settings_without_room_are_refused(
    settings: dict[str, Any], said: str, encoder: FrozenEncoder
) -> None:
    with pytest.raises(SettingsUnfit, match=said):
        built(encoder, **settings)


def test_no_class_is_refused(encoder: FrozenEncoder) -> None:
    with pytest.raises(ValueError, match="no class"):
        build(Config(), encoder, [])


def test_the_recipe_is_the_papers() -> None:
    assert (RECIPE.optimizer, RECIPE.momentum, RECIPE.weight_decay) == ("sgd", 0.9, 5e-4)
    assert RECIPE.batch_size * RECIPE.accumulate == 128
    assert (RECIPE.num_frames, RECIPE.num_test_clips, RECIPE.schedule) == (8, 4, "cosine")
