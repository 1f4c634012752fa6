"""A frozen CLIP encoder: load it once, describe it, encode frames and texts.

The image tower runs in the precision that the device is fastest at; the text tower stays in float32, since it
encodes a few hundred sentences a run. Every batch of frames is padded to one fixed shape: another shape picks
other kernels and changes the last bits of the features.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vlp.pipeline.encoder_spec import (
    FOLDER_PREFIX,
    TOY_FOLDER,
    TOY_MODEL,
    EncoderDescription,
    EncoderSpec,
)
from vlp.pipeline.errors import DeviceUnavailable, WeightsUnusable
from vlp.pipeline.framing import Framing
from vlp.pipeline.open_clip_port import open_clip
from vlp.pipeline.preprocess import cut_views, normalise
from vlp.pipeline.weights import activation_of, build_model, canonical_sha256, find_source, stated_preprocess

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_TEXT_BATCH = 256


@dataclass(frozen=True)
class FrozenEncoder:
    """A loaded encoder.

    Args:
        spec: what was asked for.
        description: what it is.
        clip: open_clip's module, in evaluation mode, without gradients.
        tokenizer: list of n texts to (n, context_length) tokens.
        device: where it runs.
        precision: of the image tower: "fp32", "bf16" or "fp16".
        weights_file: where the weights were read.
    """

    spec: EncoderSpec
    description: EncoderDescription
    clip: Any  # an nn.Module; open_clip ships no types
    tokenizer: Callable[[Sequence[str]], Tensor]
    device: torch.device
    precision: str
    weights_file: Path

    @property
    def wants_full_batches(self) -> bool:
        """Whether a batch of another shape could change the rows: it picks other kernels."""
        return True

    def prepare(self, frames: Tensor, framing: Framing) -> Tensor:
        """Cut (n, H, W, 3) uint8 frames into (n, V, 3, S, S) uint8 views on the encoder's device."""
        if self.device.type == "cuda":  # uploaded from a page-locked copy, while the caller reuses its memory
            frames = frames.pin_memory().to(self.device, non_blocking=True)
        return cut_views(frames.to(self.device), self.description.preprocess, framing)

    @torch.inference_mode()
    def encode_images(self, images: Tensor) -> Tensor:
        """Encode one batch.

        Args:
            images: (B, 3, S, S) uint8, views of `prepare`; the caller keeps B the same for all batches.

        Returns:
            (B, D) raw projected embeddings, float16, on the encoder's device; not normalised.
        """
        batch = normalise(images, self.description.preprocess, PRECISIONS[self.precision])
        encoded: Tensor = self.clip.visual(batch)
        return encoded.to(torch.float16)

    @torch.inference_mode()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """Encode texts.

        Returns:
            (n, D) raw projected embeddings in float32 on the encoder's device; not normalised.
        """
        width = self.description.embed_dim
        parts = [torch.empty(0, width, device=self.device)]
        for start in range(0, len(texts), _TEXT_BATCH):
            tokens = self.tokenizer(list(texts[start : start + _TEXT_BATCH]))
            parts.append(self.clip.encode_text(tokens.to(self.device)).float())
        return torch.cat(parts)


def load_encoder(spec: EncoderSpec, *, device: str = "auto", precision: str = "auto") -> FrozenEncoder:
    """Load an encoder.

    Args:
        spec: which one.
        device: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", "mps".
        precision: "auto" (the fastest that the device computes natively), "fp32", "bf16" or "fp16".

    Raises:
        UnknownModel, UnknownWeights, WeightsUnavailable, WeightsUnusable, PreprocessUnknown: see `find_source`.
        DeviceUnavailable: if the machine lacks the device or cannot compute in the precision.
    """
    chosen_device = choose_device(device)
    chosen_precision = choose_precision(precision, chosen_device)
    source = find_source(spec)
    model = build_model(source)
    description = EncoderDescription(
        model=spec.model,
        pretrained=spec.pretrained_name,
        weights_sha256=canonical_sha256(model),
        activation=activation_of(model),
        embed_dim=_embed_dim(model, source.weights_file),
        context_length=int(getattr(model, "context_length", 77)),
        preprocess=stated_preprocess(model, source.preprocess),
        notes=source.notes,
    )
    model.to(chosen_device)
    model.visual.to(PRECISIONS[chosen_precision])
    tokenizer_name = f"{FOLDER_PREFIX}{TOY_FOLDER}" if spec.model == TOY_MODEL else spec.model
    return FrozenEncoder(
        spec=spec,
        description=description,
        clip=model,
        tokenizer=open_clip.get_tokenizer(tokenizer_name),
        device=chosen_device,
        precision=chosen_precision,
        weights_file=source.weights_file,
    )


def choose_device(device: str) -> torch.device:
    """Resolve "auto" and refuse what this machine lacks.

    Raises:
        DeviceUnavailable: names what there is.
    """
    found = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        found.append("mps")
    if device == "auto":
        return torch.device(found[-1] if found[-1] == "mps" else "cuda:0" if "cuda:0" in found else "cpu")
    if device == "cuda" and "cuda:0" in found:
        return torch.device("cuda:0")
    if device not in found:
        raise DeviceUnavailable(f"no device {device!r} on this machine. Found: {', '.join(found)}.")
    return torch.device(device)


def choose_precision(precision: str, device: torch.device) -> str:
    """Resolve "auto": half precision only where the device multiplies in it natively.

    Raises:
        DeviceUnavailable: for fp16 on a CPU, which emulates it, and for names that are none.
    """
    if precision == "auto":
        if device.type == "cuda":
            return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
        native = device.type == "cpu" and torch.cpu.get_capabilities().get("amx_bf16", False)
        return "bf16" if native else "fp32"
    if precision not in PRECISIONS:
        raise DeviceUnavailable(f"no precision {precision!r}. Known: auto, {', '.join(PRECISIONS)}.")
    if precision == "fp16" and device.type == "cpu":
        raise DeviceUnavailable("fp16 is emulated on a CPU, at a small part of its speed. Use bf16 or fp32.")
    return precision


def _embed_dim(model: nn.Module, weights_file: Path) -> int:
    for holder, name in ((model, "text_projection"), (getattr(model, "text", None), "text_projection")):
        projection = getattr(holder, name, None)
        if isinstance(projection, nn.Linear):
            return projection.out_features
        if isinstance(projection, Tensor):
            return int(projection.shape[-1])
    width = getattr(model.visual, "output_dim", None)
    if width is None:
        raise WeightsUnusable(weights_file, "its image tower does not state the width of its embeddings")
    return int(width)
