"""Decoders that hang, crash, loop or eat memory, for real, in a child: one video suffers, its neighbours do not."""

import os
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from vlp.pipeline.decoding.errors import ChildrenBroken
from vlp.pipeline.decoding.pool import DecodePool, DecodeRequest, FrameBlock, Limits
from vlp.pipeline.decoding.timeline import Timeline

HERE = Path(__file__).parent
NATIVE = Timeline.parse("native")
QUICK = Limits(no_progress_seconds=3.0)  # of a child that is stopped or spins; others show progress twice a second

Collect = Callable[..., dict[str, Any]]


def command(fault: str, *mark: Path) -> list[str]:
    return [sys.executable, str(HERE / "faulty_child.py"), fault, *map(str, mark)]


@pytest.fixture
def videos(tmp_path: Path, data: Path) -> list[DecodeRequest]:
    """Good, bad, good, good: H.264 in MP4, 40 frames each."""
    names = ["good1.mp4", "bad.mp4", "good2.mp4", "good3.mp4"]
    for name in names:
        shutil.copy(data / "h264_bframes.mp4", tmp_path / name)
    return [DecodeRequest(name, tmp_path / name) for name in names]


@pytest.mark.parametrize(
    ("fault", "reason", "detail"),
    [
        ("stop", "stalled", "no progress for 3 s"),
        ("spin", "stalled", "no progress for 3 s"),
        ("crash", "crashed", "SIGSEGV"),
        ("leave", "crashed", "exit status 7 (the decoder gave up)"),
        ("eat-shared", "memory", "allowed"),
        ("eat-private", "memory", ""),
        ("babble", "crashed", "talks nonsense"),
        ("overfill", "crashed", "do not fit"),
        ("flood", "crashed", "talks nonsense"),
        ("loop", "deadline", "s of work"),
    ],
)
def test_a_decoder_that_always_goes_wrong_fails_its_video_only(
    fault: str, reason: str, detail: str, videos: list[DecodeRequest], collect_from: Collect
) -> None:
    limits = replace(
        QUICK,
        rss_bytes=400 << 20,
        total_seconds=3.0 if fault == "loop" else 600.0,
        total_seconds_per_frame=0.001,
        total_seconds_per_mebibyte=0.001,
    )
    children = psutil.Process().children()
    with DecodePool(NATIVE, num_children=2, limits=limits, child_command=command(fault)) as pool:
        found = collect_from(pool, videos)
    bad = found.pop("bad.mp4").outcome
    assert (bad.status, bad.reason, bad.num_decoded) == ("failed", reason, 0)
    assert detail in bad.detail
    assert bad.attempt >= 2, "it was tried once more"
    for video in found.values():
        assert (video.outcome.status, video.numbers) == ("ok", list(range(40)))
    assert psutil.Process().children() == children


@pytest.mark.parametrize("fault", ["stop", "spin", "crash", "eat-shared"])
def test_when_decord_goes_wrong_pyav_is_tried(
    fault: str, videos: list[DecodeRequest], collect_from: Collect
) -> None:
    limits = replace(QUICK, rss_bytes=400 << 20)
    with DecodePool(
        NATIVE, num_children=2, slot_bytes=160_000, limits=limits, child_command=command(f"{fault}-decord")
    ) as pool:  # eight frames a block: rows of the first attempt are delivered, and void
        found = collect_from(pool, videos)
    bad = found["bad.mp4"]
    assert (bad.outcome.status, bad.outcome.decoder, bad.outcome.attempt) == ("ok", "pyav", 2)
    assert {name: video.numbers for name, video in found.items()} == dict.fromkeys(found, list(range(40)))
    assert found["good3.mp4"].outcome.decoder == "decord"


def test_a_fault_that_passes_costs_nothing_but_a_second_try(
    videos: list[DecodeRequest], collect_from: Collect, tmp_path: Path
) -> None:
    with DecodePool(NATIVE, num_children=1, child_command=command("crash", tmp_path / "mark")) as pool:
        found = collect_from(pool, videos)
    assert {video.outcome.status for video in found.values()} == {"ok"}
    assert found["bad.mp4"].outcome.attempt == 2


def test_chatter_of_libraries_does_not_disturb(videos: list[DecodeRequest], collect_from: Collect) -> None:
    with DecodePool(NATIVE, num_children=1, limits=QUICK, child_command=command("chatter")) as pool:
        found = collect_from(pool, videos)
    assert {video.outcome.status for video in found.values()} == {"ok"}
    assert found["bad.mp4"].outcome.attempt == 1


def test_a_consumer_that_takes_its_time_is_not_a_stall(
    videos: list[DecodeRequest], collect_from: Collect
) -> None:
    limits = replace(QUICK, total_seconds=1.5, total_seconds_per_frame=0.001, total_seconds_per_mebibyte=0.001)
    slow = 0.0
    with DecodePool(NATIVE, num_children=1, slot_bytes=80_000, limits=limits) as pool:
        outcomes = []
        for event in pool.run(videos):
            if isinstance(event, FrameBlock):
                if slow < 4 * limits.total_seconds:
                    time.sleep(1.0)
                    slow += 1.0
                event.release()
            else:
                outcomes.append(event)
    assert [(outcome.status, outcome.attempt) for outcome in outcomes] == [("ok", 1)] * 4


def test_blocks_that_another_thread_holds_are_not_a_stall(videos: list[DecodeRequest]) -> None:
    import threading

    with DecodePool(NATIVE, num_children=1, slot_bytes=80_000, limits=replace(QUICK, no_progress_seconds=2.0)) as pool:
        outcomes = []
        for event in pool.run(videos[:1]):
            if isinstance(event, FrameBlock):
                threading.Timer(4.0 if event.frame_index[0] == 0 else 0.0, event.release).start()
            else:
                outcomes.append(event)
    assert [(outcome.status, outcome.attempt) for outcome in outcomes] == [("ok", 1)]


def test_children_that_cannot_start_are_an_error_that_says_why(videos: list[DecodeRequest]) -> None:
    broken = [sys.executable, "-c", "raise SystemExit('no module named av')"]
    with DecodePool(NATIVE, num_children=2, child_command=broken) as pool, pytest.raises(ChildrenBroken) as caught:
        list(pool.run(videos))
    assert caught.value.num_deaths == 3
    assert "no module named av" in str(caught.value)


def test_probing_is_protected_as_well(tmp_path: Path, data: Path) -> None:
    shutil.copy(data / "hevc.mp4", tmp_path / "good.mp4")
    os.mkfifo(tmp_path / "pipe.mp4")
    requests = [DecodeRequest(name, tmp_path / name) for name in ("good.mp4", "pipe.mp4", "none.mp4")]
    code = (
        "import os, sys, signal\nfrom vlp.pipeline.decoding import child\nlook = child.look\n"
        "def stopped(link, job, timeline):\n"
        "    if 'good' in job['path']: os.kill(os.getpid(), signal.SIGSTOP)\n"
        "    look(link, job, timeline)\n"
        "child.look = stopped\nchild.main(sys.argv[1])"
    )
    limits = Limits(no_progress_seconds=2.0)
    with DecodePool(NATIVE, num_children=1, limits=limits, child_command=[sys.executable, "-c", code]) as pool:
        found = {outcome.video_id: outcome.reason for outcome in pool.probe(requests)}
    assert found == {"good.mp4": "stalled", "pipe.mp4": "not-a-file", "none.mp4": "missing"}
