"""A real Dask scheduler and real worker processes: whatever happens to them, the store is that of one process."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from vlp.datasplits.folder import load
from vlp.pipeline import unit_worker
from vlp.pipeline.decoding.timeline import Timeline
from vlp.pipeline.distributed import run_distributed
from vlp.pipeline.distribution import Distribution
from vlp.pipeline.distribution_errors import (
    BadScheduler,
    DaskMissing,
    NoWorkers,
    SchedulerUnreachable,
    WorkerRefused,
)
from vlp.pipeline.encoder_spec import EncoderSpec
from vlp.pipeline.encoders import FrozenEncoder, load_encoder
from vlp.pipeline.events import (
    Event,
    SchedulerLost,
    StageSeconds,
    Started,
    Stopped,
    VideoEncoded,
    VideoFinished,
    WorkerLost,
)
from vlp.pipeline.extraction import run_extraction
from vlp.pipeline.planning import ExtractionPlan, Part, Retry, Settings, plan_extraction
from vlp.pipeline.stopping import StopRequest
from vlp.pipeline.toy.videos import write_video
from vlp.stores.errors import PartLocked
from vlp.stores.features import FeatureStore
from vlp.stores.locks import UnitLock

DRIVER = Path(__file__).with_name("faulty_worker.py")
SETTINGS = Settings(device="cpu", precision="fp32", batch_size=7, num_children=1)
GOOD = [f"v{number}.{'mp4' if number % 2 else 'avi'}" for number in range(9)]
LATE_SECONDS = 20  # of the driver
Content = dict[str, Any]


@dataclass
class Place:
    """A scheduler, its workers, and the folder in which workers note which faults they have had."""

    address: str
    faults: Path
    processes: list[subprocess.Popen[bytes]]

    def add_workers(self, count: int, *more: str) -> None:
        command = [sys.executable, "-m", "distributed.cli.dask_worker", self.address, *more]
        command += ["--nworkers", str(count), "--nthreads", "1", "--memory-limit", "0", "--no-dashboard"]
        command += ["--local-directory", str(self.faults), "--preload", str(DRIVER)]
        environment = {**os.environ, "FAULTS": str(self.faults)}
        self.processes.append(
            subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        )

    def worker_processes(self) -> list[psutil.Process]:
        """The processes that run units: those below the ones that look after them."""
        below = psutil.Process(self.processes[-1].pid).children(recursive=True)
        return [process for process in below if "spawn_main" in " ".join(process.cmdline())]

    def close(self) -> None:
        for process in reversed(self.processes):
            with_children = [*psutil.Process(process.pid).children(recursive=True), process]
            for each in with_children:
                each.kill()
            process.wait(60)


def start_scheduler(port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1"]
    process = subprocess.Popen(
        [*command, "--port", str(port), "--no-dashboard"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.05)
    raise TimeoutError("the scheduler does not start")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def open_place(faults: Path) -> Place:
    port = free_port()
    return Place(f"tcp://127.0.0.1:{port}", faults, [start_scheduler(port)])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Two workers that nannies look after; for all tests, as a worker loads torch for seconds."""
    opened = open_place(tmp_path_factory.mktemp("faults"))
    opened.add_workers(2)
    yield opened
    opened.close()


@pytest.fixture
def own_place(tmp_path: Path) -> Iterator[Place]:
    """A scheduler for one test, as yet without workers."""
    opened = open_place(tmp_path)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> FrozenEncoder:
    return load_encoder(EncoderSpec(f"local-dir:{tiny_folder}", "its own"), device="cpu", precision="fp32")


Plan = Callable[..., ExtractionPlan]


@pytest.fixture
def plan(encoder: FrozenEncoder, tmp_path: Path, rendered: Path) -> Plan:
    """Plan an extraction of some of the videos into ``tmp_path / cache``."""

    def make(*names: str, cache: str = "cache") -> ExtractionPlan:
        root = tmp_path / "-".join(["videos", *(name[:2] for name in names)])
        for name in names:
            (root / "c").mkdir(parents=True, exist_ok=True)
            if not (root / "c" / name).exists():
                shutil.copy(rendered / name, root / "c" / name)
        return plan_extraction(
            load(root),
            encoder.description,
            Timeline.parse("fps:10"),
            cache=tmp_path / cache,
            part=Part(),
            retry=Retry(),
        )

    return make


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real short videos; one file that is none, one that is cut, and some whose names are orders to the workers."""
    folder = tmp_path_factory.mktemp("rendered")
    faults = ["killer.mp4", "kill-once.mp4", "hang-once.mp4", "late-once.mp4"]
    for number, name in enumerate([*GOOD, *faults, "cut.avi"]):
        generator = np.random.default_rng(number)
        blocks = generator.integers(0, 256, (14 + number, 6, 8, 3), dtype=np.uint8)
        write_video(folder / name, blocks.repeat(8, axis=1).repeat(8, axis=2), 10)
    whole = (folder / "cut.avi").read_bytes()
    (folder / "cut.avi").write_bytes(whole[: len(whole) * 2 // 3])
    (folder / "text.mp4").write_text("this is no video\n" * 100)
    return folder


def content(store: Path) -> Content:
    """Every bit that is stored, and every failure."""
    opened = FeatureStore.open(store)
    videos = {}
    for video_id, entry in opened.videos().items():
        read = opened.read(video_id)
        arrays = (read.features.tobytes(), read.pts_seconds.tobytes(), read.frame_index.tobytes())
        videos[video_id] = (arrays, entry.status, entry.batch_size, entry.num_expected, entry.num_decoded)
    return {"videos": videos, "failures": {key: item.reason for key, item in opened.failures().items()}}


def in_one_process(plan: ExtractionPlan, encoder: FrozenEncoder) -> Content:
    events = run_extraction(
        plan, encoder.spec, SETTINGS, seconds=StageSeconds(), stop=StopRequest(), encoder=encoder
    )
    for _ in events:
        pass
    return content(plan.store)


def over(
    place: Place | str,
    plan: ExtractionPlan,
    encoder: FrozenEncoder,
    *,
    stop: StopRequest | None = None,
    **more: Any,
) -> Iterator[Event]:
    address = place if isinstance(place, str) else place.address
    settings = {"unit_videos": 4, "stall_seconds": 200.0, "patience_seconds": 120.0, **more}
    return run_distributed(
        plan,
        encoder.spec,
        SETTINGS,
        Distribution(address, **settings),
        seconds=StageSeconds(),
        stop=stop or StopRequest(),
    )


def statuses(events: Sequence[Event]) -> Mapping[str, str]:
    """Status by video; each is settled once, and was told of once before that."""
    finished = [event for event in events if isinstance(event, VideoFinished)]
    told = Counter(event.video_id for event in events if isinstance(event, VideoEncoded))
    assert set(told.values()) <= {1}
    assert told.keys() == {event.video_id for event in finished}
    assert len(told) == len(finished)
    return {event.video_id.removeprefix("c/"): event.status for event in finished}


def losses(events: Sequence[Event]) -> list[WorkerLost]:
    return [event for event in events if isinstance(event, WorkerLost)]


def test_workers_store_the_bits_of_one_process_and_settle_every_video_once(
    place: Place, plan: Plan, encoder: FrozenEncoder
) -> None:
    names = [*GOOD, "cut.avi", "text.mp4"]
    expected = in_one_process(plan(*names, cache="one"), encoder)
    assert (len(expected["videos"]), expected["failures"]) == (10, {"c/text": "not-a-video"})
    work = plan(*names)
    events = list(over(place, work, encoder))
    assert content(work.store) == expected
    good = {name.partition(".")[0]: "ok" for name in GOOD}
    assert statuses(events) == {**good, "cut": "short", "text": "failed"}
    assert losses(events) == []
    [started] = [event for event in events if isinstance(event, Started)]
    assert (started.batch_size, started.precision) == (7, "fp32")
    units = {path.name.rpartition("-")[0] for path in (work.store / "segments").glob("*-*")}
    assert units <= {"worker-0", "worker-1"}
    again = plan(*names)
    assert (again.pending, len(again.kept_failures)) == ((), 1)


@pytest.mark.full
def test_a_worker_that_is_killed_once_costs_nothing(place: Place, plan: Plan, encoder: FrozenEncoder) -> None:
    names = [*GOOD, "kill-once.mp4"]
    expected = in_one_process(plan(*names, cache="one"), encoder)
    work = plan(*names)
    events = list(over(place, work, encoder, unit_videos=5))
    assert set(statuses(events).values()) == {"ok"}
    assert len(losses(events)) == 1
    assert content(work.store) == expected


@pytest.mark.full
def test_a_worker_killed_from_outside_in_the_midst_of_its_unit_costs_nothing(
    own_place: Place, plan: Plan, encoder: FrozenEncoder
) -> None:
    expected = in_one_process(plan(*GOOD, cache="one"), encoder)
    own_place.add_workers(1)
    work = plan(*GOOD)
    events: list[Event] = []
    for event in over(own_place, work, encoder, unit_videos=9):
        events.append(event)
        if isinstance(event, Started):
            for process in own_place.worker_processes():
                process.kill()
    assert set(statuses(events).values()) == {"ok"}
    assert content(work.store) == expected


@pytest.mark.full
def test_a_worker_that_hangs_is_restarted_and_costs_nothing(
    place: Place, plan: Plan, encoder: FrozenEncoder
) -> None:
    names = [*GOOD, "hang-once.mp4"]
    expected = in_one_process(plan(*names, cache="one"), encoder)
    work = plan(*names)
    events = list(over(place, work, encoder, unit_videos=5, stall_seconds=15.0))
    assert set(statuses(events).values()) == {"ok"}
    assert [loss.why for loss in losses(events)] == ["no progress for 15 s"]
    assert content(work.store) == expected


@pytest.mark.full
def test_a_worker_given_up_that_ends_late_after_all_changes_nothing(
    own_place: Place, plan: Plan, encoder: FrozenEncoder
) -> None:
    names = [*GOOD[:5], "late-once.mp4"]
    expected = in_one_process(plan(*names, cache="one"), encoder)
    for _ in range(2):
        own_place.add_workers(1, "--no-nanny")  # nobody restarts it
    work = plan(*names)
    warm = plan(*GOOD[:2], cache="warm")
    list(over(own_place, warm, encoder, unit_videos=1))  # the encoder is loaded: only the fault takes long
    events = list(over(own_place, work, encoder, unit_videos=3, stall_seconds=10.0))
    assert set(statuses(events).values()) == {"ok"}
    assert [loss.why for loss in losses(events)] == ["no progress for 10 s"]
    assert content(work.store) == expected
    time.sleep(LATE_SECONDS)  # the zombie commits what it had
    assert content(work.store) == expected
    assert all(lock_is_free(work.store, number) for number in (0, 1))


@pytest.mark.full
def test_when_the_run_is_gone_its_workers_stop_and_the_next_run_goes_on(
    own_place: Place, plan: Plan, encoder: FrozenEncoder
) -> None:
    names = [*GOOD, "late-once.mp4"]
    expected = in_one_process(plan(*names, cache="one"), encoder)
    own_place.add_workers(1)
    work = plan(*names)
    with pytest.raises(ZeroDivisionError):
        list(
            over(own_place, work, encoder, unit_videos=len(names), stop=Dies(own_place.faults / "late-once"))
        )
    wait_until(lambda: lock_is_free(work.store, 0))
    assert len(content(work.store)["videos"]) < len(names)
    assert set(statuses(list(over(own_place, plan(*names), encoder))).values()) == {"ok"}
    assert content(work.store) == expected


class Dies(StopRequest):
    """Ends a run the hard way once a worker has left a mark."""

    def __init__(self, mark: Path) -> None:
        super().__init__()
        self._mark = mark

    def wait_for(self, items: Iterator[Any]) -> Any:
        if self._mark.exists():
            raise ZeroDivisionError
        return super().wait_for(items)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def lock_is_free(store: Path, number: int) -> bool:
    try:
        UnitLock(store, f"worker-{number}").release()
    except PartLocked:
        return False
    return True


@pytest.mark.full
def test_a_scheduler_that_begins_anew_is_waited_for(
    own_place: Place, plan: Plan, encoder: FrozenEncoder
) -> None:
    expected = in_one_process(plan(*GOOD, cache="one"), encoder)
    own_place.add_workers(1)
    work = plan(*GOOD)
    events: list[Event] = []
    is_new = False
    for event in over(own_place, work, encoder, unit_videos=4):
        events.append(event)
        if isinstance(event, VideoFinished) and not is_new:
            own_place.close()
            own_place.processes = [start_scheduler(int(own_place.address.rpartition(":")[2]))]
            own_place.add_workers(1)
            is_new = True
    assert any(isinstance(event, SchedulerLost) for event in events)
    assert set(statuses(events).values()) == {"ok"}
    assert content(work.store) == expected


def test_a_signal_has_the_workers_commit_what_is_whole_and_the_next_run_goes_on(
    place: Place, plan: Plan, encoder: FrozenEncoder
) -> None:
    expected = in_one_process(plan(*GOOD, cache="one"), encoder)
    work = plan(*GOOD)
    stop = StopRequest()
    events: list[Event] = []
    for event in over(place, work, encoder, stop=stop, unit_videos=2):
        events.append(event)
        if isinstance(event, VideoFinished):
            stop.signal = signal.SIGTERM
    assert events[-1] == Stopped(signal.SIGTERM)
    stored = content(work.store)["videos"]
    assert {f"c/{name}" for name in statuses(events)} == stored.keys()
    assert 0 < len(stored) < len(GOOD)
    rest = list(over(place, plan(*GOOD), encoder))
    assert len(statuses(rest)) + len(stored) == len(GOOD)
    assert content(work.store) == expected


def test_a_second_run_of_one_part_is_refused(place: Place, plan: Plan, encoder: FrozenEncoder) -> None:
    work = plan(*GOOD[:2])
    in_one_process(plan(*GOOD[:1]), encoder)
    with FeatureStore.open(work.store).writer(device="cpu", precision="fp32"), pytest.raises(PartLocked):
        list(over(place, replace(work, store=work.store), encoder))


def test_a_worker_with_other_libraries_is_refused_and_says_which(
    place: Place, plan: Plan, encoder: FrozenEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = unit_worker.versions()
    monkeypatch.setattr(unit_worker, "versions", lambda: {**here, "torch": "1.0"})
    with pytest.raises(WorkerRefused, match=re.escape(f"than the run: torch {here['torch']}, not 1.0.")):
        list(over(place, plan("v0.avi"), encoder))


def test_a_worker_that_does_not_see_the_videos_is_refused(
    place: Place, plan: Plan, encoder: FrozenEncoder, tmp_path: Path
) -> None:
    work = plan("v0.avi")
    elsewhere = replace(work, manifest=replace(work.manifest, root=tmp_path / "elsewhere"))
    with pytest.raises(WorkerRefused, match="elsewhere is not on this machine"):
        list(over(place, elsewhere, encoder))
    assert not work.store.exists()


def test_a_scheduler_without_workers_is_not_waited_for_for_ever(
    own_place: Place, plan: Plan, encoder: FrozenEncoder
) -> None:
    with pytest.raises(NoWorkers, match=f"{own_place.address} has had no worker for 1"):
        list(over(own_place, plan("v0.avi"), encoder, patience_seconds=1.0))


def test_no_scheduler_at_the_address_is_said_in_a_line(plan: Plan, encoder: FrozenEncoder) -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(SchedulerUnreachable, match=f"no Dask scheduler answered at {address} within 1 s"):
        list(over(address, plan("v0.avi"), encoder, patience_seconds=1.0))


def test_dask_that_is_not_installed_is_said_in_a_line(
    plan: Plan, encoder: FrozenEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "vlp.pipeline.crew")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(DaskMissing, match="not installed here"):
        list(over("tcp://127.0.0.1:1", plan("v0.avi"), encoder))


@pytest.mark.parametrize("text", ["remote", "host:8786", "tcp://host", "tcp://:x"])
def test_what_is_no_scheduler_is_refused(text: str) -> None:
    with pytest.raises(BadScheduler, match="neither local nor an address"):
        Distribution(text)


def test_a_video_that_keeps_killing_workers_fails_and_no_other(
    place: Place, plan: Plan, encoder: FrozenEncoder
) -> None:
    names = [*GOOD[:3], "killer.mp4"]
    expected = in_one_process(plan(*GOOD[:3], cache="one"), encoder)
    work = plan(*names)
    events = list(over(place, work, encoder, unit_videos=2))
    assert statuses(events) == {"v0": "ok", "v1": "ok", "v2": "ok", "killer": "failed"}
    found = content(work.store)
    assert found["videos"] == expected["videos"]
    assert found["failures"] == {"c/killer": "worker-lost"}
    assert len(losses(events)) <= 3  # once in company, twice alone
    assert FeatureStore.open(work.store).failures()["c/killer"].attempts == 1
