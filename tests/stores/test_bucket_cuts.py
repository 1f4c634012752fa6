"""A connection that is cut, a process that is killed, then the same command: the store of an undisturbed run."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vlp.stores import storage
from vlp.stores.features import FeatureStore
from vlp.stores.maintenance import compact, verify
from vlp.stores.places import ObjectPath, Place

DRIVER = Path(__file__).with_name("bucket_driver.py")
Cutting = Callable[..., Any]


def drive(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DRIVER), *map(str, arguments)]
    # one try of each request, where the driver library would take seconds for its five
    given = {**os.environ, "AWS_MAX_ATTEMPTS": "1", **environment}
    return subprocess.run(command, check=False, timeout=240, env=given, capture_output=True, text=True)


def content(place: Place) -> dict[str, Any]:
    store = FeatureStore.open(place)
    videos = {}
    for video_id, entry in store.videos().items():
        read = store.read(video_id)
        arrays = (read.features.tobytes(), read.pts_seconds.tobytes(), read.frame_index.tobytes())
        videos[video_id] = (arrays, entry.num_rows, entry.status, entry.source_sha256, entry.features_crc32c)
    return {"videos": videos, "failures": dict(store.failures())}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the driver writes on a disk."""
    path = tmp_path_factory.mktemp("local") / "a.vlp"
    assert drive("run", path).returncode == 0
    return content(path)


def check_rerun(place: ObjectPath, expected: dict[str, Any]) -> None:
    if storage.file_size(place, "zarr.json") is not None:
        held = content(place)["videos"]  # a reader may come before the rerun
        assert held == {video_id: expected["videos"][video_id] for video_id in held}
    rerun = drive("run", place)
    assert (rerun.returncode, rerun.stderr) == (0, "")
    assert content(place) == expected
    store = FeatureStore.open(place)
    rows = store.catalog().index.columns["video_id"]
    assert sorted(rows) == sorted([*expected["videos"], *expected["failures"]])  # none is there twice
    compact(store)
    assert (verify(store).damages, verify(store).leftovers) == ((), ())


CUTS = {
    "the features": (r"PUT \S*features/c/0/0/0", 1, "body"),
    "a commit that is not there": (r"PUT \S*commit.json", 2, "before"),
    "a commit that is there": (r"PUT \S*commit.json", 1, "answer"),
    "the index": (r"PUT \S*index.parquet", 1, "body"),
    "the root": (r"PUT \S*vlp/zarr.json", 1, "answer"),
    "the lock": (r"PUT \S*part-0of1.lock", 1, "answer"),
}


def test_connections_that_are_cut_now_and_then_cost_nothing(
    bucket: ObjectPath, bucket_server: Any, cutting: Cutting, expected: dict[str, Any]
) -> None:
    proxy = cutting(bucket_server.host, [*CUTS.values()], lasting=False)
    place = bucket / "a.vlp"
    run = drive("run", place, AWS_ENDPOINT_URL=proxy.url, AWS_MAX_ATTEMPTS="5")
    assert proxy.has_cut
    assert (run.returncode, run.stderr) == (0, "")
    assert content(place) == expected


@pytest.mark.parametrize(
    "cut", [name if name == "the features" else pytest.param(name, marks=pytest.mark.full) for name in CUTS]
)
def test_a_server_that_is_gone_ends_the_run_with_a_line_and_the_same_command_goes_on(
    cut: str, bucket: ObjectPath, bucket_server: Any, cutting: Cutting, expected: dict[str, Any]
) -> None:
    proxy = cutting(bucket_server.host, [CUTS[cut]], lasting=True)
    place = bucket / "a.vlp"
    run = drive("run", place, AWS_ENDPOINT_URL=proxy.url)
    if cut != "the index":  # which readers do without
        assert run.returncode == 1
        assert run.stderr.startswith(f"cannot reach {place}")
        assert run.stderr.count("\n") == 1
    assert proxy.has_cut
    check_rerun(place, expected)


def test_a_kill_between_two_puts_changes_nothing_after_the_rerun(
    bucket: ObjectPath, expected: dict[str, Any]
) -> None:
    place = bucket / "a.vlp"
    assert drive("run", place, 12, "before").returncode == -signal.SIGKILL
    check_rerun(place, expected)


@pytest.mark.full
@pytest.mark.parametrize("number", range(1, 40, 3))
def test_a_kill_at_any_put_changes_nothing_after_the_rerun(
    number: int, bucket: ObjectPath, expected: dict[str, Any]
) -> None:
    place = bucket / "a.vlp"
    killed = drive("run", place, number, "after").returncode
    assert killed in {-signal.SIGKILL, 0}  # it makes fewer puts
    check_rerun(place, expected)
