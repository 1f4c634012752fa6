import json
import os
from collections import Counter
from pathlib import Path

import pytest

from vlp.datasplits.manifest import Manifest, Video
from vlp.pipeline.coverage import Coverage
from vlp.pipeline.published_lists import Draws, ListUnreadable, read_classes, read_draws

OFFICIAL = Path(__file__).parents[3] / "shared" / "annotations" / "protocols"
official = pytest.mark.skipif(not OFFICIAL.is_dir(), reason="the published lists are not there")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("list.txt", b"", "names nothing"),
        ("list.txt", b"a\n\n a \n", "'a' twice"),
        ("list.txt", b"\xff\xfe", "no text in UTF-8"),
        ("list.txt", b"a\x1bb\n", "control character"),
        ("list.csv", b"id,label\n0,a\n", "none of its columns is called name, path, video, video_id"),
        ("list.csv", b"id,name\n0,\n", "names nothing"),
        ("list.csv", b'id,name\n0,"' + b"a" * 200_000, "field larger"),
        ("list.csv", b"", "none of its columns"),
        ("list.json", b"{", "no JSON"),
        ("list.json", b"[" * 100_000, "no JSON"),
        ("list.json", b"3", "no list of names"),
        ("list.json", b'{"a": "' + b"9" * 5000 + b'"}', "KEY one of a"),
        ("list.json", b"[1, 2]", "no list of names"),
        ("list.json", b'{"k400": ["a"], "k600": ["b"]}', "KEY one of k400, k600"),
    ],
)
def test_lists_that_are_none_are_refused(name: str, content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ListUnreadable, match=why):
        read_classes(str(tmp_path / name))


def test_a_list_is_a_name_a_line(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\ufeffbrushing teeth\r\n\n run\n", encoding="utf-8")
    assert read_classes(str(tmp_path / "list.txt")) == ("brushing teeth", "run")
    with pytest.raises(ListUnreadable, match="No such file"):
        read_classes(str(tmp_path / "none.txt"))
    os.truncate(tmp_path / "list.txt", 65 << 20)
    with pytest.raises(ListUnreadable, match="more than"):
        read_classes(str(tmp_path / "list.txt"))


def test_label_files_and_parts_of_json_files_are_lists_too(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text('id,name\n0,"jump, high"\n1,run\n')
    assert read_classes(str(tmp_path / "labels.csv")) == ("jump, high", "run")
    held = {"labels": {"base": ["b", "a"]}, "numbers": {"second": "1", "first": "0"}, "more": ["x"]}
    (tmp_path / "lists.json").write_text(json.dumps(held))
    assert read_classes(f"{tmp_path}/lists.json:labels.base") == ("b", "a")
    assert read_classes(f"{tmp_path}/lists.json:numbers") == ("first", "second")
    with pytest.raises(ListUnreadable, match=r"no part 'novel' of 'labels.novel'; it has base"):
        read_classes(f"{tmp_path}/lists.json:labels.novel")
    with pytest.raises(ListUnreadable, match="only a JSON file has a part 'x'"):
        read_classes(f"{tmp_path}/labels.csv:x")
    (tmp_path / "a:b.txt").write_text("one\n")
    assert read_classes(f"{tmp_path}/a:b.txt") == ("one",)


def videos_of(*names: str) -> tuple[Video, ...]:
    return tuple(Video(name, f"{name}.avi", (name.partition("/")[0],)) for name in names)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return Manifest("hmdb51", tmp_path, videos_of("a/0", "a/1", "a/2", "b/3", "b/4.v2", "b/5"), ("a", "b"))


def covered(manifest: Manifest, *missing: str) -> Coverage:
    """Training videos, of which some have no features."""
    found = tuple(video for video in manifest.videos if video.video_id not in missing)
    return Coverage("split1", "train", found, dict.fromkeys(missing, "not extracted"), 0, ())


def ids(draws: Draws) -> list[list[str]]:
    return [[video.video_id for video in videos] for videos in draws.rounds]


def test_rounds_are_read_by_the_name_of_the_dataset(tmp_path: Path, manifest: Manifest) -> None:
    rounds = [["a/0", "b/3"], ["other folder/2", "b/5"]]
    (tmp_path / "draws.json").write_text(json.dumps({"lists": {"UCF-101": [["x"]], "HMDB-51": rounds}}))
    draws = read_draws([str(tmp_path / "draws.json")], manifest, covered(manifest))
    assert ids(draws) == [["a/0", "b/3"], ["a/2", "b/5"]]
    assert draws.missing == ()


def test_rounds_of_several_files_follow_one_another(tmp_path: Path, manifest: Manifest) -> None:
    """ViFi-CLIP's lists: a video and the number of its class, with the suffix of one release."""
    (tmp_path / "fs_s1.txt").write_text("0.avi 0\nb/4.v2.mp4 1\n")
    pairs = {"splits": {"s2": {"path": "x", "list": [["train/1.mp4", 0], ["3.avi", 1]]}}}
    (tmp_path / "lists.json").write_text(json.dumps(pairs))
    names = [str(tmp_path / "fs_s1.txt"), f"{tmp_path}/lists.json:splits.s2"]
    assert ids(read_draws(names, manifest, covered(manifest))) == [["a/0", "b/4.v2"], ["a/1", "b/3"]]
    (tmp_path / "plain.json").write_text(json.dumps(["a/0", "a/1"]))
    assert ids(read_draws([str(tmp_path / "plain.json")], manifest, covered(manifest))) == [["a/0", "a/1"]]


def test_drawn_videos_without_features_are_told_apart_from_strangers(
    tmp_path: Path, manifest: Manifest
) -> None:
    (tmp_path / "draws.txt").write_text("a/0\nb/3\n")
    draws = read_draws([str(tmp_path / "draws.txt")], manifest, covered(manifest, "b/3"))
    assert (ids(draws), draws.missing) == ([["a/0"]], ("b/3",))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "no JSON"),
        ("[]", "no list of videos"),
        ("[3]", "no lists of video names"),
        ('{"lists": 3}', "KEY one of lists"),
        ('{"lists": {"K-400": [["a/0"]]}}', "no draws of hmdb51, but of K-400"),
        ('{"lists": {"HMDB51": [[]]}}', "names nothing"),
        ('{"lists": {"HMDB51": [["a/0", "a/999"]]}}', "1 of its videos are not among those to train on"),
    ],
)
def test_draws_that_are_none_are_refused(content: str, why: str, tmp_path: Path, manifest: Manifest) -> None:
    (tmp_path / "draws.json").write_text(content)
    with pytest.raises(ListUnreadable, match=why):
        read_draws([str(tmp_path / "draws.json")], manifest, covered(manifest))


@official
def test_the_published_class_lists_are_read() -> None:
    lists = OFFICIAL / "vifi_class_lists.json"
    sizes = {"ucf_101_base_labels": 51, "ucf_101_novel_labels": 50, "ZS_split1_K600": 160, "ssv2_labels": 174}
    for name, size in sizes.items():
        assert len(read_classes(f"{lists}:labels.{name}")) == size
    labels = read_classes(str(OFFICIAL / "something-something-v2-labels.json"))
    assert (len(labels), labels[0]) == (174, "Approaching something with your camera")
    k700 = OFFICIAL / "open_set_recognition" / "K700"
    trained, tested = read_classes(str(k700 / "train.list")), read_classes(str(k700 / "test.list"))
    assert (len(trained), len(tested), set(trained) & set(tested)) == (400, 300, set())


@official
@pytest.mark.parametrize(("dataset", "key"), [("hmdb51", "hmdb"), ("ucf101", "ucf")])
def test_the_published_draws_are_videos_of_the_official_training_lists(dataset: str, key: str) -> None:
    from vlp.datasplits import load_dataset

    listed = load_dataset(dataset, root=OFFICIAL.parent, annotations=_lists_of(dataset))
    train = Coverage("split1", "train", listed.videos_in("split1", "train"), {}, 0, ())
    every = Coverage("all", "train", listed.videos, {}, 0, ())
    lists = OFFICIAL / "vifi_fewshot_lists.json"
    for shots in (2, 4, 8, 16):
        (drawn,) = read_draws([f"{lists}:splits.{key}_fewshot_{shots}"], listed, train).rounds
        counts = Counter(video.labels[0] for video in drawn)
        assert set(counts) == set(listed.classes)
        assert max(counts.values()) == shots
    for seed in (1, 2, 3):
        (drawn,) = read_draws([f"{lists}:splits.{key}_base_fewshot_s{seed}"], listed, train).rounds
        assert len({video.labels[0] for video in drawn}) == -(-len(listed.classes) // 2)
    draws = read_draws([str(OFFICIAL / "efficient_prompt_5shot_cway.json")], listed, every)
    assert len(draws.rounds) == 10
    assert all(len(drawn) == 5 * len(listed.classes) for drawn in draws.rounds)


def _lists_of(dataset: str) -> Path:
    return OFFICIAL.parent / dataset
