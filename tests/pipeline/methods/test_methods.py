"""What holds for every method."""

import importlib
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlp.pipeline.clips import Clips
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.methods import METHODS
from vlp.pipeline.recipe import Recipe

CLASSES = ("dog", "cat", "SkyDiving")


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")


@pytest.fixture(params=METHODS)
def module(request: pytest.FixtureRequest) -> ModuleType:
    return importlib.import_module(METHODS[request.param])


def clips_of(module: ModuleType, num_videos: int = 12) -> tuple[Clips, Tensor]:
    """Videos of three classes that lie apart, as the method's recipe would give them."""
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(num_videos) % len(CLASSES)
    directions = torch.randn(len(CLASSES), 16, generator=generator)
    noise = torch.randn(num_videos, module.RECIPE.num_frames, 16, generator=generator)
    gaps = torch.ones(num_videos, dtype=torch.int64) if module.RECIPE.sampling == "random-gap" else None
    return Clips(4 * directions[labels][:, None] + noise, gaps), labels


def ready(module: ModuleType, encoder: FrozenEncoder, seed: int = 0) -> nn.Module:
    """The method as it is when gradient steps begin."""
    torch.manual_seed(seed)
    method: nn.Module = module.build(module.Config(), encoder, CLASSES)
    if hasattr(module, "fit"):
        module.fit(method, *clips_of(module), seed=seed)
    return method.train()


def loss_of(module: ModuleType) -> Callable[[nn.Module, Clips, Tensor], Tensor]:
    loss: Callable[[nn.Module, Clips, Tensor], Tensor] = getattr(
        module, "loss", lambda method, clips, labels: F.cross_entropy(method(clips), labels)
    )
    return loss


def steps(module: ModuleType, method: nn.Module, num_steps: int) -> list[float]:
    """Train on one batch, with the method's own loss."""
    clips, labels = clips_of(module)
    optimizer = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=0.01)
    losses = []
    for step in range(num_steps):
        torch.manual_seed(step)
        optimizer.zero_grad()
        loss = loss_of(module)(method, clips, labels)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def is_trained_by_gradients(module: ModuleType) -> bool:
    return bool(module.RECIPE.optimizer != "none")


def test_every_method_file_is_listed() -> None:
    folder = Path(str(importlib.import_module("vlp.pipeline.methods").__file__)).parent
    assert set(METHODS) == {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert all(module == f"vlp.pipeline.methods.{name}" for name, module in METHODS.items())


def test_listing_the_methods_imports_no_torch() -> None:
    code = "import sys, vlp.pipeline.methods; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0


def test_settings_are_frozen_and_readings_are_declared(module: ModuleType) -> None:
    config = module.Config()
    with pytest.raises(FrozenInstanceError):
        setattr(config, fields(config)[0].name, None)
    assert module.READS in {"embedding", "pixels"}
    assert isinstance(module.RECIPE, Recipe)
    assert str(module.__doc__).strip()


def test_logits_are_finite_one_a_class(module: ModuleType, encoder: FrozenEncoder) -> None:
    clips, _ = clips_of(module)
    logits = ready(module, encoder).eval()(clips)
    assert logits.shape == (12, len(CLASSES))
    assert torch.isfinite(logits).all()


def test_new_class_names_give_a_logit_a_class_with_what_was_trained(
    module: ModuleType, encoder: FrozenEncoder
) -> None:
    trained = ready(module, encoder)
    names = ("bird", "dog", "brushing teeth", "sky diving")
    fresh = module.build(module.Config(), encoder, names)
    if not getattr(module.Config(), "open_vocabulary", True):
        names, fresh = CLASSES, module.build(module.Config(), encoder, CLASSES)
    fresh.load_state_dict(trained.state_dict())
    clips, _ = clips_of(module)
    logits = fresh.eval()(clips)
    assert logits.shape == (12, len(names))
    if names == CLASSES:
        torch.testing.assert_close(logits, trained.eval()(clips))


def test_training_lowers_the_loss_and_reaches_every_parameter(
    module: ModuleType, encoder: FrozenEncoder
) -> None:
    method = ready(module, encoder)
    trainable = [name for name, p in method.named_parameters() if p.requires_grad]
    if not is_trained_by_gradients(module):
        assert not trainable
        return
    losses = steps(module, method, 8)
    assert losses[-1] < losses[0]
    gradients = {name: p.grad for name, p in method.named_parameters() if p.requires_grad}
    assert [name for name, gradient in gradients.items() if gradient is None] == []
    assert [name for name in trainable if not gradients[name].abs().sum() > 0] == []


def test_the_frozen_clip_stays_as_it_is_and_is_not_saved(module: ModuleType, encoder: FrozenEncoder) -> None:
    before = {name: tensor.clone() for name, tensor in encoder.clip.state_dict().items()}
    method = ready(module, encoder)
    if is_trained_by_gradients(module):
        steps(module, method, 2)
    after = encoder.clip.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    frozen = {tensor.data_ptr() for tensor in encoder.clip.state_dict().values()}
    assert not frozen & {tensor.data_ptr() for tensor in method.state_dict().values()}


def test_one_seed_gives_one_set_of_weights(module: ModuleType, encoder: FrozenEncoder) -> None:
    states = []
    for _ in range(2):
        method = ready(module, encoder, seed=7)
        if is_trained_by_gradients(module):
            steps(module, method, 3)
        states.append(method.state_dict())
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
