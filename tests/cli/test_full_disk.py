"""A disk that fills while videos are extracted: a real one, small, in a mount namespace of its own."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vlp.stores.features import FeatureStore
from vlp.stores.locate import find_stores

Type = Callable[..., Any]
DRIVER = Path(__file__).with_name("full_disk_driver.py")
_DISK_BYTES = 8 << 20


@pytest.mark.full  # wants user namespaces
def test_a_disk_that_fills_ends_the_run_and_the_same_command_goes_on_once_there_is_space(
    typed: Type, extract_arguments: list[object], tmp_path: Path
) -> None:
    assert typed(*extract_arguments).status == 0
    [undisturbed] = find_stores(tmp_path / "cache")
    store = FeatureStore.open(undisturbed.path)
    expected = {video_id: f"{entry.features_crc32c:08x}" for video_id, entry in store.videos().items()}
    disk = tmp_path / "disk"
    disk.mkdir()
    arguments = json.dumps([*map(str, extract_arguments), "--cache", str(disk / "cache")])
    mount = f"mount -t tmpfs -o size={_DISK_BYTES} none '{disk}' && exec \"$@\""
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
    driver = [sys.executable, str(DRIVER), str(disk), arguments]
    ran = subprocess.run([*command, *driver], capture_output=True, text=True, timeout=280, check=False)
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["full"]["status"] == 1
    assert "no space left on the disk of" in told["full"]["stderr"]
    assert "what was committed before is whole" in told["full"]["stderr"]
    assert "Run: the same command once there is space" in told["full"]["stderr"]
    assert "Traceback" not in told["full"]["stderr"]
    assert told["held"] == {video_id: expected[video_id] for video_id in told["held"]}
    assert len(told["held"]) == 2
    assert (told["damages"], told["leftovers"]) == ([], [])
    assert told["resumed"]["status"] == 0
    assert "4 ok, 0 short, 0 failed, 2 skipped of 6 videos" in told["resumed"]["stdout"]
    assert told["after"] == expected
