"""The copy of CLIP's text tower against open_clip's own path, and against how a CLIP begins."""

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.open_clip_port import open_clip
from vlp.pipeline.trainable_text import TextTowerNotTrainable, TrainableTextTower

SENTENCES = ("a video of archery.", "someone is brushing their hair", "yo-yo", "word " * 90)
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
VISION = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")


def stand_in(clip: nn.Module) -> Any:
    """What the tower needs of an encoder."""
    return SimpleNamespace(clip=clip, tokenizer=open_clip.get_tokenizer("ViT-B-32"))


def custom(**text: Any) -> Any:
    torch.manual_seed(0)
    return stand_in(open_clip.model.CustomTextCLIP(16, VISION, {**TEXT, **text}).eval())


def test_it_gives_the_features_of_the_clip_it_copies(encoder: FrozenEncoder) -> None:
    tower = TrainableTextTower(encoder)
    expected = encoder.encode_text(SENTENCES)
    torch.testing.assert_close(tower(tower.tokens(SENTENCES)), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "settings", [{}, {"proj_bias": True}, {"proj_type": "none"}, {"pool_type": "eos", "eos_id": 49407}]
)
def test_towers_beside_the_image_tower_give_their_own_features(settings: dict[str, Any]) -> None:
    clip = custom(**settings)
    tower = TrainableTextTower(clip)
    tokens = tower.tokens(SENTENCES)
    torch.testing.assert_close(tower(tokens), clip.clip.encode_text(tokens), atol=1e-5, rtol=1e-4)


def test_gradients_are_those_of_the_whole_sequence(encoder: FrozenEncoder) -> None:
    """Cutting behind the longest EOT is exact: every weight's gradient is open_clip's own, over all positions."""
    tower = TrainableTextTower(encoder)
    whole: Any = copy.deepcopy(encoder.clip).requires_grad_(requires_grad=True)
    tokens = tower.tokens(SENTENCES[:3])
    for features in (tower(tokens), whole.encode_text(tokens)):
        features.square().sum().backward()
    for name, parameter in tower.named_parameters():
        theirs = whole.get_parameter(name).grad
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, theirs, atol=1e-4, rtol=1e-3)


def test_a_batch_is_computed_up_to_its_longest_text(encoder: FrozenEncoder) -> None:
    tower = TrainableTextTower(encoder)
    tokens = tower.tokens(SENTENCES[:3])
    longest = int((tokens != 0).sum(dim=1).max())
    seen: list[tuple[int, ...]] = []
    tower.transformer.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape)))
    tower(tokens)
    assert seen == [(3, longest, 16)]


def test_training_it_leaves_clip_as_it_is(encoder: FrozenEncoder) -> None:
    before = {name: tensor.clone() for name, tensor in encoder.clip.state_dict().items()}
    tower = TrainableTextTower(encoder)
    assert all(parameter.requires_grad for parameter in tower.parameters())
    optimizer = torch.optim.SGD(tower.parameters(), lr=1.0)
    tower(tower.tokens(SENTENCES)).square().sum().backward()
    optimizer.step()
    after = encoder.clip.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not any(parameter.requires_grad for parameter in encoder.clip.parameters())


def of_tower(state: dict[str, Tensor], names: set[str]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if name in names}


@pytest.mark.parametrize("settings", [{}, {"proj_bias": True}, {"proj_type": "none"}])
def test_random_weights_are_spread_as_in_a_fresh_clip(settings: dict[str, Any]) -> None:
    wider = {"width": 64, "heads": 4, **settings}
    clip = custom(**wider)
    fresh = copy.deepcopy(clip.clip.text.state_dict())
    with torch.no_grad():
        for parameter in clip.clip.parameters():
            parameter.fill_(7.0)  # nothing of what is copied may be left
    torch.manual_seed(1)
    drawn = TrainableTextTower(clip, "random").state_dict()
    assert drawn.keys() == fresh.keys()
    for name, tensor in drawn.items():
        assert float(tensor.mean()) == pytest.approx(float(fresh[name].mean()), abs=0.03), name
        assert float(tensor.std()) == pytest.approx(float(fresh[name].std()), rel=0.2), name


def test_random_weights_follow_torchs_seed(encoder: FrozenEncoder) -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(TrainableTextTower(encoder, "random").state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["positional_embedding"], states[2]["positional_embedding"])


@pytest.mark.parametrize(
    "settings", [{"no_causal_mask": True}, {"pool_type": "last"}, {"embed_cls": True}], ids=str
)
def test_other_towers_are_refused_by_name(settings: dict[str, Any]) -> None:
    with pytest.raises(TextTowerNotTrainable, match="text tower of CustomTextCLIP can be neither tuned"):
        TrainableTextTower(custom(**settings))


def test_a_model_without_open_clips_text_tower_is_refused() -> None:
    with pytest.raises(TextTowerNotTrainable, match="of Linear"):
        TrainableTextTower(stand_in(nn.Linear(2, 2)))
