"""The heads against the released code's own values, with its names of parameters translated into ours."""

import json
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vlp.pipeline.parts.temporal_heads import HEADS, ClassTokenTransformer, Conv1d, Dropout, temporal_head

GOLDEN = json.loads(
    (Path(__file__).parents[2] / "golden" / "actionclip_visual_prompt.json").read_text(encoding="utf-8")
)
CASES = {case["sim_head"]: case for case in GOLDEN["cases"]}
NAMES = {"meanP": "meanp", "LSTM": "lstm", "Transf": "transf", "Transf_cls": "transf_cls"}
WIDTH = 32


def weight_of(name: str, shape: list[int]) -> Tensor:
    """The recipe of the golden file."""
    drawn = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
    if len(shape) >= 2:
        return torch.from_numpy(drawn / np.sqrt(shape[-1], dtype=np.float32))
    return torch.from_numpy(1 + 0.1 * drawn if name.endswith("weight") else 0.1 * drawn)


def frames_of(case: dict[str, Any], which: str = "input") -> Tensor:
    drawn = np.random.RandomState(case[f"{which}_seed"]).standard_normal(case[f"{which}_shape"])
    return torch.from_numpy(drawn.astype(np.float32))


def ours(name: str) -> str:
    """The release's name of a parameter in our words."""
    name = name.removeprefix("transformer.").replace("lstm_visual", "lstm")
    if name.startswith("transformer_enc."):  # torch's own layers keep their names
        return name.replace("transformer_enc", "encoder")
    name = re.sub(r"^resblocks\.(\d+)\.", r"temporal.blocks.\1.", name)
    for theirs, own in (
        ("attn.in_proj_", "in_proj."),
        ("attn.out_proj", "out_proj"),
        ("mlp.c_", "c_"),
        ("frame_position_embeddings.weight", "temporal.positions"),
        ("cls_token", "token"),
        ("pos_embed", "positions"),
    ):
        name = name.replace(theirs, own)
    return name


def head_of(case: dict[str, Any], num_frames: int) -> nn.Module:
    head = temporal_head(
        NAMES[case["sim_head"]],
        WIDTH,
        num_layers=6,
        num_heads=8
        if case["sim_head"] == "Transf_cls"
        else case["transformer_heads"],  # fixed in the release
        num_frames=num_frames,
    ).eval()
    given = {ours(name): weight_of(name, shape) for name, shape in case["param_shapes"].items()}
    state = {}
    for name, tensor in head.state_dict().items():
        rows = given[name].reshape(-1, *tensor.shape[1:]) if tensor.ndim > 1 else given[name].flatten()
        state[name] = rows[: len(tensor)]  # of 77 positions, those that are read
    head.load_state_dict(state)
    return head


@pytest.mark.parametrize("name", NAMES)
def test_videos_are_those_of_the_release(name: str) -> None:
    case = CASES[name]
    head = head_of(case, case["T"])
    with torch.no_grad():
        np.testing.assert_allclose(head(frames_of(case)).numpy(), case["output"], atol=1e-4)


@pytest.mark.parametrize("name", [name for name in NAMES if "output2" in CASES[name]])
def test_shorter_clips_are_those_of_the_release(name: str) -> None:
    case = CASES[name]
    head = head_of(case, case["input2_shape"][1])
    with torch.no_grad():
        np.testing.assert_allclose(head(frames_of(case, "input2")).numpy(), case["output2"], atol=1e-4)


def test_the_convolution_begins_as_the_release_and_moves_the_frames_axis() -> None:
    """Not the release's own output: that reinterprets memory, and mixes time with channels."""
    case = CASES["Conv_1D"]
    head = Conv1d(WIDTH)
    np.testing.assert_array_equal(head.shift.weight.detach().numpy(), case["default_weight"])
    with torch.no_grad():
        videos = head(frames_of(case)).numpy()
    np.testing.assert_allclose(videos, case["output_default_weight_if_permuted_instead_of_viewed"], atol=1e-5)
    assert np.abs(videos - case["output_default_weight"]).max() > 0.1


def test_the_convolution_takes_neighbours_in_time() -> None:
    frames = torch.arange(5.0)[None, :, None].expand(1, 5, 8)
    shifted = Conv1d(8).shift(frames.transpose(1, 2))[0]
    assert shifted[0].tolist() == [0, 0, 1, 2, 3]  # the frame before
    assert shifted[3].tolist() == [0, 1, 2, 3, 4]  # its own
    assert shifted[7].tolist() == [1, 2, 3, 4, 0]  # the frame after


@pytest.mark.parametrize("name", ["lstm", "transf", "transf_cls"])
def test_heads_that_read_an_order_tell_a_video_from_its_reverse(name: str) -> None:
    torch.manual_seed(0)
    head = temporal_head(name, 16, num_layers=2, num_heads=2, num_frames=6).eval()
    frames = torch.randn(3, 6, 16)
    assert (head(frames) - head(frames.flip(1))).abs().max() > 1e-4
    mean = temporal_head("meanp", 16, num_layers=2, num_heads=2, num_frames=6)
    torch.testing.assert_close(mean(frames), mean(frames.flip(1)))


@pytest.mark.parametrize("name", ["Transf", "Transf_cls"])
def test_initial_weights_spread_as_the_releases(name: str) -> None:
    case = CASES[name]
    torch.manual_seed(0)
    state = temporal_head(NAMES[name], WIDTH, num_layers=6, num_heads=2, num_frames=8).state_dict()
    for theirs, (_, std) in case["init_mean_std"].items():
        if theirs != "frame_position_embeddings.weight" and theirs.endswith("weight") and std > 0:
            # The release draws some by a generator cut at two deviations: up to a sixth narrower.
            assert float(state[ours(theirs)].std()) == pytest.approx(std, rel=0.25), theirs


@pytest.mark.parametrize("name", ["transf", "transf_cls"])
def test_heads_that_do_not_divide_the_width_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="does not divide"):
        temporal_head(name, 16, num_layers=1, num_heads=3, num_frames=4)


def test_every_name_makes_a_head() -> None:
    for name in HEADS:
        head = temporal_head(name, 16, num_layers=1, num_heads=2, num_frames=4)
        assert head(torch.randn(2, 4, 16)).shape == (2, 16)
    with pytest.raises(KeyError):
        temporal_head("pooled", 16, num_layers=1, num_heads=2, num_frames=4)


def test_the_class_token_is_what_torchs_whole_encoder_makes_of_it() -> None:
    """Dropout aside; outputs and gradients."""
    torch.manual_seed(0)
    head = ClassTokenTransformer(16, num_layers=3, num_heads=2, num_frames=6)
    for module in head.modules():
        if isinstance(module, Dropout):
            module.dropped = 0
        if isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
    frames = torch.randn(4, 6, 16)
    tokens = torch.cat([head.token.expand(4, 1, -1), frames], dim=1) + head.positions
    whole, ours = head.encoder(tokens)[:, 0], head(frames)
    torch.testing.assert_close(ours, whole)
    parameters = list(head.parameters())
    wanted = torch.autograd.grad(whole.square().sum(), parameters)
    found = torch.autograd.grad(ours.square().sum(), parameters)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)


def test_dropout_drops_its_share_anew_each_time_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    drop = Dropout(0.1)
    x = torch.ones(999, 1001)
    first, second = drop(x), drop(x)
    deviation = (0.1 * 0.9 / x.numel()) ** 0.5
    assert float((first == 0).float().mean()) == pytest.approx(0.1, abs=5 * deviation)
    both = float(((first == 0) & (second == 0)).float().mean())
    assert both == pytest.approx(0.01, abs=5 * (0.01 * 0.99 / x.numel()) ** 0.5)
    neighbours = float(((first == 0)[:, 1:] & (first == 0)[:, :-1]).float().mean())
    assert neighbours == pytest.approx(0.01, abs=5 * (0.01 * 0.99 / x.numel()) ** 0.5)
    assert float(first.mean()) == pytest.approx(1.0, abs=1e-3)
    assert first.unique().tolist() == pytest.approx([0, 1 / 0.9], abs=1e-4)
    assert drop.eval()(x) is x


def test_dropout_follows_torchs_seed_and_passes_gradients_to_what_it_keeps() -> None:
    drop, x = Dropout(0.3), torch.randn(7, 3, requires_grad=True)
    torch.manual_seed(5)
    first = drop(x)
    torch.manual_seed(5)
    assert torch.equal(first, drop(x))
    (gradient,) = torch.autograd.grad(first.sum(), x)
    assert torch.equal(gradient == 0, first == 0)
