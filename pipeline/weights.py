"""From a model's name to a loaded CLIP: which file, which configuration, which activation.

Weights come from open_clip's tags, from ``hf-hub:`` repositories, from folders in open_clip's layout, or from
one local file: OpenAI's `.pt` (TorchScript), open_clip's `.pt`/`.bin` checkpoints, `.safetensors`. Files are
read weights-only: nothing in them runs.
"""

import difflib
import hashlib
import json
import logging
import pickle
import socket
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import huggingface_hub
import torch
from safetensors import SafetensorError
from torch import nn

from vlp.pipeline.encoder_spec import (
    FOLDER_PREFIX,
    HUB_PREFIX,
    TOY_FOLDER,
    TOY_MODEL,
    EncoderSpec,
    Preprocess,
)
from vlp.pipeline.errors import (
    PreprocessUnknown,
    UnknownModel,
    UnknownWeights,
    WeightsUnavailable,
    WeightsUnusable,
)
from vlp.pipeline.open_clip_port import open_clip
from vlp.pipeline.torchscript import is_torchscript, read_torchscript_tensors

_PREPROCESS_KEYS = ("mean", "std", "interpolation", "resize_mode")
_CONFIG_NAME = "open_clip_config.json"
# What open_clip, torch and safetensors raise on damaged files and on weights of another shape.
_UNREADABLE = (
    RuntimeError,
    ValueError,
    KeyError,
    OSError,
    EOFError,
    AssertionError,
    AttributeError,
    SafetensorError,
)
# OpenAI's archives carry these as constants of the module, not as weights.
_OPENAI_CONSTANTS = ("input_resolution", "context_length", "vocab_size")


@dataclass(frozen=True)
class Source:
    """What open_clip needs to build a model, and what a reader should know about it.

    Args:
        architecture: name for open_clip, with ``local-dir:`` or ``hf-hub:`` where it has one.
        weights_file: the file that holds the weights.
        preprocess: mean, std, interpolation and resize mode as the weights' publisher states them.
        quick_gelu: whether the weights were trained with QuickGELU; None leaves it to the architecture.
        notes: one line each for what was assumed or overruled.
    """

    architecture: str
    weights_file: Path
    preprocess: Mapping[str, Any]
    quick_gelu: bool | None
    notes: tuple[str, ...] = field(default=())


def find_source(spec: EncoderSpec) -> Source:
    """Locate the weights of ``spec``, downloading them where they are published.

    Raises:
        UnknownModel, UnknownWeights, WeightsUnavailable, WeightsUnusable, PreprocessUnknown.
    """
    if spec.model == TOY_MODEL:
        return _folder_source(TOY_FOLDER)
    if spec.model.startswith(FOLDER_PREFIX):
        return _folder_source(Path(spec.model.removeprefix(FOLDER_PREFIX)))
    if spec.model.startswith(HUB_PREFIX):
        return _hub_source(spec)
    _check_known(spec.model)
    if spec.is_file:
        return _file_source(spec.model, Path(spec.pretrained))
    return _tag_source(spec)


def _check_known(model: str) -> None:
    if model not in open_clip.list_models():
        close = difflib.get_close_matches(model, open_clip.list_models(), n=6, cutoff=0.4)
        raise UnknownModel(model, [TOY_MODEL, *(close or open_clip.list_models()[:12])])


def _folder_source(folder: Path) -> Source:
    config = _read_config(folder / _CONFIG_NAME)
    names = (
        "open_clip_model.safetensors",
        "open_clip_pytorch_model.safetensors",
        "open_clip_pytorch_model.bin",
    )
    for name in names:
        if (folder / name).is_file():
            return Source(f"{FOLDER_PREFIX}{folder}", folder / name, config["preprocess_cfg"], None)
    raise WeightsUnusable(folder, f"it holds none of {', '.join(names)}")


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text())
        stated = config["preprocess_cfg"]
        missing = [key for key in ("mean", "std") if key not in stated]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsUnusable(
            path, f"it is no open_clip configuration ({type(error).__name__}: {error})"
        ) from error
    if missing:
        raise WeightsUnusable(path, f"its preprocess_cfg lacks {', '.join(missing)}")
    return dict(config)


def _hub_name() -> str:
    """Name the hub; where its host cannot be resolved, let it look only into its local cache.

    Left to itself the hub's client retries for most of a minute, and warns each time.
    """
    host = urlsplit(huggingface_hub.constants.ENDPOINT).hostname or ""
    if not urllib.request.getproxies():
        try:
            socket.getaddrinfo(host, 443)
        except OSError:
            huggingface_hub.constants.HF_HUB_OFFLINE = True
    return host


def _hub_source(spec: EncoderSpec) -> Source:
    repository = spec.model.removeprefix(HUB_PREFIX)
    host = _hub_name()
    try:
        config = open_clip.pretrained.download_pretrained_from_hf(repository, filename=_CONFIG_NAME)
        weights = open_clip.pretrained.download_pretrained_from_hf(repository)
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsUnavailable(spec.model, "", host, _cause(error)) from error
    return Source(spec.model, Path(weights), _read_config(Path(config))["preprocess_cfg"], None)


def _tag_source(spec: EncoderSpec) -> Source:
    tags = open_clip.list_pretrained_tags_by_model(spec.model)
    if spec.pretrained not in tags:
        raise UnknownWeights(spec.model, spec.pretrained, tags)
    stated = open_clip.get_pretrained_cfg(spec.model, spec.pretrained)
    source = _hub_name() if stated.get("hf_hub") else urlsplit(stated["url"]).hostname or stated["url"]
    try:
        file = open_clip.download_pretrained(stated)
    except (OSError, ValueError, RuntimeError) as error:
        raise WeightsUnavailable(spec.model, spec.pretrained, source, _cause(error)) from error
    quick_gelu, notes = _activation_of_tag(spec, bool(stated.get("quick_gelu", False)))
    return Source(spec.model, Path(file), {key: stated[key] for key in _PREPROCESS_KEYS}, quick_gelu, notes)


def _activation_of_tag(spec: EncoderSpec, trained_with_quick_gelu: bool) -> tuple[bool, tuple[str, ...]]:
    """Follow the weights, unless the model's own name asks for QuickGELU; say so where the two differ."""
    configured = bool(open_clip.get_model_config(spec.model).get("quick_gelu", False))
    if configured == trained_with_quick_gelu:
        return configured, ()
    trained = "QuickGELU" if trained_with_quick_gelu else "GELU"
    if configured:
        note = f"{spec.model} asks for QuickGELU, but {spec.pretrained} was trained with {trained}: using QuickGELU."
        return True, (note,)
    note = f"{spec.pretrained} was trained with {trained}, which {spec.model} does not set: using {trained}."
    return trained_with_quick_gelu, (note,)


def _file_source(model: str, path: Path) -> Source:
    if not path.is_file():
        raise UnknownWeights(model, str(path), open_clip.list_pretrained_tags_by_model(model))
    beside = path.parent / _CONFIG_NAME
    stated = _read_config(beside)["preprocess_cfg"] if beside.is_file() else _preprocess_of_tags(model, path)
    configured = bool(open_clip.get_model_config(model).get("quick_gelu", False))
    if path.suffix != ".safetensors" and is_torchscript(path):
        return Source(model, path, stated, True)  # only OpenAI published archives, all with QuickGELU
    has_twin = f"{model}-quickgelu" in open_clip.list_models()
    if configured or not has_twin:
        return Source(model, path, stated, configured)
    note = f"{path.name} does not name its activation: using GELU. Trained with QuickGELU? Use {model}-quickgelu."
    return Source(model, path, stated, False, (note,))


def _preprocess_of_tags(model: str, path: Path) -> Mapping[str, Any]:
    """Take what all published weights of the model share: a bare file states nothing, and a guess is a defect."""
    tags = open_clip.list_pretrained_tags_by_model(model)
    found: dict[str, dict[str, Any]] = {}
    for tag in tags:
        stated = open_clip.get_pretrained_cfg(model, tag)
        preprocess = {key: stated[key] for key in _PREPROCESS_KEYS}
        found.setdefault(json.dumps(preprocess), preprocess)
    if len(found) != 1:
        raise PreprocessUnknown(model, path, list(found) or [f"{model} has no published weights"])
    return next(iter(found.values()))


def build_model(source: Source) -> nn.Module:
    """Build the architecture and fill it with the source's weights, in float32 on the CPU, frozen.

    Raises:
        WeightsUnusable: if the file is damaged, holds more than tensors, or belongs to another architecture.
    """
    overrides = {} if source.quick_gelu is None else {"force_quick_gelu": source.quick_gelu}
    try:
        model = _untrained(source.architecture, **overrides)
        if source.weights_file.suffix != ".safetensors" and is_torchscript(source.weights_file):
            _load_openai_archive(model, source.weights_file)
        else:
            open_clip.load_checkpoint(model, str(source.weights_file), weights_only=True)
    except pickle.UnpicklingError as error:
        why = "it holds Python objects, not only tensors, and objects could run code"
        raise WeightsUnusable(source.weights_file, why) from error
    except _UNREADABLE as error:
        raise WeightsUnusable(source.weights_file, _first_line(error)) from error
    return model.float().eval().requires_grad_(requires_grad=False)


def untrained_model(model: str) -> nn.Module:
    """Build an architecture with random weights, in float32 on the CPU, frozen: it costs what a trained one does.

    Raises:
        UnknownModel: for a name that is neither open_clip's nor the toy model's.
    """
    if model != TOY_MODEL:
        _check_known(model)
    built = _untrained(f"{FOLDER_PREFIX}{TOY_FOLDER}" if model == TOY_MODEL else model)
    return built.eval().requires_grad_(requires_grad=False)


def _untrained(architecture: str, **overrides: Any) -> nn.Module:
    with _told_nothing():
        model: nn.Module = open_clip.create_model(architecture, load_weights=False, **overrides)
    return model


@contextmanager
def _told_nothing() -> Iterator[None]:
    """Silence open_clip's warning that the weights are random: the next step loads them."""
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _load_openai_archive(model: nn.Module, path: Path) -> None:
    tensors = read_torchscript_tensors(path)
    state = {name: tensor.float() for name, tensor in tensors.items() if name not in _OPENAI_CONSTANTS}
    expected = model.state_dict().keys()
    model.load_state_dict(
        {name: state[name] for name in state.keys() & expected} if expected <= state.keys() else state
    )


def canonical_sha256(model: nn.Module) -> str:
    """Hash what the weights are, whatever file or precision carried them.

    Every tensor of the state, in name order, as little-endian float32: half-precision weights equal their
    float32 copies, so OpenAI's archive and its safetensors conversion have one hash.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        values = tensor.detach().to("cpu", torch.float32).contiguous()
        digest.update(f"{name} {list(values.shape)}\n".encode())
        digest.update(memoryview(values.numpy()).cast("B") if values.ndim else values.numpy().tobytes())
    return digest.hexdigest()


def stated_preprocess(model: nn.Module, stated: Mapping[str, Any]) -> Preprocess:
    """Join what the weights' publisher states with the input size of the built image tower."""
    size: Any = getattr(model.visual, "image_size", None)
    sides = {int(side) for side in (size if isinstance(size, tuple | list) else (size,))}
    if len(sides) != 1:
        raise ValueError(f"image towers take squares; this one takes {size}")
    mean, std = (tuple(float(value) for value in stated[key]) for key in ("mean", "std"))
    return Preprocess(
        image_size=sides.pop(),
        mean=(mean[0], mean[1], mean[2]),
        std=(std[0], std[1], std[2]),
        interpolation=str(stated.get("interpolation") or "bicubic"),
        resize_mode=str(stated.get("resize_mode") or "shortest"),
        fill_color=int(stated.get("fill_color") or 0),
    )


def activation_of(model: nn.Module) -> str:
    """Name the activation of the built towers: "quick_gelu" or "gelu"."""
    kinds = {type(module).__name__ for module in model.modules()}
    return "quick_gelu" if "QuickGELU" in kinds else "gelu"


def _cause(error: BaseException) -> str:
    """Say why a download failed, without the advice that the hub's client appends."""
    if huggingface_hub.constants.HF_HUB_OFFLINE:
        return "this machine is offline, and its hub cache does not hold them"
    return _first_line(error)


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]


def published_models() -> dict[str, list[str]]:
    """Return every architecture that open_clip builds, with the tags of its weights; `toy` first."""
    return {
        TOY_MODEL: ["embedded"],
        **{name: open_clip.list_pretrained_tags_by_model(name) for name in open_clip.list_models()},
    }
