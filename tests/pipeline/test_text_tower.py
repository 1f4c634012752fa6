"""The promptable text tower against open_clip's own encoding and against its plain path."""

from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.func import grad, vmap

from vlp.pipeline.open_clip_port import open_clip
from vlp.pipeline.text_tower import ClassTokens, PromptableTextTower

WORDS = ("archery", "sky", "diving", "brushing", "teeth", "a", "unicycle", "counter-clockwise", "é")
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 48, "heads": 3, "layers": 3}
VISION = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}


def encoder_of(dtype: torch.dtype = torch.float32, **text: Any) -> Any:
    torch.manual_seed(0)
    clip = open_clip.CLIP(embed_dim=24, text_cfg={**TEXT, **text}, vision_cfg=VISION, quick_gelu=True)
    clip = clip.eval().to(dtype).requires_grad_(False)
    return SimpleNamespace(clip=clip, tokenizer=open_clip.get_tokenizer("ViT-B-32"))


@pytest.fixture(scope="module")
def encoder() -> Any:
    return encoder_of()


@pytest.fixture(scope="module")
def exact() -> PromptableTextTower:
    return PromptableTextTower(encoder_of(torch.float64))


names = st.lists(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), min_size=1, max_size=7)


def prompts_of(num_prefix: int, num_suffix: int, dtype: torch.dtype, rows: int | None = None) -> list[Tensor]:
    generator = torch.Generator().manual_seed(num_prefix * 100 + num_suffix)
    shapes = [(num_prefix, 48), (num_suffix, 48) if rows is None else (rows, num_suffix, 48)]
    return [
        (0.05 * torch.randn(shape, generator=generator, dtype=torch.float64)).to(dtype).requires_grad_()
        for shape in shapes
    ]


def gradients(
    encode: Callable[..., Tensor], tokens: ClassTokens, prompts: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor]]:
    features = encode(tokens, *prompts)
    weights = torch.linspace(-1, 1, features.numel(), dtype=features.dtype).view_as(features)
    learnt = [prompt for prompt in prompts if prompt.numel()]
    found = (
        torch.autograd.grad((features * weights).sum() + features.square().sum(), learnt) if learnt else []
    )
    return features.detach(), list(found)


def largest_difference(ours: Sequence[Tensor], plain: Sequence[Tensor]) -> float:
    return max(
        float((one - other).abs().max() / other.abs().max()) for one, other in zip(ours, plain, strict=True)
    )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=names, num_prefix=st.integers(0, 20), num_suffix=st.integers(0, 20))
def test_features_and_gradients_are_those_of_the_77_token_path(
    names: list[str], num_prefix: int, num_suffix: int, exact: PromptableTextTower
) -> None:
    tokens = exact.tokens(names, num_prefix=num_prefix, num_suffix=num_suffix)
    prompts = prompts_of(num_prefix, num_suffix, torch.float64)
    ours, our_gradients = gradients(exact.encode, tokens, prompts)
    plain, plain_gradients = gradients(exact.encode_plain, tokens, prompts)
    assert ours.shape == (len(names), 24)
    assert largest_difference([ours, *our_gradients], [plain, *plain_gradients]) < 1e-9


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-4), (torch.bfloat16, 0.1)])
def test_other_dtypes_agree_to_their_precision(
    dtype: torch.dtype, tolerance: float, exact: PromptableTextTower
) -> None:
    tower = PromptableTextTower(encoder_of(dtype))
    tokens = tower.tokens(["archery", "brushing teeth", ""], num_prefix=16, num_suffix=16)
    ours = gradients(tower.encode, tokens, prompts_of(16, 16, dtype))
    plain = gradients(exact.encode_plain, tokens, prompts_of(16, 16, torch.float64))
    assert ours[0].dtype == dtype
    assert largest_difference([ours[0].double()], [plain[0]]) < tolerance
    assert largest_difference([gradient.double() for gradient in ours[1]], plain[1]) < tolerance


def test_without_prompts_it_is_clips_own_encoding(encoder: Any) -> None:
    texts = ["archery", "sky diving", "", "a unicycle by a brushing machine"]
    tower = PromptableTextTower(encoder)
    tokens = tower.tokens(texts, num_prefix=0, num_suffix=0)
    with torch.no_grad():
        expected = encoder.clip.encode_text(encoder.tokenizer(texts))
        nothing = torch.empty(0, 48)
        torch.testing.assert_close(tower.encode(tokens, nothing, nothing), expected, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(tower.encode_plain(tokens, nothing, nothing), expected)


def test_prompts_made_of_word_embeddings_are_those_words(encoder: Any) -> None:
    """ "a photo of" as a prefix and "." as a suffix: what CLIP says of the written sentence."""
    tower = PromptableTextTower(encoder)
    prefix_ids = encoder.tokenizer(["a photo of"])[0, 1:4]
    suffix_ids = encoder.tokenizer(["."])[0, 1:2]
    table = tower.token_embeddings()
    tokens = tower.tokens(["archery", "sky diving"], num_prefix=3, num_suffix=1)
    with torch.no_grad():
        ours = tower.encode(tokens, table[prefix_ids], table[suffix_ids])
        expected = encoder.clip.encode_text(
            encoder.tokenizer(["a photo of archery.", "a photo of sky diving."])
        )
    torch.testing.assert_close(ours, expected, atol=1e-5, rtol=1e-4)


def test_a_suffix_may_differ_between_names(exact: PromptableTextTower) -> None:
    listed = ["archery", "sky diving", "unicycle"]
    tokens = exact.tokens(listed, num_prefix=2, num_suffix=3)
    prefix, suffixes = prompts_of(2, 3, torch.float64, rows=3)
    together = exact.encode(tokens, prefix, suffixes)
    for index, name in enumerate(listed):
        alone = exact.tokens([name], num_prefix=2, num_suffix=3)
        torch.testing.assert_close(together[index], exact.encode_plain(alone, prefix, suffixes[index])[0])


def test_gradients_of_a_suffix_per_name_are_those_of_the_77_token_path(exact: PromptableTextTower) -> None:
    tokens = exact.tokens(["sky diving", "archery", "", "unicycle"], num_prefix=2, num_suffix=3)
    prompts = prompts_of(2, 3, torch.float64, rows=4)
    ours, our_gradients = gradients(exact.encode, tokens, prompts)
    plain, plain_gradients = gradients(exact.encode_plain, tokens, prompts)
    assert [tuple(gradient.shape) for gradient in our_gradients] == [(2, 48), (4, 3, 48)]
    assert largest_difference([ours, *our_gradients], [plain, *plain_gradients]) < 1e-9


def trial_prompts(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(len(shape))
    return torch.randn(*shape, 48, generator=generator, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize(
    ("prefix", "suffix", "in_dims"),
    [
        pytest.param((5, 4), (5, 2), (0, 0), id="both"),
        pytest.param((5, 4), (2,), (0, None), id="prefix"),
        pytest.param((4,), (5, 2), (None, 0), id="suffix"),
        pytest.param((5, 4), (5, 3, 2), (0, 0), id="suffix-of-each-name"),
        pytest.param((5, 4), (3, 2), (0, None), id="prefix-and-a-suffix-of-each-name"),
    ],
)
def test_prompts_of_many_trials_are_encoded_together(
    prefix: tuple[int, ...],
    suffix: tuple[int, ...],
    in_dims: tuple[int | None, int | None],
    exact: PromptableTextTower,
) -> None:
    tokens = exact.tokens(["archery", "sky diving", "sky"], num_prefix=4, num_suffix=2)
    prompts = [trial_prompts(*prefix), trial_prompts(*suffix)]
    together = vmap(lambda *trial: exact.encode(tokens, *trial), in_dims=in_dims)(*prompts)
    alone = torch.stack(
        [
            exact.encode(
                tokens, *(p if dim is None else p[trial] for p, dim in zip(prompts, in_dims, strict=True))
            )
            for trial in range(5)
        ]
    )
    torch.testing.assert_close(together, alone)
    for found, expected in zip(
        torch.autograd.grad(together.square().sum(), prompts),
        torch.autograd.grad(alone.square().sum(), prompts),
        strict=True,
    ):
        torch.testing.assert_close(found, expected)


def test_gradients_are_taken_inside_of_the_trials_too(exact: PromptableTextTower) -> None:
    tokens = exact.tokens(["archery", "sky diving"], num_prefix=4, num_suffix=2)
    prefixes, suffixes = trial_prompts(3, 4), trial_prompts(3, 2)

    def loss(prefix: Tensor, suffix: Tensor) -> Tensor:
        return exact.encode(tokens, prefix, suffix).square().sum()

    inside = vmap(grad(loss, argnums=(0, 1)))(prefixes, suffixes)
    for trial in range(3):
        plain = exact.encode_plain(tokens, prefixes[trial], suffixes[trial]).square().sum()
        expected = torch.autograd.grad(plain, (prefixes, suffixes))
        for found, gradient in zip(inside, expected, strict=True):
            torch.testing.assert_close(found[trial], gradient[trial])


@pytest.mark.parametrize(("num_prefix", "num_suffix"), [(16, 16), (16, 0), (0, 0)])
def test_only_rows_that_a_feature_depends_on_are_computed(
    num_prefix: int, num_suffix: int, encoder: Any
) -> None:
    """SOT and prefix once, then each name's own tokens, suffix and EOT; EOT alone in the last block."""
    tower = PromptableTextTower(encoder)
    listed = ["archery", "sky diving", "sky", "brushing teeth a unicycle", ""]
    tokens = tower.tokens(listed, num_prefix=num_prefix, num_suffix=num_suffix)
    computed: list[int] = []
    hooks = [
        block.mlp.gelu.register_forward_hook(
            lambda _, inputs, __: computed.append(inputs[0].shape[:-1].numel())
        )
        for block in encoder.clip.transformer.resblocks
    ]
    tower.encode(tokens, *prompts_of(num_prefix, num_suffix, torch.float32))
    for hook in hooks:
        hook.remove()
    ids = encoder.tokenizer(listed)
    num_name_tokens = int((ids != 0).sum()) - 2 * len(listed)
    needed = 1 + num_prefix + num_name_tokens + len(listed) * (num_suffix + 1)
    assert computed == [needed, needed, len(listed)]


def test_names_that_leave_no_room_are_cut_with_the_end_kept(exact: PromptableTextTower) -> None:
    long_name = " ".join(["sky"] * 90)
    tokens = exact.tokens(["archery", long_name], num_prefix=16, num_suffix=16)
    assert tokens.truncated == (1,)
    assert tokens.lengths[1] == 77 - 2 - 32
    prompts = prompts_of(16, 16, torch.float64)
    features = exact.encode(tokens, *prompts)
    torch.testing.assert_close(features, exact.encode_plain(tokens, *prompts))
    fitting = exact.tokens([" ".join(["sky"] * (77 - 2 - 32))], num_prefix=16, num_suffix=16)
    assert fitting.truncated == ()
    torch.testing.assert_close(features[1], exact.encode(fitting, *prompts)[0])
    assert exact.tokens([" ".join(["sky"] * 75)], num_prefix=0, num_suffix=0).truncated == ()
    assert exact.tokens([" ".join(["sky"] * 76)], num_prefix=0, num_suffix=0).truncated == (0,)


def test_a_name_does_not_depend_on_its_neighbours(exact: PromptableTextTower) -> None:
    prompts = prompts_of(3, 3, torch.float64)
    listed = ["archery", "sky diving", "", "brushing teeth"]
    together = exact.encode(exact.tokens(listed, num_prefix=3, num_suffix=3), *prompts)
    for index, name in enumerate(listed):
        alone = exact.encode(exact.tokens([name], num_prefix=3, num_suffix=3), *prompts)[0]
        torch.testing.assert_close(together[index], alone)


def test_words_are_the_vocabularys(encoder: Any) -> None:
    tower = PromptableTextTower(encoder)
    ids = encoder.tokenizer(["archery"])[0, 1:2].tolist()
    assert tower.words(ids) == ["archery"]


@pytest.mark.parametrize("counts", [(-1, 0), (0, -1), (40, 35)])
def test_counts_that_leave_no_room_are_refused(counts: tuple[int, int], exact: PromptableTextTower) -> None:
    with pytest.raises(ValueError, match="learnt tokens"):
        exact.tokens(["archery"], num_prefix=counts[0], num_suffix=counts[1])
    with pytest.raises(ValueError, match="0 names"):
        exact.tokens([], num_prefix=1, num_suffix=1)


def test_prompts_of_another_shape_are_refused(exact: PromptableTextTower) -> None:
    tokens = exact.tokens(["archery", "sky"], num_prefix=2, num_suffix=1)
    good = torch.zeros(2, 48, dtype=torch.float64)
    for prefix, suffix in ((good[:1], good[:1]), (good, good), (good, torch.zeros(3, 1, 48))):
        for encode in (exact.encode, exact.encode_plain):
            with pytest.raises(ValueError, match="prompts of shapes"):
                encode(tokens, prefix, suffix)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=names, num_prefix=st.integers(0, 6), num_prefixes=st.integers(1, 4))
def test_names_behind_several_prefixes_are_those_behind_each(
    names: list[str], num_prefix: int, num_prefixes: int, exact: PromptableTextTower
) -> None:
    tokens = exact.tokens(names, num_prefix=num_prefix, num_suffix=0)
    generator = torch.Generator().manual_seed(num_prefix)
    shape = (num_prefixes, num_prefix, 48)
    prefixes = (0.05 * torch.randn(shape, generator=generator, dtype=torch.float64)).requires_grad_()
    nothing = torch.empty(0, 48, dtype=torch.float64)

    def each_plain(tokens: ClassTokens, prefixes: Tensor) -> Tensor:
        return torch.stack([exact.encode_plain(tokens, prefix, nothing) for prefix in prefixes])

    ours, our_gradients = gradients(exact.encode_each, tokens, [prefixes])
    plain, plain_gradients = gradients(each_plain, tokens, [prefixes])
    assert ours.shape == (num_prefixes, len(names), 24)
    assert largest_difference([ours, *our_gradients], [plain, *plain_gradients]) < 1e-9


@pytest.mark.parametrize("shape", [(2, 3, 48), (2, 4, 40)])
def test_prefixes_of_another_shape_are_refused(shape: tuple[int, ...], exact: PromptableTextTower) -> None:
    tokens = exact.tokens(["archery"], num_prefix=4, num_suffix=0)
    with pytest.raises(ValueError, match=r"learnable|tokens of width"):
        exact.encode_each(tokens, torch.zeros(shape, dtype=torch.float64))


def test_the_truncated_plain_path_is_the_plain_path(exact: PromptableTextTower) -> None:
    tokens = exact.tokens(["archery", "brushing teeth on a unicycle", ""], num_prefix=4, num_suffix=2)
    prompts = prompts_of(4, 2, torch.float64)
    lengths: list[int] = []
    hook = exact._blocks[0].register_forward_hook(lambda _, given, __: lengths.append(given[0].shape[1]))
    whole = gradients(exact.encode_plain, tokens, prompts)
    cut = gradients(partial(exact.encode_plain, truncated=True), tokens, prompts)
    hook.remove()
    assert lengths == [77, 1 + 4 + max(tokens.lengths) + 2 + 1]
    assert largest_difference([cut[0], *cut[1]], [whole[0], *whole[1]]) < 1e-9
