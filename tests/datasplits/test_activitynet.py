"""ActivityNet as users really download it: each trap in a fixture of our own; BMN's lists where they are present."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from vlp.datasplits import load_dataset
from vlp.datasplits.counts import counts_of
from vlp.datasplits.errors import AnnotationsMissing, ManifestUnreadable, OutsideRoot
from vlp.datasplits.manifest import Manifest, Segment

Touch = Callable[..., Path]
WriteLists = Callable[[Path, Mapping[str, str]], Path]

BMN = [
    folder
    for folder in [Path(__file__).parents[2].parent / "shared" / "annotations" / "activitynet"]
    if (folder / "anet_anno_action.json").is_file()
]
OFFICIAL_NAME = "activity_net.v1-3.min.json"


def row(subset: str, duration: object, *instances: tuple[Any, Any, Any]) -> dict[str, Any]:
    annotations = [{"segment": [start, end], "label": label} for start, end, label in instances]
    return {"duration": duration, "subset": subset, "annotations": annotations}


DATABASE = {
    "--0edUL8zmA": row("training", 92.18, (5, 90.5, "Dodgeball"), (5, 90.5, "Dodgeball"), (5, 90.5, "Polo")),
    "a": row("validation", 30.0, (28, 30.04, "Polo"), (-0.5, 4, "Polo"), (31, 32, "Polo"), (2, 2, "Polo")),
    "b": row("validation", 10.0, (0, 0, "Playing guitarra")),
    "c": row("testing", 20.0),
}
BMN_LISTS = {
    "anet_anno_action.json": json.dumps(
        {
            f"v_{name}": {"duration_second": held["duration"], "annotations": held["annotations"]}
            for name, held in DATABASE.items()
            if name != "b"
        }
    ),
    "video_info_new.csv": "video,numFrame,seconds,fps,rfps,subset,featureFrame\n"
    "v_--0edUL8zmA,2303,92.18,25.0,24.98,training,2304\nv_a,1,30.0,30.0,30,validation,1\nv_c,1,20,0,30,testing,1\n",
}


def write_official(folder: Path, database: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / OFFICIAL_NAME).write_text(json.dumps({"version": "1.3", "database": database}))
    return folder


def load(root: Path, *options: str, annotations: Path | None = None) -> Manifest:
    return load_dataset("activitynet", root=root, annotations=annotations, options=options)


def test_ids_gain_the_v_that_file_names_have(tmp_path: Path, touch: Touch) -> None:
    write_official(touch(tmp_path, "v_--0edUL8zmA.mkv", "val/v_a.webm"), DATABASE)
    manifest = load(tmp_path)
    assert [(video.video_id, video.path) for video in manifest.videos] == [
        ("v_--0edUL8zmA", "v_--0edUL8zmA.mkv"),
        ("v_a", "val/v_a.webm"),
        ("v_b", "v_b.mp4"),
        ("v_c", "v_c.mp4"),
    ]
    assert manifest.test_role == "val"
    [tested] = manifest.videos_in("default", "test")
    assert (tested.labels, tested.segments, tested.duration_seconds) == ((), (), 20.0)


def test_wrong_instances_are_mended_and_counted(tmp_path: Path) -> None:
    manifest = load(write_official(tmp_path, DATABASE))
    train, a, b, _ = manifest.videos
    assert train.segments == (Segment(5.0, 90.5, "Dodgeball"), Segment(5.0, 90.5, "Polo"))
    assert train.labels == ("Dodgeball", "Polo")
    assert a.segments == (Segment(0.0, 4.0, "Polo"), Segment(28.0, 30.0, "Polo"))
    assert (b.segments, b.labels) == ((), ("Playing guitarra",))  # misspelt by the dataset
    assert manifest.classes == ("Dodgeball", "Playing guitarra", "Polo")
    assert "instances without a length, left out: 3" in manifest.notes
    assert "instances listed twice, left out: 1" in manifest.notes
    assert "instances past an end of their video, clipped: 2" in manifest.notes


def test_the_list_that_was_read_is_named(tmp_path: Path, write_lists: WriteLists) -> None:
    write_lists(tmp_path, BMN_LISTS)
    found = load(tmp_path)
    assert found.notes[0] == "lists: bmn (anet_anno_action.json)"
    assert "videos: 3 listed, 19,228 published" in found.notes
    assert [video.fps for video in found.videos] == [25.0, 30.0, None]
    write_official(tmp_path, DATABASE)
    assert load(tmp_path).notes[0] == f"lists: official ({OFFICIAL_NAME})"
    assert "videos: 4 listed, 19,994 published" in load(tmp_path).notes
    assert load(tmp_path, "lists=bmn").notes == found.notes
    same = {video.video_id: video for video in load(tmp_path, "lists=official").videos}
    assert all(video.segments == same[video.video_id].segments for video in found.videos)


@pytest.mark.parametrize("lists", ["found", "official", "bmn"])
def test_a_list_that_is_not_there_is_named(tmp_path: Path, lists: str) -> None:
    with pytest.raises(AnnotationsMissing, match="anet_anno_action" if lists == "bmn" else "activity_net"):
        load(tmp_path, f"lists={lists}")


def test_classes_are_in_the_order_of_bmn_where_its_list_has_them_all(
    tmp_path: Path, write_lists: WriteLists
) -> None:
    write_official(tmp_path, DATABASE)
    write_lists(tmp_path, {"action_name.csv": "action\nPolo\nPlaying guitarra\nDodgeball\nArchery\n"})
    assert load(tmp_path).classes == ("Polo", "Playing guitarra", "Dodgeball", "Archery")
    write_lists(tmp_path, {"action_name.csv": "action\nPolo\nDodgeball\n"})
    manifest = load(tmp_path)
    assert manifest.classes == ("Dodgeball", "Playing guitarra", "Polo")
    assert any("action_name.csv lacks 1, such as Playing guitarra" in note for note in manifest.notes)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        (row("test", 1.0), "subset 'test' is none of"),
        (row("training", -1.0), "is negative"),
        (row("training", "long"), "no number of seconds"),
        (row("training", None), "no number of seconds"),
        (row("training", float("nan")), "no number of seconds"),
        (row("training", 10**400), "no number of seconds"),
        (row("training", 1.0, (0, float("inf"), "Polo")), "no number of seconds"),
        (row("training", 1.0, (True, 1, "Polo")), "no number of seconds"),
        (row("training", 1.0, (0, 1, "")), "no class name"),
        (row("training", 1.0, (0, 1, "a\x1b[2J")), "no class name"),
        (row("training", 1.0, (0, 1, 5)), "no 'label' of kind str"),
        ({"duration": 1.0, "subset": "training"}, "no 'annotations' of kind list"),
        ({"duration": 1.0, "subset": "training", "annotations": [{"segment": [1], "label": "x"}]}, "1 times"),
        ({"duration": 1.0, "subset": "training", "annotations": [[0, 1]]}, "no 'segment' of kind list"),
        ([], "no 'subset' of kind str"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, entry: object, problem: str) -> None:
    write_official(tmp_path, {"fine": row("training", 1.0), "oops": entry})
    with pytest.raises(ManifestUnreadable, match=problem) as caught:
        load(tmp_path)
    assert "oops" in str(caught.value)
    assert caught.value.path == tmp_path / OFFICIAL_NAME


def test_an_id_cannot_lead_out_of_the_root(tmp_path: Path) -> None:
    with pytest.raises(OutsideRoot):
        load(write_official(tmp_path, {"/../../x": row("training", 1.0)}))


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("video_info_new.csv", "video,subset,fps\nv_a,validation,30\n", "lacks the video 'v_--0edUL8zmA'"),
        ("video_info_new.csv", "video,fps\n", "no column is called subset"),
        ("video_info_new.csv", BMN_LISTS["video_info_new.csv"].replace("25.0", "fast"), "no number"),
        ("anet_anno_action.json", "[]", "holds no object"),
    ],
)
def test_a_wrong_list_of_bmn_is_named(
    tmp_path: Path, name: str, text: str, problem: str, write_lists: WriteLists
) -> None:
    write_lists(tmp_path, BMN_LISTS | {name: text})
    with pytest.raises(ManifestUnreadable, match=problem):
        load(tmp_path)


@pytest.mark.parametrize("folder", BMN)
def test_the_list_of_bmn_gives_the_published_counts(folder: Path, tmp_path: Path) -> None:
    manifest = load(tmp_path, annotations=folder)
    counts = counts_of(manifest)
    assert (counts["videos"], counts["classes"]) == (19228, 200)
    assert (counts["default train"], counts["default val"]) == (9649, 4728)
    assert manifest.classes[:2] == ("Applying sunscreen", "Arm wrestling")
    assert "instances without a length, left out: 12" in manifest.notes
    assert "instances listed twice, left out: 45" in manifest.notes
    listed = json.loads((folder / "anet_anno_action.json").read_text())
    num_listed = sum(len(held["annotations"]) for held in listed.values())
    assert counts["default train segments"] + counts["default val segments"] == num_listed - 12 - 45
    assert not any("published" in note for note in manifest.notes)
