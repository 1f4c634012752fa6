"""Renders the toy set: labelled MP4 and AVI files, the same bytes for the same seed, machine and libraries.

Layout under the root:
    videos/<action>/<id>.mp4|avi   H.264 with B-frames, or MPEG-4 part 2, of several sizes and frame rates
    manifest.csv                   path,label,split,caption: label is the action, split is train or test
    objects.csv                    path,label,combination: the object; seen by the CLIP in training, or held_out
    complete.json                  what was asked for; written last
"""

import csv
import json
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.codec.context import Flags
from numpy.typing import NDArray

from vlp.pipeline.errors import PipelineError
from vlp.pipeline.toy.actions import ACTIONS, TURN_REACH, describe, sample_video_scenes
from vlp.pipeline.toy.painter import paint
from vlp.pipeline.toy.world import SHAPES, object_name, pair_indices

RENDERING_VERSION = 1  # raise it when the same seed gives other videos
SECONDS = (1.5, 3.0)
HELD_OUT_SHARE = 0.3
TEST_SHARE = 1 / 3
FORMATS = (
    ("mp4", 64, 64, 24),
    ("mp4", 96, 72, 25),
    ("avi", 64, 64, 15),
    ("mp4", 80, 60, 15),
    ("mp4", 60, 80, 12),
    ("avi", 75, 61, 12),
    ("mp4", 112, 112, 30),
    ("avi", 96, 72, 25),
)
"""Suffix, width and height in pixels, frames a second."""


class ToySetInTheWay(PipelineError):
    """The folder to render into holds something else, which is left alone."""

    def __init__(self, root: Path, what: str) -> None:
        super().__init__(f"{root} holds {what}.")
        self.root = root
        self.what = what


@dataclass(frozen=True)
class ToySet:
    """A rendered set: its root, its two lists, and how many videos they name."""

    root: Path
    manifest: Path
    objects: Path
    num_videos: int


@dataclass(frozen=True)
class PlannedVideo:
    """What one video will show; ``path`` is relative to the root, ``rng_key`` seeds its drawing."""

    path: str
    action: str
    split: str
    held_out: bool
    colour: int
    shape: int
    width: int
    height: int
    rate_fps: int
    num_frames: int
    rng_key: tuple[int, ...]


def render_toy_set(root: Path, *, seed: int = 0, videos_per_class: int = 24) -> ToySet:
    """Render the toy set unless it is there already.

    The set is rendered beside ``root`` and renamed once complete, so that ``root`` is never half a set; what
    a killed rendering left behind is not used.

    Args:
        root: the folder to make; it must be absent, empty, or the same set.
        seed: of everything drawn.
        videos_per_class: videos of each action, a third of them for the test.

    Raises:
        ToySetInTheWay: if ``root`` holds anything else, such as a set of another seed.
        ValueError: if ``videos_per_class`` is below 3.
    """
    plans = plan_toy_set(seed=seed, videos_per_class=videos_per_class)
    asked = {"version": RENDERING_VERSION, "seed": seed, "videos_per_class": videos_per_class}
    rendered = ToySet(root, root / "manifest.csv", root / "objects.csv", len(plans))
    if is_complete(root, asked):
        return rendered
    root.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
    try:
        for plan in plans:
            write_video(aside / plan.path, draw_video(plan), plan.rate_fps)
        write_lists(aside, plans)
        (aside / "complete.json").write_text(json.dumps(asked) + "\n")
        aside.chmod(0o755)  # mkdtemp's folders are private
        aside.rename(root)
    except OSError:
        if not is_complete(root, asked):  # otherwise another process was faster
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return rendered


def is_complete(root: Path, asked: dict[str, int]) -> bool:
    """Tell whether ``root`` is the set asked for; False if there is nothing yet.

    Raises:
        ToySetInTheWay: if ``root`` holds anything else.
    """
    marker = root / "complete.json"
    if marker.exists():
        found = json.loads(marker.read_text())
        if found == asked:
            return True
        raise ToySetInTheWay(root, f"the toy set {found}, not {asked}")
    if root.exists() and any(root.iterdir()):
        raise ToySetInTheWay(root, "files that are no toy set")
    return False


def plan_toy_set(*, seed: int = 0, videos_per_class: int = 24) -> list[PlannedVideo]:
    """Decide what each video shows, action by action.

    Splits, formats and held-out objects are dealt out independently of one another and evenly within a class.

    Raises:
        ValueError: if ``videos_per_class`` is below 3.
    """
    if videos_per_class < 3:
        raise ValueError(f"videos_per_class ({videos_per_class}) must be at least 3")
    plans = []
    for number, action in enumerate(ACTIONS):
        rng = np.random.default_rng((seed, number))
        orders = [rng.permutation(videos_per_class) for _ in range(3)]
        for index, (test, unseen, shuffled) in enumerate(zip(*orders, strict=True)):
            plans.append(
                plan_video(
                    (seed, number, index),
                    action,
                    test=bool(test < round(TEST_SHARE * videos_per_class)),
                    held_out=bool(unseen < round(HELD_OUT_SHARE * videos_per_class)),
                    form=FORMATS[(shuffled + number) % len(FORMATS)],
                )
            )
    return plans


def plan_video(
    rng_key: tuple[int, ...], action: str, *, test: bool, held_out: bool, form: tuple[str, int, int, int]
) -> PlannedVideo:
    """Choose a video's object and length."""
    rng = np.random.default_rng(rng_key)
    suffix, width, height, rate_fps = form
    pairs = pair_indices(held_out=held_out)
    if action.startswith("turning"):
        pairs = pairs[[SHAPES[shape] in TURN_REACH for _, shape in pairs]]
    colour, shape = (int(index) for index in pairs[rng.integers(len(pairs))])
    return PlannedVideo(
        path=f"videos/{action.replace(' ', '-')}/{rng_key[-1]:03d}.{suffix}",
        action=action,
        split="test" if test else "train",
        held_out=held_out,
        colour=colour,
        shape=shape,
        width=width,
        height=height,
        rate_fps=rate_fps,
        num_frames=round(rng.uniform(*SECONDS) * rate_fps),
        rng_key=(*rng_key, 1),
    )


def draw_video(plan: PlannedVideo) -> NDArray[np.uint8]:
    """Paint a video's frames: (T, H, W, 3) RGB."""
    rng = np.random.default_rng(plan.rng_key)
    scenes = sample_video_scenes(
        rng, plan.action, colour=plan.colour, shape=plan.shape, num_frames=plan.num_frames
    )
    return paint(scenes, height=plan.height, width=plan.width, grain=3.0, rng=rng)


def write_video(path: Path, frames: NDArray[np.uint8], rate_fps: int) -> None:
    """Encode frames (T, H, W, 3) by one thread and without dates or versions: equal frames give equal bytes.

    ``.mp4`` is H.264 with two B-frames between references, ``.avi`` MPEG-4 part 2.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    h264 = path.suffix == ".mp4"
    options = {"preset": "veryfast", "crf": "18", "bf": "2"} if h264 else {"qmin": "2", "qmax": "4"}
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream("libx264" if h264 else "mpeg4", rate=rate_fps, options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.flags |= Flags.bitexact
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def write_lists(root: Path, plans: list[PlannedVideo]) -> None:
    """Write both lists, a line a video."""
    write_csv(
        root / "manifest.csv",
        ("path", "label", "split", "caption"),
        ((p.path, p.action, p.split, describe(p.action, p.colour, p.shape)) for p in plans),
    )
    write_csv(
        root / "objects.csv",
        ("path", "label", "combination"),
        ((p.path, object_name(p.colour, p.shape), "held_out" if p.held_out else "seen") for p in plans),
    )


def write_csv(path: Path, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Write a table with Unix line ends."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
