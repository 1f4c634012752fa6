"""`vlp bench growth`: what happens to time and memory when a dataset is a hundred times larger.

A few videos are linked under as many names as asked, extracted in a fresh process, and everything that the process and
its decode children hold is added up, the slots they share once. Planning is measured on a list that exists only in
memory, of files that exist nowhere: it must not look for them.
"""

import os
import shutil
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil

from vlp.datasplits.manifest import Manifest, Video
from vlp.pipeline.decoding.timeline import Timeline
from vlp.pipeline.encoder_spec import EncoderDescription, EncoderSpec
from vlp.pipeline.errors import PipelineError
from vlp.pipeline.planning import ExtractionPlan, Part, Retry, Settings, plan_extraction
from vlp.stores.features import ExtractedVideo, FeatureStore
from vlp.stores.maintenance import verify

_LOOK_SECONDS = 0.2
_SMALL_TURNS = 3


@dataclass(frozen=True)
class Run:
    """One extraction.

    Args:
        num_videos, num_frames: what was extracted.
        seconds_per_frame: wall time by stored frames, without loading the model.
        peak_bytes: of the process and its children, what they share counted once.
        num_damages: what `verify` found wrong with the store.
    """

    num_videos: int
    num_frames: int
    seconds_per_frame: float
    peak_bytes: int
    num_damages: int


@dataclass(frozen=True)
class GrowthBench:
    """What one run of the bench measured.

    Args:
        small, large: extractions of few and of many videos; of the small one the median of three.
        seconds_per_frame_ratio: the large one's over the small one's.
        peak_ratio: the large one's peak of memory over the small one's.
        num_listed: videos of the list that is planned.
        planning_seconds: to plan it when nothing is extracted.
        replanning_seconds: to plan it when all of it is, from the store's index.
    """

    small: Run
    large: Run
    seconds_per_frame_ratio: float
    peak_ratio: float
    num_listed: int
    planning_seconds: float
    replanning_seconds: float


def bench_growth(
    manifest: Manifest,
    description: EncoderDescription,
    spec: EncoderSpec,
    settings: Settings,
    *,
    folder: Path,
    num_small: int,
    num_large: int,
    num_listed: int,
) -> GrowthBench:
    """Extract few and many videos, and plan very many.

    Args:
        manifest: whose videos are linked, again and again.
        description: of the encoder.
        spec: the encoder.
        settings: how to extract.
        folder: takes links and stores.
        num_small: videos of the smaller extraction.
        num_large: videos of the larger one.
        num_listed: videos to plan.

    Raises:
        PipelineError: if no video is there, or none can be decoded.
    """
    runs = [
        _run(manifest, description, spec, settings, folder / f"{name}-{num_videos}", num_videos)
        for name, num_videos in (
            *((f"small{turn}", num_small) for turn in range(_SMALL_TURNS)),
            ("large", num_large),
        )
    ]
    small = sorted(runs[:-1], key=lambda run: run.seconds_per_frame)[_SMALL_TURNS // 2]
    planning, replanning = _planning(description, folder / "listed", num_listed)
    return GrowthBench(
        small,
        runs[-1],
        runs[-1].seconds_per_frame / small.seconds_per_frame,
        runs[-1].peak_bytes / max(run.peak_bytes for run in runs[:-1]),
        num_listed,
        planning,
        replanning,
    )


def _run(
    manifest: Manifest,
    description: EncoderDescription,
    spec: EncoderSpec,
    settings: Settings,
    folder: Path,
    num_videos: int,
) -> Run:
    plan = _plan(_linked(manifest, folder / "videos", num_videos), description, folder)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        watched = _Watch(pool.submit(os.getpid).result())
        seconds, num_frames = pool.submit(_extract, plan, spec, settings).result()
        peak_bytes = watched.stop()
    if num_frames == 0:
        raise PipelineError("none of the videos can be decoded.")
    damages = verify(FeatureStore.open(plan.store)).damages
    return Run(num_videos, num_frames, seconds / num_frames, peak_bytes, len(damages))


def _plan(manifest: Manifest, description: EncoderDescription, cache: Path) -> ExtractionPlan:
    return plan_extraction(
        manifest, description, Timeline.parse("fps:30"), cache=cache, part=Part(), retry=Retry()
    )


def _linked(manifest: Manifest, folder: Path, num_videos: int) -> Manifest:
    """Give the first videos of a dataset as many names as asked, a hundred a folder."""
    sources = [path.resolve() for path in map(manifest.absolute, manifest.videos) if path.is_file()]
    if not sources:
        raise PipelineError(f"none of the {len(manifest.videos)} listed videos is in {manifest.root}.")
    videos = []
    for number in range(num_videos):
        source = sources[number % len(sources)]
        name = f"{number // 100:04d}/{number:06d}"
        path = folder / f"{name}{source.suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, path)
        except OSError:  # another disk
            shutil.copyfile(source, path)
        videos.append(Video(name, f"{name}{source.suffix}"))
    return Manifest(manifest.dataset, folder, tuple(videos), ())


def _extract(plan: ExtractionPlan, spec: EncoderSpec, settings: Settings) -> tuple[float, int]:
    from vlp.pipeline.encoders import load_encoder
    from vlp.pipeline.events import StageSeconds
    from vlp.pipeline.extraction import run_extraction
    from vlp.pipeline.stopping import StopRequest

    encoder = load_encoder(spec, device=settings.device, precision=settings.precision)
    num_frames, began = 0, time.perf_counter()
    with StopRequest() as stop:
        for event in run_extraction(plan, spec, settings, seconds=StageSeconds(), stop=stop, encoder=encoder):
            num_frames += getattr(event, "num_rows", 0)
    return time.perf_counter() - began, num_frames


class _Watch:
    """Looks five times a second at what a process and its children hold, until told to stop."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._peak_bytes = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> int:
        """Stop looking; returns the most bytes that were seen at once."""
        self._ended.set()
        self._thread.join()
        return self._peak_bytes

    def _look(self) -> None:
        while not self._ended.wait(_LOOK_SECONDS):
            total, family = 0, [self._process]
            with suppress(psutil.Error):
                family += self._process.children(recursive=True)
            for process in family:
                with suppress(psutil.Error):  # ended meanwhile
                    total += process.memory_full_info().pss
            self._peak_bytes = max(self._peak_bytes, total)


def _planning(description: EncoderDescription, folder: Path, num_listed: int) -> tuple[float, float]:
    videos = tuple(
        Video(f"{number // 1000:03d}/{number:06d}", f"{number // 1000:03d}/{number:06d}.mp4")
        for number in range(num_listed)
    )
    manifest = Manifest("listed", folder / "nowhere", videos, ())
    planning, plan = _timed_plan(manifest, description, folder)
    _fill(plan)
    replanning, again = _timed_plan(manifest, description, folder)
    if len(plan.pending) != num_listed or again.pending:
        raise AssertionError(f"planned {len(plan.pending)} and {len(again.pending)} of {num_listed} videos")
    return planning, replanning


def _timed_plan(
    manifest: Manifest, description: EncoderDescription, cache: Path
) -> tuple[float, ExtractionPlan]:
    began = time.perf_counter()
    plan = _plan(manifest, description, cache)
    return time.perf_counter() - began, plan


def _fill(plan: ExtractionPlan) -> None:
    """Commit one row for every video of a plan."""
    store = FeatureStore.open_or_create(
        plan.store,
        meaning=plan.meaning,
        dataset=plan.manifest.dataset,
        model=plan.description.model,
        pretrained=plan.description.pretrained,
        num_views=1,
        embed_dim=plan.width,
        batch_size=1,
        precision="fp32",
        tool_versions={},
    )
    row = np.zeros((1, 1, plan.width), np.float16)
    with store.writer(device="cpu", precision="fp32") as writer:
        for video in plan.pending:
            writer.add(_one_row(video.video_id, row))


def _one_row(video_id: str, features: np.ndarray) -> ExtractedVideo:
    return ExtractedVideo(
        video_id=video_id,
        features=features,
        pts_seconds=np.zeros(1),
        frame_index=np.zeros(1, np.int32),
        num_expected=1,
        num_decoded=1,
        native_fps=30.0,
        duration_seconds=0.0,
        status="ok",
        reason=None,
        decoder="none",
        source_sha256="0" * 64,
    )
