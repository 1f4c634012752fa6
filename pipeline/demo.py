"""What `vlp demo` measures on the toy set: objects by their names, actions by theirs; nothing is trained.

The toy CLIP knows colours, shapes, places and backgrounds from captioned stills. It can therefore name objects, also
in combinations that it never saw, and actions that one frame shows; actions that only the order of frames tells apart
leave it guessing within their pair.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vlp.datasplits.manifest import Manifest
from vlp.datasplits.templates import TEMPLATE_SETS
from vlp.pipeline.bank import video_features
from vlp.pipeline.clips import Clips
from vlp.pipeline.encoders import FrozenEncoder
from vlp.pipeline.methods import zero_shot
from vlp.pipeline.metrics.accuracy import predictions
from vlp.pipeline.toy.actions import TIME_ONLY_ACTIONS
from vlp.pipeline.toy.world import COLOURS, HELD_OUT, SHAPES
from vlp.stores.features import FeatureStore

OBJECTS = tuple(f"{colour} {shape}" for colour in COLOURS for shape in SHAPES)
HELD_OUT_OBJECTS = frozenset(" ".join(pair) for pair in HELD_OUT)


@dataclass(frozen=True)
class DemoRow:
    """One line of the demo's table.

    Args:
        what: which videos, and what is named.
        num_videos: scored.
        num_classes: candidates.
        top1: fraction.
        template_set: the hand-written one that scored best over all videos of the task.
    """

    what: str
    num_videos: int
    num_classes: int
    top1: float
    template_set: str


def measure_toy_set(
    store: FeatureStore, encoder: FrozenEncoder, actions: Manifest, objects: Manifest
) -> tuple[DemoRow, ...]:
    """Score all videos by object, and the test videos by action, each with the best hand-written template set.

    Args:
        store: features of the toy set.
        encoder: the toy CLIP.
        actions: the set with its actions as labels.
        objects: the same videos with their objects as labels.
    """
    shown = {video.video_id: video.labels[0] for video in objects.videos}
    tested = {video.video_id: video.labels[0] for video in actions.videos_in("default", "test")}
    return (
        *_rows(
            store,
            encoder,
            shown,
            OBJECTS,
            {
                "objects, combinations seen in training": lambda name: name not in HELD_OUT_OBJECTS,
                "objects, combinations held out": lambda name: name in HELD_OUT_OBJECTS,
            },
        ),
        *_rows(
            store,
            encoder,
            tested,
            actions.classes,
            {
                "actions, all": lambda _: True,
                "actions that one frame shows": lambda name: name not in TIME_ONLY_ACTIONS,
                "actions that only time tells apart": lambda name: name in TIME_ONLY_ACTIONS,
            },
        ),
    )


def _rows(
    store: FeatureStore,
    encoder: FrozenEncoder,
    labels: Mapping[str, str],
    classes: Sequence[str],
    groups: Mapping[str, Callable[[str], bool]],
) -> list[DemoRow]:
    features = video_features(store, list(labels))
    hits = {name: _hits(encoder, features, list(labels.values()), classes, name) for name in TEMPLATE_SETS}
    best = max(hits, key=lambda name: hits[name].mean())
    rows = []
    for what, belongs in groups.items():
        members = np.array([belongs(label) for label in labels.values()])
        top1 = float(hits[best][members].mean())
        rows.append(DemoRow(what, int(members.sum()), len(classes), top1, best))
    return rows


def _hits(
    encoder: FrozenEncoder,
    features: NDArray[np.float32],
    labels: Sequence[str],
    classes: Sequence[str],
    template_set: str,
) -> NDArray[np.bool_]:
    """Tell for each video whether its highest score is right: (B,)."""
    method = zero_shot.build(zero_shot.Config(template_set=template_set), encoder, classes)
    with torch.inference_mode():
        scores = method(Clips(torch.from_numpy(features).to(encoder.device))).double().cpu().numpy()
    truth = np.array([list(classes).index(label) for label in labels])
    hits: NDArray[np.bool_] = predictions(scores) == truth
    return hits
