"""Does one thing to a store, over and over, beside other processes.

process_driver.py write STORE PART NUM      videos v00 ... of one of two parts, a segment each
process_driver.py repair STORE NUM          each of them again as soon as it is there, superseding it
process_driver.py compact STORE TIMES
"""

import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

from vlp.stores.features import ExtractedVideo, FeatureStore
from vlp.stores.maintenance import compact

_SECONDS = 120


def make_video(number: int) -> ExtractedVideo:
    spec: Any = importlib.util.spec_from_file_location("made", Path(__file__).with_name("conftest.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    video: ExtractedVideo = module._video(f"v{number:02}", 3 + number % 5)
    return video


def write(store: FeatureStore, part: int, num_videos: int) -> None:
    with store.writer(part=(part, 2), device="cpu", precision="fp32", segment_bytes=1) as writer:
        for number in range(part, num_videos, 2):
            writer.add(make_video(number))


def repair(store: FeatureStore, num_videos: int) -> None:
    deadline = time.monotonic() + _SECONDS
    for number in range(num_videos):
        video = make_video(number)
        while video.video_id not in store.videos() and time.monotonic() < deadline:
            time.sleep(0.005)
        replaced = frozenset({video.video_id})
        with store.writer(part=(0, 3), device="cpu", precision="fp32", superseding=replaced) as writer:
            writer.add(video)


if __name__ == "__main__":
    action, path, *numbers = sys.argv[1:]
    opened = FeatureStore.open(Path(path))
    if action == "write":
        write(opened, int(numbers[0]), int(numbers[1]))
    elif action == "repair":
        repair(opened, int(numbers[0]))
    else:
        for _ in range(int(numbers[0])):
            compact(opened)
