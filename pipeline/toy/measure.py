"""Measure a toy CLIP without training on decoded videos: which object is shown, and which action.

    python -m vlp.pipeline.toy.measure --videos DIR [--model DIR]

Prints one JSON object of top-1 accuracies. DIR is a rendered toy set, made if absent; the toy CLIP was
trained on stills alone, so that every video is new to it.
"""

import argparse
import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from vlp.pipeline.open_clip_port import open_clip
from vlp.pipeline.toy import MODEL_DIR
from vlp.pipeline.toy.actions import ACTIONS, TIME_ONLY_ACTIONS
from vlp.pipeline.toy.videos import render_toy_set
from vlp.pipeline.toy.world import COLOURS, SHAPES

OBJECT_TEMPLATE = "a photo of a {}."
ACTION_TEMPLATE = "a photo of a shape {}."
OBJECTS = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)

Preprocess = Callable[[Any], Tensor]


def load_toy_clip(folder: Path = MODEL_DIR) -> tuple[Any, Preprocess]:
    """Load the toy CLIP and its preprocessing as open_clip does for any local model, in fp32."""
    clip_model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    return clip_model.eval(), preprocess


def read_column(path: Path, column: str) -> dict[str, str]:
    """Read one column of a list of videos, by the video's path."""
    with path.open(newline="", encoding="utf-8") as file:
        return {row["path"]: row[column] for row in csv.DictReader(file)}


def read_frames(preprocess: Preprocess, path: Path, *, num_frames: int) -> list[Tensor]:
    """Decode a video and preprocess the middle frames of equal parts: ``num_frames`` times (3, S, S)."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    chosen = (2 * np.arange(num_frames) + 1) * len(frames) // (2 * num_frames)
    return [preprocess(frames[index].to_image()) for index in chosen]


def embed_prompts(clip_model: Any, template: str, names: tuple[str, ...]) -> Tensor:
    """Embed a prompt a name: (C, D), unit norm."""
    tokens = open_clip.SimpleTokenizer()([template.format(name) for name in names])
    with torch.inference_mode():
        return F.normalize(clip_model.encode_text(tokens), dim=1)


def embed_set(
    clip_model: Any, preprocess: Preprocess, root: Path, *, num_frames: int = 8
) -> dict[str, Tensor]:
    """Embed every video of a rendered set: path to (num_frames, D), unit norm."""
    paths = list(read_column(root / "manifest.csv", "label"))
    images = torch.stack(
        [image for path in paths for image in read_frames(preprocess, root / path, num_frames=num_frames)]
    )
    with torch.inference_mode():
        features = [clip_model.encode_image(images[row : row + 256]) for row in range(0, len(images), 256)]
    of_videos = F.normalize(torch.cat(features), dim=1).reshape(len(paths), num_frames, -1)
    return dict(zip(paths, of_videos, strict=True))


def hit_rates(
    videos: dict[str, Tensor], prompts: Tensor, names: tuple[str, ...], labels: dict[str, str]
) -> dict[str, list[float]]:
    """Score each video against the prompts.

    Args:
        videos: path to unit-norm features (T, D).
        prompts: (C, D), unit norm.
        names: what each prompt stands for.
        labels: path to the true name.

    Returns:
        Path to the share of its frames that are right, and 1 or 0 for its mean feature.
    """
    scores = {}
    for path, features in videos.items():
        target = names.index(labels[path])
        mean = F.normalize(features.mean(dim=0, keepdim=True), dim=1)
        right = [(some @ prompts.T).argmax(dim=1) == target for some in (features, mean)]
        scores[path] = [part.float().mean().item() for part in right]
    return scores


def average(scores: dict[str, list[float]], keep: Callable[[str], bool]) -> dict[str, float]:
    """Average the scores of the videos to keep."""
    per_frame, per_video = np.mean([rates for path, rates in scores.items() if keep(path)], axis=0)
    return {"per_frame": round(float(per_frame), 4), "per_video": round(float(per_video), 4)}


def measure(clip_model: Any, preprocess: Preprocess, root: Path) -> dict[str, dict[str, float]]:
    """Measure zero-shot top-1 on all videos of a rendered set.

    Returns:
        For objects (80-way) of seen and held-out combinations, and for time-only and other actions (16-way):
        the accuracy of single frames and of the mean feature of 8 frames, as fractions.
    """
    videos = embed_set(clip_model, preprocess, root)
    objects, kinds = (read_column(root / "objects.csv", column) for column in ("label", "combination"))
    actions = read_column(root / "manifest.csv", "label")
    by_object = hit_rates(videos, embed_prompts(clip_model, OBJECT_TEMPLATE, OBJECTS), OBJECTS, objects)
    by_action = hit_rates(videos, embed_prompts(clip_model, ACTION_TEMPLATE, ACTIONS), ACTIONS, actions)
    return {
        "objects_seen": average(by_object, lambda path: kinds[path] == "seen"),
        "objects_held_out": average(by_object, lambda path: kinds[path] == "held_out"),
        "actions_time_only": average(by_action, lambda path: actions[path] in TIME_ONLY_ACTIONS),
        "actions_one_frame": average(by_action, lambda path: actions[path] not in TIME_ONLY_ACTIONS),
    }


def main() -> None:
    """Read the command line, render where needed, print the figures."""
    parser = argparse.ArgumentParser(description="Measure a toy CLIP on decoded videos.")
    parser.add_argument(
        "--videos", type=Path, required=True, help="folder of a rendered toy set; made if absent"
    )
    parser.add_argument("--model", type=Path, default=MODEL_DIR, help="folder of the open_clip model")
    parser.add_argument("--seed", type=int, default=0, help="of the rendered set")
    arguments = parser.parse_args()
    render_toy_set(arguments.videos, seed=arguments.seed)
    print(json.dumps(measure(*load_toy_clip(arguments.model), arguments.videos), indent=2))


if __name__ == "__main__":
    main()
