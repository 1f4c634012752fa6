"""What the toy CLIP is trained for: matching stills to captions, helped by heads that read off the scene.

The heads give shapes, the hardest attribute, a direct signal, and fade out, so that in the end the captions
arrange the space. The heads for the pose keep a small weight: frames must say where a shape is and how far it
has turned, or no model over time could see motion.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vlp.pipeline.toy.stills import Batch
from vlp.pipeline.toy.world import ATTRIBUTES, SHAPES

FADED_BY = 0.77  # share of training after which the attribute heads no longer count
POSE_FLOOR = 0.2  # the pose head's weight never falls below this
TURNS_ALIKE = torch.tensor((0, 4, 3, 5, 4, 1, 0, 1))
"""In how many turns each of `SHAPES` looks the same; 0 for those that never look turned."""


class Heads(nn.Module):
    """Linear readings of the unit-norm image embedding: one per attribute, one for the pose.

    Args:
        embed_dim: D, width of the embedding.
    """

    def __init__(self, embed_dim: int) -> None:
        super().__init__()
        self.attributes = nn.ModuleList(nn.Linear(embed_dim, len(words)) for words in ATTRIBUTES.values())
        self.place = nn.Linear(embed_dim, 3)
        self.turn = nn.Linear(embed_dim, 2 * len(SHAPES))


def attribute_losses(heads: Heads, embeddings: Tensor, attributes: Tensor) -> Tensor:
    """Cross-entropy of each attribute head (5,); embeddings (B, D), attributes (B, 5) with -1 ignored."""
    losses = [
        F.cross_entropy(head(embeddings), attributes[:, column], ignore_index=-1)
        for column, head in enumerate(heads.attributes)
    ]
    return torch.stack(losses)


def pose_loss(heads: Heads, embeddings: Tensor, pose: Tensor, shapes: Tensor) -> Tensor:
    """Mean squared error of place, radius and turn; pose (B, 4), shapes (B,).

    A turn is told as the sine and cosine of its angle times the shape's symmetry.
    """
    scale = torch.tensor((0.25, 0.25, 0.08))  # standard deviations, about
    place = F.mse_loss(heads.place(embeddings), (pose[:, :3] - torch.tensor((0, 0, 0.49))) / scale)
    alike = TURNS_ALIKE[shapes]
    angle = pose[:, 3] * alike
    told = heads.turn(embeddings).view(-1, len(SHAPES), 2)[torch.arange(len(shapes)), shapes]
    error = (told - torch.stack((angle.sin(), angle.cos()), dim=1)).square().mean(dim=1)
    turn: Tensor = (error * (alike > 0)).mean()
    return place + turn


def caption_loss(images: Tensor, texts: Tensor, logit_scale: Tensor, true: Tensor) -> Tensor:
    """Symmetric InfoNCE; a caption that is true of another image is no negative of it.

    Args:
        images: (B, D) unit-norm features.
        texts: (B, D) unit-norm features.
        logit_scale: inverse temperature, ().
        true: (B, B), [i, j] tells whether caption j is true of image i.
    """
    own = torch.arange(len(images))
    logits = logit_scale * images @ texts.T
    logits = logits.masked_fill(true & ~torch.eye(len(images), dtype=torch.bool), -torch.inf)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def encode_images(clip_model: Any, images: Tensor) -> Tensor:
    """Encode images (B, 3, S, S) as the model does, but the last block for the class token alone.

    The other tokens of the last block reach nothing; leaving them out saves about a seventh of a step.

    Returns:
        (B, D) features, not normalised.
    """
    visual = clip_model.visual
    hidden = visual.conv1(images).flatten(2).transpose(1, 2)
    first = visual.class_embedding.expand(len(images), 1, -1)
    hidden = visual.ln_pre(torch.cat((first, hidden), dim=1) + visual.positional_embedding)
    *blocks, last = visual.transformer.resblocks
    for block in blocks:
        hidden = block(hidden)
    keys = last.ln_1(hidden)
    token = hidden[:, :1] + last.attn(keys[:, :1], keys, keys, need_weights=False)[0]
    token = token + last.mlp(last.ln_2(token))
    features: Tensor = visual.ln_post(token[:, 0]) @ visual.proj
    return features


def encode_short_text(clip_model: Any, tokens: Tensor) -> Tensor:
    """Encode tokens (B, L) cut after the longest caption: equal to the full length, as attention is causal.

    Returns:
        (B, D) features, not normalised.
    """
    length = tokens.shape[1]
    hidden = clip_model.token_embedding(tokens) + clip_model.positional_embedding[:length]
    hidden = clip_model.transformer(hidden, attn_mask=clip_model.attn_mask[:length, :length])
    ends = clip_model.ln_final(hidden[torch.arange(len(tokens)), tokens.argmax(dim=1)])
    features: Tensor = ends @ clip_model.text_projection
    return features


def training_loss(
    clip_model: Any, heads: Heads, batch: Batch, *, progress: float
) -> tuple[Tensor, dict[str, float]]:
    """Weigh the three losses for a step at ``progress`` (0 to 1); also return each, by name, for the log."""
    images = F.normalize(encode_images(clip_model, batch.images), dim=1)
    texts = F.normalize(encode_short_text(clip_model, batch.tokens), dim=1)
    spread = images * images.shape[1] ** 0.5  # unit variance a component, as linear heads expect
    fading = max(0.0, 1 - progress / FADED_BY)
    match = caption_loss(images, texts, clip_model.logit_scale.exp(), batch.true)
    words = attribute_losses(heads, spread, batch.attributes)
    pose = pose_loss(heads, spread, batch.pose, batch.attributes[:, 1])
    total = match + fading * words.sum() + max(fading, POSE_FLOOR) * pose
    named = dict(zip(ATTRIBUTES, words.tolist(), strict=True))
    return total, {"match": match.item(), "pose": pose.item()} | named
