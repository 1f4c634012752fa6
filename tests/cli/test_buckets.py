"""`vlp` with a cache in a bucket: extracted there, looked after there, pulled, learnt from here."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vlp.stores import mirroring, object_store, storage
from vlp.stores.features import FeatureStore
from vlp.stores.locate import find_stores
from vlp.stores.places import ObjectPath, Place

Type = Callable[..., Any]
QUICK = [
    f"--set={value}"
    for value in (
        "recipe.num_frames=4",
        "method.max_frames=4",
        "method.num_prefix=2",
        "method.num_suffix=2",
        "method.num_layers=1",
        "recipe.batch_size=2",
        "recipe.num_epochs=1",
    )
]


def store_in(cache: Place) -> FeatureStore:
    [found] = find_stores(cache)
    return FeatureStore.open(found.path)


def contents(store: FeatureStore) -> dict[str, tuple[bytes, bytes, bytes]]:
    """Every bit that was stored, by video."""
    read = {video_id: store.read(video_id) for video_id in store.videos()}
    return {
        video_id: (video.features.tobytes(), video.pts_seconds.tobytes(), video.frame_index.tobytes())
        for video_id, video in read.items()
    }


@pytest.fixture
def into_bucket(extract_arguments: list[object], bucket: ObjectPath) -> list[object]:
    """What makes `vlp extract` store the six videos in the bucket."""
    return [*extract_arguments, "--cache", bucket]


@pytest.fixture
def extracted(typed: Type, into_bucket: list[object]) -> None:
    assert typed(*into_bucket).status == 0


def test_a_bucket_gets_the_bits_that_a_disk_gets_and_a_rerun_does_nothing(
    typed: Type,
    extract_arguments: list[object],
    into_bucket: list[object],
    bucket: ObjectPath,
    tmp_path: Path,
) -> None:
    assert typed(*extract_arguments).status == 0
    for part in ("0/2", "1/2"):
        result = typed(*into_bucket, "--part", part)
        assert (result.status, f"Store: {bucket}/folder/" in result.stderr) == (0, True)
    assert contents(store_in(bucket)) == contents(store_in(tmp_path / "cache"))
    script = (
        "import sys; from vlp.cli.__main__ import run\n"
        "try: run()\n"
        "except SystemExit as ended: assert ended.code == 0, ended.code\n"
        "assert 'torch' not in sys.modules and 'zarr' not in sys.modules\n"
        "assert ('s3fs' in sys.modules) == ('fsspec' in sys.modules) == any('s3://' in it for it in sys.argv)\n"
    )
    for arguments in (into_bucket, extract_arguments):
        again = subprocess.run(
            [sys.executable, "-c", script, *map(str, arguments)], capture_output=True, text=True, check=False
        )
        assert again.returncode == 0, again.stderr
        assert "Nothing to do: 6 of 6 videos are extracted." in again.stdout


def test_what_looks_after_stores_works_in_a_bucket(
    typed: Type, bucket: ObjectPath, videos: Path, into_bucket: list[object]
) -> None:
    assert typed(*into_bucket, "--limit", "2").status == 0
    assert typed("store", "add", "--dataset", "folder", "--cache", bucket, "--root", videos).status == 0
    [listed] = typed("store", "ls", "--cache", bucket, "--json").json["stores"]
    assert (listed["videos"], listed["status"]) == (6, "ok")
    path = listed["path"]
    assert typed("store", "info", path, "--json").json["videos"] == 6
    assert typed("store", "verify", "--dataset", "folder", "--cache", bucket).status == 0
    store = store_in(bucket)
    name = f"segments/{store.videos()['walk/0'].segment}/features/c/0/0/0"
    data = bytearray(storage.read_bytes(store.path, name, limit=1 << 30))
    before = contents(store)
    data[0] ^= 1
    object_store.put(store.path, name, bytes(data))
    assert typed("store", "verify", path).status == 1
    repaired = typed("store", "repair", path, "--root", videos, "--cache", bucket)
    assert repaired.status == 0, repaired.stderr
    assert contents(store_in(bucket)) == before
    assert typed("store", "compact", path, "--json").json["removed"] == []


@pytest.mark.full
def test_a_dry_run_says_nothing_of_the_space_in_a_bucket(typed: Type, into_bucket: list[object]) -> None:
    result = typed(*into_bucket, "--dry-run", "--json")
    assert (result.status, result.json["free_bytes"]) == (0, None)
    assert "MB\n" in typed(*into_bucket, "--dry-run").stdout


@pytest.mark.full
def test_workers_of_a_scheduler_write_to_a_bucket(
    typed: Type,
    extract_arguments: list[object],
    into_bucket: list[object],
    bucket: ObjectPath,
    tmp_path: Path,
) -> None:
    assert typed(*extract_arguments).status == 0
    result = typed(*into_bucket, "--scheduler", "local", "--workers", "2", "--unit-videos", "2")
    assert result.status == 0, result.stderr
    assert contents(store_in(bucket)) == contents(store_in(tmp_path / "cache"))
    units = {entry.segment.rpartition("-")[0] for entry in store_in(bucket).videos().values()}
    assert all(unit.startswith("worker-") for unit in units)


def test_training_reads_the_mirror_and_not_the_bucket(
    typed: Type,
    extracted: None,
    bucket: ObjectPath,
    videos: Path,
    tiny_model: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    named = ["--dataset", "folder", "--root", videos, "--model", tiny_model]
    learn = ["train", *named, "--from-cache", "--method", "ju2022", *QUICK]
    for command in (learn, ["train", *named, "--method", "ju2022"], ["eval", "zero-shot", *named]):
        refused = typed(*command, "--cache", bucket)
        assert refused.status == 4
        assert f"Error: {bucket} is a bucket: features are read through memory maps" in refused.stderr
        assert (
            f"Run: vlp store pull --dataset folder --model {tiny_model} --cache {bucket} --to cache, then the same "
            "command with --cache cache" in refused.stderr
        )
    store = store_in(bucket)
    named_store = typed(*learn, "--store", store.path)
    assert (named_store.status, f"Run: vlp store pull {store.path}" in named_store.stderr) == (4, True)
    monkeypatch.setenv("VLP_CACHE", str(bucket))
    assert typed(*learn).status == 4
    pulled = typed("store", "pull", "--dataset", "folder")
    assert (pulled.status, "1 segments copied" in pulled.stdout) == (0, True)
    mirrored = store_in(Path("cache"))
    assert str(mirrored.path) == str(store.path).replace(str(bucket), "cache")
    assert contents(mirrored) == contents(store)
    again = typed("store", "pull", store.path, "--json")
    assert (again.status, again.json["num_copied"], again.json["num_present"]) == (0, 0, 1)
    assert (again.json["path"], again.json["to"]) == (str(store.path), str(mirrored.path))
    trained = typed(*learn, "--cache", "cache")
    assert trained.status == 0, trained.stderr
    assert typed("eval", "zero-shot", *named, "--cache", "cache").status == 0


def test_a_pull_says_what_is_damaged_and_goes_on_after_an_interrupt(
    typed: Type, extracted: None, bucket: ObjectPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pull = ["store", "pull", "--dataset", "folder", "--cache", bucket, "--to", tmp_path / "mirror"]
    with monkeypatch.context() as patch:

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(mirroring._Copying, "_fetch", interrupted)
        assert typed(*pull).status == 130
    store = store_in(bucket)
    name = store.videos()["walk/0"].segment
    storage.remove(store.path, f"segments/{name}/rows/offsets/c/0")
    damaged = typed(*pull)
    assert damaged.status == 1
    assert f"damaged: segment {name}: rows/offsets/c/0 is missing" in damaged.stdout
    assert f"Run: vlp store repair {store.path}" in damaged.stderr
    [damage] = typed(*pull, "--json").json["damages"]
    assert damage["segment"] == name
    assert len(damage["video_ids"]) == 6
    itself = typed("store", "pull", store_in(tmp_path / "mirror").path, "--to", tmp_path / "mirror")
    assert (itself.status, "--to" in itself.stderr) == (2, True)


def test_a_lock_of_elsewhere_is_outwaited_with_a_word_and_ctrl_c_ends_that(
    typed: Type, into_bucket: list[object], bucket: ObjectPath
) -> None:
    assert typed(*into_bucket, "--limit", "1").status == 0
    store = store_in(bucket)
    note = {"pid": 7, "host": "far", "started": "2026-01-01", "machine": "other", "token": "t"}
    object_store.put(store.path, "locks/part-0of1.lock", json.dumps(note).encode())
    impatient = (
        "from vlp.cli.__main__ import run; from vlp.stores import leases; leases.RENEW_SECONDS = 0.1; run()"
    )
    command = [sys.executable, "-c", impatient, *map(str, into_bucket)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        told = next(line for line in process.stderr if "locks/part-0of1.lock" in line)
        assert "is held by process 7 on far, since 2026-01-01, which seems to have ended" in told
        process.send_signal(signal.SIGINT)
        assert "Interrupted" in process.stderr.read()
        assert process.wait() == 130
    assert json.loads(storage.read_bytes(store.path, "locks/part-0of1.lock", limit=4096)) == note
    assert len(store.videos()) == 1


@pytest.mark.parametrize(
    ("place", "status", "said"),
    [
        (
            "s3://",
            2,
            "Error: 's3://' is no place for stores: it is not PROTOCOL://BUCKET/PREFIX. Run: the same",
        ),
        (
            "nope://bucket/cache",
            2,
            "is no place for stores: Protocol not known: nope. Run: the same command with",
        ),
        (
            "s3://vlp-no-such-bucket/cache",
            1,
            "there is no such bucket. Run: the same command once that is mended",
        ),
    ],
)
def test_a_place_that_is_none_is_a_line_that_says_what_to_type(
    typed: Type, extract_arguments: list[object], bucket_server: Any, place: str, status: int, said: str
) -> None:
    for command in (extract_arguments, ["store", "ls"]):
        result = typed(*command, "--cache", place)
        assert result.status == status
        assert said in " ".join(result.stderr.split())
        assert "Traceback" not in result.stderr
