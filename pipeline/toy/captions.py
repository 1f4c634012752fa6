"""Captions that are true of a scene, and the test of which other scenes they are true of.

A caption mentions a random subset of the attributes. Long ones wrap the same facts in neutral sentences, so
that a caption's last token falls on every position of the text encoder: an untrained position would ruin long
prompts.
"""

import numpy as np
from numpy.typing import NDArray

from vlp.pipeline.toy.world import ATTRIBUTES, Ints

Flags = NDArray[np.bool_]

OPENINGS = (
    "",
    "",
    "a photo of",
    "a picture of",
    "an image of",
    "a drawing of",
    "a frame of",
    "there is",
    "this is",
)
NOUNS = ("shape", "object", "thing")
PLACE_PHRASES = (
    ("at the left", "on the left", "resting at the left"),
    ("at the right", "on the right", "resting at the right"),
    ("at the top", "near the top", "resting at the top"),
    ("at the bottom", "near the bottom", "resting at the bottom"),
    ("in the centre", "in the middle", "resting in the centre"),
)
BACKGROUND_PHRASES = (
    ("on a plain background", "on a plain ground", "resting on a plain ground"),
    ("on a striped background", "on stripes", "resting on stripes"),
    ("on a checkered background", "on checks", "resting on checks"),
    ("on a dotted background", "on dots", "resting on dots"),
    ("on a wavy background", "on waves", "resting on waves"),
)
FILLERS = (
    "it was made this morning",
    "nobody knows who painted it",
    "we looked at it for a while",
    "the picture hangs in the hall",
    "a friend sent it to us last week",
    "there are many more like this one",
    "please keep it with the others",
    "it came without a title",
    "somebody wrote a note about it",
    "this page shows one example",
    "it is hard to say anything else",
    "the next page has another",
)
MENTION_CHANCES = np.array((0.8, 0.8, 0.3, 0.2, 0.3))
"""How often a caption mentions each of `ATTRIBUTES`, where a word is true."""


def sample_mentions(rng: np.random.Generator, attributes: Ints) -> Flags:
    """Choose what captions mention: (B, 5), never nothing, never an attribute that no word is true of.

    Args:
        rng: the only source of chance.
        attributes: (B, 5) as `Scenes.attributes`.
    """
    mentions = (rng.random(attributes.shape) < MENTION_CHANCES) & (attributes >= 0)
    mentions[~mentions.any(axis=1), 0] = True
    return mentions


def truth_table(attributes: Ints, mentions: Flags) -> Flags:
    """Tell which captions are true of which scenes.

    Args:
        attributes: (B, 5) as `Scenes.attributes`; caption j was written for scene j.
        mentions: (B, 5) which attributes caption j mentions.

    Returns:
        (B, B) flags: [i, j] tells whether caption j is true of scene i. The diagonal is true.
    """
    agree = attributes[:, None] == attributes[None]
    return np.asarray((agree | ~mentions[None]).all(axis=2))


def short_caption(rng: np.random.Generator, attributes: Ints, mentions: Flags) -> str:
    """Write one scene's facts as a phrase, as in "a photo of a large red circle on stripes".

    Args:
        rng: chooses among equal wordings.
        attributes: (5,) indices of the true words.
        mentions: (5,) which of them to tell.
    """
    colour, shape, place, size, background = (
        values[index] if told else ""
        for values, index, told in zip(ATTRIBUTES.values(), attributes, mentions, strict=True)
    )
    noun = shape or pick(rng, NOUNS)
    subject = " ".join(word for word in (size, colour, noun) if word)
    article = ("an " if subject[0] in "aeiou" else "a ") if rng.random() < 0.8 else ""
    parts = [pick(rng, OPENINGS), article + subject]
    parts += [pick(rng, PLACE_PHRASES[attributes[2]])] if place else []
    parts += [pick(rng, BACKGROUND_PHRASES[attributes[4]])] if background else []
    return " ".join(part for part in parts if part) + ("." if rng.random() < 0.3 else "")


def long_caption(rng: np.random.Generator, core: str, *, num_neutral: int) -> str:
    """Wrap a caption in neutral words, some before it and some after.

    Args:
        rng: chooses the sentences and where the facts stand among them.
        core: the caption that tells the facts; it is kept whole.
        num_neutral: how many words to add, all of them one token long.
    """
    sentences = " ".join(FILLERS[i] for i in rng.integers(len(FILLERS), size=1 + num_neutral // 4)).split()
    before = int(rng.integers(num_neutral + 1))
    return " ".join((*sentences[:before], core, *sentences[before:num_neutral]))


def pick(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    """Choose one of several wordings."""
    return choices[int(rng.integers(len(choices)))]
