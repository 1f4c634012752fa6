"""Extracts onto a small disk, fills it while a second run is on its way, makes room, extracts again.

    full_disk_driver.py DISK ARGUMENTS      the arguments of `vlp` as a JSON list; --cache lies on the disk

Prints one JSON object: how the runs ended, and what the store held in between and afterwards.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from vlp.stores.features import FeatureStore
from vlp.stores.locate import find_stores
from vlp.stores.maintenance import verify

_BLOCK = bytes(1 << 12)


def start(arguments: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "vlp.cli", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    stdout, stderr = process.communicate(timeout=120)
    return {"status": process.returncode, "stdout": stdout, "stderr": stderr}


def fill(ballast: Path) -> None:
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(_BLOCK):
                pass
        except OSError:
            return


def held(cache: Path) -> dict[str, str]:
    [found] = find_stores(cache)
    store = FeatureStore.open(found.path)
    return {video_id: f"{entry.features_crc32c:08x}" for video_id, entry in store.videos().items()}


def run(disk: Path, arguments: list[str]) -> dict[str, Any]:
    first = ended(start([*arguments, "--limit", "2"]))
    if first["status"] != 0:
        raise SystemExit(str(first))
    [found] = find_stores(disk / "cache")
    lock = found.path / "locks" / "part-0of1.lock"
    second = start(arguments)
    while (
        second.poll() is None and not lock.read_text()
    ):  # its size estimate is behind it, its commit to come
        time.sleep(0.01)
    fill(disk / "ballast")
    told = {"full": ended(second), "held": held(disk / "cache")}
    report = verify(FeatureStore.open(found.path))
    told |= {"damages": [damage.what for damage in report.damages], "leftovers": report.leftovers}
    (disk / "ballast").unlink()
    told["resumed"] = ended(start(arguments))
    told["after"] = held(disk / "cache")
    return told


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), json.loads(sys.argv[2]))))
