"""Where stores lie, as it is typed; and what is said of a place that does not answer."""

import errno
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
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
import sys
from vlp.stores import object_store, storage
from vlp.stores.errors import StoreError
from vlp.stores.places import parse_place
object_store.PATIENCE_SECONDS = 0.5
if "block" in sys.argv:
    sys.modules["s3fs"] = None
try:
    if "write" in sys.argv:
        storage.write_file(parse_place(sys.argv[1]), "a", b"1", writer="w")
    else:
        storage.list_names(parse_place(sys.argv[1]), "a")
except StoreError as error:
    sys.exit(f"{type(error).__name__}: {error}")
"""


def said(place: Place | str, *arguments: str, **environment: str) -> str:
    given = {**os.environ, "AWS_MAX_ATTEMPTS": "1", **environment}
    command = [sys.executable, "-c", SCRIPT, str(place), *arguments]
    run = subprocess.run(
        command,
        check=False,
        timeout=120,
        env={k: v for k, v in given.items() if v},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1
    return run.stderr


def test_what_does_not_answer_or_refuses_is_one_line(bucket: ObjectPath) -> None:
    dead = said(bucket, AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert dead.startswith(f"StoreUnreachable: cannot reach {bucket}/a: Could not connect to the endpoint")
    keyless = said(bucket, AWS_ACCESS_KEY_ID="", AWS_SECRET_ACCESS_KEY="")
    assert keyless == f"StoreUnreachable: cannot reach {bucket}/a: Unable to locate credentials.\n"
    denied = said(bucket, "write", AWS_ACCESS_KEY_ID="reader")
    assert denied == f"StoreUnreachable: cannot reach {bucket}/a: access denied: Access Denied.\n"
    wrong = said(bucket, **{"AWS_SECRET_ACCESS_KEY": "wrong"})
    assert wrong.startswith(
        f"StoreUnreachable: cannot reach {bucket}/a: access denied: The request signature"
    )
    bad = said(bucket, AWS_ENDPOINT_URL="nonsense")
    assert bad.startswith(f"StoreUnreachable: cannot reach {bucket}/a: Invalid endpoint: nonsense")
    blocked = said(bucket, "block")
    assert blocked.startswith(f"DriverMissing: {bucket}/a needs a package that is not installed: ")
    unknown = said("nope://bucket")
    assert unknown == "BadPlace: 'nope://bucket/a' is no place for stores: Protocol not known: nope.\n"


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


def test_an_object_is_created_once(bucket: ObjectPath) -> None:
    assert object_store.create_file(bucket, "a", b"first")
    assert not object_store.create_file(bucket, "a", b"second")
    assert storage.read_bytes(bucket, "a", limit=9) == b"first"
