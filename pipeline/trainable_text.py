"""A copy of CLIP's text tower that belongs to a method: its weights may be trained, and may begin at random.

    tower = TrainableTextTower(encoder)
    tower(tower.tokens(["a video of archery."]))        # (n, D), differentiable in every weight

CLIP itself stays as it is. The mask is causal, so that a batch is cut behind its longest EOT; for what else can be
saved where weights stay as they are, see `vlp.pipeline.text_tower`.

Source: CLIP (Radford et al., ICML 2021, arXiv:2103.00020), as open_clip builds it: `CLIP.encode_text`, and
`TextTransformer.init_parameters` for random values.
"""

import copy
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from vlp.pipeline.causal_tower import TextTowerUnsuitable, causal_tower
from vlp.pipeline.errors import PipelineError
from vlp.pipeline.text import TextEncoder

_PARTS = ("token_embedding", "positional_embedding", "transformer", "ln_final", "text_projection")


class TextTowerNotTrainable(PipelineError):
    """A text tower of another kind than CLIP's causal one."""

    def __init__(self, model: str, why: str) -> None:
        super().__init__(f"the text tower of {model} can be neither tuned nor begun at random: {why}.")
        self.model = model
        self.why = why


class TrainableTextTower(nn.Module):
    """Tokens to features, through weights of its own.

    Args:
        encoder: a CLIP, which is copied.
        initial: values of the weights: those of "clip", or "random" ones, drawn by torch's generator.

    Raises:
        TextTowerNotTrainable: if the tower is not CLIP's causal one.
    """

    attn_mask: Tensor

    def __init__(self, encoder: TextEncoder, initial: Literal["clip", "random"] = "clip") -> None:
        super().__init__()
        try:
            theirs = causal_tower(encoder.clip, encoder.tokenizer)
        except TextTowerUnsuitable as error:
            raise TextTowerNotTrainable(error.model, error.why) from error
        self._tokenizer = encoder.tokenizer
        self._end = int(encoder.tokenizer([""])[0, 1])
        (
            self.token_embedding,
            self.positional_embedding,
            self.transformer,
            self.ln_final,
            self.text_projection,
        ) = (copy.deepcopy(getattr(theirs, part)) for part in _PARTS)
        self.register_buffer("attn_mask", theirs.attn_mask.detach().clone(), persistent=False)
        self.requires_grad_(requires_grad=True)
        if initial == "random":
            self._draw()

    def tokens(self, sentences: Sequence[str]) -> Tensor:
        """Tokenise n texts: (n, positions), those too long cut with EOT kept."""
        return self._tokenizer(list(sentences)).to(self.positional_embedding.device)

    def forward(self, tokens: Tensor) -> Tensor:
        """Encode n texts: (n, D) raw features."""
        ends = (tokens == self._end).int().argmax(dim=-1)
        length = int(ends.max()) + 1
        x = self.token_embedding(tokens[:, :length]) + self.positional_embedding[:length]
        x = self.transformer(x, attn_mask=self.attn_mask[:length, :length])
        return self._projected(self.ln_final(x[torch.arange(len(x), device=x.device), ends]))

    def _projected(self, ends: Tensor) -> Tensor:
        if isinstance(self.text_projection, nn.Linear):
            projected: Tensor = self.text_projection(ends)
            return projected
        return ends if self.text_projection is None else ends @ self.text_projection

    @torch.no_grad()
    def _draw(self) -> None:
        """Set every weight to what a CLIP begins its own training with."""
        width, depth = self.positional_embedding.shape[1], len(self.transformer.resblocks)
        for module in self.modules():
            if isinstance(module, nn.LayerNorm | nn.Linear):
                module.reset_parameters()
        for block in self.transformer.resblocks:
            nn.init.normal_(block.attn.in_proj_weight, std=width**-0.5)
            nn.init.normal_(block.mlp.c_fc.weight, std=(2 * width) ** -0.5)
            for behind in (block.attn.out_proj, block.mlp.c_proj):
                nn.init.normal_(behind.weight, std=(2 * width * depth) ** -0.5)
            for bias in (block.attn.in_proj_bias, block.attn.out_proj.bias):
                nn.init.zeros_(bias)
        nn.init.normal_(self.token_embedding.weight, std=0.02)
        nn.init.normal_(self.positional_embedding, std=0.01)
        if isinstance(self.text_projection, nn.Linear):
            nn.init.normal_(self.text_projection.weight, std=width**-0.5)
            nn.init.zeros_(self.text_projection.bias)
        elif self.text_projection is not None:
            nn.init.normal_(self.text_projection, std=width**-0.5)
