"""Which text towers prompts can be learnt through: CLIP's own, however it is held; all others are refused by name."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from vlp.pipeline.causal_tower import TextTowerUnsuitable
from vlp.pipeline.open_clip_port import open_clip
from vlp.pipeline.text_tower import PromptableTextTower

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2}
VISION = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
TEXTS = ["archery", "sky diving", ""]
END = 49407  # <end_of_text>, the last of the vocabulary


def encoder_of(kind: str = "CLIP", **text: Any) -> Any:
    torch.manual_seed(0)
    clip = getattr(open_clip, kind)(embed_dim=24, text_cfg={**TEXT, **text}, vision_cfg=VISION).eval()
    return SimpleNamespace(clip=clip, tokenizer=open_clip.get_tokenizer("ViT-B-32"))


@pytest.mark.parametrize("kind", ["CLIP", "CustomTextCLIP"])
@pytest.mark.parametrize(
    "text",
    [
        {},
        {"pool_type": "eos", "eos_id": END},
        {"proj_bias": True},
        {"proj_type": "none"},
        {"ls_init_value": 0.1},
        {"mlp_ratio": 2.0},
    ],
)
def test_every_form_of_clips_own_tower_serves(kind: str, text: dict[str, Any]) -> None:
    encoder = encoder_of(kind, **text)
    tower = PromptableTextTower(encoder)
    tokens = tower.tokens(TEXTS, num_prefix=0, num_suffix=0)
    nothing = torch.empty(0, 32)
    expected = encoder.clip.encode_text(encoder.tokenizer(TEXTS))
    assert tower.embed_dim == expected.shape[1]
    torch.testing.assert_close(tower.encode(tokens, nothing, nothing), expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(tower.encode_plain(tokens, nothing, nothing), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["CLIP", "CustomTextCLIP"])
@pytest.mark.parametrize(
    ("text", "why"),
    [
        ({"no_causal_mask": True, "pool_type": "last"}, "its tokens see those behind them"),
        ({"pool_type": "last"}, "its feature is not read at the end"),
        ({"pool_type": "first"}, "its feature is not read at the end"),
        ({"pool_type": "eos", "eos_id": 2}, "its feature is not read at the end"),
        ({"block_type": "custom"}, "its blocks are not CLIP's own"),
        ({"qk_norm": True}, "its blocks are not CLIP's own"),
        ({"scale_fc": True}, "its blocks are not CLIP's own"),
    ],
)
def test_other_towers_are_refused_with_what_they_lack(kind: str, text: dict[str, Any], why: str) -> None:
    with pytest.raises(TextTowerUnsuitable, match=f"tower of {kind}: {why}") as refusal:
        PromptableTextTower(encoder_of(kind, **text))
    assert refusal.value.model == kind
    assert "zero_shot only" in str(refusal.value)


def test_a_feature_read_at_a_token_behind_the_text_is_refused() -> None:
    """CoCa's tower appends a token of its own."""
    with pytest.raises(TextTowerUnsuitable, match="its feature is not read at the end"):
        PromptableTextTower(encoder_of("CustomTextCLIP", embed_cls=True))


def test_a_tokenizer_whose_end_is_not_the_largest_token_is_refused() -> None:
    """CLIP reads at the largest token id; with another vocabulary that is somewhere else."""
    encoder = encoder_of()
    reversed_ids = SimpleNamespace(
        clip=encoder.clip, tokenizer=lambda *args, **options: END - encoder.tokenizer(*args, **options)
    )
    with pytest.raises(TextTowerUnsuitable, match="its feature is not read at the end"):
        PromptableTextTower(reversed_ids)  # type: ignore[arg-type]


def test_a_model_without_such_a_tower_is_refused_by_its_class() -> None:
    no_tower = SimpleNamespace(clip=torch.nn.Linear(1, 1), tokenizer=None)
    with pytest.raises(TextTowerUnsuitable, match="Linear: it is not open_clip's own Transformer"):
        PromptableTextTower(no_tower)  # type: ignore[arg-type]
    encoder = encoder_of("CustomTextCLIP")
    encoder.clip.text = torch.nn.Sequential()  # as a Hugging Face tower: it has none of the parts
    with pytest.raises(TextTowerUnsuitable, match="CustomTextCLIP: it is not open_clip's own Transformer"):
        PromptableTextTower(encoder)


def test_weights_are_frozen_by_the_tower_itself() -> None:
    encoder = encoder_of()
    assert all(parameter.requires_grad for parameter in encoder.clip.token_embedding.parameters())
    tower = PromptableTextTower(encoder)
    tokens = tower.tokens(TEXTS, num_prefix=2, num_suffix=2)
    prompt = torch.zeros(2, 32, requires_grad=True)
    for encode in (tower.encode, tower.encode_plain):
        encode(tokens, prompt, prompt).sum().backward()
    assert prompt.grad is not None
    assert all(parameter.grad is None for parameter in encoder.clip.parameters())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("text", [{}, {"ls_init_value": 0.1}])
def test_it_runs_in_the_dtype_of_the_prompts(dtype: torch.dtype, text: dict[str, Any]) -> None:
    """The weights are float32 here; in float64 the result is that of the same weights in float64."""
    tower = PromptableTextTower(encoder_of(**text))
    tokens = tower.tokens(TEXTS, num_prefix=1, num_suffix=1)
    prompt = torch.full((1, 32), 0.1, dtype=dtype)
    encoded = tower.encode(tokens, prompt, prompt)
    assert encoded.dtype == dtype
    in_double = encoder_of(**text)
    in_double.clip.double()
    expected = PromptableTextTower(in_double).encode_plain(tokens, prompt.double(), prompt.double())
    tolerance = 1e-10 if dtype == torch.float64 else 0.05
    assert float((encoded.double() - expected).abs().max() / expected.abs().max()) < tolerance
