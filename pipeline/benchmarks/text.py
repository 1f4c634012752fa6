"""`vlp bench text`: a prompt-learning step through the text tower, against its plain 77-token path.

Both sides take the same step on the same cores in the same precision: UCF101's class names, cross-entropy against
random video features, forward and backward to the prompts. A ratio is the median over several turns, in each of which
the sides follow one another. As in training, a timed step follows one of its own kind: the first step of a side's turn,
which pays for memory of another pattern, is not timed. The tower has the shape of a ViT-B's (width 512, 8 heads, 12
layers) and random weights, which do not change its cost.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vlp.datasplits.class_text import class_text
from vlp.datasplits.ucf101_names import CLASSES
from vlp.pipeline.encoders import choose_device
from vlp.pipeline.open_clip_port import open_clip
from vlp.pipeline.text_tower import ClassTokens, PromptableTextTower

_TURNS = 3
_PLAIN_STEPS, _OUR_STEPS = 1, 5  # timed in a turn; ours are short
_TOWER = {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12}
_VISION = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 32}
_TEMPERATURE = 0.07
_NUM_VIDEOS = 64

Encode = Callable[[ClassTokens, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class TextBench:
    """What one run of the bench measured.

    Attributes:
        num_classes: C.
        speedup: time of a step with 16 + X + 0 on the plain path, over ours in the same turn.
        speedup_suffix: the same with 16 + X + 16.
        memory_ratio: bytes kept for the backward pass, ours over the plain path's, the larger of the two patterns'.
        max_grad_error: largest difference of a prompt gradient, relative to the largest gradient.
        seconds_plain, seconds_ours: a step with 16 + X + 0.
        seconds_plain_suffix, seconds_ours_suffix: a step with 16 + X + 16.
    """

    num_classes: int
    speedup: float
    speedup_suffix: float
    memory_ratio: float
    max_grad_error: float
    seconds_plain: float
    seconds_ours: float
    seconds_plain_suffix: float
    seconds_ours_suffix: float


@dataclass(frozen=True)
class _Pattern:
    speedup: float
    seconds_plain: float
    seconds_ours: float
    memory_ratio: float
    grad_error: float


class _RandomClip:
    """A CLIP with a text tower of full size and hardly an image tower."""

    def __init__(self, device: torch.device) -> None:
        torch.manual_seed(0)
        self.clip: nn.Module = (
            open_clip.CLIP(embed_dim=512, text_cfg=_TOWER, vision_cfg=_VISION).eval().to(device)
        )
        self.clip.requires_grad_(False)
        self.tokenizer = open_clip.get_tokenizer("ViT-B-16")

    def encode_text(self, texts: object) -> Tensor:
        """Not needed to learn prompts."""
        raise NotImplementedError


def bench_text(*, num_classes: int = 101, device: str = "auto") -> TextBench:
    """Measure the step with and without a suffix.

    Args:
        num_classes: C, the first of UCF101's names.
        device: where.
    """
    chosen = choose_device(device)
    tower = PromptableTextTower(_RandomClip(chosen))
    names = [class_text(name) for name in CLASSES[:num_classes]]
    with_suffix, prefix_only = (_measure(tower, names, num_suffix) for num_suffix in (16, 0))
    return TextBench(
        num_classes=num_classes,
        speedup=prefix_only.speedup,
        speedup_suffix=with_suffix.speedup,
        memory_ratio=max(prefix_only.memory_ratio, with_suffix.memory_ratio),
        max_grad_error=max(prefix_only.grad_error, with_suffix.grad_error),
        seconds_plain=prefix_only.seconds_plain,
        seconds_ours=prefix_only.seconds_ours,
        seconds_plain_suffix=with_suffix.seconds_plain,
        seconds_ours_suffix=with_suffix.seconds_ours,
    )


def _measure(tower: PromptableTextTower, names: list[str], num_suffix: int) -> _Pattern:
    tokens = tower.tokens(names, num_prefix=16, num_suffix=num_suffix)
    torch.manual_seed(1)
    prompts = [
        (0.01 * torch.randn(count, tower.width, device=tower.device)).requires_grad_()
        for count in (16, num_suffix)
    ]
    videos = F.normalize(torch.randn(_NUM_VIDEOS, tower.embed_dim, device=tower.device), dim=-1)
    labels = torch.arange(_NUM_VIDEOS, device=tower.device) % len(names)

    def step(encode: Encode) -> list[Tensor]:
        classes = F.normalize(encode(tokens, *prompts), dim=-1)
        loss = F.cross_entropy(videos @ classes.T / _TEMPERATURE, labels)
        return list(torch.autograd.grad(loss, [prompt for prompt in prompts if prompt.numel()]))

    frozen = tower.storages()
    plain, plain_bytes = _with_saved_bytes(lambda: step(tower.encode_plain), frozen)
    ours, our_bytes = _with_saved_bytes(lambda: step(tower.encode), frozen)
    largest = max(float(gradient.abs().max()) for gradient in plain)
    error = max(float((one - other).abs().max()) for one, other in zip(plain, ours, strict=True)) / largest
    plain_seconds: list[float] = []
    our_seconds: list[float] = []
    for _ in range(_TURNS):
        for encode, num_steps, seconds in (
            (tower.encode_plain, _PLAIN_STEPS, plain_seconds),
            (tower.encode, _OUR_STEPS, our_seconds),
        ):
            step(encode)
            timed = [_seconds(partial(step, encode), tower.device) for _ in range(num_steps)]
            seconds.append(statistics.median(timed))
    return _Pattern(
        statistics.median(one / other for one, other in zip(plain_seconds, our_seconds, strict=True)),
        statistics.median(plain_seconds),
        statistics.median(our_seconds),
        our_bytes / plain_bytes,
        error,
    )


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def _with_saved_bytes(work: Callable[[], list[Tensor]], frozen: frozenset[int]) -> tuple[list[Tensor], int]:
    """Run a step; count the bytes that autograd keeps for its backward pass, each storage once, without the weights."""
    storages: dict[int, int] = {}
    kept: list[Tensor] = []  # so that no address is used twice

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in frozen:
            storages[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor.detach())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = work()
    return result, sum(storages.values())
