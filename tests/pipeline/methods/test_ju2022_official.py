"""The method against the authors' release, at its size: 512 wide."""

import json
import math
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vlp.pipeline.clips import Clips
from vlp.pipeline.methods.ju2022 import ROWS, Config, PromptedClip, build
from vlp.pipeline.open_clip_port import open_clip
from vlp.pipeline.settings import resolve
from vlp.pipeline.text_tower import PromptableTextTower

# By ju-chen/Efficient-Prompt@1f69a18; the file says how, also its weights.
OFFICIAL = json.loads((Path(__file__).parents[2] / "golden" / "efficient_prompt_forward.json").read_text())
NAMES = ("a", "b", "c")
PATTERNS = {
    **{"A0": (2, 0), "A1": (4, 0), "A2": (8, 0), "A3": (16, 0)},
    **{"A4": (16, 1), "A5": (16, 2), "A6": (16, 3), "A7": (16, 4)},
    **{"B1": (16, 0), "B2": (16, 4)},
    **{"C0": (4, 0), "C1": (8, 0), "C2": (16, 0), "C3": (32, 0), "C4": (16, 1), "C5": (16, 2), "C6": (16, 3)},
    "retrieval": (4, 2),
}


class GoldenEncoder:
    """The release's tiny CLIP, and a tokenizer that knows its three class names."""

    def __init__(self) -> None:
        text = {"context_length": 77, "vocab_size": 64, "width": 512, "heads": 8, "layers": 2}
        vision = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16, "head_width": 64}
        clip = open_clip.CLIP(embed_dim=512, text_cfg=text, vision_cfg=vision, quick_gelu=True)
        self.clip: nn.Module = clip.eval().requires_grad_(False)
        tensors = golden_tensors("clipmodel.")
        state = {name: tensor for name, tensor in tensors.items() if not name.startswith("visual.")}
        missing, unexpected = self.clip.load_state_dict(state, strict=False)
        assert not unexpected
        assert all(name.startswith("visual.") or name == "logit_scale" for name in missing)

    def tokenizer(self, texts: Sequence[str], context_length: int = 77) -> Tensor:
        tokens = torch.zeros(len(texts), context_length, dtype=torch.int64)
        for row, text in zip(tokens, texts, strict=True):
            ids = torch.tensor(OFFICIAL["cases"][0]["class_tokens"][text] if text else [62, 63])
            row[: len(ids)] = ids
        return tokens

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        raise NotImplementedError


def golden_tensors(start: str) -> dict[str, Tensor]:
    """Make the tensors whose names begin so, by the file's recipe; their names without the beginning."""
    made = {}
    for name, shape in OFFICIAL["param_shapes"].items():
        if not name.startswith(start) or not shape:
            continue
        z = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape).astype(np.float32)
        if len(shape) >= 2:
            z = z / np.float32(math.sqrt(shape[-1]))
        else:
            z = np.float32(0.1) * z + np.float32(name.endswith("weight"))
        made[name.removeprefix(start)] = torch.from_numpy(z.astype(np.float32))
    return made


def golden_state() -> dict[str, Tensor]:
    """What the release trains, under our names."""
    renamed = {
        name.replace("resblocks", "temporal.blocks")
        .replace("attn.in_proj_", "in_proj.")
        .replace("attn.", "")
        .replace("mlp.", ""): tensor
        for name, tensor in golden_tensors("temporalModelling.").items()
    }
    return renamed | {
        "prompts.vectors": golden_tensors("embedding.")["weight"],
        "temporal.positions": golden_tensors("temporalEmbedding.")["weight"],
    }


@pytest.fixture(scope="module")
def golden_encoder() -> GoldenEncoder:
    return GoldenEncoder()


@pytest.fixture(params=OFFICIAL["cases"], ids=lambda case: f"{case['prefix']}+X+{case['postfix']}")
def case(request: pytest.FixtureRequest) -> dict[str, Any]:
    values: dict[str, Any] = request.param
    return values


@pytest.fixture
def method(case: dict[str, Any], golden_encoder: GoldenEncoder) -> PromptedClip:
    """The release's model with the weights of the file."""
    config = Config(
        variant="official", class_text="raw", num_prefix=case["prefix"], num_suffix=case["postfix"]
    )
    built = build(config, golden_encoder, NAMES).eval()
    built.load_state_dict(golden_state())
    return built


def golden_video() -> Tensor:
    return torch.from_numpy(np.random.RandomState(5).standard_normal((3, 16, 512)).astype(np.float32))


def num_trainable(method: nn.Module) -> int:
    return sum(parameter.numel() for parameter in method.parameters())


def test_features_and_logits_are_those_of_the_release(case: dict[str, Any], method: PromptedClip) -> None:
    clips = Clips(golden_video(), torch.ones(3, dtype=torch.int64))
    with torch.no_grad():
        logits = method(clips)
        videos, classes = method.video_features(clips), method.class_features()
    for features, kind in ((videos, "video"), (classes, "text")):
        norms = torch.tensor(case[f"{kind}_feature_norm"])[:, None]
        expected = torch.tensor(case[f"{kind}_feature_first8"])
        torch.testing.assert_close(features[:, :8], expected / norms, atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(features.norm(dim=-1), torch.ones(3))
    torch.testing.assert_close(logits, torch.tensor(case["logits_over_0_07"]), atol=1e-5, rtol=1e-5)


def test_lengths_of_features_are_those_of_the_release(
    case: dict[str, Any], method: PromptedClip, golden_encoder: GoldenEncoder
) -> None:
    tower = PromptableTextTower(golden_encoder)
    tokens = tower.tokens(NAMES, num_prefix=case["prefix"], num_suffix=case["postfix"])
    assert method.temporal is not None
    with torch.no_grad():
        texts = tower.encode(tokens, *method.prompts())
        videos = method.temporal(golden_video()).mean(dim=1)
    for features, kind in ((videos, "video"), (texts, "text")):
        expected = torch.tensor(case[f"{kind}_feature_norm"])
        torch.testing.assert_close(features.norm(dim=-1), expected, atol=0, rtol=1e-5)


def test_vectors_stand_where_the_release_puts_them(case: dict[str, Any], method: PromptedClip) -> None:
    prefix, suffix = method.prompts()
    for place, name in enumerate(NAMES):
        placed = case["placement_first_45"][name][: case["eot_position"][name]]
        around = [int(entry[1:]) for entry in placed if entry.startswith("P")]
        assert torch.equal(torch.cat([prefix, suffix[place]]), method.prompts.vectors[around])


def test_every_row_of_the_papers_tables_is_there() -> None:
    assert set(ROWS) == set(PATTERNS)


@pytest.mark.parametrize("row", PATTERNS)
def test_a_row_trains_its_vectors_and_layers_and_nothing_else(
    row: str, golden_encoder: GoldenEncoder
) -> None:
    num_prompts, num_layers = PATTERNS[row]
    config = resolve("ju2022", row=row).config
    method = build(config, golden_encoder, NAMES)
    tables = (16 + len(config.gaps)) * 512 if num_layers else 0
    assert num_trainable(method) == 2 * num_prompts * 512 + tables + num_layers * (12 * 512**2 + 13 * 512)


def test_the_paper_counts_16_thousand_parameters_of_a3_and_we_6_3_million_of_a5(
    golden_encoder: GoldenEncoder,
) -> None:
    a3, a5 = (build(resolve("ju2022", row=row).config, golden_encoder, NAMES) for row in ("A3", "A5"))
    assert num_trainable(a3) == 16 * 1024
    assert round(num_trainable(a5) / 1e6, 1) == 6.3


def test_vectors_and_tables_begin_with_their_own_deviations(golden_encoder: GoldenEncoder) -> None:
    torch.manual_seed(0)
    method = build(Config(init_std=0.02, table_std=0.5), golden_encoder, NAMES)
    assert float(method.prompts.vectors.detach().std()) == pytest.approx(0.02, rel=0.05)
    assert method.temporal is not None
    assert float(method.temporal.positions.detach().std()) == pytest.approx(0.5, rel=0.05)


def test_gradients_of_vectors_behind_names_are_the_same_bits_every_time(
    golden_encoder: GoldenEncoder,
) -> None:
    method = build(Config(variant="official", class_text="raw"), golden_encoder, NAMES * 2)
    weights = torch.randn(6, 16, 512)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)  # sums in no fixed order need two to show
    gradients = [
        torch.autograd.grad((method.prompts()[1] * weights).sum(), method.prompts.vectors)[0]
        for _ in range(200)
    ]
    torch.set_num_threads(threads)
    assert all(torch.equal(gradient, gradients[0]) for gradient in gradients)
