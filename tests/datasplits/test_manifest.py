"""Manifests: what users write is read back, wrong rows are named, and no path leaves the root."""

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlp.datasplits.errors import DatasetError, ManifestUnreadable, OutsideRoot, SplitLeak, VideoCollision
from vlp.datasplits.manifest import Manifest, Segment, Video, inside, video_id_of
from vlp.datasplits.manifest_file import read_manifest_file, write_manifest_file

NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\\\0\r\n", exclude_categories=["Cs", "Cc", "Z"]),
    min_size=1,
    max_size=12,
).filter(lambda name: name.strip(".") != "")
WORDS = st.text("abcdefghij _-'\",;é漢", min_size=1, max_size=20).map(str.strip).filter(bool)


@st.composite
def videos(draw: st.DrawFn) -> Video:
    path = "/".join(draw(st.lists(NAMES, min_size=1, max_size=3))) + ".mp4"
    starts = draw(st.lists(st.integers(0, 1000), max_size=2))
    return Video(
        video_id=video_id_of(path),
        path=path,
        labels=tuple(draw(st.lists(WORDS, max_size=2, unique=True))),
        captions=tuple(draw(st.lists(WORDS, max_size=2, unique=True))),
        segments=tuple(Segment(start / 8, start / 8 + 1.5, draw(WORDS)) for start in starts),
        splits=tuple(draw(st.sampled_from([(), (("default", "train"),), (("a", "train"), ("b", "test"))]))),
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    listed=st.lists(videos(), min_size=1, max_size=6, unique_by=lambda video: video.video_id),
    suffix=st.sampled_from([".csv", ".jsonl", ".parquet"]),
)
def test_what_is_written_is_read_back(listed: list[Video], suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"list{suffix}"
    manifest = Manifest("mine", tmp_path, tuple(listed), ())
    write_manifest_file(manifest, file)
    assert read_manifest_file(file, dataset="mine", root=tmp_path).videos == tuple(listed)


def read(tmp_path: Path, text: str, name: str = "list.csv") -> Manifest:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read_manifest_file(tmp_path / name, dataset="mine")


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_csv_is_read_with_any_usual_delimiter_and_byte_order_mark(
    tmp_path: Path, delimiter: str, mark: str
) -> None:
    lines = [("path", "label", "split"), ("a/x.mp4", "walk", "train"), ("b/y.avi", "run", "test")]
    manifest = read(tmp_path, mark + "\n".join(delimiter.join(line) for line in lines))
    assert [(v.video_id, v.labels, v.splits) for v in manifest.videos] == [
        ("a/x", ("walk",), (("default", "train"),)),
        ("b/y", ("run",), (("default", "test"),)),
    ]
    assert manifest.classes == ("run", "walk")
    assert manifest.split_names == ("default",)


def test_rows_of_one_path_are_one_video(tmp_path: Path) -> None:
    text = "path,label,start,end,caption\nx.mp4,walk,,,\nx.mp4,run,1.5,2,\nx.mp4,,,,someone walks\nx.mp4,walk,,,\n"
    [video] = read(tmp_path, text).videos
    assert video.labels == ("walk",)
    assert video.segments == (Segment(1.5, 2.0, "run"),)
    assert video.captions == ("someone walks",)


def test_several_splits_in_one_cell(tmp_path: Path) -> None:
    manifest = read(tmp_path, "path,split\nx.mp4,s1:train;s2:test\ny.mp4,s1:validation\n")
    assert manifest.split_names == ("s1", "s2")
    assert [video.video_id for video in manifest.videos_in("s1", "train")] == ["x"]
    assert [video.video_id for video in manifest.videos_in("s1", "val")] == ["y"]
    assert [video.video_id for video in manifest.videos_in("s2", "test")] == ["x"]


def test_other_columns_are_named_and_ignored(tmp_path: Path) -> None:
    manifest = read(tmp_path, "path,weather,label\nx.mp4,sunny,walk\n")
    assert "weather" in manifest.notes[0]
    assert manifest.videos[0].labels == ("walk",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("path,label\n,walk\n", "line 2: the path is empty"),
        ("path,label\nok.mp4,a\n/etc/passwd,b\n", "line 3: '/etc/passwd' leads out"),
        ("path,label\n../../x.mp4,a\n", "line 2: '../../x.mp4' leads out"),
        ("path,start,label\nx.mp4,1,a\n", "needs both start and end"),
        ("path,start,end,label\nx.mp4,2,1,a\n", "is empty or negative"),
        ("path,start,end,label\nx.mp4,nan,1,a\n", "is empty or negative"),
        ("path,start,end,label\nx.mp4,soon,1,a\n", "start 'soon' is no number"),
        ("path,start,end\nx.mp4,0,1\n", "a segment needs a label"),
        ("path,split\nx.mp4,sometimes\n", "'sometimes' is none of train, val, test"),
        ("video,label\nx.mp4,a\n", "no column is called path; found video, label"),
        ("", "no column is called path"),
        ("path\n", "it lists no video"),
    ],
)
def test_wrong_rows_are_named_by_their_line(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ManifestUnreadable) as caught:
        read(tmp_path, text)
    assert problem in str(caught.value)
    assert str(tmp_path / "list.csv") in str(caught.value)


def test_many_wrong_rows_are_counted_and_some_shown(tmp_path: Path) -> None:
    with pytest.raises(ManifestUnreadable, match=r"and 80 more") as caught:
        read(tmp_path, "path\n" + "../x.mp4\n" * 100)
    assert len(caught.value.problems) == 20


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("list.jsonl", b'{"path": "x.mp4"}\n{"path": \n', "line 2: no JSON"),
        ("list.jsonl", b"[1]\n", "line 1: no JSON object"),
        ("list.jsonl", b'{"path": 3}\n', "line 1: the path is empty"),
        ("list.jsonl", b'{"path": "x.mp4", "label": ["a"]}\n', "is no text"),
        ("list.parquet", b"not parquet", "no Parquet file"),
        ("list.csv", b"path\n\xff\xfe\n", "it is not UTF-8"),
        ("list.xlsx", b"", "suffix '.xlsx' is none of"),
    ],
)
def test_files_of_no_kind_are_refused(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ManifestUnreadable) as caught:
        read_manifest_file(tmp_path / name, dataset="mine")
    assert problem in str(caught.value)


def test_a_missing_file_and_a_parquet_without_paths_are_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pytest.raises(ManifestUnreadable, match="there is no such file"):
        read_manifest_file(tmp_path / "none.csv", dataset="mine")
    pq.write_table(pa.table({"video": ["x"]}), tmp_path / "list.parquet")
    with pytest.raises(ManifestUnreadable, match="no column is called path; found video"):
        read_manifest_file(tmp_path / "list.parquet", dataset="mine")


def test_a_manifest_is_written_only_as_a_known_kind(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no \.csv, \.jsonl or \.parquet"):
        write_manifest_file(Manifest("mine", tmp_path, (), ()), tmp_path / "list.json")


def test_two_files_with_one_id_are_named(tmp_path: Path) -> None:
    with pytest.raises(VideoCollision) as caught:
        read(tmp_path, "path\na/x.mp4\na/x.avi\n")
    assert caught.value.paths == ("a/x.mp4", "a/x.avi")


def test_a_video_in_two_roles_of_a_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(SplitLeak) as caught:
        read(tmp_path, "path,split\nx.mp4,train\nx.mp4,test\ny.mp4,train\n")
    assert caught.value.video_ids == ("x",)


@given(st.lists(st.sampled_from(["..", ".", "a", "b.c", "...", "", "a..b"]), min_size=1, max_size=6))
def test_a_path_stays_inside_or_is_refused(parts: list[str]) -> None:
    """The definition: joined to the root and normalised as the system does, it is below the root, not the root."""
    root = Path("/data/root")
    path = "/".join(parts)
    expected = os.path.normpath(f"{root}/{path}") if not path.startswith("/") else None
    try:
        found = inside(path, root)
    except OutsideRoot:
        assert expected is None or root not in Path(expected).parents or _leaves_on_the_way(parts)
    else:
        assert expected is not None
        assert root / found == Path(expected) != root


def _leaves_on_the_way(parts: list[str]) -> bool:
    depth = 0
    for part in parts:
        depth += -1 if part == ".." else 0 if part in {"", "."} else 1
        if depth < 0:
            return True
    return False


def test_an_absolute_path_below_the_root_is_taken(tmp_path: Path) -> None:
    assert inside(str(tmp_path / "a" / "x.mp4"), tmp_path) == "a/x.mp4"


def test_a_link_out_of_the_root_is_refused_when_the_video_is_opened(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "secret.mp4").touch()
    (root / "x.mp4").symlink_to(tmp_path / "secret.mp4")
    manifest = read(root, "path\nx.mp4\n")
    with pytest.raises(OutsideRoot):
        manifest.absolute(manifest.videos[0])


def test_a_segment_must_have_a_length() -> None:
    for start, end in ((1.0, 1.0), (-1.0, 1.0), (0.0, float("inf"))):
        with pytest.raises(DatasetError, match="empty or negative"):
            Segment(start, end, "x")


def test_a_link_to_itself_is_not_followed_for_ever(tmp_path: Path) -> None:
    (tmp_path / "x.mp4").symlink_to(tmp_path / "x.mp4")
    manifest = read(tmp_path, "path\nx.mp4\n")
    assert manifest.absolute(manifest.videos[0]) == tmp_path / "x.mp4"
