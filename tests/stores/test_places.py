"""Where stores lie, as it is typed; and what is said of a place that does not answer."""

import errno
import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from vlp.stores import object_store, storage
from vlp.stores.features import FeatureStore
from vlp.stores.place_errors import BadPlace, NotInside, StoreUnreachable
from vlp.stores.places import ObjectPath, Place, parse_place

MakeStore = Callable[..., FeatureStore]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("cache", Path("cache")),
        ("/data/my:cache", Path("/data/my:cache")),
        ("file:///data/cache", Path("/data/cache")),
        ("s3://bucket", ObjectPath("s3://bucket")),
        ("s3://bucket/a/b/", ObjectPath("s3://bucket/a/b")),
        ("gs://bucket/a", ObjectPath("gs://bucket/a")),
    ],
)
def test_a_text_with_a_protocol_is_a_bucket_and_any_other_a_folder(text: str, place: Place) -> None:
    assert parse_place(text) == place


@pytest.mark.parametrize("text", ["s3://", "s3:///a", "simplecache::s3://bucket/a", "://x"])
def test_a_url_that_names_no_bucket_is_refused(text: str) -> None:
    with pytest.raises(BadPlace, match=re.escape(f"{text!r} is no place for stores")):
        parse_place(text)


def test_an_object_path_is_used_as_a_path_is() -> None:
    cache = ObjectPath("s3://bucket/cache")
    store = cache / "ucf101/m__p" / "a.vlp"
    assert (str(store), store.name, store.parent) == (
        "s3://bucket/cache/ucf101/m__p/a.vlp",
        "a.vlp",
        cache / "ucf101/m__p",
    )
    assert (cache / ".", cache / "", cache / "a/") == (cache, cache, cache / "a")
    assert (ObjectPath("s3://bucket").parent, ObjectPath("s3://bucket").name) == (
        ObjectPath("s3://bucket"),
        "",
    )
    assert pickle.loads(pickle.dumps(store)) == store  # noqa: S301 (ours)
    assert {store: 1}[store.absolute()] == 1


def test_primitives_of_a_bucket_do_what_those_of_a_disk_do(bucket: ObjectPath, tmp_path: Path) -> None:
    seen = []
    for place in (bucket, tmp_path):
        storage.make_folder(place, "a/b")
        storage.write_file(place, "a/b/c.json", b"old", writer="w")
        storage.write_file(place, "a/b/c.json", memoryview(b"new"), writer="w")
        storage.write_file(place, "a/b/empty", b"", writer="w")
        assert storage.write_folder(place, "a/d", {"x/y": b"12", "c.json": b"345"}) == 5
        with pytest.raises(FileNotFoundError) as caught:
            storage.read_bytes(place, "a/none", limit=9)
        assert caught.value.errno == errno.ENOENT
        with pytest.raises(NotInside):
            storage.read_bytes(place, "a/d/c.json", limit=2)
        with pytest.raises(NotInside):
            storage.map_bytes(place, "a/d/c.json", num_bytes=4)
        assert not storage.map_bytes(place, "a/d/c.json", num_bytes=3).flags.writeable
        seen.append(
            [
                storage.list_names(place, "a"),
                storage.list_names(place, "none"),
                storage.file_sizes(place, "a", below="c.json"),
                storage.file_sizes(place, "a/b"),
                storage.file_sizes(place, "none"),
                storage.file_size(place, "a/b/empty"),
                storage.file_size(place, "a/b"),
                storage.file_size(place, "a/none"),
                storage.tree_bytes(place, "a"),
                storage.tree_bytes(place, "a/d/c.json"),
                storage.read_bytes(place, "a/b/c.json", limit=3),
                storage.read_bytes(place, "a/b/empty", limit=3),
                storage.map_bytes(place, "a/d/c.json", num_bytes=3).tobytes(),
            ]
        )
        storage.remove(place, "a/d")
        storage.remove(place, "a/b/empty")
        storage.remove(place, "a/b/none")
        assert storage.tree_bytes(place, "a") == 3
    assert seen[0] == seen[1]
    assert seen[0][:4] == [["b", "d"], [], {"b": 3, "d": 3}, {"c.json": 3, "empty": 0}]


SCRIPT = """
import json, os, sys
from fsspec import get_filesystem_class
from vlp.stores import object_store, storage
from vlp.stores.errors import StoreError
from vlp.stores.places import parse_place
object_store.PATIENCE_SECONDS = 0.5
for case in json.loads(sys.argv[1]):
    os.environ.update(case.get("set", {}))
    if case.get("block"):
        sys.modules["s3fs"] = None
    try:
        storage.write_file(parse_place(case["place"]), "a", b"1", writer="w")
    except StoreError as error:
        print(f"{type(error).__name__}: {error}")
    object_store._load_driver.cache_clear()
    if not case.get("block"):
        get_filesystem_class("s3").clear_instance_cache()
"""


def said(*cases: dict[str, object]) -> list[str]:
    """What is said of putting an object, case after case: its place, and variables from then on."""
    without = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    given = {
        **without,
        "AWS_MAX_ATTEMPTS": "1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
    }
    given |= {"AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    command = [sys.executable, "-c", SCRIPT, json.dumps(cases)]
    run = subprocess.run(command, check=True, timeout=120, env=given, capture_output=True, text=True)
    assert run.stderr == ""
    return run.stdout.splitlines()


def test_what_does_not_answer_or_refuses_is_one_line(bucket: ObjectPath) -> None:
    place = str(bucket)
    server = {"AWS_ENDPOINT_URL": os.environ["AWS_ENDPOINT_URL"]}
    keys = {"AWS_ACCESS_KEY_ID": "reader", "AWS_SECRET_ACCESS_KEY": "secret"}
    keyless, denied, wrong, bad, dead, unknown = said(
        {"place": place, "set": server},
        {"place": place, "set": keys},
        {"place": place, "set": {"AWS_SECRET_ACCESS_KEY": "wrong"}},
        {"place": place, "set": {"AWS_ENDPOINT_URL": "nonsense"}},
        {"place": place, "set": {"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}},
        {"place": "nope://bucket"},
    )
    cannot = f"StoreUnreachable: cannot reach {bucket}/a: "
    assert keyless == f"{cannot}Unable to locate credentials."
    assert denied == f"{cannot}access denied: Access Denied."
    assert wrong.startswith(f"{cannot}access denied: The request signature")
    assert bad.startswith(f"{cannot}Invalid endpoint: nonsense")
    assert dead.startswith(f"{cannot}Could not connect to the endpoint URL")
    assert unknown == "BadPlace: 'nope://bucket/a' is no place for stores: Protocol not known: nope."


def test_a_driver_that_is_not_installed_is_said_to_be_missing() -> None:
    [missing] = said({"place": "s3://bucket", "block": True})
    assert missing.startswith("DriverMissing: s3://bucket/a needs a package that is not installed: ")


def test_a_bucket_that_is_not_there_is_said_not_to_be(bucket: ObjectPath) -> None:
    calls: list[Callable[[Place], Any]] = [
        lambda place: storage.list_names(place, "a"),
        lambda place: storage.file_sizes(place, "a"),
        lambda place: storage.file_size(place, "a"),
        lambda place: storage.read_bytes(place, "a", limit=1),
        FeatureStore.open,
    ]
    for call in calls:
        with pytest.raises(StoreUnreachable, match="there is no such bucket") as caught:
            call(ObjectPath("s3://vlp-no-such-bucket/x"))
        assert not caught.value.is_passing


@pytest.mark.parametrize(("is_passing", "num_puts"), [(True, 2), (False, 1)])
def test_a_put_waits_for_a_server_that_comes_back_and_not_for_one_that_refuses(
    is_passing: bool, num_puts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    puts: list[str] = []

    def put(root: ObjectPath, name: str, _data: bytes) -> None:
        puts.append(name)
        if len(puts) == 1:
            raise StoreUnreachable(root / name, "no answer", is_passing=is_passing)

    monkeypatch.setattr(object_store, "put", put)
    with nullcontext() if is_passing else pytest.raises(StoreUnreachable, match="no answer"):
        storage.write_file(ObjectPath("s3://bucket"), "a", b"1", writer="w")
    assert puts == ["a"] * num_puts


def test_an_object_is_created_once(bucket: ObjectPath) -> None:
    assert object_store.create_file(bucket, "a", b"first")
    assert not object_store.create_file(bucket, "a", b"second")
    assert storage.read_bytes(bucket, "a", limit=9) == b"first"
