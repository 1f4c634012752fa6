import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlp.pipeline.toy import captions, stills
from vlp.pipeline.toy.world import ATTRIBUTES, COLOURS, SHAPES, SIZES, sample_scenes

SEEDS = st.integers(0, 2**32 - 1)
PHRASES = {2: captions.PLACE_PHRASES, 4: captions.BACKGROUND_PHRASES}


@settings(deadline=None)  # the machine may be busy
@given(seed=SEEDS, longest=st.sampled_from([stills.SHORT_LENGTH, stills.CONTEXT_LENGTH]))
def test_captions_tell_exactly_the_true_words_they_mention(seed: int, longest: int) -> None:
    rng = np.random.default_rng(seed)
    attributes = sample_scenes(rng, 1).attributes
    mentions = captions.sample_mentions(rng, attributes)
    text = stills.caption(rng, attributes[0], mentions[0], longest=longest)
    for column, words in ((0, COLOURS), (1, SHAPES), (3, SIZES)):
        told = [word for word in words if re.search(rf"\b{word}\b", text)]
        assert told == ([words[attributes[0, column]]] if mentions[0, column] else [])
    for column, phrases in PHRASES.items():
        told = [index for index, options in enumerate(phrases) if any(phrase in text for phrase in options)]
        assert told == ([attributes[0, column]] if mentions[0, column] else [])


@settings(deadline=None)  # the machine may be busy
@given(seed=SEEDS)
def test_captions_mention_something_and_only_what_has_a_word(seed: int) -> None:
    rng = np.random.default_rng(seed)
    attributes = sample_scenes(rng, 50).attributes
    mentions = captions.sample_mentions(rng, attributes)
    assert mentions.any(axis=1).all()
    assert not (mentions & (attributes < 0)).any()


@settings(deadline=None)  # the machine may be busy
@given(seed=SEEDS)
def test_a_caption_is_true_where_all_that_it_mentions_agrees(seed: int) -> None:
    rng = np.random.default_rng(seed)
    attributes = sample_scenes(rng, 12).attributes
    mentions = captions.sample_mentions(rng, attributes)
    expected = [
        [all(attributes[i, k] == attributes[j, k] for k in range(5) if mentions[j, k]) for j in range(12)]
        for i in range(12)
    ]
    table = captions.truth_table(attributes, mentions)
    assert table.tolist() == expected
    assert table.diagonal().all()


def test_the_end_token_lands_on_every_position_up_to_the_last() -> None:
    rng = np.random.default_rng(0)
    attributes = sample_scenes(rng, 4000).attributes
    mentions = captions.sample_mentions(rng, attributes)
    texts = [
        stills.caption(rng, *facts, longest=stills.CONTEXT_LENGTH)
        for facts in zip(attributes, mentions, strict=True)
    ]
    ends = set(stills.tokenise(texts).argmax(dim=1).tolist())
    assert ends >= set(range(8, 77))
    assert max(ends) == 76


def test_one_training_step_in_six_is_of_full_length() -> None:
    lengths = [stills.make_batch(0, step, size=128).tokens.shape[1] for step in range(6)]
    assert lengths[5] >= 74
    assert max(lengths[:5]) <= 22


def test_tokens_are_those_of_open_clip() -> None:
    rng = np.random.default_rng(1)
    attributes = sample_scenes(rng, 64).attributes
    mentions = captions.sample_mentions(rng, attributes)
    texts = [stills.caption(rng, *facts, longest=60) for facts in zip(attributes, mentions, strict=True)]
    tokens = stills.tokenise(texts)
    expected = stills.tokenizer()(texts)
    assert tokens.tolist() == expected[:, : tokens.shape[1]].tolist()
    assert not expected[:, tokens.shape[1] :].any()


def test_a_caption_beyond_the_context_is_refused() -> None:
    with pytest.raises(ValueError, match="a caption of 82 tokens does not fit into 77"):
        stills.tokenise(["red " * 80])


def test_each_attribute_has_a_chance_to_be_mentioned() -> None:
    assert len(captions.MENTION_CHANCES) == len(ATTRIBUTES)
