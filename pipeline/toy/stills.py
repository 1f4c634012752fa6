"""Training batches of the toy CLIP: captioned stills, degraded as video frames are.

A batch depends on nothing but (seed, step), so that a training run resumed at a step goes on exactly.
"""

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from vlp.pipeline.open_clip_port import open_clip
from vlp.pipeline.toy.captions import long_caption, sample_mentions, short_caption, truth_table
from vlp.pipeline.toy.painter import paint
from vlp.pipeline.toy.world import Ints, sample_scenes

IMAGE_SIZE = 48
CONTEXT_LENGTH = 77
SHORT_LENGTH = 20  # tokens; most steps are cut here, which costs a quarter of the full length
START, END = 49406, 49407
PAINTED_SIZES = (48, 48, 56, 64, 72)
MEAN, STD = 0.35, 0.25


@dataclass(frozen=True)
class Batch:
    """A training step's data.

    Args:
        images: (B, 3, 48, 48) normalised.
        tokens: (B, L) token ids, zero after the end token; L is the longest caption's length.
        true: (B, B), [i, j] tells whether caption j is true of image i.
        attributes: (B, 5) indices of the true words, -1 where there is none.
        pose: (B, 4) x, y, radius and angle.
    """

    images: Tensor
    tokens: Tensor
    true: Tensor
    attributes: Tensor
    pose: Tensor


def make_batch(seed: int, step: int, *, size: int) -> Batch:
    """Draw one step's batch of ``size`` captioned stills; one step in six has long captions."""
    rng = np.random.default_rng((seed, step))
    scenes = sample_scenes(rng, size)
    frames = paint(
        scenes,
        height=(side := int(rng.choice(PAINTED_SIZES))),
        width=side,
        grain=float(rng.uniform(0, 10)),
        rng=rng,
    )
    attributes = scenes.attributes
    mentions = sample_mentions(rng, attributes)
    longest = CONTEXT_LENGTH if step % 6 == 5 else SHORT_LENGTH
    texts = [caption(rng, *facts, longest=longest) for facts in zip(attributes, mentions, strict=True)]
    pose = np.stack((scenes.x, scenes.y, scenes.radius, scenes.angle), axis=1)
    return Batch(
        normalise(degrade(rng, frames)),
        tokenise(texts),
        torch.from_numpy(truth_table(attributes, mentions)),
        torch.from_numpy(attributes),
        torch.from_numpy(pose),
    )


def caption(rng: np.random.Generator, attributes: Ints, mentions: NDArray[np.bool_], *, longest: int) -> str:
    """Write one caption: half stay short, the others get any length up to ``longest`` tokens.

    The start and the end token count.
    """
    words = short_caption(rng, attributes, mentions)
    if rng.random() < 0.5:
        return words
    room = longest - 2 - len(caption_tokens(words))
    return long_caption(rng, words, num_neutral=int(rng.integers(max(0, room) + 1)))


@lru_cache(maxsize=1)
def tokenizer() -> Any:
    """Load CLIP's tokenizer once."""
    return open_clip.SimpleTokenizer(context_length=CONTEXT_LENGTH)


@lru_cache(maxsize=4096)
def word_tokens(word: str) -> tuple[int, ...]:
    """Look up the tokens of a word and the punctuation attached to it."""
    return tuple(tokenizer().encode(word))


def caption_tokens(text: str) -> list[int]:
    """Look up a caption's tokens: CLIP splits text at spaces first, so they are its words' tokens."""
    return [token for word in text.split() for token in word_tokens(word)]


def tokenise(texts: list[str]) -> Tensor:
    """Turn captions into token ids (B, L), cut after the longest: a causal encoder gives the same features.

    Raises:
        ValueError: if a caption does not fit into the 77 positions.
    """
    rows = [[START, *caption_tokens(text), END] for text in texts]
    longest = max(map(len, rows))
    if longest > CONTEXT_LENGTH:
        raise ValueError(f"a caption of {longest} tokens does not fit into {CONTEXT_LENGTH}")
    tokens = torch.zeros(len(rows), longest, dtype=torch.long)
    for row, ids in zip(tokens, rows, strict=True):
        row[: len(ids)] = torch.tensor(ids)
    return tokens


def degrade(rng: np.random.Generator, frames: NDArray[np.uint8]) -> Tensor:
    """Do to frames what video does: block compression with halved chroma (to a third of them), and a resize.

    JPEG stands for intra-coded H.264 and MPEG-4 blocks.

    Args:
        rng: chooses the frames and their quality.
        frames: (B, S, S, 3) RGB; altered in place.

    Returns:
        (B, 3, 48, 48) uint8.
    """
    for index in np.flatnonzero(rng.random(len(frames)) < 1 / 3):
        packed = io.BytesIO()
        Image.fromarray(frames[index]).save(packed, "JPEG", quality=int(rng.integers(40, 95)))
        frames[index] = np.asarray(Image.open(packed))
    images = torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous()
    if images.shape[-1] == IMAGE_SIZE:
        return images
    return F.interpolate(images, size=(IMAGE_SIZE, IMAGE_SIZE), mode="bicubic", antialias=True)


def normalise(images: Tensor) -> Tensor:
    """Scale uint8 images to the mean and deviation that the model's preprocessing declares."""
    return (images.float() / 255 - MEAN) / STD
