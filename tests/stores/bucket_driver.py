"""Does one thing to a store in a bucket, in a process of its own. An error of the store is a line and status 1.

bucket_driver.py run PLACE [NUMBER before|after]   the videos of kill_driver.py; SIGKILL at the NUMBER-th put
bucket_driver.py hold PLACE                        holds its only part and says so, until standard input ends
bucket_driver.py pull PLACE DIR [NUMBER]           mirrors it; SIGKILL before the NUMBER-th commit in the mirror
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kill_driver

from vlp.stores import local_disk, object_store
from vlp.stores.errors import StoreError
from vlp.stores.features import FeatureStore
from vlp.stores.mirroring import mirror
from vlp.stores.places import parse_place

object_store.PATIENCE_SECONDS = 0.1


def killing(call: Callable[..., Any], number: int, when: str, *, ending: str = "") -> Callable[..., Any]:
    """Count the calls whose second argument, a name, ends so; kill this process at one of them."""
    calls = 0

    def counted(root: object, name: str, *rest: Any, **more: Any) -> Any:
        nonlocal calls
        calls += name.endswith(ending)
        due = calls == number and name.endswith(ending)
        if due and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = call(root, name, *rest, **more)
        if due:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return counted


def main(action: str, place: str, *more: str) -> None:
    if action == "run":
        if more:
            object_store.put = killing(object_store.put, int(more[0]), more[1])
        kill_driver.run(parse_place(place))
    elif action == "hold":
        with FeatureStore.open(parse_place(place)).writer(device="cpu", precision="fp32"):
            sys.stdout.write("held\n")
            sys.stdout.flush()
            sys.stdin.read()
    elif action == "pull":
        folder, *number = more
        if number:
            call = local_disk.write_file
            local_disk.write_file = killing(call, int(number[0]), "before", ending="commit.json")
        mirror(FeatureStore.open(parse_place(place)), Path(folder))


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except StoreError as error:
        sys.exit(str(error))
