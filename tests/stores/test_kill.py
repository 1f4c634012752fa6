"""kill -9 at any instant, then the same command: the same videos, rows and bits."""

import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlp.stores.features import FeatureStore
from vlp.stores.index import read_index
from vlp.stores.maintenance import compact, verify

DRIVER = Path(__file__).with_name("kill_driver.py")
Trace = list[tuple[str, str]]


def drive(store: Path, trace: Path, *kill: str) -> int:
    command = [sys.executable, str(DRIVER), str(store), str(trace), *kill]
    return subprocess.run(command, check=False, timeout=240).returncode


def content(path: Path) -> dict[str, Any]:
    store = FeatureStore.open(path)
    videos = {}
    for video_id, entry in store.videos().items():
        read = store.read(video_id)
        arrays = (read.features.tobytes(), read.pts_seconds.tobytes(), read.frame_index.tobytes())
        videos[video_id] = (arrays, entry.num_rows, entry.status, entry.source_sha256, entry.features_crc32c)
    return {"videos": videos, "failures": dict(store.failures())}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Trace]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    assert drive(folder / "a.vlp", folder / "trace") == 0
    lines = (folder / "trace").read_text().splitlines()
    expected = content(folder / "a.vlp")
    assert len(expected["videos"]) == 12
    assert [*expected["failures"]] == ["class/broken"]
    return expected, [(line.split()[1], line.split()[2]) for line in lines]


def kill_and_rerun(folder: Path, expected: dict[str, Any], number: int, when: str) -> None:
    path = folder / "a.vlp"
    assert drive(path, folder / "killed", str(number), when) == -signal.SIGKILL
    if (path / "zarr.json").exists():
        held = content(path)["videos"]  # a reader may come before the rerun
        assert held == {video_id: expected["videos"][video_id] for video_id in held}
    assert drive(path, folder / "rerun") == 0
    assert content(path) == expected
    store = FeatureStore.open(path)
    rows = store.catalog().index.columns["video_id"]
    assert sorted(rows) == sorted([*expected["videos"], *expected["failures"]])  # none is there twice
    assert {*read_index(path, store.fingerprint).segments} == {*store.catalog().index.segments}
    assert verify(store).damages == ()
    compact(store)
    assert verify(store).leftovers == ()
    assert content(path) == expected


PLACES = {
    "write, of the features": ("write", r".*features/c/0/0/0", 2, "during"),
    "fsync, of the features": ("fsync", r".*features/c/0/0/0", 3, "before"),
    "rename, of the segment": ("rename", r"segments/part-0of1-\*\.partial", 2, "before"),
    "commit, half written": ("write", r".*/commit\.json\..*", 2, "during"),
    "commit, after its rename": ("replace", r".*/commit\.json\..*", 2, "after"),
    "index, half written": ("write", r"index\.parquet\..*", 1, "during"),
    "index, before its rename": ("replace", r"index\.parquet\..*", 1, "before"),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_kill_changes_nothing_after_the_rerun(
    place: str, tmp_path: Path, uninterrupted: tuple[dict[str, Any], Trace]
) -> None:
    expected, trace = uninterrupted
    primitive, pattern, occurrence, when = PLACES[place]
    calls = [
        number
        for number, (name, path) in enumerate(trace, start=1)
        if name == primitive and re.fullmatch(pattern, path)
    ]
    kill_and_rerun(tmp_path, expected, calls[occurrence - 1], when)


@pytest.mark.full
@pytest.mark.parametrize("seed", range(30))
def test_a_kill_at_a_random_call_changes_nothing_after_the_rerun(
    seed: int, tmp_path: Path, uninterrupted: tuple[dict[str, Any], Trace]
) -> None:
    expected, trace = uninterrupted
    random = np.random.default_rng(seed)
    number = int(random.integers(1, len(trace) + 1))
    instants = ["before", "after"] + ["during"] * (trace[number - 1][0] == "write")
    kill_and_rerun(tmp_path, expected, number, str(random.choice(instants)))
