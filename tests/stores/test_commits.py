"""Several writers, several entries of one video: what counts does not depend on who looks, or when."""

import itertools
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vlp.stores import storage
from vlp.stores.catalog import FAILED, Catalog
from vlp.stores.errors import PartLocked, StoreUnwritable
from vlp.stores.features import ExtractedVideo, FailedVideo, FeatureStore
from vlp.stores.index import Columns, Index
from vlp.stores.locks import part_unit

MakeVideo = Callable[..., ExtractedVideo]
MakeStore = Callable[..., FeatureStore]
Write = Callable[..., None]
AssertSame = Callable[[FeatureStore, ExtractedVideo], None]

HOLDER = """
import sys, time
from pathlib import Path
from vlp.stores.features import FeatureStore
writer = FeatureStore.open(Path(sys.argv[1])).writer(part=(1, 3), device="cpu", precision="fp32")
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path, make_store: MakeStore) -> Iterator[subprocess.Popen[str]]:
    make_store(tmp_path / "a.vlp")
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "a.vlp")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_on_a_part_is_told_who_holds_it_until_that_one_is_killed(
    tmp_path: Path, holder: subprocess.Popen[str], write: Write, make_video: MakeVideo
) -> None:
    store = FeatureStore.open(tmp_path / "a.vlp")
    with pytest.raises(PartLocked, match=f"part-1of3 is being written by process {holder.pid} on ") as caught:
        store.writer(part=(1, 3), device="cpu", precision="fp32")
    assert caught.value.pid == holder.pid
    assert caught.value.unit == "part-1of3"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT.*", caught.value.started or "")
    write(store, make_video("other part"), part=(0, 3))
    holder.send_signal(signal.SIGKILL)
    holder.wait(60)
    write(store, make_video("same part"), part=(1, 3))
    assert {*store.videos()} == {"other part", "same part"}


def test_a_holder_whose_note_is_garbage_is_still_a_holder(tmp_path: Path, make_store: MakeStore) -> None:
    store = make_store(tmp_path / "a.vlp")
    with store.writer(device="cpu", precision="fp32"):
        (store.path / "locks" / "part-0of1.lock").write_text("[[[")
        with pytest.raises(PartLocked, match="by another process") as caught:
            store.writer(device="cpu", precision="fp32")
        assert caught.value.pid is None


@pytest.mark.parametrize("part", [(1, 1), (-1, 2), (0, 0)])
def test_a_part_that_cannot_be_is_refused(part: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="parts are counted from 0"):
        part_unit(part)


def write_part(path: Path, index: int, videos: list[ExtractedVideo]) -> None:
    with FeatureStore.open(path).writer(
        part=(index, 3), device="cpu", precision="fp32", segment_bytes=900
    ) as writer:
        for video in videos:
            writer.add(video)


def test_parts_write_at_once_while_a_reader_sees_only_whole_videos(
    tmp_path: Path, make_video: MakeVideo, make_store: MakeStore, assert_same: AssertSame
) -> None:
    videos = {f"v{number}": make_video(f"v{number}", 3 + number % 9) for number in range(60)}
    store = make_store(tmp_path / "a.vlp")
    shares = [[*videos.values()][index::3] for index in range(3)]
    writers = [
        threading.Thread(target=write_part, args=(store.path, index, share))
        for index, share in enumerate(shares)
    ]
    for writer in writers:
        writer.start()
    seen: set[str] = set()
    while any(writer.is_alive() for writer in writers):
        present = {*store.videos()}
        assert seen <= present  # what was committed stays
        for video_id in present - seen:
            assert_same(store, videos[video_id])
        seen = present
    assert {*store.videos()} == {*videos}
    assert {*FeatureStore.open(store.path).videos()} == {*videos}


def test_what_is_not_committed_is_not_seen(
    tmp_path: Path, make_video: MakeVideo, make_store: MakeStore
) -> None:
    store = make_store(tmp_path / "a.vlp")
    with store.writer(device="cpu", precision="fp32") as writer:
        writer.add(make_video("a"))
        assert dict(store.videos()) == {}
        commit = writer.flush()
        assert commit is not None
        assert [entry.video_id for entry in commit.entries] == [*store.videos()] == ["a"]
        assert writer.flush() is None


@pytest.mark.parametrize(
    ("first", "second", "winner"), [("ok", "short", 0), ("short", "ok", 1), ("ok", "ok", 0)]
)
def test_a_whole_video_goes_before_a_short_one_then_the_earlier(
    first: str,
    second: str,
    winner: int,
    tmp_path: Path,
    make_video: MakeVideo,
    make_store: MakeStore,
    write: Write,
    assert_same: AssertSame,
) -> None:
    reasons = {"ok": None, "short": "truncated"}
    videos = [
        make_video("a", 3 + number, status=status, reason=reasons[status])
        for number, status in enumerate((first, second))
    ]
    store = make_store(tmp_path / "a.vlp")
    for number, video in enumerate(videos):
        write(store, video, part=(number, 2))
    for reader in (store, FeatureStore.open(store.path)):
        assert_same(reader, videos[winner])
    (store.path / "index.parquet").unlink()
    assert_same(FeatureStore.open(store.path), videos[winner])


def test_a_repair_supersedes_whatever_was_there(
    tmp_path: Path, make_video: MakeVideo, make_store: MakeStore, write: Write, assert_same: AssertSame
) -> None:
    store = make_store(tmp_path / "a.vlp")
    write(store, make_video("a", 3), make_video("b"))
    write(store, make_video("a", 4), part=(1, 2))
    repaired = make_video("a", 2, status="short", reason="truncated")
    write(store, repaired, make_video("c"), superseding=frozenset({"a", "c"}))
    older = {name.name for name in (store.path / "segments").glob("part-*")} - {store.videos()["a"].segment}
    assert {*store.videos()["a"].supersedes} == older
    assert store.videos()["c"].supersedes == ()
    for reader in (store, FeatureStore.open(store.path)):
        assert_same(reader, repaired)
        assert_same(reader, make_video("b"))


ENTRIES = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.sampled_from(["ok", "short", FAILED]),
        st.integers(0, 3),
        st.integers(0, 255),
    ),
    max_size=7,
)


@settings(max_examples=60, deadline=None)
@given(entries=ENTRIES, order=st.randoms(use_true_random=False))
def test_what_counts_is_independent_of_the_order_of_listing(
    entries: list[tuple[str, str, int, int]], order: Any
) -> None:
    rows = []
    for number, (video_id, status, created, mask) in enumerate(entries):
        older = [f"s{other}" for other in range(number) if mask >> other & 1 and status != FAILED]
        rows.append(
            {
                "video_id": video_id,
                "segment": f"s{number}",
                "status": status,
                "created": f"{created}",
                "supersedes": " ".join(older),
            }
        )
    expected = definition(rows)
    order.shuffle(rows)
    catalog = Catalog(Index(Columns(more=rows), {}, {}))
    assert {video_id: rows[row]["segment"] for video_id, row in catalog.winners.items()} == expected
    assert {*catalog.failed} == {row["video_id"] for row in rows if row["status"] == FAILED} - {*expected}
    for video_id, position in catalog.failed.items():
        failures = [row for row in rows if row["video_id"] == video_id]
        assert rows[position] == max(failures, key=lambda row: (row["created"], row["segment"]))


def definition(rows: list[dict[str, str]]) -> dict[str, str]:
    """The rule as it is documented, the slow way."""
    found = {}
    for video_id in {row["video_id"] for row in rows}:
        mine = [row for row in rows if row["video_id"] == video_id and row["status"] != FAILED]
        out = set(itertools.chain.from_iterable(row["supersedes"].split() for row in mine))
        left = [row for row in mine if row["segment"] not in out]
        whole = [row for row in left if row["status"] == "ok"] or left
        if whole:
            found[video_id] = sorted((row["created"], row["segment"]) for row in whole)[0][1]
    return found


def test_an_attempt_that_ends_late_cannot_overwrite(
    tmp_path: Path, make_video: MakeVideo, make_store: MakeStore, write: Write, assert_same: AssertSame
) -> None:
    store = make_store(tmp_path / "a.vlp")
    write(store, make_video("a"))
    segment = f"segments/{store.videos()['a'].segment}"
    before = {path: path.read_bytes() for path in (store.path / segment).rglob("*") if path.is_file()}
    with pytest.raises(StoreUnwritable, match="File exists"):
        storage.write_folder(store.path, segment, {"zarr.json": b"zombie"})
    (store.path / "segments" / "empty").mkdir()
    with pytest.raises(StoreUnwritable, match="File exists"):
        storage.write_folder(store.path, "segments/empty", {"zarr.json": b"zombie"})
    assert {path: path.read_bytes() for path in before} == before
    assert not [*store.path.rglob("*.partial")]
    assert_same(FeatureStore.open(store.path), make_video("a"))


def test_a_failure_counts_until_the_video_is_committed(
    tmp_path: Path, make_video: MakeVideo, make_store: MakeStore, write: Write
) -> None:
    store = make_store(tmp_path / "a.vlp")
    first = FailedVideo("a", "stalled", "no frame for 30 s", 1)
    for failure in (first, replace(first, attempts=2, detail="")):
        with store.writer(device="cpu", precision="fp32") as writer:
            writer.fail(failure)
    for reader in (store, FeatureStore.open(store.path)):
        assert dict(reader.failures()) == {"a": replace(first, attempts=2, detail="")}
        assert dict(reader.videos()) == {}
    write(store, make_video("a"))
    for reader in (store, FeatureStore.open(store.path)):
        assert dict(reader.failures()) == {}
        assert {*reader.videos()} == {"a"}


def test_an_endless_explanation_is_cut(tmp_path: Path, make_store: MakeStore) -> None:
    store = make_store(tmp_path / "a.vlp")
    failure = FailedVideo("a", "crashed", "x" * 10_000, 1)
    with store.writer(device="cpu", precision="fp32") as writer:
        writer.fail(failure)
    assert asdict(store.failures()["a"]) == {**asdict(failure), "detail": "x" * 4096}


def test_a_segment_of_many_short_videos_is_closed_while_its_commit_can_still_be_read(
    tmp_path: Path, make_video: MakeVideo, make_store: MakeStore
) -> None:
    """A row a video, as with `--frames 1`, and names as long as a path can be: what is written is read back."""
    store = make_store(tmp_path / "a.vlp")
    one, long = vars(make_video("one", 1)), "\N{FILM FRAMES}" * 1000
    with store.writer(device="cpu", precision="fp32") as writer:
        for number in range(5000):
            writer.add(ExtractedVideo(**{**one, "video_id": f"{long}/{number}"}))
        for number in range(5000):
            writer.fail(FailedVideo(f"{long}/failed {number}", "missing", "", 1))
    catalog = FeatureStore.open(store.path).catalog()
    assert (len(catalog.winners), len(catalog.failed), catalog.unreadable) == (5000, 5000, {})
    assert (len(catalog.index.segments), len(catalog.index.failures)) == (5, 6)
