"""Train the toy CLIP on captioned stills; a killed run goes on where its last checkpoint stands.

    python -m vlp.pipeline.toy.train_clip --out DIR --steps 4600

DIR receives `checkpoint.safetensors` (weights, optimiser, step), `log.jsonl`, and
at the end the open_clip model: `open_clip_config.json` and `open_clip_model.safetensors` in fp16.
"""

import argparse
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from vlp.pipeline.open_clip_port import open_clip
from vlp.pipeline.toy.objective import Heads, training_loss
from vlp.pipeline.toy.stills import CONTEXT_LENGTH, IMAGE_SIZE, MEAN, STD, make_batch

MODEL_CONFIG: dict[str, Any] = {
    "embed_dim": 128,
    "quick_gelu": True,
    "vision_cfg": {"image_size": IMAGE_SIZE, "layers": 4, "width": 128, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": CONTEXT_LENGTH, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
}
PREPROCESS_CONFIG: dict[str, Any] = {
    "size": IMAGE_SIZE,
    "mode": "RGB",
    "mean": [MEAN] * 3,
    "std": [STD] * 3,
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


@dataclass(frozen=True)
class Settings:
    """How to train.

    Args:
        steps: length of the schedule.
        batch_size: stills a step.
        peak_lr: learning rate after the warm-up, falling to 0 as a cosine.
        warmup_steps: steps of linear warm-up.
        weight_decay: on matrices alone; not on the token table, gains and biases.
        seed: of the weights and of every batch.
    """

    steps: int = 4600
    batch_size: int = 128
    peak_lr: float = 1.5e-3
    warmup_steps: int = 100
    weight_decay: float = 0.05
    seed: int = 0


@dataclass
class Run:
    """Everything that a step changes; ``step`` counts the steps taken."""

    clip_model: Any
    heads: Heads
    optimiser: torch.optim.AdamW
    step: int = 0


def start(settings: Settings, model_config: dict[str, Any] = MODEL_CONFIG) -> Run:
    """Build the untrained model, heads and optimiser; equal settings give equal weights."""
    torch.manual_seed(settings.seed)
    clip_model = open_clip.CLIP(**model_config)
    initialise(clip_model)
    heads = Heads(model_config["embed_dim"])
    named = [*clip_model.named_parameters(), *heads.named_parameters()]
    decayed = [p for name, p in named if p.ndim >= 2 and "embedding" not in name]
    others = [p for name, p in named if p.ndim < 2 or "embedding" in name]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return Run(
        clip_model, heads, torch.optim.AdamW(groups, lr=settings.peak_lr, betas=(0.9, 0.98), fused=True)
    )


def initialise(clip_model: Any) -> None:
    """Set the starting weights with which a ViT this small learns shapes (see the model card)."""
    with torch.no_grad():
        clip_model.visual.positional_embedding[1:] = 0.3 * grid_positions(
            clip_model.visual.grid_size[0], clip_model.visual.positional_embedding.shape[1]
        )
        clip_model.visual.conv1.weight *= 0.5
        clip_model.token_embedding.weight.normal_(std=0.05)


def grid_positions(side: int, width: int) -> Tensor:
    """Sine and cosine codes of a square grid of patches, row by row: (side², width), width divisible by 4."""
    frequencies = torch.exp(-math.log(100.0) * torch.arange(width // 4) / (width // 4))
    angles = torch.arange(side)[:, None] * frequencies
    line = torch.cat((angles.sin(), angles.cos()), dim=1)
    rows, columns = line.repeat_interleave(side, dim=0), line.repeat(side, 1)
    return torch.cat((rows, columns), dim=1)


def learning_rate(settings: Settings, step: int) -> float:
    """Warm up in a line, then fall to 0 as a cosine."""
    warm = min(1.0, (step + 1) / settings.warmup_steps)
    return settings.peak_lr * warm * (1 + math.cos(math.pi * step / settings.steps)) / 2


def train_step(run: Run, settings: Settings) -> dict[str, float]:
    """Take one step; return its losses."""
    batch = make_batch(settings.seed, run.step, size=settings.batch_size)
    for group in run.optimiser.param_groups:
        group["lr"] = learning_rate(settings, run.step)
    loss, parts = training_loss(run.clip_model, run.heads, batch, progress=run.step / settings.steps)
    run.optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_([*run.clip_model.parameters(), *run.heads.parameters()], 1.0)
    run.optimiser.step()
    with torch.no_grad():
        run.clip_model.logit_scale.clamp_(max=math.log(100.0))
    run.step += 1
    return parts


def save_checkpoint(run: Run, path: Path) -> None:
    """Write everything that the next step depends on; a kill in between leaves the older file."""
    tensors = {f"clip.{name}": tensor for name, tensor in run.clip_model.state_dict().items()}
    tensors |= {f"heads.{name}": tensor for name, tensor in run.heads.state_dict().items()}
    for index, state in run.optimiser.state_dict()["state"].items():
        tensors |= {f"adam.{index}.{name}": tensor for name, tensor in state.items()}
    aside = path.with_suffix(".partial")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, aside, {"step": str(run.step)})
    aside.replace(path)


def load_checkpoint(run: Run, path: Path) -> None:
    """Put a run, fresh from `start` with the same settings, where the checkpoint stands.

    Raises:
        RuntimeError: if the checkpoint is of another architecture.
    """
    parts: dict[str, dict[str, Tensor]] = {"clip": {}, "heads": {}, "adam": {}}
    with safe_open(path, framework="pt") as stored:
        run.step = int(stored.metadata()["step"])
        for key in stored.keys():  # noqa: SIM118  # not a dict
            part, _, name = key.partition(".")
            parts[part][name] = stored.get_tensor(key)
    run.clip_model.load_state_dict(parts["clip"])
    run.heads.load_state_dict(parts["heads"])
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in parts["adam"].items():
        index, _, kind = name.partition(".")
        state.setdefault(int(index), {})[kind] = tensor
    run.optimiser.load_state_dict(run.optimiser.state_dict() | {"state": state})


def export(clip_model: Any, folder: Path, *, model_config: dict[str, Any] = MODEL_CONFIG) -> None:
    """Write the open_clip model: its config, and its weights in fp16."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {"model_cfg": model_config, "preprocess_cfg": PREPROCESS_CONFIG}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    weights = {name: tensor.half().contiguous() for name, tensor in clip_model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors", {"format": "pt"})


def train(
    settings: Settings, out: Path, *, save_every: int = 200, model_config: dict[str, Any] = MODEL_CONFIG
) -> Run:
    """Train to the end of the schedule, from ``out``'s checkpoint where there is one."""
    out.mkdir(parents=True, exist_ok=True)
    checkpoint, run = out / "checkpoint.safetensors", start(settings, model_config)
    if checkpoint.exists():
        load_checkpoint(run, checkpoint)
    started, first = time.monotonic(), run.step
    with (out / "log.jsonl").open("a") as log:
        while run.step < settings.steps:
            losses = train_step(run, settings)
            if run.step % 20 == 0:
                speed = (run.step - first) / (time.monotonic() - started)
                log.write(
                    json.dumps({"step": run.step, "steps_per_second": round(speed, 3), **losses}) + "\n"
                )
                log.flush()
            if run.step % save_every == 0 or run.step == settings.steps:
                save_checkpoint(run, checkpoint)
    return run


def main() -> None:
    """Read the command line, train, export."""
    parser = argparse.ArgumentParser(description="Train the toy CLIP.")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder of the checkpoint, the log and the model"
    )
    parser.add_argument("--steps", type=int, default=Settings.steps, help="length of the schedule")
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--threads", type=int, default=2, help="torch's threads")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    run = train(Settings(steps=arguments.steps, seed=arguments.seed), arguments.out)
    export(run.clip_model, arguments.out)


if __name__ == "__main__":
    main()
