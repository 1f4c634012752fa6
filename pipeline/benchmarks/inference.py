"""`vlp bench inference`: what a trained method costs to score videos with, the frozen encoder included.

The weights are random, which changes no cost, so that any architecture can be measured offline. Operations are counted,
not estimated; a video is one clip in one view.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vlp.datasplits.ucf101_names import CLASSES
from vlp.pipeline.clips import Clips
from vlp.pipeline.efficiency import cost_of_scoring, count_flops
from vlp.pipeline.encoder_spec import FOLDER_PREFIX, TOY_FOLDER, TOY_MODEL
from vlp.pipeline.encoders import choose_device
from vlp.pipeline.open_clip_port import open_clip
from vlp.pipeline.settings import MethodSettings
from vlp.pipeline.weights import untrained_model

_TURNS = 3
_SHOTS = 2  # of a class, where a method keeps its training features
_WHOLE_FRAMES = 8  # of a video, where a method averages all that are stored


@dataclass(frozen=True)
class InferenceBench:
    """What one run of the bench measured.

    Attributes:
        method, model, num_classes: of what.
        num_frames: encoded of a video; 8 where a method averages all that are stored.
        num_parameters: of CLIP's towers and the method together.
        num_parameters_trained: of those, moved by gradients.
        gflops_images: the image tower over the frames of a clip.
        gflops_classes: all that is computed once for the list of classes, mostly the text tower over its sentences.
        gflops_per_clip: what the method adds for every clip.
        gflops: their sum, as papers count a video.
        videos_per_second: scored from pixels, the classes' features at hand.
        videos_per_second_from_cache: the same from cached frame features.
    """

    method: str
    model: str
    num_classes: int
    num_frames: int
    num_parameters: int
    num_parameters_trained: int
    gflops_images: float
    gflops_classes: float
    gflops_per_clip: float
    gflops: float
    videos_per_second: float
    videos_per_second_from_cache: float


class UntrainedClip:
    """A CLIP of a named architecture with random weights.

    Args:
        model: open_clip's name, or "toy".
        device: where it runs.

    Raises:
        UnknownModel: for another name.
    """

    def __init__(self, model: str, device: torch.device) -> None:
        torch.manual_seed(0)
        self.clip: Any = untrained_model(model).to(device)
        name = f"{FOLDER_PREFIX}{TOY_FOLDER}" if model == TOY_MODEL else model
        self.tokenizer: Callable[..., Tensor] = open_clip.get_tokenizer(name)
        self.device = device

    @torch.inference_mode()
    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """N texts to (n, D) raw features."""
        tokens = self.tokenizer(list(texts)).to(self.device)
        features: Tensor = self.clip.encode_text(tokens)
        return features

    @torch.inference_mode()
    def encode_clips(self, images: Tensor) -> Tensor:
        """(B, T, 3, S, S) normalised frames to (B, T, D) raw embeddings."""
        features: Tensor = self.clip.encode_image(images.flatten(0, 1))
        return features.view(*images.shape[:2], -1)


def bench_inference(
    settings: MethodSettings,
    *,
    model: str = "ViT-B-16",
    num_classes: int = 101,
    num_videos: int = 4,
    device: str = "auto",
) -> InferenceBench:
    """Count and time the scoring of videos.

    Args:
        settings: method and recipe.
        model: open_clip's name, or "toy".
        num_classes: C, the first of UCF101's names.
        num_videos: in a batch.
        device: where.

    Raises:
        UnknownModel, DeviceUnavailable: for a model or device that is not there.
    """
    encoder = UntrainedClip(model, choose_device(device))
    whole = settings.recipe.sampling == "whole"
    num_frames = _WHOLE_FRAMES if whole else settings.recipe.num_frames
    images = torch.zeros(num_videos, num_frames, 3, *_image_size(encoder.clip), device=encoder.device)
    embeddings, image_flops = count_flops(lambda: encoder.encode_clips(images[:1]))
    method, text_flops = count_flops(
        lambda: settings.module.build(settings.config, encoder, CLASSES[:num_classes])
    )
    clip_frames, embed_dim = 1 if whole else num_frames, embeddings.shape[-1]
    _fit(settings, method, num_classes, clip_frames, embed_dim, encoder.device)
    cost = cost_of_scoring(method, clip_frames, embed_dim, encoder.device)

    def score(embeddings: Tensor) -> Tensor:
        frames = embeddings.mean(dim=1, keepdim=True) if whole else embeddings
        logits: Tensor = method(Clips(frames, torch.ones(len(frames), dtype=torch.int64)).to(encoder.device))
        return logits

    cached = torch.zeros(num_videos, num_frames, embed_dim, device=encoder.device)
    gflops = [flops / 1e9 for flops in (image_flops, text_flops + cost.flops_once, cost.flops_per_clip)]
    return InferenceBench(
        method=settings.method,
        model=model,
        num_classes=num_classes,
        num_frames=num_frames,
        num_parameters=_num_parameters(encoder.clip) + _num_parameters(method),
        num_parameters_trained=_num_parameters(method, trained=True),
        gflops_images=gflops[0],
        gflops_classes=gflops[1],
        gflops_per_clip=gflops[2],
        gflops=sum(gflops),
        videos_per_second=num_videos / _seconds(lambda: score(encoder.encode_clips(images))),
        videos_per_second_from_cache=num_videos / _seconds(lambda: score(cached)),
    )


def _image_size(clip: Any) -> tuple[int, int]:
    size = clip.visual.image_size
    return (size[0], size[1]) if isinstance(size, tuple) else (size, size)


def _fit(
    settings: MethodSettings,
    method: nn.Module,
    num_classes: int,
    num_frames: int,
    embed_dim: int,
    device: torch.device,
) -> None:
    """Give a method that computes something from the training features some of every class."""
    if not hasattr(settings.module, "fit"):
        return
    labels = torch.arange(num_classes).repeat(_SHOTS)
    generator = torch.Generator().manual_seed(0)
    of_classes = torch.randn(num_classes, 1, embed_dim, generator=generator)
    noise = torch.randn(len(labels), num_frames, embed_dim, generator=generator)
    settings.module.fit(method, Clips(of_classes[labels] + noise).to(device), labels.to(device), seed=0)


def _num_parameters(module: nn.Module, *, trained: bool = False) -> int:
    return sum(p.numel() for p in module.parameters() if p.requires_grad or not trained)


def _seconds(work: Callable[[], Tensor]) -> float:
    """Time the median of some turns, behind one that is not timed; reading a result waits for the device."""
    seconds = []
    with torch.inference_mode():
        work().cpu()
        for _ in range(_TURNS):
            began = time.perf_counter()
            work().cpu()
            seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)
