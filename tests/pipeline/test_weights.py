"""Loading an encoder: the same weights from every kind of file, and every way in which it can fail."""

import hashlib
import json
import pickle
import shutil
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import load_encoder
from vlp.pipeline.errors import (
    PreprocessUnknown,
    UnknownModel,
    UnknownWeights,
    WeightsUnavailable,
    WeightsUnusable,
)
from vlp.pipeline.open_clip_port import open_clip
from vlp.pipeline.torchscript import is_torchscript, read_torchscript_tensors
from vlp.pipeline.weights import build_model, canonical_sha256, find_source, published_models


@pytest.fixture(scope="module")
def b32_tensors() -> dict[str, torch.Tensor]:
    """One of OpenAI's published architectures, at random."""
    torch.manual_seed(1)
    state = open_clip.create_model("ViT-B-32-quickgelu", load_weights=False).state_dict()
    return {name: tensor.contiguous() for name, tensor in state.items()}


@pytest.fixture(scope="module")
def weights_files(
    b32_tensors: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """One set of weights as safetensors, as an open_clip checkpoint and as an OpenAI archive."""
    folder = tmp_path_factory.mktemp("weights")
    half = {name: tensor.half() for name, tensor in b32_tensors.items()}
    exact = {name: tensor.float() for name, tensor in half.items()}
    save_file(exact, folder / "exact.safetensors")
    torch.save(
        {"state_dict": {f"module.{name}": tensor for name, tensor in exact.items()}}, folder / "checkpoint.pt"
    )
    _save_as_openai_does(half, folder / "archive.pt")
    return {path.stem: path for path in folder.iterdir()}


class _Holder(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def _save_as_openai_does(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Write a real TorchScript archive whose attributes spell the names of the tensors."""
    root = _Holder()
    for name, tensor in tensors.items():
        holder: torch.nn.Module = root
        *folders, leaf = name.split(".")
        for part in folders:
            if part not in dict(holder.named_children()):
                holder.add_module(part, _Holder())
            holder = dict(holder.named_children())[part]
        holder.register_parameter(leaf, torch.nn.Parameter(tensor, requires_grad=False))
    for name, value in (("input_resolution", 224), ("context_length", 77), ("vocab_size", 49408)):
        root.register_buffer(name, torch.tensor(value))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch.jit is leaving; the published files stay
        torch.jit.save(torch.jit.trace(root, torch.zeros(1)), str(path))


def test_one_set_of_weights_has_one_hash_whatever_file_carries_it(weights_files: dict[str, Path]) -> None:
    hashes = {
        canonical_sha256(build_model(find_source(EncoderSpec("ViT-B-32-quickgelu", str(path)))))
        for path in weights_files.values()
    }
    assert len(weights_files) == 3
    assert len(hashes) == 1


def test_an_openai_archive_is_read_tensor_by_tensor(weights_files: dict[str, Path]) -> None:
    path = weights_files["archive"]
    assert is_torchscript(path)
    assert not is_torchscript(weights_files["checkpoint"])
    assert not is_torchscript(weights_files["exact"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        expected = torch.jit.load(str(path)).state_dict()
    found = read_torchscript_tensors(path)
    assert expected.keys() <= found.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_an_openai_archive_means_quickgelu_and_a_bare_file_is_doubted(weights_files: dict[str, Path]) -> None:
    archive = find_source(EncoderSpec("ViT-B-32", str(weights_files["archive"])))
    assert archive.quick_gelu is True
    bare = find_source(EncoderSpec("ViT-B-32", str(weights_files["exact"])))
    assert bare.quick_gelu is False
    assert any("ViT-B-32-quickgelu" in note for note in bare.notes)


def test_the_canonical_hash_is_over_names_shapes_and_float32_values(tiny_clip: torch.nn.Module) -> None:
    expected = hashlib.sha256()
    for name, tensor in sorted(tiny_clip.state_dict().items()):
        values = np.asarray(tensor.tolist(), dtype="<f4")
        expected.update(f"{name} {list(tensor.shape)}\n".encode() + values.tobytes())
    assert canonical_sha256(tiny_clip) == expected.hexdigest()


def test_one_changed_number_changes_the_hash(tiny_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_folder, tmp_path / "other")
    path = tmp_path / "other" / "open_clip_model.safetensors"
    state = load_file(path)
    state["visual.conv1.weight"][0, 0, 0, 0] += 1
    save_file(state, path)
    first, second = (
        canonical_sha256(build_model(find_source(EncoderSpec(f"local-dir:{folder}", ""))))
        for folder in (tiny_folder, tmp_path / "other")
    )
    assert first != second


class _Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("executed"),)


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": _Payload()}, "trap.pt")
    with pytest.raises(WeightsUnusable, match=r"trap\.pt: it holds Python objects"):
        build_model(find_source(EncoderSpec("ViT-B-32", "./trap.pt")))
    assert not Path("executed").exists()


def test_an_archive_that_would_run_code_is_refused(tmp_path: Path, weights_files: dict[str, Path]) -> None:
    trap = tmp_path / "trap.pt"
    with zipfile.ZipFile(weights_files["archive"]) as source, zipfile.ZipFile(trap, "w") as target:
        for name in source.namelist():
            data = pickle.dumps(_Payload()) if name.endswith("/data.pkl") else source.read(name)
            target.writestr(name, data)
    with pytest.raises(WeightsUnusable, match="is not a tensor"):
        build_model(find_source(EncoderSpec("ViT-B-32", str(trap))))


@pytest.mark.parametrize("content", [b"", b"not weights at all", b"\x00" * 1000])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes, suffix: str) -> None:
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(content)
    with pytest.raises(WeightsUnusable, match="damaged"):
        build_model(find_source(EncoderSpec("ViT-B-32", str(path))))


def test_weights_of_another_architecture_are_named(tiny_folder: Path) -> None:
    path = tiny_folder / "open_clip_model.safetensors"
    with pytest.raises(WeightsUnusable, match=r"open_clip_model\.safetensors"):
        build_model(find_source(EncoderSpec("ViT-B-32", str(path))))


def test_an_unknown_model_lists_close_names() -> None:
    with pytest.raises(UnknownModel) as caught:
        find_source(EncoderSpec("ViT-B16", "openai"))
    assert "ViT-B-16" in caught.value.known
    assert "toy" in caught.value.known


def test_an_unknown_tag_and_a_missing_file_list_the_tags() -> None:
    for pretrained in ("opnai", "weights/missing.pt"):
        with pytest.raises(UnknownWeights) as caught:
            find_source(EncoderSpec("ViT-B-16", pretrained))
        assert "openai" in caught.value.known


@pytest.mark.parametrize(
    "spec", [EncoderSpec("ViT-B-16", "openai"), EncoderSpec("hf-hub:nobody/nothing", "hub")]
)
def test_weights_that_cannot_be_fetched_are_one_clear_line(
    spec: EncoderSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsUnavailable) as caught:
        find_source(spec)
    assert spec.model in str(caught.value)
    assert "\n" not in str(caught.value)


def test_preprocessing_is_never_guessed(tmp_path: Path, weights_files: dict[str, Path]) -> None:
    """Some models have published weights that differ in how their frames were prepared; a bare file must say it."""
    path = tmp_path / "mine.safetensors"
    path.write_bytes(b"")
    model = next(name for name, tags in published_models().items() if _preprocesses(name, tags) > 1)
    with pytest.raises(PreprocessUnknown, match=r"open_clip_config\.json"):
        find_source(EncoderSpec(model, str(path)))
    stated = {"mean": [0.1, 0.2, 0.3], "std": [1, 1, 1], "interpolation": "bilinear", "resize_mode": "squash"}
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"preprocess_cfg": stated}))
    assert find_source(EncoderSpec(model, str(path))).preprocess == stated


def _preprocesses(model: str, tags: list[str]) -> int:
    if model == "toy":
        return 0
    keys = ("mean", "std", "interpolation", "resize_mode")
    return len({str([open_clip.get_pretrained_cfg(model, tag)[key] for key in keys]) for tag in tags})


def test_a_configuration_without_mean_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open_clip_config.json").write_text('{"model_cfg": {}, "preprocess_cfg": {"std": [1, 1, 1]}}')
    with pytest.raises(WeightsUnusable, match="lacks mean"):
        load_encoder(EncoderSpec(f"local-dir:{tmp_path}", ""), device="cpu")


def test_a_folder_without_weights_says_what_was_looked_for(tiny_folder: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_folder / "open_clip_config.json", tmp_path)
    with pytest.raises(WeightsUnusable, match=r"open_clip_model\.safetensors"):
        find_source(EncoderSpec(f"local-dir:{tmp_path}", ""))


@pytest.mark.parametrize(
    ("model", "tag", "quick_gelu", "noted"),
    [
        ("ViT-B-16", "openai", True, True),
        ("ViT-B-16-quickgelu", "openai", True, False),
        ("ViT-B-16", "laion2b_s34b_b88k", False, False),
        ("ViT-B-32-quickgelu", "laion400m_e31", True, False),
    ],
)
def test_the_activation_follows_the_weights_and_a_mismatch_is_noted(
    model: str, tag: str, quick_gelu: bool, noted: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "weights.bin"
    file.touch()
    monkeypatch.setattr(open_clip, "download_pretrained", lambda _: str(file))
    source = find_source(EncoderSpec(model, tag))
    assert source.quick_gelu is quick_gelu
    assert bool(source.notes) is noted


def test_a_hub_repository_is_loaded_from_the_local_hub_cache_when_offline(
    tiny_folder: Path, tiny_clip: torch.nn.Module, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The layout of the hub's cache: refs/main names a snapshot, the snapshot holds the files."""
    repository = tmp_path / "models--someone--tiny-clip"
    snapshot = repository / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    shutil.copytree(tiny_folder, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(snapshot.name)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    encoder = load_encoder(EncoderSpec("hf-hub:someone/tiny-clip", "its own"), device="cpu")
    assert encoder.description.weights_sha256 == canonical_sha256(tiny_clip)
    assert encoder.encode_text(["a photo of a dog."]).shape == (1, 16)
    assert encoder.description.pretrained == "hub"
