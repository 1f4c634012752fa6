"""Kinetics as users really have it: each trap in a list of our own, and the official lists where they are present."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlp.datasplits import dataset_module, load_dataset
from vlp.datasplits.counts import counts_of
from vlp.datasplits.errors import AnnotationsMissing, DatasetError, ManifestUnreadable, OutsideRoot, SplitLeak
from vlp.datasplits.manifest import Manifest, inside

Touch = Callable[..., Path]
WriteLists = Callable[[Path, Mapping[str, str]], Path]

OFFICIAL = Path(__file__).parents[2].parent / "shared" / "annotations"
needs_official = pytest.mark.skipif(not (OFFICIAL / "kinetics").is_dir(), reason="no official lists here")
HEADER = "label,youtube_id,time_start,time_end,split\n"
TRAIN = (
    HEADER
    + "massaging person's head,-3B32lodo2M,59,69,train\nbackflip (human),Zv09PB3YQAs,417.0,427.0,train\n"
)
VAL = HEADER + "abseiling,0wR5jVB-WPk,417,427,val\nabseiling,0wR5jVB-WPk,36,46,val\n"
TEST = "youtube_id,time_start,time_end,split\n__NrybzYzUg,415,425,test\n"
CLIPS = (
    "-3B32lodo2M_000059_000069",
    "Zv09PB3YQAs_000417_000427",
    "0wR5jVB-WPk_000417_000427",
    "0wR5jVB-WPk_000036_000046",
    "__NrybzYzUg_000415_000425",
)


def read(root: Path, train: str = TRAIN, **lists: str) -> Manifest:
    (root / "train.csv").write_text(train, encoding="utf-8")
    for name, text in lists.items():
        (root / f"{name}.csv").write_text(text, encoding="utf-8")
    return load_dataset("kinetics400", root=root)


def test_clips_have_the_names_roles_and_labels_of_their_lists(tmp_path: Path) -> None:
    manifest = read(tmp_path, val=VAL, test=TEST)
    assert [(video.video_id, video.labels, video.splits) for video in manifest.videos] == [
        (CLIPS[0], ("massaging person's head",), (("default", "train"),)),
        (CLIPS[1], ("backflip (human)",), (("default", "train"),)),
        (CLIPS[2], ("abseiling",), (("default", "val"),)),
        (CLIPS[3], ("abseiling",), (("default", "val"),)),
        (CLIPS[4], (), (("default", "test"),)),
    ]
    assert manifest.classes == ("abseiling", "backflip (human)", "massaging person's head")
    assert (manifest.dataset, manifest.test_role, manifest.default_split) == ("kinetics400", "val", "default")
    assert all(inside(video.video_id, tmp_path) == video.video_id for video in manifest.videos)


@pytest.mark.parametrize(
    "test",
    [HEADER + ",__NrybzYzUg,415,425,test\n", TEST, "time_end,time_start,youtube_id\n425,415,__NrybzYzUg\n"],
)
def test_a_test_list_may_have_no_labels(tmp_path: Path, test: str) -> None:
    video = read(tmp_path, test=test).videos[-1]
    assert (video.video_id, video.labels) == ("__NrybzYzUg_000415_000425", ())


def test_a_test_list_may_have_labels(tmp_path: Path) -> None:
    assert read(tmp_path, test=HEADER + "yoga,a,1,2,test\n").videos[-1].labels == ("yoga",)


@pytest.mark.parametrize("folder", ["", "train/", "train/backflip (human)/", "a/b/massaging_person's_head/"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".MP4"])
def test_clips_are_found_in_any_folder(tmp_path: Path, folder: str, suffix: str, touch: Touch) -> None:
    touch(tmp_path, *(f"{folder}{clip}{suffix}" for clip in CLIPS))
    manifest = read(tmp_path, val=VAL, test=TEST)
    assert [video.path for video in manifest.videos] == [f"{folder}{clip}{suffix}" for clip in CLIPS]
    assert not any("in no list" in note for note in manifest.notes)


def test_a_whole_video_is_the_clip_where_the_lists_have_one_of_it(tmp_path: Path, touch: Touch) -> None:
    touch(tmp_path, "val/0wR5jVB-WPk.mp4", "yoga/-3B32lodo2M.webm", "Zv09PB3YQAs.mp4", f"{CLIPS[1]}.mp4")
    manifest = read(tmp_path, val=VAL)
    assert {video.video_id: video.path for video in manifest.videos} == {
        CLIPS[0]: "yoga/-3B32lodo2M.webm",
        CLIPS[1]: f"{CLIPS[1]}.mp4",  # the clip itself goes before the video that it is cut from
        CLIPS[2]: f"{CLIPS[2]}.mp4",  # of two clips, the whole video is neither
        CLIPS[3]: f"{CLIPS[3]}.mp4",
    }
    assert "videos on disk that are in no list: 2, such as Zv09PB3YQAs.mp4" in manifest.notes


def test_ids_that_differ_by_case_are_two_videos(tmp_path: Path, touch: Touch) -> None:
    touch(tmp_path, "x/aB_000001_000011.mp4", "x/Ab_000001_000011.mp4")
    videos = read(tmp_path, HEADER + "yoga,aB,1,11,train\nyoga,Ab,1,11,train\n").videos
    assert [video.path for video in videos] == ["x/aB_000001_000011.mp4", "x/Ab_000001_000011.mp4"]


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("train.csv", "train"),
        ("validate.csv", "val"),
        ("val.csv", "val"),
        ("validation.csv", "val"),
        ("test.csv", "test"),
        ("kinetics-400_train.csv", "train"),
        ("kinetics_400_val.csv", "val"),
        ("kinetics400_validate.csv", "val"),
        ("Kinetics-400-Test.csv", "test"),
        ("k400_train.csv", "train"),
    ],
)
@pytest.mark.parametrize("place", [".", "annotations", "../annotations", "k400", "../kinetics400"])
def test_a_list_is_known_by_its_name(
    tmp_path: Path, name: str, role: str, place: str, write_lists: WriteLists
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    write_lists(root / place, {name: HEADER + "yoga,a,1,11,\n"})
    manifest = load_dataset("kinetics400", root=root)
    assert manifest.videos_in("default", role) == manifest.videos
    rest = ", ".join(other for other in ("train", "val", "test") if other != role)
    assert {f"lists read: {name}", f"no list was found for {rest}"} <= set(manifest.notes)


def test_lists_that_name_the_dataset_go_before_others_and_those_of_another_are_not_read(
    tmp_path: Path,
) -> None:
    names = ["train", "k400_train", "kinetics-600_train", "kinetics-700_val", "mine_train", "missing"]
    manifest = read(tmp_path, **{name: HEADER + f"yoga,{name},1,11,\n" for name in names})
    assert [video.video_id for video in manifest.videos] == ["k400_train_000001_000011"]
    assert "lists passed over: train.csv" in manifest.notes


def test_the_lists_of_2020_are_read_as_kinetics700_after_its_own(tmp_path: Path) -> None:
    (tmp_path / "kinetics700_2020_train.csv").write_text(HEADER + "yoga,new,1,11,train\n")
    assert load_dataset("kinetics700", root=tmp_path).videos[0].video_id == "new_000001_000011"
    (tmp_path / "kinetics700_train.csv").write_text(HEADER + "yoga,old,1,11,train\n")
    assert load_dataset("kinetics700", root=tmp_path).videos[0].video_id == "old_000001_000011"


def test_without_any_list_it_says_what_is_needed(tmp_path: Path) -> None:
    (tmp_path / "kinetics-600_val.csv").write_text(VAL)
    with pytest.raises(AnnotationsMissing, match=r"train\.csv, val\.csv and test\.csv") as caught:
        load_dataset("kinetics400", root=tmp_path)
    assert tmp_path / "annotations" in caught.value.looked_in
    with pytest.raises(AnnotationsMissing, match="nowhere"):
        load_dataset("kinetics400", root=tmp_path, annotations=tmp_path / "nowhere")


def test_a_clip_listed_again_counts_once(tmp_path: Path) -> None:
    manifest = read(tmp_path, HEADER + "yoga,a,1,11,train\nyoga,a,1.0,11.0,train\nyoga,a,2,12,train\n")
    assert [video.video_id for video in manifest.videos] == ["a_000001_000011", "a_000002_000012"]
    assert "rows that repeat a clip of their list: 1, such as a_000001_000011" in manifest.notes
    assert not any("two labels" in note for note in manifest.notes)


def test_a_clip_with_two_labels_keeps_the_first_and_is_counted(tmp_path: Path) -> None:
    manifest = read(tmp_path, HEADER + "yoga,a,1,11,train\nzumba,a,1,11,train\nzumba,b,1,11,train\n")
    assert manifest.videos[0].labels == ("yoga",)
    assert (
        "clips listed with two labels, of which the first counts: 1, such as a_000001_000011"
        in manifest.notes
    )


def test_a_clip_of_two_lists_is_a_leak_that_is_named(tmp_path: Path) -> None:
    with pytest.raises(SplitLeak, match="two roles: a_000001_000011") as caught:
        read(tmp_path, HEADER + "yoga,a,1,11,train\nyoga,b,1,11,train\n", val=HEADER + "yoga,a,1,11,val\n")
    assert caught.value.video_ids == ("a_000001_000011",)


def test_a_clip_of_two_lists_may_leave_training(tmp_path: Path) -> None:
    train = HEADER + "yoga,a,1,11,train\nyoga,b,1,11,train\nyoga,c,1,11,train\n"
    val, test = HEADER + "yoga,a,1,11,val\nyoga,d,1,11,val\n", TEST + "b,1,11,test\nd,1,11,test\n"
    with pytest.raises(SplitLeak):
        read(tmp_path, train, val=val, test=test)
    manifest = load_dataset("kinetics400", root=tmp_path, options=["leaks=drop"])
    roles = {video.video_id[0]: video.splits for video in manifest.videos}
    assert {key: splits[0][1] for key, splits in roles.items() if len(splits) == 1} == {
        "a": "val",
        "b": "test",
        "c": "train",
        "d": "val",
        "_": "test",
    }
    assert manifest.videos[1].labels == ("yoga",)  # the label of the list that has one
    assert "clips of two lists, taken out of training: 3, such as a_000001_000011" in manifest.notes


def test_a_label_may_come_from_the_second_list(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text(HEADER + ",a,1,11,test\nyoga,a,1,11,test\n")
    assert load_dataset("kinetics400", root=tmp_path).videos[0].labels == ("yoga",)


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("yoga,#NAME?,1,11,train", "'#NAME\\?' is no YouTube id"),
        ("yoga,a,1", "3 cells, and not 4"),
        ("yoga,,1,11,train", "'' is no YouTube id"),
        ("yoga,../../secret,1,11,train", "is no YouTube id"),
        ("yoga,a\x1b[2J,1,11,train", r"'a\\x1b\[2J' is no YouTube id"),
        ("yoga,\u0661,1,11,train", "is no YouTube id"),
        ("yoga,a,nan,11,train", "'nan' is no time"),
        ("yoga,a,1,inf,train", "'inf' is no time"),
        ("yoga,a,-1,11,train", "'-1' is no time"),
        ("yoga,a,one,11,train", "'one' is no time"),
        (f"yoga,a,{'9' * 5000},11,train", "9' is no time"),
        ("yoga,a,1000000,11,train", "'1000000' is no time"),
        (",a,1,11,train", "a_000001_000011 has no label"),
        ("yo\x1bga,a,1,11,train", "is no class name"),
        ("yoga,a,1,11,val", "a is of split val, and the list is named as of train"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: str, problem: str) -> None:
    with pytest.raises(ManifestUnreadable, match=f"line 3: .*{problem}") as caught:
        read(tmp_path, f"{HEADER}zumba,b,1,11,train\n{row}\n")
    assert caught.value.path == tmp_path / "train.csv"
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"id,start\n", b"\xff\xfe", HEADER.encode() + b"yoga,caf\xe9,1,11,train\n"]
)
def test_what_is_no_list_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "train.csv").write_bytes(content)
    with pytest.raises(ManifestUnreadable) as caught:
        load_dataset("kinetics400", root=tmp_path)
    assert caught.value.path == tmp_path / "train.csv"


def test_a_byte_order_mark_and_windows_line_ends_are_no_matter(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(b"\xef\xbb\xbf" + TRAIN.replace("\n", "\r\n").encode())
    assert [video.video_id for video in load_dataset("kinetics400", root=tmp_path).videos] == list(CLIPS[:2])


def test_a_link_out_of_the_root_is_refused(tmp_path: Path, touch: Touch) -> None:
    touch(tmp_path, "outside/a.mp4", "root/b.mp4")
    (tmp_path / "root" / "a.mp4").symlink_to(tmp_path / "outside" / "a.mp4")
    with pytest.raises(OutsideRoot):
        read(tmp_path / "root")


def test_what_differs_from_the_published_counts_is_noted_of_the_lists_that_are_there(tmp_path: Path) -> None:
    notes = read(tmp_path).notes
    assert "default train: 2 listed, 246,534 published" in notes
    assert "classes: 2 listed, 400 published" in notes
    assert not any(name in note for note in notes for name in ("default val", "videos:"))
    assert "videos: 5 listed, 306,245 published" in read(tmp_path, val=VAL, test=TEST).notes


CELLS = st.text(max_size=12) | st.sampled_from(
    ["yoga", "a-_Z", "1", "417.0", "nan", "-1", "1e999", "..", "val"]
)


@given(rows=st.lists(st.lists(CELLS, min_size=0, max_size=6), max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_any_table_is_read_or_refused(tmp_path: Path, rows: list[list[str]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    (tmp_path / "train.csv").write_bytes((HEADER + text.getvalue()).encode("utf-8", "replace"))
    try:
        manifest = load_dataset("kinetics400", root=tmp_path)
    except DatasetError:
        return
    for video in manifest.videos:
        assert inside(video.video_id, tmp_path) == video.video_id
        assert all(label in manifest.class_index for label in video.labels)


@needs_official
@pytest.mark.parametrize(("name", "key"), [("kinetics400", "k400"), ("kinetics600", "k600")])
def test_the_official_validation_list_gives_the_published_counts_and_label_map(
    name: str, key: str, tmp_path: Path
) -> None:
    manifest = load_dataset(name, root=tmp_path, annotations=OFFICIAL / "kinetics")
    published = dataset_module(name).PUBLISHED
    counts = counts_of(manifest)
    assert (counts["classes"], counts["default val"]) == (published["classes"], published["default val"])
    assert manifest.notes == (f"lists read: kinetics-{key[1:]}_val.csv", "no list was found for train, test")
    lists = json.loads((OFFICIAL / "protocols" / "kinetics_class_lists.json").read_text())
    assert list(manifest.classes) == lists[key]


@needs_official
def test_the_label_map_of_kinetics700_is_in_the_order_that_classes_take() -> None:
    lists = json.loads((OFFICIAL / "protocols" / "kinetics_class_lists.json").read_text())
    assert lists["k700"] == sorted(lists["k700"])
    assert len(lists["k700"]) == dataset_module("kinetics700").PUBLISHED["classes"]
