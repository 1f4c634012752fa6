"""A video of two hours takes no more memory than one of ten minutes."""

import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import av
import numpy as np
import psutil
import pytest

from vlp.stores.features import FeatureStore
from vlp.stores.locate import find_stores

FPS = 25
# Packet times, and rows on their way to the disk: bounded, or a few bytes a frame of the 165,000 more.
ROOM_BYTES = 32 << 20


def write_long_video(path: Path, *, num_seconds: int) -> None:
    """Write a real video, small and quickly drawn: a grey that changes with every frame."""
    path.parent.mkdir()
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "g": "250"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(num_seconds * FPS):
            picture = np.full((48, 64, 3), number * 7 % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def peak_of(command: list[str]) -> int:
    """Run a command; give the most that it and its children held at once, what they share counted once."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    seen, ended = [0], threading.Event()

    def look() -> None:
        while not ended.wait(0.05):
            with suppress(psutil.Error):
                parent = psutil.Process(process.pid)
                family = [parent, *parent.children(recursive=True)]
                seen.append(sum(member.memory_full_info().pss for member in family))

    watching = threading.Thread(target=look)
    watching.start()
    _, printed = process.communicate(timeout=1200)
    ended.set()
    watching.join()
    assert process.returncode == 0, printed
    return max(seen)


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_two_hours_take_the_memory_of_ten_minutes(tiny_model: str, tmp_path: Path) -> None:
    peaks = []
    for num_seconds in (600, 7200):
        write_long_video(tmp_path / str(num_seconds) / "long.mp4", num_seconds=num_seconds)
        cache = tmp_path / f"cache{num_seconds}"
        place = ["--dataset", "folder", "--root", tmp_path / str(num_seconds), "--cache", cache]
        settings = ["--model", tiny_model, "--fps", "native", "--device", "cpu"]
        command = [sys.executable, "-m", "vlp.cli", "extract", *place, *settings]
        peaks.append(peak_of([str(word) for word in command]))
        [found] = find_stores(cache)
        [entry] = FeatureStore.open(found.path).videos().values()
        assert (entry.status, entry.num_rows) == ("ok", num_seconds * FPS)
    assert peaks[1] - peaks[0] < ROOM_BYTES, peaks
