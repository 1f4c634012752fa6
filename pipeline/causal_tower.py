"""Which text towers prompts can be learnt through: CLIP's causal Transformer, as open_clip builds it."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from vlp.pipeline.errors import PipelineError
from vlp.pipeline.open_clip_port import open_clip

_NOT_AT_THE_END = "its feature is not read at the end of the text"


class TextTowerUnsuitable(PipelineError):
    """A text tower that is not CLIP's causal one, so that prompts cannot be learnt through it."""

    def __init__(self, model: str, why: str) -> None:
        super().__init__(
            f"prompts cannot be learnt through the text tower of {model}: {why}. It serves zero_shot only."
        )
        self.model = model
        self.why = why


def causal_tower(clip: Any, tokenizer: Callable[..., Tensor]) -> Any:
    """Find open_clip's causal text tower, in the model itself or as its `text`.

    Args:
        clip: open_clip's module.
        tokenizer: its own, which says where a text ends.

    Raises:
        TextTowerUnsuitable: if there is none.
    """
    name = type(clip).__name__
    tower = clip if hasattr(clip, "token_embedding") else getattr(clip, "text", None)
    needed = ("token_embedding", "positional_embedding", "transformer", "ln_final", "text_projection")
    if tower is None or not all(hasattr(tower, part) for part in needed):
        raise TextTowerUnsuitable(name, "it is not open_clip's own Transformer")
    if getattr(tower, "attn_mask", None) is None:
        raise TextTowerUnsuitable(name, "its tokens see those behind them, and causality is what is used")
    if _pooling(tower) not in ("argmax", "eos") or getattr(tower, "cls_emb", None) is not None:
        raise TextTowerUnsuitable(name, _NOT_AT_THE_END)
    if any(type(block) is not open_clip.transformer.ResidualAttentionBlock for block in _blocks(tower)):
        raise TextTowerUnsuitable(name, "its blocks are not CLIP's own")
    if _place_read(tower, tokenizer([""])[0]) != 1:
        raise TextTowerUnsuitable(name, _NOT_AT_THE_END)
    return tower


def _blocks(tower: Any) -> list[Any]:
    return list(getattr(tower.transformer, "resblocks", [None]))


def _place_read(tower: Any, ids: Tensor) -> int:
    """Give the position at which the feature of a text, (77,) token ids, is read; -1 for none."""
    marks = ids == ids.max()
    if _pooling(tower) == "eos":
        marks = ids.eq(getattr(tower, "text_eos_id", getattr(tower, "eos_id", -1)))
    return int(marks.int().argmax()) if marks.any() else -1


def _pooling(tower: Any) -> Any:
    """How it reads its feature: an attribute of CLIP and of TextTransformer, by two names."""
    return getattr(tower, "text_pool_type", getattr(tower, "pool_type", None))
