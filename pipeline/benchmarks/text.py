"""`vlp bench text`: a prompt-learning step through the text tower, against its plain 77-token path.

All sides take the same step on the same cores in the same precision: UCF101's class names, cross-entropy against
random video features, forward and backward to the prompts. A ratio is the median over several turns, in each of which
the sides follow one another. As in training, a timed step follows one of its own kind: the first step of a side's turn,
which pays for memory of another pattern, is not timed. The tower has the shape of a ViT-B's (width 512, 8 heads, 12
layers) and random weights, which do not change its cost.

Prompts of each video, as in motion_prompts, are measured against the plain path twice: over all 77 positions, and cut
behind the longest name.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
_PROMPTED_VIDEOS, _SCORED_VIDEOS, _VIDEO_PREFIX = 2, 16, 5  # the plain path needs 6 GB for two videos
_TOWER = {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12}
_VISION = {"image_size": 32, "layers": 1, "width": 64, "patch_size": 32}
_TEMPERATURE = 0.07
_NUM_VIDEOS = 64

Encode = Callable[[ClassTokens, Tensor, Tensor], Tensor]
Step = Callable[[], list[Tensor]]


@dataclass(frozen=True)
class TextBench:
    """What one run of the bench measured.

    Attributes:
        num_classes: C.
        speedup: time of a step with 16 + X + 0 on the plain path, over ours in the same turn.
        speedup_suffix: the same with 16 + X + 16.
        speedup_per_video: the same with 5 + X + 0 and other prompts for each video.
        speedup_per_video_truncated: the same, against the plain path cut behind the longest name.
        memory_ratio: bytes kept for the backward pass, ours over the plain path's, the largest of the patterns'.
        max_grad_error: largest difference of a prompt gradient, relative to the largest gradient, of all patterns.
        seconds_plain, seconds_ours: a step with 16 + X + 0.
        seconds_plain_suffix, seconds_ours_suffix: a step with 16 + X + 16.
        seconds_plain_per_video, seconds_ours_per_video: a step with prompts of each video, over their number.
        seconds_scored_per_video: the same without gradients, as at test.
    """

    num_classes: int
    speedup: float
    speedup_suffix: float
    speedup_per_video: float
    speedup_per_video_truncated: float
    memory_ratio: float
    max_grad_error: float
    seconds_plain: float
    seconds_ours: float
    seconds_plain_suffix: float
    seconds_ours_suffix: float
    seconds_plain_per_video: float
    seconds_ours_per_video: float
    seconds_scored_per_video: float


@dataclass(frozen=True)
class _Pattern:
    """Other ways to take a step, each against ours: one entry each."""

    speedups: list[float]
    seconds_others: list[float]
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
    with_suffix, prefix_only = (_measure_shared(tower, names, num_suffix) for num_suffix in (16, 0))
    per_video, seconds_scored = _measure_per_video(tower, names)
    patterns = (with_suffix, prefix_only, per_video)
    return TextBench(
        num_classes=num_classes,
        speedup=prefix_only.speedups[0],
        speedup_suffix=with_suffix.speedups[0],
        speedup_per_video=per_video.speedups[0],
        speedup_per_video_truncated=per_video.speedups[1],
        memory_ratio=max(pattern.memory_ratio for pattern in patterns),
        max_grad_error=max(pattern.grad_error for pattern in patterns),
        seconds_plain=prefix_only.seconds_others[0],
        seconds_ours=prefix_only.seconds_ours,
        seconds_plain_suffix=with_suffix.seconds_others[0],
        seconds_ours_suffix=with_suffix.seconds_ours,
        seconds_plain_per_video=per_video.seconds_others[0] / _PROMPTED_VIDEOS,
        seconds_ours_per_video=per_video.seconds_ours / _PROMPTED_VIDEOS,
        seconds_scored_per_video=seconds_scored,
    )


def _measure_shared(tower: PromptableTextTower, names: list[str], num_suffix: int) -> _Pattern:
    tokens = tower.tokens(names, num_prefix=16, num_suffix=num_suffix)
    torch.manual_seed(1)
    prompts = [_prompts(tower, 16), _prompts(tower, num_suffix)]
    videos = F.normalize(torch.randn(_NUM_VIDEOS, tower.embed_dim, device=tower.device), dim=-1)
    labels = torch.arange(_NUM_VIDEOS, device=tower.device) % len(names)

    def step(encode: Encode) -> list[Tensor]:
        classes = F.normalize(encode(tokens, *prompts), dim=-1)
        loss = F.cross_entropy(videos @ classes.T / _TEMPERATURE, labels)
        return list(torch.autograd.grad(loss, [prompt for prompt in prompts if prompt.numel()]))

    return _compare(tower, lambda: step(tower.encode), [lambda: step(tower.encode_plain)])


def _measure_per_video(tower: PromptableTextTower, names: list[str]) -> tuple[_Pattern, float]:
    """Compare steps with prompts of each video; give the seconds to score one, too."""
    tokens = tower.tokens([f"{name}." for name in names], num_prefix=_VIDEO_PREFIX, num_suffix=0)
    torch.manual_seed(2)
    prompts = _prompts(tower, _PROMPTED_VIDEOS, _VIDEO_PREFIX)
    videos = F.normalize(torch.randn(_PROMPTED_VIDEOS, tower.embed_dim, device=tower.device), dim=-1)
    labels = torch.arange(_PROMPTED_VIDEOS, device=tower.device) % len(names)

    def step(texts: Tensor) -> list[Tensor]:
        logits = (F.normalize(texts, dim=-1) @ videos[:, :, None])[:, :, 0] / _TEMPERATURE
        return list(torch.autograd.grad(F.cross_entropy(logits, labels), [prompts]))

    def plain(*, truncated: bool) -> Tensor:
        nothing = prompts[0, :0]
        each = [tower.encode_plain(tokens, prompt, nothing, truncated=truncated) for prompt in prompts]
        return torch.stack(each)

    pattern = _compare(
        tower,
        lambda: step(tower.encode_each(tokens, prompts)),
        [lambda: step(plain(truncated=False)), lambda: step(plain(truncated=True))],
    )
    many = _prompts(tower, _SCORED_VIDEOS, _VIDEO_PREFIX).detach()
    tower.encode_each(tokens, many)
    scored = [_seconds(lambda: tower.encode_each(tokens, many), tower.device) for _ in range(_TURNS)]
    return pattern, statistics.median(scored) / _SCORED_VIDEOS


def _prompts(tower: PromptableTextTower, *shape: int) -> Tensor:
    return (0.01 * torch.randn(*shape, tower.width, device=tower.device)).requires_grad_()


def _compare(tower: PromptableTextTower, ours: Step, others: Sequence[Step]) -> _Pattern:
    """Take the steps of all sides in turns; memory and gradients are compared with those of the first of the others."""
    frozen = tower.storages()
    plain, plain_bytes = _with_saved_bytes(others[0], frozen)
    found, our_bytes = _with_saved_bytes(ours, frozen)
    largest = max(float(gradient.abs().max()) for gradient in plain)
    error = max(float((one - other).abs().max()) for one, other in zip(plain, found, strict=True)) / largest
    sides = [(ours, _OUR_STEPS), *((other, _PLAIN_STEPS) for other in others)]
    turns: list[list[float]] = []
    for _ in range(_TURNS):
        turns.append([])
        for step, num_steps in sides:
            step()
            timed = [_seconds(step, tower.device) for _ in range(num_steps)]
            turns[-1].append(statistics.median(timed))
    places = range(1, len(sides))
    return _Pattern(
        speedups=[statistics.median(turn[place] / turn[0] for turn in turns) for place in places],
        seconds_others=[statistics.median(turn[place] for turn in turns) for place in places],
        seconds_ours=statistics.median(turn[0] for turn in turns),
        memory_ratio=our_bytes / plain_bytes,
        grad_error=error,
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
