"""The method in training: what moves, what is kept, and several trainings as one."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlp.pipeline.clips import Clips
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.methods import ju2022
from vlp.pipeline.methods.ju2022 import Config, PromptedClip, build
from vlp.pipeline.text_tower import PromptableTextTower

CLASSES = ("Archery", "BrushHair", "riding a bike", "yo-yo")
VARIANTS = ("paper", "official")
SMALL = {"num_prefix": 2, "num_suffix": 3, "num_layers": 1}


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")


def made(encoder: Any, seed: int = 0, names: Sequence[str] = CLASSES, **settings: Any) -> PromptedClip:
    torch.manual_seed(seed)
    return build(Config(**settings), encoder, names)


def clips(num_clips: int = 4, num_frames: int = 16, gap: int | None = 1, seed: int = 1) -> Clips:
    frames = torch.randn(num_clips, num_frames, 16, generator=torch.Generator().manual_seed(seed))
    return Clips(frames, None if gap is None else torch.full((num_clips,), gap))


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_step_lowers_the_loss_reaches_every_parameter_and_leaves_clip_as_it_is(
    variant: str, encoder: FrozenEncoder
) -> None:
    before = {name: tensor.clone() for name, tensor in encoder.clip.state_dict().items()}
    method, labels = made(encoder, variant=variant), torch.arange(4)
    optimizer = torch.optim.AdamW(method.parameters(), lr=1e-3)
    first = ju2022.loss(method, clips(), labels)
    first.backward()
    gradients = {name: parameter.grad for name, parameter in method.named_parameters()}
    optimizer.step()
    assert [name for name, gradient in gradients.items() if gradient is None or not gradient.any()] == []
    assert ju2022.loss(method, clips(), labels) < first
    after = encoder.clip.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.grad is None for parameter in encoder.clip.parameters())


def test_only_what_was_trained_is_saved(encoder: FrozenEncoder) -> None:
    method = made(encoder)
    assert set(method.state_dict()) == {name for name, _ in method.named_parameters()}


@pytest.mark.parametrize("variant", VARIANTS)
def test_trained_vectors_serve_new_names(variant: str, encoder: FrozenEncoder) -> None:
    trained = made(encoder, seed=1, variant=variant).eval()
    names = ("a much longer name than those", "yo-yo", "BrushHair")
    other = made(encoder, seed=2, names=names, variant=variant).eval()
    other.load_state_dict(trained.state_dict())
    old, new = trained(clips()), other(clips())
    assert new.shape == (4, 3)
    torch.testing.assert_close(new[:, 1:], old[:, [3, 1]])


def test_the_loss_of_the_paper_is_cross_entropy_over_all_classes(encoder: FrozenEncoder) -> None:
    method, labels = made(encoder, num_candidates=2), torch.tensor([3, 0, 0, 3])
    chosen = F.log_softmax(method(clips()), dim=-1)[torch.arange(4), labels]
    torch.testing.assert_close(ju2022.loss(method, clips(), labels), -chosen.mean())


@pytest.mark.parametrize(("num_candidates", "num_others"), [(1, 0), (2, 0), (3, 1), (5, 3), (8, 6), (400, 6)])
def test_the_loss_of_the_release_is_over_the_batchs_classes_and_others_up_to_the_count(
    num_candidates: int, num_others: int, encoder: FrozenEncoder
) -> None:
    names = tuple("abcdefgh")
    method = made(encoder, names=names, variant="official", num_candidates=num_candidates)
    labels = torch.tensor([6, 2, 2, 6])
    method.class_features = lambda: classes  # type: ignore[method-assign]  # a leaf, to see who has a say
    for seed in range(5):
        classes = F.normalize(
            torch.randn(8, 16, generator=torch.Generator().manual_seed(9)), dim=-1
        ).requires_grad_()
        torch.manual_seed(seed)
        loss = ju2022.loss(method, clips(), labels)
        (gradient,) = torch.autograd.grad(loss, classes)
        candidates = {index for index in range(8) if gradient[index].any()}
        assert candidates >= {2, 6}
        assert len(candidates - {2, 6}) == num_others
        kept = sorted(candidates)
        among = torch.tensor([kept.index(label) for label in labels.tolist()])
        torch.testing.assert_close(loss, F.cross_entropy(method(clips())[:, kept], among))


def test_the_others_are_drawn_anew_and_every_class_comes_up(encoder: FrozenEncoder) -> None:
    method = made(encoder, names=tuple("abcdefgh"), variant="official", num_candidates=3, **SMALL)
    torch.manual_seed(0)
    losses = {round(float(ju2022.loss(method, clips(1), torch.tensor([0])).detach()), 6) for _ in range(300)}
    assert len(losses) == math.comb(7, 2)
    torch.manual_seed(5)
    first = ju2022.loss(method, clips(1), torch.tensor([0]))
    torch.manual_seed(5)
    assert torch.equal(ju2022.loss(method, clips(1), torch.tensor([0])), first)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one entry a text encoding."""
    seen: list[str] = []
    encode = PromptableTextTower.encode

    def counted(*arguments: Any) -> Tensor:
        seen.append("encode")
        return encode(*arguments)

    monkeypatch.setattr(PromptableTextTower, "encode", counted)
    return seen


def test_in_evaluation_the_classes_are_encoded_once(encoder: FrozenEncoder, calls: list[str]) -> None:
    method = made(encoder).eval()
    with torch.inference_mode():
        first = method(clips())
        assert torch.equal(method(clips()), first)
    with torch.no_grad():
        assert torch.equal(method(clips()), first)
    assert len(calls) == 1
    method(clips())  # with gradients
    assert len(calls) == 2


def test_they_are_encoded_anew_when_the_vectors_change(encoder: FrozenEncoder) -> None:
    method, other = made(encoder).eval(), made(encoder, seed=3).eval()
    with torch.no_grad():
        before, expected = method(clips()), other(clips())
        assert not torch.allclose(before, expected)
        method.load_state_dict(other.state_dict())
        torch.testing.assert_close(method(clips()), expected)
        method.prompts.vectors.add_(1.0)
        assert not torch.allclose(method(clips()), expected)


def test_weights_that_stand_in_leave_nothing_behind(encoder: FrozenEncoder, calls: list[str]) -> None:
    method, other = made(encoder).eval(), made(encoder, seed=3).eval()
    with torch.no_grad():
        before = method(clips())
        stood_in = torch.func.functional_call(method, other.state_dict(), (clips(),))
        torch.testing.assert_close(stood_in, other(clips()))
        num_calls = len(calls)
        assert torch.equal(method(clips()), before)
        assert len(calls) == num_calls


def test_a_method_built_for_inference_only_scores_too(encoder: FrozenEncoder) -> None:
    with torch.inference_mode():
        scored = made(encoder).eval()(clips())
    torch.testing.assert_close(scored.clone(), made(encoder)(clips()))


def test_what_was_kept_for_evaluation_is_not_trained_on(encoder: FrozenEncoder) -> None:
    method = made(encoder).eval()
    with torch.inference_mode():
        method(clips())
    ju2022.loss(method.train(), clips(), torch.arange(4)).backward()
    assert method.prompts.vectors.grad is not None


def stacked(methods: Sequence[nn.Module]) -> dict[str, Tensor]:
    names = [name for name, _ in methods[0].named_parameters()]
    return {name: torch.stack([method.get_parameter(name).detach() for method in methods]) for name in names}


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("training", [True, False])
def test_several_methods_run_as_one_give_what_each_gives(
    variant: str, training: bool, encoder: FrozenEncoder
) -> None:
    settings = {**SMALL, "variant": variant, "num_candidates": 3}
    methods = [made(encoder, seed=seed, **settings).train(training) for seed in range(3)]
    shared, seen = methods[0], clips(6)
    assert seen.gaps is not None
    frames = torch.stack([seen.embeddings[[2 * trial, 2 * trial + 1]] for trial in range(3)])
    gaps = torch.tensor([[1, 15], [4, 9], [2, 2]])

    def score(weights: dict[str, Tensor], frames: Tensor, gaps: Tensor) -> Tensor:
        result: Tensor = torch.func.functional_call(shared, weights, (Clips(frames, gaps),))
        return result

    with torch.set_grad_enabled(training):
        together = torch.func.vmap(score)(stacked(methods), frames, gaps)
        each = [method(Clips(frames[trial], gaps[trial])) for trial, method in enumerate(methods)]
        torch.testing.assert_close(together, torch.stack(each))


@pytest.mark.parametrize("variant", VARIANTS)
def test_several_methods_trained_as_one_get_the_gradients_of_each(
    variant: str, encoder: FrozenEncoder
) -> None:
    settings = {**SMALL, "variant": variant, "num_candidates": 1}
    methods = [made(encoder, seed=seed, **settings) for seed in range(3)]
    labels = torch.tensor([[0, 1, 2, 3], [3, 2, 1, 0], [0, 0, 1, 1]])  # of four classes, and of two
    seen = clips()

    class Bound:
        """The first method with other weights."""

        config = methods[0].config

        def __init__(self, weights: dict[str, Tensor]) -> None:
            self.weights = weights

        def __call__(self, seen: Clips) -> Tensor:
            result: Tensor = torch.func.functional_call(methods[0], self.weights, (seen,))
            return result

    def loss(weights: dict[str, Tensor], labels: Tensor) -> Tensor:
        return ju2022.loss(Bound(weights), seen, labels)  # type: ignore[arg-type]  # it stands in for the method

    together = torch.func.vmap(torch.func.grad(loss), randomness="different")(stacked(methods), labels)
    for trial, method in enumerate(methods):
        ju2022.loss(method, seen, labels[trial]).backward()
        for name, parameter in method.named_parameters():
            assert parameter.grad is not None
            torch.testing.assert_close(together[name][trial], parameter.grad, atol=1e-6, rtol=1e-4)
