"""CLIP's frozen text tower with learnable tokens around a name, at the cost of what differs between names.

    tower = PromptableTextTower(encoder)
    tokens = tower.tokens(["archery", "bowling"], num_prefix=16, num_suffix=16)
    tower.encode(tokens, prefix, suffix)        # (C, D), differentiable in both
    tower.encode_each(tokens, prefixes)         # (B, C, D), a prefix a video

A sequence is SOT, prefix, name, suffix, EOT, with CLIP's positions added over all of it; the feature is read at EOT.
The mask is causal, which allows four savings, all of them exact:

- nothing behind EOT is computed;
- SOT and the prefix see nothing of the name: their rows are computed once for a prefix, not C times;
- names of one length go together, so that there is no padding between name and suffix;
- in the last block only EOT's row is computed, and from the others their keys and values.

Source: CLIP (Radford et al., ICML 2021, arXiv:2103.00020), as open_clip builds it (`CLIP` and `TextTransformer`).
`encode_plain` is the path without savings, over all positions of all names: what the savings are measured against.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlp.pipeline.causal_tower import causal_tower
from vlp.pipeline.text import TextEncoder
from vlp.pipeline.text_blocks import (
    Packing,
    attention_input,
    layer_norm,
    linear,
    pack,
    pack_attention_input,
    packed_block,
    packed_last_block,
)

_ROWS_KEPT = (
    14  # of width W, a block and row: input, q, k, v, what they mix, input of the MLP, twice 4 W in it
)


@dataclass(frozen=True)
class ClassTokens:
    """Names as tokens, grouped by length.

    Attributes:
        num_prefix, num_suffix: k1 and k2, the learnable tokens that names are encoded with.
        groups: names of one length: (their indices (c,), their tokens (c, n)), each index once; n may be 0.
        truncated: indices of the names that were cut to fit, in order.
    """

    num_prefix: int
    num_suffix: int
    groups: tuple[tuple[Tensor, Tensor], ...]
    truncated: tuple[int, ...]

    @property
    def num_names(self) -> int:
        """C."""
        return sum(len(indices) for indices, _ in self.groups)

    @property
    def lengths(self) -> tuple[int, ...]:
        """Number of tokens of each name, (C,)."""
        lengths = [0] * self.num_names
        for indices, ids in self.groups:
            for index in indices.tolist():
                lengths[index] = ids.shape[1]
        return tuple(lengths)


class PromptableTextTower:
    """A frozen text tower, used from the outside; it is no module and owns no parameter.

    Args:
        encoder: a CLIP; its text tower's weights are frozen here, if they are not yet.

    Attributes:
        width: W, of its tokens.
        embed_dim: D, of its features.
        context_length: positions, 77.

    Raises:
        TextTowerUnsuitable: if the tower is not CLIP's causal one.
    """

    def __init__(self, encoder: TextEncoder) -> None:
        self._tower = causal_tower(encoder.clip, encoder.tokenizer)
        self._tower.requires_grad_(requires_grad=False)
        self._tokenizer = encoder.tokenizer
        self._blocks = list(self._tower.transformer.resblocks)
        self.width = int(self._tower.positional_embedding.shape[1])
        self.context_length = int(self._tower.positional_embedding.shape[0])
        empty = self._tokenizer([""])[0]
        self._start, self._end = empty[:2].tolist()
        self.embed_dim = int(self._projected(self._positions(torch.float32)[:1]).shape[-1])

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        device: torch.device = self._tower.positional_embedding.device
        return device

    def tokens(self, names: Sequence[str], *, num_prefix: int, num_suffix: int) -> ClassTokens:
        """Tokenise names, and cut those that leave no room for SOT, prefix, suffix and EOT.

        Args:
            names: C texts.
            num_prefix: k1.
            num_suffix: k2.

        Raises:
            ValueError: if there is no name, a count is negative, or no position is left for a name.
        """
        room = self.context_length - 2 - num_prefix - num_suffix
        if not names or min(num_prefix, num_suffix) < 0 or room < 1:
            raise ValueError(
                f"{len(names)} names between {num_prefix} and {num_suffix} learnt tokens: "
                f"{self.context_length} positions leave {room} for a name"
            )
        uncut = self._tokenizer(list(names), context_length=self.context_length + 1)
        ids = [row[1 : _first(row, self._end)] for row in uncut]
        truncated = tuple(index for index, name in enumerate(ids) if len(name) > room)
        ids = [name[:room] for name in ids]
        groups = []
        for length in sorted({len(name) for name in ids}):
            members = [index for index, name in enumerate(ids) if len(name) == length]
            stacked = torch.stack([ids[index] for index in members])
            groups.append((torch.tensor(members, device=self.device), stacked.to(self.device)))
        return ClassTokens(num_prefix, num_suffix, tuple(groups), truncated)

    def encode(self, tokens: ClassTokens, prefix: Tensor, suffix: Tensor) -> Tensor:
        """Encode names between learnable tokens.

        Args:
            tokens: C names.
            prefix: (k1, W).
            suffix: (k2, W), or (C, k2, W) where it differs between names.

        Returns:
            (C, D) raw features, in the dtype of the prompts.

        Raises:
            ValueError: if the prompts are not of the shapes that the names were tokenised for.
        """
        _check_prompts(tokens, prefix, suffix, self.width)
        return self._encoded(tokens, prefix[None], suffix)[0]

    def encode_each(self, tokens: ClassTokens, prefixes: Tensor) -> Tensor:
        """Encode names behind each of several prefixes: what a prefix that depends on the video asks for.

        Rows of a prefix are computed once for all names. Those of a name are the same before the first attention,
        whatever the prefix, and computed once for all prefixes until there.

        Args:
            tokens: C names, with no suffix.
            prefixes: (B, k1, W).

        Returns:
            (B, C, D) raw features, in the dtype of the prefixes.

        Raises:
            ValueError: if the prefixes are not of the shape that the names were tokenised for.
        """
        nothing = prefixes.new_empty(0, self.width)
        _check_prompts(tokens, prefixes[0], nothing, self.width)
        return self._encoded(tokens, prefixes, nothing)

    def bytes_kept(self, tokens: ClassTokens, dtype: torch.dtype) -> int:
        """Tell about how much `encode_each` keeps of a prefix for its backward pass."""
        num_rows = 1 + tokens.num_prefix + sum(length + tokens.num_suffix + 1 for length in tokens.lengths)
        return num_rows * len(self._blocks) * _ROWS_KEPT * self.width * dtype.itemsize

    def _encoded(self, tokens: ClassTokens, prefixes: Tensor, suffix: Tensor) -> Tensor:
        """Encode (B, k1, W) prefixes with a suffix: (B, C, D)."""
        positions = self._positions(prefixes.dtype)
        num_shared = 1 + tokens.num_prefix
        start = self._embed(self._start, prefixes.dtype).expand(len(prefixes), 1, -1)
        leads = torch.cat([start, prefixes], dim=1) + positions[:num_shared]
        groups = []
        for indices, ids in tokens.groups:
            names, after = self._names_and_after(ids, suffix if suffix.ndim == 2 else suffix[indices])
            middle = num_shared + names.shape[1]
            names = names + positions[num_shared:middle]
            groups.append((names, after + positions[middle : middle + after.shape[1]]))
        ends = self._transformed(leads, groups)
        order = torch.cat([indices for indices, _ in tokens.groups]).argsort()
        return self._read(ends[:, order])

    def encode_plain(
        self, tokens: ClassTokens, prefix: Tensor, suffix: Tensor, *, truncated: bool = False
    ) -> Tensor:
        """Encode as `encode` does, without its savings: all positions of all names, through the tower's own blocks.

        Args:
            tokens: as for `encode`; so are the prompts, the features and the errors.
            prefix: (k1, W).
            suffix: (k2, W), or (C, k2, W).
            truncated: cut behind the EOT of the longest name, the one saving that every text tower allows.
        """
        _check_prompts(tokens, prefix, suffix, self.width)
        dtype = prefix.dtype
        longest = 2 + tokens.num_prefix + max(tokens.lengths) + tokens.num_suffix
        num_positions = longest if truncated else self.context_length
        sequences, ends, order = [], [], []
        for indices, ids in tokens.groups:
            names, after = self._names_and_after(ids, suffix if suffix.ndim == 2 else suffix[indices])
            lead = torch.cat([self._embed(self._start, dtype)[None], prefix])
            whole = torch.cat([part.expand(len(ids), -1, -1) for part in (lead, names, after)], dim=1)
            sequences.append(F.pad(whole, (0, 0, 0, num_positions - whole.shape[1])))
            ends.append(torch.full((len(ids),), whole.shape[1] - 1, device=self.device))
            order.append(indices)
        x = torch.cat(sequences) + self._positions(dtype)[:num_positions]
        for block in self._blocks:
            x = block(x, attn_mask=self._tower.attn_mask[:num_positions, :num_positions])
        x = x[torch.arange(len(x), device=self.device), torch.cat(ends)]
        return self._read(x[torch.cat(order).argsort()])

    def token_embeddings(self) -> Tensor:
        """Give the embeddings of the vocabulary, (vocabulary, W)."""
        table: Tensor = self._tower.token_embedding.weight
        return table

    def storages(self) -> frozenset[int]:
        """Give the addresses of its frozen tensors, by which they can be told from what a step makes."""
        tensors = (*self._tower.parameters(), *self._tower.buffers())
        return frozenset(tensor.untyped_storage().data_ptr() for tensor in tensors)

    def words(self, token_ids: Sequence[int]) -> list[str]:
        """Give the vocabulary's entries of tokens; a token that ends a word is given without its mark."""
        decoder: Any = self._tokenizer
        return [str(decoder.decode([token])).strip() for token in token_ids]

    def _transformed(self, leads: Tensor, groups: Sequence[tuple[Tensor, Tensor]]) -> Tensor:
        """Give the rows of EOT behind the last block, (B, C, W), group by group.

        Args:
            leads: (B, P, W), what the sequences begin with.
            groups: what the c sequences of a group go on with: (c, n, W) names, and what follows them, (1, m, W) where
                it is the same for all and (c, m, W) where it is not.
        """
        packing = Packing.of(leads, groups)
        x = pack(leads, groups)
        for block in self._blocks[:-1]:
            # Before the first attention nothing has told a group's sequences apart behind their names.
            first = block is self._blocks[0]
            qkv = pack_attention_input(block, leads, groups) if first else attention_input(block, x)
            x = packed_block(block, x, qkv, packing)
        ends = torch.split(packed_last_block(self._blocks[-1], x, packing), packing.counts)
        return torch.cat([rows.reshape(len(leads), -1, self.width) for rows in ends], dim=1)

    def _names_and_after(self, ids: Tensor, suffix: Tensor) -> tuple[Tensor, Tensor]:
        """Give (c, n, W) names, and suffix and EOT behind them, (1 or c, k2 + 1, W)."""
        dtype = suffix.dtype
        names = self._tower.token_embedding(ids).to(dtype)
        after = suffix if suffix.ndim == 3 else suffix[None]
        end = self._embed(self._end, dtype).expand(len(after), 1, -1)
        return names, torch.cat([after, end], dim=1)

    def _embed(self, token: int, dtype: torch.dtype) -> Tensor:
        row: Tensor = self._tower.token_embedding.weight[token].to(dtype)
        return row

    def _positions(self, dtype: torch.dtype) -> Tensor:
        positions: Tensor = self._tower.positional_embedding.to(dtype)
        return positions

    def _read(self, ends: Tensor) -> Tensor:
        return self._projected(layer_norm(self._tower.ln_final, ends))

    def _projected(self, x: Tensor) -> Tensor:
        projection = self._tower.text_projection
        if isinstance(projection, nn.Linear):
            return linear(x, projection.weight, projection.bias)
        return x if projection is None else x @ projection.to(x.dtype)


def _first(row: Tensor, token: int) -> int:
    found = torch.nonzero(row[1:] == token).flatten()
    return int(found[0]) + 1 if len(found) else len(row)


def _check_prompts(tokens: ClassTokens, prefix: Tensor, suffix: Tensor, width: int) -> None:
    after = (tokens.num_suffix, width)
    if prefix.shape != (tokens.num_prefix, width) or suffix.shape not in (after, (tokens.num_names, *after)):
        raise ValueError(
            f"prompts of shapes {tuple(prefix.shape)} and {tuple(suffix.shape)}, where {tokens.num_prefix} and "
            f"{tokens.num_suffix} tokens of width {width} were asked for"
        )
