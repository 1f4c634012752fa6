"""Lists that a stranger wrote: each ends in a manifest or in a `DatasetError`, and in no other exception."""

import json
import pickle
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vlp.datasplits import load_dataset
from vlp.datasplits.errors import DatasetError, OutsideRoot
from vlp.datasplits.manifest import Manifest, inside
from vlp.datasplits.manifest_file import read_manifest_file

TIMES = "\t00.00.51.926\t00.00.54.129\t00.00.51.900\t00.00.54.200\t"
LISTS: dict[str, dict[str, str]] = {
    "activitynet": {
        "activity_net.v1-3.min.json": json.dumps(
            {
                "database": {
                    "a": {
                        "duration": 30.5,
                        "subset": "training",
                        "annotations": [{"segment": [1.5, 9], "label": "Polo"}],
                    }
                }
            }
        ),
        "action_name.csv": "action\nPolo\n",
    },
    "activitynet bmn": {
        "anet_anno_action.json": json.dumps(
            {"a": {"duration_second": 30.5, "annotations": [{"segment": [1.5, 9], "label": "Polo"}]}}
        ),
        "video_info_new.csv": "video,subset,fps\na,training,30\n",
    },
    "didemo": {
        "test_data.json": json.dumps([{"video": "a", "description": "a cat"}]),
        "test_list.txt": "a\n",
    },
    "lsmdc": {
        "LSMDC16_annos_val.csv": f"a{TIMES}He sits.\n",
        "LSMDC16_challenge_1000_publictect.csv": f"b{TIMES}She sits.\n",
    },
    "msrvtt": {
        "MSRVTT_train.9k.csv": "video_id\na\n",
        "MSRVTT_JSFUSION_test.csv": "key,video_id,sentence\nret0,b,a cat\n",
        "MSRVTT_data.json": json.dumps(
            {
                "videos": [{"video_id": "a", "split": "train"}],
                "sentences": [{"video_id": "a", "caption": "a dog"}],
            }
        ),
    },
    "msvd": {
        "train_list.txt": "a\n",
        "val_list.txt": "b\n",
        "test_list.txt": "c\n",
        "MSR Video Description Corpus.csv": "VideoID,Start,End,Language,Description\na,1,2,English,a cat\n",
    },
    "smit": {
        "train.json": json.dumps([{"video": "a", "caption": "a cat"}]),
        "test.csv": "video,caption\nb,x\n",
    },
    "thumos14": {
        "CliffDiving_val.txt": "video_validation_0000001  1.5 9\n",
        "CliffDiving_test.txt": "video_test_0000001  1.5 9\n",
        "test_durations.txt": "video_test_0000001.mp4\n30.5\n",
        "detclasslist.txt": "23 CliffDiving\n",
    },
}
FILES = [(dataset, name) for dataset, lists in LISTS.items() for name in lists]
CONTENTS = {
    "nothing": b"",
    "no UTF-8": b"caf\xe9,\xff\xfe\x00",
    "null bytes": b"\x00" * 50,
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"database":' * 50_000,
    "a huge number": b"9" * 5000,
    "no number": b"NaN",
    "null": b"null",
    "a list of lists": b"[[], [1], null]",
    "an object of null": b'{"database": {"a": null}, "a": null, "sentences": null, "annotations": {}}',
    "text": b"a b c d e f g\n" * 3,
    "a long line": b"a" * 200_000 + b"\n",
    "quotes": b'"' * 1001,
    "a pickle": pickle.dumps({"a": [["b"]]}),
}


def write(folder: Path, dataset: str, name: str, content: bytes) -> None:
    for other, text in LISTS[dataset].items():
        (folder / other).write_text(text)
    (folder / name).write_bytes(content)


def load(folder: Path, dataset: str) -> Manifest | None:
    try:
        return load_dataset(dataset.partition(" ")[0], root=folder)
    except DatasetError:
        return None


def is_refused_or_sound(manifest: Manifest | None, root: Path) -> bool:
    """Tell whether nothing was read, or only videos below the root, of classes that are known."""
    return manifest is None or all(
        inside(video.path, root) == video.path and manifest.class_index.keys() >= {*video.labels}
        for video in manifest.videos
    )


@pytest.mark.parametrize("dataset", LISTS)
def test_the_lists_are_read_as_long_as_nobody_changes_them(tmp_path: Path, dataset: str) -> None:
    name, text = next(iter(LISTS[dataset].items()))
    write(tmp_path, dataset, name, text.encode())
    manifest = load(tmp_path, dataset)
    assert manifest is not None
    assert manifest.videos


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize(("dataset", "name"), FILES)
def test_other_contents_are_read_or_refused(tmp_path: Path, dataset: str, name: str, content: bytes) -> None:
    write(tmp_path, dataset, name, content)
    assert is_refused_or_sound(load(tmp_path, dataset), tmp_path)


@pytest.mark.parametrize(("dataset", "name"), FILES)
def test_a_folder_in_the_place_of_a_list_is_refused_or_passed_over(
    tmp_path: Path, dataset: str, name: str
) -> None:
    write(tmp_path, dataset, name, b"")
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    assert is_refused_or_sound(load(tmp_path, dataset), tmp_path)


@pytest.mark.parametrize(("dataset", "name"), FILES)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_changes_anywhere_are_read_or_refused(
    tmp_path: Path, dataset: str, name: str, data: st.DataObject
) -> None:
    text = LISTS[dataset][name].encode()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 4)))
    hostile = [
        b"..",
        b"/",
        b"\\",
        b"\x1b[2J",
        b"\xff",
        b"1e999",
        b"-1",
        b"NaN",
        b"null",
        b"\\ud800",
        b'"',
        b"\n",
        b",",
    ]
    inserted = data.draw(st.sampled_from(hostile) | st.binary(max_size=4))
    write(tmp_path, dataset, name, text[:start] + inserted + text[end:])
    manifest = load(tmp_path, dataset)
    for video in manifest.videos if manifest else ():
        assert ".." not in video.video_id.split("/")
        for text_shown in (video.video_id, video.path, *video.labels, *video.captions):
            assert "\x1b" not in text_shown


@pytest.mark.parametrize("video", ["x/../../../y", "../y", "x\x1b[2J", "x\x85y"])
@pytest.mark.parametrize("dataset", LISTS)
def test_ids_that_lead_out_of_the_root_or_steer_a_terminal_are_refused(
    tmp_path: Path, dataset: str, video: str
) -> None:
    name, text = {
        "activitynet": (
            "activity_net.v1-3.min.json",
            json.dumps(
                {"database": {f"/../{video}": {"duration": 1, "subset": "training", "annotations": []}}}
            ),
        ),
        "activitynet bmn": (
            "anet_anno_action.json",
            json.dumps({video: {"duration_second": 1, "annotations": []}}),
        ),
        "didemo": ("test_data.json", json.dumps([{"video": video, "description": "a cat"}])),
        "lsmdc": ("LSMDC16_annos_val.csv", f"{video}{TIMES}He sits.\n"),
        "msrvtt": ("MSRVTT_train.9k.csv", f"video_id\n{video}\n"),
        "msvd": ("test_list.txt", f"{video}\n"),
        "smit": ("train.json", json.dumps([{"video": video, "caption": "a cat"}])),
        "thumos14": ("CliffDiving_test.txt", f"{video}  1.5 9\n"),
    }[dataset]
    write(tmp_path, dataset, name, text.encode())
    if dataset == "didemo":
        (tmp_path / "test_list.txt").unlink()  # it would leave the video out
    if dataset == "activitynet bmn":
        (tmp_path / "video_info_new.csv").write_text(f"video,subset,fps\n{video},training,30\n")
    assert load(tmp_path, dataset) is None


@pytest.mark.parametrize("path", ["...mp4", "..mp4", "walk/...mp4"])
def test_a_file_whose_id_would_be_a_folder_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "list.csv").write_text(f"path\n{path}\n")
    with pytest.raises(OutsideRoot):
        read_manifest_file(tmp_path / "list.csv", dataset="mine")
