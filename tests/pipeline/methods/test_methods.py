"""What holds for every method."""

import importlib
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest
import torch

from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.methods import METHODS


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")


def test_every_method_file_is_listed() -> None:
    folder = Path(str(importlib.import_module("vlp.pipeline.methods").__file__)).parent
    assert set(METHODS) == {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert all(module == f"vlp.pipeline.methods.{name}" for name, module in METHODS.items())


def test_listing_the_methods_imports_no_torch() -> None:
    code = "import sys, vlp.pipeline.methods; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0


@pytest.mark.parametrize("name", METHODS)
def test_new_class_names_give_a_logit_a_class(name: str, encoder: FrozenEncoder) -> None:
    method = importlib.import_module(METHODS[name])
    for classes in (["cat"], ["dog", "cat", "sky diving"]):
        logits = method.build(method.Config(), encoder, classes)(torch.randn(4, 3, 16))
        assert logits.shape == (4, len(classes))
        assert torch.isfinite(logits).all()


@pytest.mark.parametrize("name", METHODS)
def test_settings_are_frozen_and_readings_are_declared(name: str) -> None:
    method = importlib.import_module(METHODS[name])
    config = method.Config()
    with pytest.raises(FrozenInstanceError):
        setattr(config, fields(config)[0].name, None)
    assert method.READS in {"embedding", "pixels"}
