"""The blocks against torch's own attention; places and gaps against their definition."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlp.pipeline.parts.temporal_transformer import TemporalBlock, TemporalTransformer

# By ju-chen/Efficient-Prompt@1f69a18; the file says how.
OFFICIAL = json.loads((Path(__file__).parents[2] / "golden" / "efficient_prompt_forward.json").read_text())
GAPS = (1, 2, 5, 10)


def transformer(gaps: tuple[int, ...] = GAPS, num_layers: int = 2, **settings: float) -> TemporalTransformer:
    torch.manual_seed(0)
    return TemporalTransformer(
        16, num_layers=num_layers, num_heads=4, num_frames=6, gaps=gaps, **{"table_std": 1.0, **settings}
    )


def frames(num_clips: int = 3) -> Tensor:
    return torch.randn(num_clips, 6, 16, generator=torch.Generator().manual_seed(1))


def block_by_torch(block: TemporalBlock, x: Tensor) -> Tensor:
    """The block with torch's own attention in it."""
    attention = nn.MultiheadAttention(x.shape[-1], block.num_heads, batch_first=True)
    attention.load_state_dict(
        {
            "in_proj_weight": block.in_proj.weight,
            "in_proj_bias": block.in_proj.bias,
            "out_proj.weight": block.out_proj.weight,
            "out_proj.bias": block.out_proj.bias,
        }
    )
    normed = block.ln_1(x)
    x = x + attention(normed, normed, normed, need_weights=False)[0]
    hidden = F.linear(block.ln_2(x), block.c_fc.weight, block.c_fc.bias)
    return x + F.linear(hidden * torch.sigmoid(1.702 * hidden), block.c_proj.weight, block.c_proj.bias)


def test_a_block_is_torchs_attention_and_a_quick_gelu_mlp_each_behind_a_layer_norm() -> None:
    torch.manual_seed(2)
    block = TemporalBlock(16, 4)
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    torch.testing.assert_close(block(frames()), block_by_torch(block, frames()), atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("width", [16, 512])
def test_a_layer_has_12_width_squared_and_13_width_parameters(width: int) -> None:
    num_parameters = sum(parameter.numel() for parameter in TemporalBlock(width, 8).parameters())
    assert num_parameters == 12 * width**2 + 13 * width


def test_two_layers_of_width_512_are_6_30_million_parameters() -> None:
    assert round(2 * sum(p.numel() for p in TemporalBlock(512, 8).parameters()) / 1e6, 2) == 6.30


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(
        ValueError, match=re.escape("num_heads (3) does not divide the width of the embeddings (16)")
    ):
        TemporalBlock(16, 3)


def test_asked_for_a_deviation_all_matrices_have_it_and_biases_are_zero() -> None:
    torch.manual_seed(0)
    for name, parameter in TemporalBlock(512, 8, init_std=0.01).named_parameters():
        if parameter.ndim == 2:
            assert float(parameter.detach().std()) == pytest.approx(0.01, rel=0.02)
            assert float(parameter.detach().mean().abs()) < 1e-4
        else:
            assert torch.all(parameter == (1 if re.fullmatch(r"ln_\d\.weight", name) else 0))


def test_otherwise_initial_values_are_spread_as_in_the_release() -> None:
    torch.manual_seed(0)
    block = TemporalBlock(512, 8)
    released = {
        "in_proj": "attn.in_proj_",
        "out_proj": "attn.out_proj.",
        "c_fc": "mlp.c_fc.",
        "c_proj": "mlp.c_proj.",
    }
    for ours, theirs in released.items():
        for kind in ("weight", "bias"):
            _, std = OFFICIAL["init_mean_std"][f"temporalModelling.resblocks.0.{theirs}{kind}"]
            values = block.get_parameter(f"{ours}.{kind}")
            assert float(values.detach().std()) == pytest.approx(std, rel=0.1)


def test_order_matters_by_the_vectors_of_places_alone() -> None:
    model, shuffled = transformer(), [3, 0, 5, 1, 4, 2]
    mean = model(frames()).mean(dim=1)
    assert not torch.allclose(model(frames()[:, shuffled]).mean(dim=1), mean, atol=1e-2)
    nn.init.zeros_(model.positions)
    torch.testing.assert_close(model(frames()[:, shuffled]).mean(dim=1), model(frames()).mean(dim=1))


@pytest.mark.parametrize(
    ("gap", "row"), [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (7, 2), (8, 3), (10, 3), (30, 3)]
)
def test_a_gap_adds_its_vector_or_that_of_the_nearest(gap: int, row: int) -> None:
    model = transformer(num_layers=0)
    assert model.gap_vectors is not None
    added = model(frames(1), torch.tensor([gap])) - frames(1) - model.positions
    torch.testing.assert_close(added, model.gap_vectors[row].expand(1, 6, -1))


def test_of_two_gaps_as_near_the_smaller_is_taken_whatever_their_order() -> None:
    model = transformer(gaps=(4, 2), num_layers=0)
    assert torch.equal(model(frames(1), torch.tensor([3])), model(frames(1), torch.tensor([2])))
    assert not torch.equal(model(frames(1), torch.tensor([3])), model(frames(1), torch.tensor([4])))


def test_a_clip_without_a_gap_has_no_vector_added() -> None:
    model = transformer(num_layers=0)
    assert torch.equal(model(frames()), frames() + model.positions)


def test_without_gaps_there_is_no_table_of_them() -> None:
    model = transformer(gaps=())
    assert model.gap_vectors is None
    assert torch.equal(model(frames(), torch.tensor([1, 2, 10])), model(frames()))


def test_tables_begin_with_the_deviation_asked_for() -> None:
    torch.manual_seed(0)
    model = TemporalTransformer(512, num_layers=0, num_heads=8, num_frames=16, gaps=GAPS, table_std=0.3)
    assert model.gap_vectors is not None
    for table in (model.positions, model.gap_vectors):
        assert float(table.detach().std()) == pytest.approx(0.3, rel=0.1)


def test_several_models_run_as_one_give_what_each_gives() -> None:
    models = []
    for seed in range(3):
        torch.manual_seed(seed)
        models.append(
            TemporalTransformer(16, num_layers=2, num_heads=4, num_frames=6, gaps=GAPS, table_std=1.0)
        )
    parameters, buffers = torch.func.stack_module_state(models)
    gaps, clips = torch.tensor([[1, 5, 9], [2, 10, 1], [3, 3, 3]]), frames()

    def score(state: dict[str, Tensor], fixed: dict[str, Tensor], gap: Tensor) -> Tensor:
        result: Tensor = torch.func.functional_call(models[0], (state, fixed), (clips, gap))
        return result

    together = torch.func.vmap(score)(parameters, buffers, gaps)
    each = torch.stack([model(clips, gap) for model, gap in zip(models, gaps, strict=True)])
    torch.testing.assert_close(together, each)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Sums in no fixed order need two threads to show."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("num_layers", [0, 1])
def test_gradients_are_the_same_bits_every_time(num_layers: int) -> None:
    model = TemporalTransformer(
        512, num_layers=num_layers, num_heads=8, num_frames=1, gaps=GAPS, table_std=1.0
    )
    clips, weights = torch.randn(64, 1, 512), torch.randn(64, 1, 512)
    gaps = torch.tensor(GAPS * 16)

    def gradients() -> list[Tensor]:
        return list(torch.autograd.grad((model(clips, gaps) * weights).sum(), list(model.parameters())))

    first = gradients()
    for _ in range(20 if num_layers else 200):
        assert all(torch.equal(one, other) for one, other in zip(gradients(), first, strict=True))
