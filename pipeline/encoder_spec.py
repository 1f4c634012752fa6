"""What identifies a frozen encoder, known without importing torch.

Reading and hashing weights takes seconds to minutes, so the description of an encoder is kept beside the
stores, keyed by its files' paths, sizes and modification times: a rerun with nothing to do plans from it
and never imports torch.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vlp.stores import storage
from vlp.stores.places import Place

TOY_MODEL = "toy"
TOY_FOLDER = Path(__file__).parent / "toy" / "model"
HUB_PREFIX = "hf-hub:"
FOLDER_PREFIX = "local-dir:"
EMBEDDED = "embedded"

# Raised when the same file would be described differently, so that what was remembered is described anew.
DESCRIPTION_VERSION = 1

_FOLDER = "encoders"
_LIMIT_BYTES = 1 << 20


@dataclass(frozen=True)
class EncoderSpec:
    """Which encoder.

    Args:
        model: a name of open_clip's, ``hf-hub:ORG/NAME``, ``local-dir:FOLDER`` or ``toy``.
        pretrained: one of the model's tags, or a local weights file; folders and hub names bring their own.
    """

    model: str
    pretrained: str

    @property
    def is_file(self) -> bool:
        """Whether ``pretrained`` names a file rather than one of open_clip's tags."""
        return "/" in self.pretrained or Path(self.pretrained).suffix in {
            ".pt",
            ".pth",
            ".bin",
            ".safetensors",
        }

    @property
    def pretrained_name(self) -> str:
        """Short name of the weights for folders and tables: the tag, or the file's stem."""
        if self.model == TOY_MODEL:
            return EMBEDDED
        if self.model.startswith((HUB_PREFIX, FOLDER_PREFIX)):
            return "hub" if self.model.startswith(HUB_PREFIX) else "folder"
        return Path(self.pretrained).stem if self.is_file else self.pretrained


@dataclass(frozen=True)
class Preprocess:
    """How a frame becomes the encoder's input, as the model's own configuration states it.

    Args:
        image_size: side in pixels of the square the encoder takes.
        mean: channel means, in [0, 1].
        std: channel standard deviations.
        interpolation: "bicubic" or "bilinear", antialiased.
        resize_mode: "shortest" (resize the short side, crop the centre), "squash" or "longest" (pad).
        fill_color: grey level of the padding of "longest".
    """

    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    interpolation: str
    resize_mode: str
    fill_color: int = 0


@dataclass(frozen=True)
class EncoderDescription:
    """All of an encoder that decides what its features mean.

    Args:
        model: the name asked for.
        pretrained: short name of the weights.
        weights_sha256: hash over the canonical tensors of image and text towers.
        activation: "gelu" or "quick_gelu".
        embed_dim: D.
        context_length: text positions.
        preprocess: see `Preprocess`.
        notes: one line each for what was assumed or overruled about the weights.
    """

    model: str
    pretrained: str
    weights_sha256: str
    activation: str
    embed_dim: int
    context_length: int
    preprocess: Preprocess
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return plain data, tuples as lists."""
        return dict(json.loads(json.dumps(asdict(self))))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "EncoderDescription":
        """Rebuild from `to_json`'s data.

        Raises:
            KeyError, TypeError, ValueError: when the data are not a description.
        """
        preprocess = dict(data["preprocess"])
        preprocess["mean"] = tuple(float(value) for value in preprocess["mean"])
        preprocess["std"] = tuple(float(value) for value in preprocess["std"])
        return cls(**{**data, "preprocess": Preprocess(**preprocess), "notes": tuple(data["notes"])})


def spec_with_defaults(dataset: str | None, model: str | None, pretrained: str | None) -> EncoderSpec:
    """Fill in what was not asked: `toy` for the toy set, else ViT-B-16 and OpenAI's weights.

    Example:
        >>> spec_with_defaults("ucf101", None, None)
        EncoderSpec(model='ViT-B-16', pretrained='openai')
        >>> spec_with_defaults("toy", None, None)
        EncoderSpec(model='toy', pretrained='embedded')
    """
    chosen = model or (TOY_MODEL if dataset == "toy" else "ViT-B-16")
    if chosen == TOY_MODEL:
        return EncoderSpec(TOY_MODEL, EMBEDDED)
    if chosen.startswith((HUB_PREFIX, FOLDER_PREFIX)):
        return EncoderSpec(chosen, "its own")
    return EncoderSpec(chosen, pretrained or "openai")


def remembered_description(spec: EncoderSpec, cache: Place) -> EncoderDescription | None:
    """Return the description kept under ``cache``, or None if there is none or the weights file has changed."""
    try:
        kept = json.loads(storage.read_bytes(cache, _memory_name(spec), limit=_LIMIT_BYTES))
        if kept["weights"] != _file_state(Path(kept["weights"]["path"])):
            return None
        return EncoderDescription.from_json(kept["description"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remember_description(
    spec: EncoderSpec, weights_file: Path, cache: Place, description: EncoderDescription
) -> None:
    """Keep a description for the next run, as ``<cache>/encoders/<key>.json``."""
    storage.make_folder(cache, _FOLDER)
    kept = {"weights": _file_state(weights_file), "description": description.to_json()}
    data = json.dumps(kept, indent=2).encode()
    storage.write_file(cache, _memory_name(spec), data, writer=str(os.getpid()))


def _memory_name(spec: EncoderSpec) -> str:
    pretrained = str(Path(spec.pretrained).resolve()) if spec.is_file else spec.pretrained
    identity = [spec.model, pretrained, DESCRIPTION_VERSION]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    return f"{_FOLDER}/{digest[:24]}.json"


def _file_state(path: Path) -> dict[str, object]:
    state = path.stat()
    return {"path": str(path), "size": state.st_size, "mtime_ns": state.st_mtime_ns}
