"""What a pool promises to its consumer and to the machine."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from vlp.pipeline.decoding.pool import DecodeOutcome, DecodePool, DecodeRequest, FrameBlock, Limits
from vlp.pipeline.decoding.timeline import Timeline

NATIVE = Timeline.parse("native")
MANY_SECONDS = 60.0

Collect = Callable[..., dict[str, Any]]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + MANY_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


@pytest.fixture
def long_video(render: Callable[..., Path]) -> Path:
    return render("long.mp4", num_frames=200, options={"bf": "2"})


def test_blocks_are_in_order_and_an_outcome_follows_the_last(long_video: Path) -> None:
    requests = [DecodeRequest(str(number), long_video) for number in range(4)]
    rows: dict[str, list[int]] = {request.video_id: [] for request in requests}
    with DecodePool(NATIVE, num_children=2, slot_bytes=400_000) as pool:
        events = 0
        for event in pool.run(requests):
            if isinstance(event, FrameBlock):
                assert event.frames.shape[1:] == (64, 96, 3)
                assert (event.frames.dtype, event.pts_seconds.dtype, event.frame_index.dtype) == (
                    np.dtype(np.uint8), np.dtype(np.float64), np.dtype(np.int32),
                )  # fmt: skip
                assert len(event.frames) == len(event.pts_seconds) == len(event.frame_index) > 0
                rows[event.video_id] += event.frame_index.tolist()
                event.release()
                events += 1
            else:
                assert rows[event.video_id] == list(range(200))
                del rows[event.video_id]
    assert not rows
    assert events >= 4 * (200 * 96 * 64 * 3 // 400_000), "several blocks a video"


def test_memory_is_bounded_and_children_wait_for_it(long_video: Path) -> None:
    with DecodePool(NATIVE, num_children=1, slot_bytes=200_000, num_slots=2) as pool:
        run = pool.run([DecodeRequest("v", long_video)])
        held = [next(run), next(run)]
        assert all(isinstance(block, FrameBlock) for block in held)
        before = [block.frames.copy() for block in held if isinstance(block, FrameBlock)]
        time.sleep(0.5)  # the child would go on writing if it could
        for block, copy in zip(held, before, strict=True):
            assert isinstance(block, FrameBlock)
            assert np.array_equal(block.frames, copy)
            block.release()
            block.release()  # once more does no harm
        rest = 0
        for event in run:
            if isinstance(event, FrameBlock):
                rest += len(event.frames)
                event.release()
        assert rest + sum(map(len, before)) == 200


def test_requests_are_drawn_only_as_children_become_free(long_video: Path) -> None:
    drawn = []

    def requests() -> Iterator[DecodeRequest]:
        for number in range(50):
            drawn.append(number)
            yield DecodeRequest(str(number), long_video)

    with DecodePool(NATIVE, num_children=2) as pool:
        run = pool.run(requests())
        next(run)
        assert len(drawn) <= 6
        run.close()  # type: ignore[attr-defined]


def test_children_decode_ahead_while_the_consumer_works(long_video: Path) -> None:
    with DecodePool(NATIVE, num_children=1) as pool:
        run = pool.run([DecodeRequest(str(number), long_video) for number in range(3)])
        first = next(run)
        used = pool.cpu_seconds
        wait_until(lambda: pool.cpu_seconds > used)  # nobody calls next() meanwhile
        assert isinstance(first, FrameBlock)
        assert [type(event) for event in run].count(DecodeOutcome) == 3


def test_a_frame_larger_than_a_slot_gets_a_larger_slot(
    render: Callable[..., Path], collect_from: Collect
) -> None:
    large = render("large.mp4", num_frames=12, size=(640, 360))
    with DecodePool(NATIVE, num_children=1, slot_bytes=100_000) as pool:
        video = collect_from(pool, [DecodeRequest("v", large)])["v"]
        assert video.numbers == list(range(12))
        assert video.frames[0].shape == (360, 640, 3)


def test_a_frame_larger_than_allowed_is_refused_before_it_is_decoded(
    render: Callable[..., Path], collect_from: Collect
) -> None:
    large = render("large.mp4", num_frames=12, size=(640, 360))
    with DecodePool(NATIVE, num_children=1, limits=Limits(max_frame_bytes=640 * 360 * 3 - 1)) as pool:
        outcome = collect_from(pool, [DecodeRequest("v", large)])["v"].outcome
        assert (outcome.status, outcome.reason) == ("failed", "too-large")
        assert "640x360" in outcome.detail


def test_children_are_replaced_after_some_videos(data: Path) -> None:
    others = set(psutil.Process().children())
    seen = set()
    with DecodePool(NATIVE, num_children=1, limits=Limits(recycle_after=3)) as pool:
        statuses = []
        for event in pool.run([DecodeRequest(str(number), data / "asp_odd.avi") for number in range(9)]):
            seen |= set(psutil.Process().children()) - others
            if isinstance(event, FrameBlock):
                event.release()
            else:
                statuses.append(event.status)
        assert pool.cpu_seconds > 0
    assert statuses == ["ok"] * 9
    assert len(seen) == 3


def test_closing_the_generator_kills_the_children_and_frees_everything(long_video: Path) -> None:
    before = (psutil.Process().num_fds(), psutil.Process().children())
    pool = DecodePool(NATIVE, num_children=2, slot_bytes=100_000)
    run = pool.run([DecodeRequest(str(number), long_video) for number in range(4)])
    block = next(run)
    run.close()  # type: ignore[attr-defined]
    assert psutil.Process().children() == before[1]
    assert isinstance(block, FrameBlock)
    copy = block.frames.copy()
    pool.close()
    assert np.array_equal(block.frames, copy), "a block outlives its pool"
    block.release()
    del block
    assert (psutil.Process().num_fds(), psutil.Process().children()) == before


def test_a_pool_can_run_again_after_a_run_that_was_given_up(long_video: Path, collect_from: Collect) -> None:
    with DecodePool(NATIVE, num_children=1, slot_bytes=100_000) as pool:
        run = pool.run([DecodeRequest("v", long_video)])
        next(run)
        with pytest.raises(RuntimeError, match="another run"):
            next(pool.run([]))
        run.close()  # type: ignore[attr-defined]
        assert collect_from(pool, [DecodeRequest("w", long_video)])["w"].frame_index == list(range(200))
    with pytest.raises(RuntimeError, match="closed"):
        next(pool.run([]))


def test_only_its_own_children_are_killed(data: Path, collect_from: Collect) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as bystander:
        with DecodePool(NATIVE, num_children=1) as pool:
            collect_from(pool, [DecodeRequest("v", data / "asp_odd.avi")])
        assert bystander.poll() is None
        bystander.kill()


@pytest.mark.parametrize("is_spinning", [False, True])
def test_a_parent_that_is_killed_leaves_no_children(is_spinning: bool, long_video: Path) -> None:
    faulty = [sys.executable, str(Path(__file__).parent / "faulty_child.py")]
    bad = long_video.with_name("bad-spin.mp4")
    bad.write_bytes(long_video.read_bytes())
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom vlp.pipeline.decoding.pool import *\n"
        "from vlp.pipeline.decoding.timeline import Timeline\n"
        "path, *command = sys.argv[1:]\n"
        "more = {'child_command': command} if command else {}\n"
        "pool = DecodePool(Timeline.parse('native'), num_children=2, slot_bytes=190_000, **more)\n"
        "run = pool.run([DecodeRequest(str(n), Path(path)) for n in range(4)])\n"
        "next(run)\ntime.sleep(600)\n"
    )
    arguments = [str(bad), *faulty] if is_spinning else [str(long_video)]
    parent = subprocess.Popen([sys.executable, "-c", code, *arguments])
    children: list[psutil.Process] = []

    def are_at_work() -> bool:
        children[:] = psutil.Process(parent.pid).children()
        used = [sum(child.cpu_times()[:2]) for child in children]
        return len(used) == 2 and min(used) > (1.5 if is_spinning else 0.1)

    try:
        wait_until(are_at_work)
    finally:
        parent.kill()
        parent.wait()
    wait_until(lambda: not any(child.is_running() and child.status() != "zombie" for child in children))


def test_an_interrupt_from_the_terminal_does_not_reach_the_children(long_video: Path) -> None:
    others = set(psutil.Process().children())
    with DecodePool(NATIVE, num_children=1, slot_bytes=100_000) as pool:
        run = pool.run([DecodeRequest("v", long_video)])
        first = next(run)
        assert isinstance(first, FrameBlock)
        for child in set(psutil.Process().children()) - others:
            os.kill(child.pid, signal.SIGINT)
            os.kill(child.pid, signal.SIGTERM)
        first.release()
        outcomes = []
        for event in run:
            if isinstance(event, FrameBlock):
                event.release()
            else:
                outcomes.append(event)
    assert [(outcome.status, outcome.attempt) for outcome in outcomes] == [("ok", 1)]


def test_probe_says_what_decoding_will_give(data: Path, collect_from: Collect) -> None:
    names = [
        "h264_60fps.mp4",
        "vfr.mp4",
        "edit_list.mp4",
        "rotated_90.mp4",
        "asp_bframes.avi",
        "vp9_odd.webm",
        "wmv2.wmv",
    ]
    requests = [DecodeRequest(name, data / name) for name in names]
    with DecodePool(Timeline.parse("fps:20"), num_children=1) as pool:
        probed = {outcome.video_id: outcome.info for outcome in pool.probe(requests)}
        decoded = collect_from(pool, requests)
    for name in names:
        info, video = probed[name], decoded[name]
        assert info is not None
        assert info.num_frames == video.outcome.num_decoded
        assert info.num_selected == len(video.frames)
        assert (info.height, info.width) == video.frames[0].shape[:2]
        assert info.native_fps == video.outcome.native_fps
        assert info.duration_seconds == pytest.approx(video.outcome.duration_seconds)
        assert info.decoder == video.outcome.decoder
    assert probed["vfr.mp4"] is not None
    assert (probed["vfr.mp4"].codec, probed["vfr.mp4"].container) == ("h264", "mov,mp4,m4a,3gp,3g2,mj2")


def test_many_videos_leave_no_descriptors_and_no_memory_behind(data: Path) -> None:
    process = psutil.Process()
    with DecodePool(NATIVE, num_children=2, limits=Limits(recycle_after=7)) as pool:

        def decode_some(count: int) -> tuple[int, int]:
            for event in pool.run([DecodeRequest(str(n), data / "hevc.mp4") for n in range(count)]):
                if isinstance(event, FrameBlock):
                    event.release()
                else:
                    assert event.status == "ok"
            return process.num_fds(), process.memory_info().rss

        fds, rss = decode_some(15)
        more_fds, more_rss = decode_some(45)
    assert more_fds <= fds + 2, "at most the pipes of a child that was just replaced"
    assert more_rss - rss < 8 << 20


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"num_children": 0}, "num_children (0) must be at least 1"),
     ({"num_children": 1, "slot_bytes": 10}, "slot_bytes (10) must be at least 4096"),
     ({"num_children": 3, "num_slots": 2}, "num_slots (2) must be at least 3")],
)  # fmt: skip
def test_a_pool_too_small_is_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        DecodePool(NATIVE, **settings)  # type: ignore[arg-type]
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["no_progress_seconds", "rss_bytes", "recycle_after", "max_frame_bytes"])
def test_limits_are_above_zero(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} \(0\) must be above 0"):
        Limits(**{name: 0})


def test_children_import_neither_torch_nor_more_than_they_need() -> None:
    code = "import sys, vlp.pipeline.decoding.child, vlp.pipeline.decoding.pool; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "av" in modules
    assert not {"torch", "decord", "pandas", "zarr", "typer", "rich", "PIL"} & set(modules)
