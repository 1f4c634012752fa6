"""Something-Something V2 as users download it: each trap in lists of our own."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlp.datasplits import load_dataset
from vlp.datasplits.errors import AnnotationsMissing, DatasetError, ManifestUnreadable, OutsideRoot, SplitLeak
from vlp.datasplits.manifest import Manifest, inside

Touch = Callable[..., Path]

OFFICIAL = Path(__file__).parents[2].parent / "shared" / "annotations" / "protocols"
LONG = "something-something-v2-"
# The order of the numbers is neither that of the alphabet nor that of the strings "10" and "9".
LABELS = {f"Doing something {letter}": str(10 - number) for number, letter in enumerate("abcdefghij")} | {
    "Putting something on something": "0"
}
PUT = {
    "id": "78687",
    "label": "putting a cup on a table",
    "template": "Putting [something] on [something]",
    "placeholders": ["a cup", "a table"],
}
DO = {
    "id": "42326",
    "label": "doing a thing c",
    "template": "Doing [something] c",
    "placeholders": ["a thing"],
}
TEST = [{"id": "1420"}]


def read(
    root: Path, train: Any = (PUT,), *, prefix: str = LONG, labels: Any = LABELS, **lists: Any
) -> Manifest:
    for name, held in {"train": train, "labels": labels, **lists}.items():
        (root / f"{prefix}{name}.json").write_text(json.dumps(held))
    return load_dataset("ssv2", root=root)


@pytest.mark.parametrize("prefix", ["", LONG])
def test_videos_have_the_labels_captions_and_roles_of_their_lists(tmp_path: Path, prefix: str) -> None:
    manifest = read(tmp_path, prefix=prefix, validation=[DO], test=TEST)
    assert [(video.video_id, video.labels, video.captions, video.splits) for video in manifest.videos] == [
        (
            "78687",
            ("Putting something on something",),
            ("putting a cup on a table",),
            (("default", "train"),),
        ),
        ("42326", ("Doing something c",), ("doing a thing c",), (("default", "val"),)),
        ("1420", (), (), (("default", "test"),)),
    ]
    assert manifest.classes == (
        "Putting something on something",
        *(f"Doing something {letter}" for letter in "jihgfedcba"),
    )
    assert (manifest.test_role, manifest.default_split) == ("val", "default")


@pytest.mark.parametrize(
    "path", ["78687.webm", "78687.mp4", "20bn-something-something-v2/78687.webm", "a/b/78687.MKV"]
)
def test_a_video_is_found_in_any_folder_and_container(tmp_path: Path, path: str, touch: Touch) -> None:
    touch(tmp_path, path)
    assert read(tmp_path).videos[0].path == path


def test_a_video_that_is_not_there_stays_listed_and_one_that_is_in_no_list_is_counted(
    tmp_path: Path, touch: Touch
) -> None:
    touch(tmp_path, "1.webm")
    manifest = read(tmp_path)
    assert manifest.videos[0].path == "78687.webm"
    assert "videos on disk that are in no list: 1, such as 1.webm" in manifest.notes


@pytest.mark.parametrize("place", [".", "labels", "annotations", "../annotations"])
def test_the_lists_are_found_wherever_they_lie(tmp_path: Path, place: str) -> None:
    root = tmp_path / "root"
    (root / place).mkdir(parents=True, exist_ok=True)
    root.mkdir(exist_ok=True)
    for name, held in {"train": [PUT], "labels": LABELS}.items():
        (root / place / f"{LONG}{name}.json").write_text(json.dumps(held))
    assert len(load_dataset("ssv2", root=root).videos) == 1


def test_an_id_may_be_a_number(tmp_path: Path) -> None:
    assert read(tmp_path, test=[{"id": 1420}]).videos[-1].video_id == "1420"


def test_a_caption_that_would_steer_a_terminal_is_cleaned(tmp_path: Path) -> None:
    assert read(tmp_path, [PUT | {"label": "a cup\x1b\n on it"}]).videos[0].captions == ("a cup on it",)


def test_a_test_list_may_have_templates(tmp_path: Path) -> None:
    assert read(tmp_path, test=[DO]).videos[-1].labels == ("Doing something c",)


def test_absent_lists_and_other_counts_are_noted(tmp_path: Path) -> None:
    notes = read(tmp_path).notes
    assert {"no list was found for val", "no list was found for test"} <= set(notes)
    assert "default train: 1 listed, 168,913 published" in notes
    assert "classes: 11 listed, 174 published" in notes


def test_without_labels_or_without_lists_it_says_what_is_needed(tmp_path: Path) -> None:
    (tmp_path / "train.json").write_text(json.dumps([PUT]))
    with pytest.raises(AnnotationsMissing, match=r"labels\.json"):
        load_dataset("ssv2", root=tmp_path)
    (tmp_path / "train.json").unlink()
    (tmp_path / "labels.json").write_text(json.dumps(LABELS))
    with pytest.raises(ManifestUnreadable, match=r"none of train\.json"):
        load_dataset("ssv2", root=tmp_path)


def test_a_video_of_two_lists_is_a_leak_that_is_named(tmp_path: Path) -> None:
    with pytest.raises(SplitLeak, match="78687"):
        read(tmp_path, validation=[DO, PUT])


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ("78687", "it is no object"),
        ({}, "'' is no video id"),
        (DO | {"id": "../1"}, "'../1' is no video id"),
        (DO | {"id": "\u0661"}, "is no video id"),
        (DO | {"id": "9" * 30}, "is no video id"),
        (DO | {"id": True}, "'True' is no video id"),
        (DO | {"id": None}, "must be text"),
        (DO | {"template": ["Doing"]}, "must be text"),
        (DO | {"template": "Doing [nothing]"}, r"'Doing nothing' is not in labels\.json"),
        ({"id": "1"}, r"'' is not in labels\.json"),
        (DO | {"label": "a \ud800"}, "is no sentence"),
        (DO | {"label": ["a"]}, "is no sentence"),
        (PUT, "video 78687 is listed twice"),
    ],
)
def test_a_wrong_item_is_named(tmp_path: Path, item: Any, problem: str) -> None:
    with pytest.raises(ManifestUnreadable, match=f"item 2: .*{problem}") as caught:
        read(tmp_path, [PUT, item])
    assert caught.value.path == tmp_path / f"{LONG}train.json"
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "labels",
    [
        [],
        {"a": "one"},
        {"a": None},
        {"a": "-1"},
        {"a": "9" * 99},
        {"a": "1"},
        {"a": "0", "b": "0"},
        {"a\x00": "0"},
        {" ": "0"},
        {"\ud800": "0"},
    ],
)
def test_wrong_labels_are_refused(tmp_path: Path, labels: Any) -> None:
    with pytest.raises(ManifestUnreadable) as caught:
        read(tmp_path, labels=labels)
    assert caught.value.path == tmp_path / f"{LONG}labels.json"


@pytest.mark.parametrize("content", [b"", b"{}", b"[", b"\xff\xfe", b"[" * 100_000, b"[{'id': 1}]"])
def test_what_is_no_list_is_refused(tmp_path: Path, content: bytes) -> None:
    read(tmp_path)
    (tmp_path / f"{LONG}train.json").write_bytes(content)
    with pytest.raises(ManifestUnreadable):
        load_dataset("ssv2", root=tmp_path)


def test_a_link_out_of_the_root_is_refused(tmp_path: Path, touch: Touch) -> None:
    touch(tmp_path, "outside/1.webm", "root/2.webm")
    (tmp_path / "root" / "1.webm").symlink_to(tmp_path / "outside" / "1.webm")
    with pytest.raises(OutsideRoot):
        read(tmp_path / "root")


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
ITEM = JSON | st.fixed_dictionaries(
    {"id": JSON | st.just("1"), "template": JSON | st.just(PUT["template"]), "label": JSON}
)


@given(
    train=JSON | st.lists(ITEM, max_size=3), labels=JSON | st.just({"Putting something on something": "0"})
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_any_json_is_read_or_refused(tmp_path: Path, train: Any, labels: Any) -> None:
    try:
        manifest = read(tmp_path, train, labels=labels)
    except DatasetError:
        return
    for video in manifest.videos:
        assert inside(video.video_id, tmp_path) == video.video_id
        assert all(label in manifest.class_index for label in video.labels)


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason="no official lists here")
def test_the_official_labels_are_174_classes_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    labels = json.loads((OFFICIAL / "something-something-v2-labels.json").read_text())
    classes = read(tmp_path, [], labels=labels).classes
    assert len(classes) == 174
    assert {name: str(number) for number, name in enumerate(classes)} == labels
