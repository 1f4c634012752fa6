"""A loaded encoder: frozen, described once, remembered until its file changes, in a precision the device has."""

import shutil
from pathlib import Path

import pytest
import torch

from vlp.pipeline.encoder_spec import (
    EncoderDescription,
    EncoderSpec,
    remember_description,
    remembered_description,
    spec_with_defaults,
)
from vlp.pipeline.encoders import FrozenEncoder, choose_device, choose_precision, load_encoder
from vlp.pipeline.errors import DeviceUnavailable


@pytest.fixture(scope="module")
def tiny(tiny_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")


def images(count: int) -> torch.Tensor:
    return torch.randint(
        0, 256, (count, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def test_nothing_of_the_model_can_be_trained(tiny: FrozenEncoder) -> None:
    assert not any(parameter.requires_grad for parameter in tiny.clip.parameters())
    assert not tiny.clip.training


def test_features_are_raw_projected_embeddings(tiny: FrozenEncoder, tiny_clip: torch.nn.Module) -> None:
    mean = torch.tensor(tiny.description.preprocess.mean).view(3, 1, 1)
    std = torch.tensor(tiny.description.preprocess.std).view(3, 1, 1)
    with torch.inference_mode():
        expected = tiny_clip.encode_image((images(4) / 255 - mean) / std)  # type: ignore[operator]
    found = tiny.encode_images(images(4))
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.float(), expected, atol=2e-3, rtol=2e-3)
    assert not torch.allclose(found.float().norm(dim=1), torch.ones(4))


def test_a_frame_has_the_same_bits_wherever_it_stands_in_a_batch(tiny: FrozenEncoder) -> None:
    batch = images(8)
    order = torch.tensor([5, 2, 7, 0, 3, 1, 6, 4])
    assert torch.equal(tiny.encode_images(batch)[order], tiny.encode_images(batch[order]))
    padded = torch.cat([batch[:3], torch.zeros_like(batch[3:])])
    assert torch.equal(tiny.encode_images(padded)[:3], tiny.encode_images(batch)[:3])


def test_half_precision_points_the_same_way(tiny_folder: Path, tiny: FrozenEncoder) -> None:
    half = load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", ""), device="cpu", precision="bf16")
    ours, expected = half.encode_images(images(16)).float(), tiny.encode_images(images(16)).float()
    assert torch.nn.functional.cosine_similarity(ours, expected).min() > 0.999
    assert half.description == tiny.description  # precision is recorded, and is no part of what features mean


def test_texts_are_encoded_as_clip_does(tiny: FrozenEncoder, tiny_clip: torch.nn.Module) -> None:
    texts = ["a photo of a dog.", "a video of someone dancing"]
    with torch.inference_mode():
        expected = tiny_clip.encode_text(tiny.tokenizer(texts))  # type: ignore[operator]
    torch.testing.assert_close(tiny.encode_text(texts), expected)
    assert tiny.encode_text([]).shape == (0, 16)


def test_a_description_is_remembered_until_the_weights_file_changes(
    tiny: FrozenEncoder, tiny_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_folder, folder)
    weights = folder / "open_clip_model.safetensors"
    spec = EncoderSpec(f"local-dir:{folder}", "its own")
    assert remembered_description(spec, tmp_path) is None
    remember_description(spec, weights, tmp_path, tiny.description)
    assert remembered_description(spec, tmp_path) == tiny.description
    weights.touch()
    assert remembered_description(spec, tmp_path) is None
    remember_description(spec, weights, tmp_path, tiny.description)
    [memory] = (tmp_path / "encoders").iterdir()
    memory.write_text(memory.read_text()[:40])
    assert remembered_description(spec, tmp_path) is None
    weights.unlink()
    assert remembered_description(spec, tmp_path) is None


def test_a_description_survives_being_written_as_json(tiny: FrozenEncoder) -> None:
    assert EncoderDescription.from_json(tiny.description.to_json()) == tiny.description


def test_the_default_is_openais_vit_b_16_and_the_toy_for_the_toy_set() -> None:
    assert spec_with_defaults("ucf101", None, None) == EncoderSpec("ViT-B-16", "openai")
    assert spec_with_defaults("toy", None, None).model == "toy"
    assert spec_with_defaults("toy", "ViT-B-32", None) == EncoderSpec("ViT-B-32", "openai")
    assert spec_with_defaults("ucf101", "ViT-B-32", "weights/mine.pt").pretrained_name == "mine"


def test_devices_and_precisions_that_are_not_there_are_named() -> None:
    cpu = torch.device("cpu")
    assert choose_device("cpu") == cpu
    with pytest.raises(DeviceUnavailable, match="Found: cpu"):
        choose_device("tpu")
    with pytest.raises(DeviceUnavailable, match="Known: auto, fp32, bf16, fp16"):
        choose_precision("int8", cpu)
    with pytest.raises(DeviceUnavailable, match="emulated"):
        choose_precision("fp16", cpu)
    assert choose_precision("bf16", cpu) == "bf16"
    native = torch.cpu.get_capabilities().get("amx_bf16", False)
    assert choose_precision("auto", cpu) == ("bf16" if native else "fp32")


def test_the_toy_clip_ships_with_the_package() -> None:
    toy = load_encoder(spec_with_defaults("toy", None, None), device="cpu", precision="fp32")
    assert toy.description.activation == "quick_gelu"
    assert toy.description.preprocess.image_size == 48
    assert toy.description.context_length == 77
