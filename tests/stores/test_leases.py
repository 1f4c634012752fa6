"""One writer a part in a bucket: refused while the holder lives, taken over when it does not."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from vlp.stores import leases, object_store, storage
from vlp.stores.errors import PartLocked
from vlp.stores.features import ExtractedVideo, FeatureStore
from vlp.stores.lock_notes import parse_note
from vlp.stores.locks import UnitLock, is_held, lock_free_worker
from vlp.stores.place_errors import LockLost
from vlp.stores.places import ObjectPath

DRIVER = Path(__file__).with_name("bucket_driver.py")
LOCK = "locks/part-0of1.lock"
MakeVideo = Callable[..., ExtractedVideo]
MakeStore = Callable[..., FeatureStore]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds instead of minutes."""
    monkeypatch.setattr(leases, "RENEW_SECONDS", 0.1)
    monkeypatch.setattr(leases, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(leases, "LEASE_SECONDS", 1.0)


def note_of(place: ObjectPath) -> dict[str, Any]:
    note: dict[str, Any] = parse_note(storage.read_bytes(place, LOCK, limit=1 << 16))
    return note


def put_lock(place: ObjectPath, **changes: Any) -> None:
    note = {"pid": 7, "host": "far", "started": "2026-01-01", "machine": "other", "token": "t", **changes}
    object_store.put(place, LOCK, json.dumps(note).encode())


@pytest.fixture
def holder(bucket: ObjectPath, make_store: MakeStore) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the part of a store."""
    place = make_store(bucket / "a.vlp").path
    command = [sys.executable, str(DRIVER), "hold", str(place)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_lock_whose_process_has_ended_here_is_taken_over_at_once(
    holder: subprocess.Popen[str], bucket: ObjectPath
) -> None:
    place = bucket / "a.vlp"
    assert is_held(place, "part-0of1")
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert not is_held(place, "part-0of1")
    assert note_of(place)["pid"] == holder.pid  # it could not clear up
    began = time.monotonic()
    with UnitLock(place, "part-0of1"):
        assert time.monotonic() - began < leases.LEASE_SECONDS / 10
        assert note_of(place)["pid"] != holder.pid
    assert storage.file_size(place, LOCK) is None


def test_a_second_writer_is_refused_and_the_holder_named(
    bucket: ObjectPath, make_store: MakeStore, quick: None
) -> None:
    store = make_store(bucket / "a.vlp")
    with store.writer(device="cpu", precision="fp32"):
        note = note_of(bucket / "a.vlp")
        with pytest.raises(PartLocked, match="part-0of1 is being written by process") as caught:
            store.writer(device="cpu", precision="fp32")
        assert (caught.value.pid, caught.value.host) == (note["pid"], note["host"])
        store.writer(part=(0, 2), device="cpu", precision="fp32").close()
    store.writer(device="cpu", precision="fp32").close()


def test_a_lock_of_elsewhere_that_nobody_renews_is_taken_over_after_its_time(
    bucket: ObjectPath, quick: None
) -> None:
    put_lock(bucket)
    assert is_held(bucket, "part-0of1")
    began = time.monotonic()
    with UnitLock(bucket, "part-0of1"):
        assert time.monotonic() - began >= leases.LEASE_SECONDS


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff", b'{"pid": "x", "machine": null}', b"1" * (1 << 17)])
def test_a_lock_that_cannot_be_read_is_a_holder_like_any_other(
    data: bytes, bucket: ObjectPath, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.1)
    object_store.put(bucket, LOCK, data)
    assert is_held(bucket, "part-0of1")
    UnitLock(bucket, "part-0of1").release()


def test_a_lock_that_is_let_go_while_another_waits_is_taken(
    bucket: ObjectPath, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEW_SECONDS", 60.0)
    first = UnitLock(bucket, "part-0of1")
    reads = leases._read

    def releasing(*arguments: Any) -> bytes | None:
        found = reads(*arguments)
        monkeypatch.setattr(leases, "_read", reads)
        first.release()
        return found

    monkeypatch.setattr(leases, "_read", releasing)
    began = time.monotonic()
    with UnitLock(bucket, "part-0of1"):
        assert time.monotonic() - began < leases.LEASE_SECONDS


def test_a_writer_that_lost_its_part_commits_nothing_and_names_the_new_holder(
    bucket: ObjectPath, make_store: MakeStore, make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(bucket / "a.vlp")
    place = bucket / "a.vlp"
    writer = store.writer(device="cpu", precision="fp32")
    writer.add(make_video("a"))
    write_folder = storage.write_folder

    def slow(*arguments: Any) -> int:
        num_bytes = write_folder(*arguments)
        put_lock(place)  # it is taken over while the arrays are put
        return num_bytes

    monkeypatch.setattr(storage, "write_folder", slow)
    with pytest.raises(LockLost, match="part-0of1 was taken over by process 7 on far, since 2026-01-01"):
        writer.flush()
    monkeypatch.undo()
    with pytest.raises(LockLost):
        writer.close()
    assert dict(FeatureStore.open(place).videos()) == {}
    assert note_of(place)["pid"] == 7  # the other's lock stays


def test_a_renewal_does_not_take_a_part_back(bucket: ObjectPath, quick: None) -> None:
    lock = UnitLock(bucket, "part-0of1")
    first = note_of(bucket)["renewals"]
    deadline = time.monotonic() + 20
    while note_of(bucket)["renewals"] == first:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    put_lock(bucket)
    time.sleep(5 * leases.RENEW_SECONDS)
    assert note_of(bucket)["pid"] == 7
    with pytest.raises(LockLost):
        lock.check()
    lock.release()
    lock.release()
    assert note_of(bucket)["pid"] == 7


def test_several_that_begin_a_store_at_once_begin_one(bucket: ObjectPath, make_store: MakeStore) -> None:
    with ThreadPoolExecutor(3) as pool:
        sizes = range(1, 4)
        stores = [*pool.map(lambda size: make_store(bucket / "a.vlp", batch_size=size), sizes)]
    begun = FeatureStore.open(bucket / "a.vlp").description
    assert all(store.description == begun for store in stores)


def test_workers_take_numbers_of_their_own(bucket: ObjectPath) -> None:
    held = [lock_free_worker(bucket) for _ in range(2)]
    assert len({lock.unit for lock in held}) == 2
    for lock in held:
        assert lock.unit.startswith("worker-")
        lock.release()
    assert storage.file_sizes(bucket, "locks") == {}
