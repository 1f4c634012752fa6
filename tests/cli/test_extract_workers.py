"""`vlp extract --scheduler`: processes of its own, the store of one process, errors that say what to type."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vlp.stores.features import FeatureStore
from vlp.stores.locate import find_stores

Type = Callable[..., Any]
LOCAL = ("--scheduler", "local", "--workers", 2, "--unit-videos", 2)


def contents(folder: Path) -> dict[str, tuple[bytes, bytes]]:
    """Every bit that was stored, by video."""
    [found] = find_stores(folder / "cache")
    store = FeatureStore.open(found.path)
    read = {video_id: store.read(video_id) for video_id in store.videos()}
    return {
        video_id: (video.features.tobytes(), video.pts_seconds.tobytes()) for video_id, video in read.items()
    }


def start(arguments: list[object]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vlp.cli", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


@pytest.mark.full  # test_distributed.py always shows the bits of workers
def test_local_workers_store_the_bits_of_one_process_and_the_summary_adds_up(
    typed: Type, extract_arguments: list[object], videos: Path, tmp_path: Path
) -> None:
    root = tmp_path / "videos"
    shutil.copytree(videos, root)
    (root / "walk" / "text.mp4").write_text("this is no video\n" * 100)
    arguments = [*extract_arguments, "--root", root]
    assert typed(*arguments, "--limit", 1).status == 0  # remembers the encoder, begins the store
    ended = start([*arguments, *LOCAL, "--json"])
    out, printed = ended.communicate(timeout=240)
    assert ended.returncode == 3, printed
    assert '"listed": 7' in out
    assert '"ok": 5' in out
    assert '"skipped": 1' in out
    assert '"failed": 1' in out
    assert "2 workers, each cpu" in printed
    assert "distributed" not in printed  # Dask's own log is not the user's affair
    stored = contents(tmp_path)
    shutil.rmtree(tmp_path / "cache" / "folder")
    assert typed(*arguments).status == 3
    assert contents(tmp_path) == stored
    rerun = typed(*arguments, *LOCAL)
    assert (rerun.status, "Nothing to do: 6 of 7" in rerun.stdout) == (3, True)


def group_exists(leader: int) -> bool:
    try:
        os.killpg(leader, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.full
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_all_processes_commits_what_is_whole_and_leaves_none_behind(
    typed: Type, extract_arguments: list[object], videos: Path, tmp_path: Path, number: int, status: int
) -> None:
    root = tmp_path / "many"
    for copy in range(40):
        for path in videos.rglob("*.*"):
            target = root / path.relative_to(videos).with_stem(f"{path.stem}-{copy}")
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)
    arguments = [*extract_arguments, "--root", root]
    process = start([*arguments, *LOCAL])
    deadline = time.monotonic() + 120
    while not list((tmp_path / "cache").glob("folder/*/*/segments/worker-*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as Ctrl-C does
    else:
        process.send_signal(number)
    _, printed = process.communicate(timeout=120)
    assert process.returncode == status, printed
    assert "The same command goes on from here." in printed
    assert "Traceback" not in printed
    while group_exists(process.pid):
        assert time.monotonic() < deadline + 120
        time.sleep(0.1)
    partly = contents(tmp_path)
    assert 0 < len(partly) < 240
    finished = typed(*arguments, "--json")
    assert (finished.status, finished.json["skipped"]) == (0, len(partly))


@pytest.mark.parametrize(
    ("extra", "status", "said"),
    [
        (["--scheduler", "somewhere"], 2, "'somewhere' is neither local nor an address such as tcp://"),
        (["--workers", "2"], 2, "goes with --scheduler local"),
        (["--scheduler", "tcp://127.0.0.1:8786", "--workers", "2"], 2, "goes with --scheduler local"),
        (["--scheduler", "local", "--dry-run"], 2, "leave --scheduler out"),
        (["--scheduler", "local", "--unit-videos", "0"], 2, "--unit-videos"),
        (["--scheduler", "local", "--stall-seconds", "0"], 2, "--stall-seconds"),
    ],
)
def test_a_wrong_scheduler_is_a_line_that_says_what_to_type(
    typed: Type, extract_arguments: list[object], extra: list[str], status: int, said: str
) -> None:
    result = typed(*extract_arguments, *extra)
    assert result.status == status
    assert said in " ".join(result.stderr.split())
    assert "Traceback" not in result.stderr


def test_without_dask_one_line_says_what_to_install(
    typed: Type, extract_arguments: list[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "vlp.pipeline.crew", raising=False)
    monkeypatch.setitem(sys.modules, "distributed", None)
    result = typed(*extract_arguments, "--scheduler", "tcp://127.0.0.1:8786")
    assert result.status == 1
    assert "Run: pip install 'vlp[dask]'" in result.stderr


def test_one_process_imports_no_dask(extract_arguments: list[object]) -> None:
    script = (
        "import sys; from vlp.cli.__main__ import run\n"
        "try: run()\n"
        "except SystemExit as ended: assert not ended.code, ended.code\n"
        "assert not {'dask', 'distributed'} & set(sys.modules)\n"
    )
    command = [sys.executable, "-c", script, *map(str, extract_arguments), "--limit", "1"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
