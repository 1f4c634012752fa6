"""Decoders that hang, crash, loop or eat memory, for real, in a child: one video suffers, its neighbours do not."""

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import psutil
import pytest

from vlp.pipeline.decoding.errors import ChildrenBroken
from vlp.pipeline.decoding.pool import DecodePool, DecodeRequest, FrameBlock, Limits
from vlp.pipeline.decoding.timeline import Timeline

HERE = Path(__file__).parent
FAULTY = [sys.executable, str(HERE / "faulty_child.py")]
NATIVE = Timeline.parse("native")

Collect = Callable[..., dict[str, Any]]

ALWAYS = {  # fault: reason and part of the detail
    "stop": ("stalled", "no progress for 2 s"),
    "spin": ("stalled", "no progress for 2 s"),
    "loop": ("deadline", "not done after 4"),
    "crash": ("crashed", "SIGSEGV"),
    "leave": ("crashed", "exit status 7 (the decoder gave up)"),
    "eat-shared": ("memory", "300 allowed"),
    "eat-private": ("memory", ""),
    "babble": ("crashed", "talks nonsense"),
    "overfill": ("crashed", "do not fit"),
    "flood": ("crashed", "talks nonsense"),
}
ONE_DECODER = ("stop", "spin", "crash", "eat-shared")
GOOD = [f"good{number}.mp4" for number in range(8)]


@pytest.fixture(scope="module")
def found(
    tmp_path_factory: pytest.TempPathFactory, data: Path, collect_from: Collect
) -> Iterator[dict[str, Any]]:
    """All faults in one run, good videos between them; 40 frames of H.264 each, ten a block."""
    folder = tmp_path_factory.mktemp("faults")
    bad = [f"bad-{fault}.mp4" for fault in ALWAYS] + [f"decord-{fault}.mp4" for fault in ONE_DECODER]
    bad += ["once-crash.mp4", "bad-chatter.mp4"]
    names = [name for pair in zip_longest(bad, GOOD) for name in pair if name is not None]
    for name in names:
        shutil.copy(data / "h264_bframes.mp4", folder / name)
    limits = Limits(
        no_progress_seconds=2.0,  # others show progress twice a second
        total_seconds=4.0,
        total_seconds_per_frame=0.001,
        total_seconds_per_mebibyte=0.001,
        rss_bytes=300 << 20,
    )
    children = psutil.Process().children()
    with DecodePool(NATIVE, num_children=4, slot_bytes=190_000, limits=limits, child_command=FAULTY) as pool:
        yield collect_from(pool, [DecodeRequest(name, folder / name) for name in names])
    assert psutil.Process().children() == children


@pytest.mark.parametrize("fault", ALWAYS)
def test_a_decoder_that_always_goes_wrong_fails_its_video(fault: str, found: dict[str, Any]) -> None:
    outcome = found[f"bad-{fault}.mp4"].outcome
    reason, detail = ALWAYS[fault]
    assert (outcome.status, outcome.reason, outcome.num_decoded) == ("failed", reason, 0)
    assert detail in outcome.detail
    assert outcome.attempt >= 2, "it was tried once more"


@pytest.mark.parametrize("fault", ONE_DECODER)
def test_when_decord_goes_wrong_pyav_is_tried_and_rows_of_the_first_attempt_are_void(
    fault: str, found: dict[str, Any]
) -> None:
    video = found[f"decord-{fault}.mp4"]
    assert (video.outcome.status, video.outcome.decoder) == ("ok", "pyav")
    assert video.outcome.attempt >= 2
    assert video.numbers == list(range(40))


@pytest.mark.parametrize("name", [*GOOD, "once-crash.mp4", "bad-chatter.mp4"])
def test_neighbours_and_faults_that_pass_or_only_talk_do_no_harm(name: str, found: dict[str, Any]) -> None:
    video = found[name]
    assert (video.outcome.status, video.numbers) == ("ok", list(range(40)))


def test_the_memory_of_a_block_is_not_lost_with_the_child_that_sent_it(
    tmp_path: Path, data: Path, collect_from: Collect
) -> None:
    names = ["once-babble.mp4", "good.mp4"]
    for name in names:
        shutil.copy(data / "h264_bframes.mp4", tmp_path / name)
    with DecodePool(
        NATIVE, num_children=1, num_slots=1, child_command=FAULTY
    ) as pool:  # one slot: no other to use
        found = collect_from(pool, [DecodeRequest(name, tmp_path / name) for name in names])
    assert [found[name].numbers for name in names] == [list(range(40))] * 2


@pytest.fixture
def videos(data: Path) -> list[DecodeRequest]:
    return [DecodeRequest(str(number), data / "h264_bframes.mp4") for number in range(4)]


SHORT = Limits(
    no_progress_seconds=1.5, total_seconds=1.5, total_seconds_per_frame=1e-6, total_seconds_per_mebibyte=1e-6
)


def test_a_consumer_that_takes_its_time_is_not_a_stall(videos: list[DecodeRequest]) -> None:
    slow = 0.0
    with DecodePool(NATIVE, num_children=1, slot_bytes=80_000, limits=SHORT) as pool:
        outcomes = []
        for event in pool.run(videos):
            if isinstance(event, FrameBlock):
                if slow < 2 * SHORT.total_seconds:
                    time.sleep(1.0)
                    slow += 1.0
                event.release()
            else:
                outcomes.append(event)
    assert [(outcome.status, outcome.attempt) for outcome in outcomes] == [("ok", 1)] * 4


def test_blocks_that_another_thread_holds_are_not_a_stall(videos: list[DecodeRequest]) -> None:
    with DecodePool(NATIVE, num_children=1, slot_bytes=80_000, limits=SHORT) as pool:
        outcomes = []
        for event in pool.run(videos[:1]):
            if isinstance(event, FrameBlock):
                threading.Timer(3.0 if event.frame_index[0] == 0 else 0.0, event.release).start()
            else:
                outcomes.append(event)
    assert [(outcome.status, outcome.attempt) for outcome in outcomes] == [("ok", 1)]


def test_children_that_cannot_start_are_an_error_that_says_why(videos: list[DecodeRequest]) -> None:
    broken = [sys.executable, "-c", "raise SystemExit('no module named av')"]
    with (
        DecodePool(NATIVE, num_children=2, child_command=broken) as pool,
        pytest.raises(ChildrenBroken) as caught,
    ):
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
    limits = Limits(no_progress_seconds=1.5)
    with DecodePool(
        NATIVE, num_children=1, limits=limits, child_command=[sys.executable, "-c", code]
    ) as pool:
        found = {outcome.video_id: outcome.reason for outcome in pool.probe(requests)}
    assert found == {"good.mp4": "stalled", "pipe.mp4": "not-a-file", "none.mp4": "missing"}
