"""Draws and divisions: from their definitions, and against published ones."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlp.datasplits.manifest import Manifest, Video
from vlp.pipeline.protocols import (
    ListUnreadable,
    TooFewClasses,
    TooFewVideos,
    UnknownClasses,
    base_and_novel,
    draw_episodes,
    draw_shots,
    only_classes,
    overlap,
    read_list,
)
from vlp.pipeline.published_draws import read_draws

GOLDEN = Path(__file__).parents[1] / "golden" / "base_novel_rule.json"


def videos_of(counts: dict[str, int]) -> list[Video]:
    return [
        Video(f"{name}/{number:03d}", f"{name}/{number:03d}.avi", (name,))
        for name, count in counts.items()
        for number in range(count)
    ]


counts = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(2, 12), min_size=2, max_size=8)


@given(counts=counts, shots=st.integers(1, 2), seed=st.integers(0, 99), order=st.randoms())
def test_every_class_gives_k_videos_whatever_the_order_of_the_list(
    counts: dict[str, int], shots: int, seed: int, order: object
) -> None:
    videos = videos_of(counts)
    drawn = draw_shots(videos, tuple(counts), shots, seed)
    assert Counter(video.labels[0] for video in drawn) == dict.fromkeys(counts, shots)
    assert len({video.video_id for video in drawn}) == len(drawn)
    assert [video.labels[0] for video in drawn] == [name for name in counts for _ in range(shots)]
    order.shuffle(videos)  # type: ignore[attr-defined]
    assert draw_shots(videos, tuple(counts), shots, seed) == drawn


def test_seeds_draw_differently_and_classes_draw_by_themselves() -> None:
    videos = videos_of({"a": 50, "b": 50})
    assert draw_shots(videos, ("a",), 5, 0) != draw_shots(videos, ("a",), 5, 1)
    both = draw_shots(videos, ("a", "b"), 5, 0)
    assert both[:5] == draw_shots(videos, ("a",), 5, 0)


def test_every_video_has_the_same_chance() -> None:
    videos = videos_of({"a": 10})
    seen = Counter(video.video_id for seed in range(2000) for video in draw_shots(videos, ("a",), 3, seed))
    assert len(seen) == 10
    assert max(abs(count - 600) for count in seen.values()) < 5 * (2000 * 0.3 * 0.7) ** 0.5


def test_classes_with_too_few_videos_are_named() -> None:
    with pytest.raises(TooFewVideos, match=r"5 videos a class are needed; fewer has: b \(3\)") as caught:
        draw_shots(videos_of({"a": 9, "b": 3}), ("a", "b"), 5, 0)
    assert caught.value.num_videos == {"b": 3}


@given(seed=st.integers(0, 50))
def test_a_trial_trains_on_k_of_each_and_tests_on_all_others(seed: int) -> None:
    videos = videos_of(dict.fromkeys("abcdefg", 7))
    for episode in draw_episodes(videos, tuple("abcdefg"), ways=5, shots=5, trials=3, seed=seed):
        assert len(set(episode.classes)) == 5
        assert Counter(video.labels[0] for video in episode.train) == dict.fromkeys(episode.classes, 5)
        together = {video.video_id for video in (*episode.train, *episode.test)}
        assert together == {video.video_id for video in videos if video.labels[0] in episode.classes}
        assert len(episode.train) + len(episode.test) == len(together)


def test_a_trial_is_the_same_in_longer_rows_of_trials() -> None:
    videos = videos_of(dict.fromkeys("abcdefg", 7))
    short, long = (
        list(draw_episodes(videos, tuple("abcdefg"), ways=3, shots=2, trials=n, seed=4)) for n in (2, 9)
    )
    assert long[:2] == short
    assert len({episode.classes for episode in long}) > 1


def test_trials_need_enough_classes_and_a_video_to_test_on() -> None:
    videos = videos_of({"a": 5, "b": 6})
    with pytest.raises(TooFewClasses, match="5 classes are needed, and there are 2"):
        list(draw_episodes(videos, ("a", "b"), ways=5, shots=2, trials=1, seed=0))
    with pytest.raises(TooFewVideos, match=r"6 videos a class are needed; fewer has: a \(5\)"):
        list(draw_episodes(videos, ("a", "b"), ways=2, shots=5, trials=1, seed=0))


def test_base_and_novel_are_the_published_lists() -> None:
    golden = json.loads(GOLDEN.read_text())
    for dataset in golden["datasets"].values():
        base, novel = base_and_novel(
            dataset["names"], dict(zip(dataset["names"], dataset["counts"], strict=True))
        )
        assert list(novel) == dataset["novel"]
        assert list(base) == dataset["base"]


@given(st.lists(st.integers(0, 9), min_size=2, max_size=30))
def test_the_rarer_half_is_novel(numbers: list[int]) -> None:
    names = [f"class {index}" for index in range(len(numbers))]
    base, novel = base_and_novel(names, dict(zip(names, numbers, strict=True)))
    assert len(novel) == len(names) // 2
    assert sorted((*base, *novel)) == sorted(names)
    number_of = dict(zip(names, numbers, strict=True))
    assert max(number_of[name] for name in novel) <= min(number_of[name] for name in base)


def test_names_overlap_however_they_are_spelt() -> None:
    assert overlap(["BrushingTeeth", "run"], ["brush_hair", "brushing teeth", "Run"]) == (
        "brushing teeth",
        "Run",
    )
    assert overlap(["a"], ["b"]) == ()


def test_keeping_some_classes_keeps_their_videos_in_the_order_asked(tmp_path: Path) -> None:
    manifest = Manifest("mine", tmp_path, tuple(videos_of({"a": 2, "b": 2, "c": 1})), ("a", "b", "c"))
    kept = only_classes(manifest, ["c", "a"])
    assert kept.classes == ("c", "a")
    assert {video.labels[0] for video in kept.videos} == {"a", "c"}
    with pytest.raises(UnknownClasses, match="mine has no class called: d"):
        only_classes(manifest, ["a", "d"])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "names nothing"),
        (b"a\n\n a \n", "'a' twice"),
        (b"\xff\xfe", "no text in UTF-8"),
        (b"a\x1bb\n", "control character"),
    ],
)
def test_lists_that_are_none_are_refused(content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(ListUnreadable, match=why):
        read_list(tmp_path / "list.txt")


def test_a_list_is_a_name_a_line(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("\ufeffbrushing teeth\r\n\n run\n", encoding="utf-8")
    assert read_list(tmp_path / "list.txt") == ("brushing teeth", "run")
    with pytest.raises(ListUnreadable, match="No such file"):
        read_list(tmp_path / "none.txt")
    (tmp_path / "huge.txt").write_bytes(b"a" * (5 << 20))
    with pytest.raises(ListUnreadable, match="more than"):
        read_list(tmp_path / "huge.txt")


def manifest_of(tmp_path: Path) -> Manifest:
    return Manifest("hmdb51", tmp_path, tuple(videos_of({"a": 3, "b": 3})), ("a", "b"))


def test_published_draws_are_read_by_the_name_of_the_dataset(tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path)
    rounds = [["a/000", "b/001"], ["other folder/002", "b/000"]]
    (tmp_path / "draws.json").write_text(json.dumps({"lists": {"UCF-101": [["x"]], "HMDB-51": [rounds[0]]}}))
    (only,) = read_draws(tmp_path / "draws.json", manifest, manifest.videos[:1] + manifest.videos[4:5])
    assert [video.video_id for video in only] == ["a/000", "b/001"]
    (tmp_path / "draws.txt").write_text("a/000\na/001\n")
    (text,) = read_draws(tmp_path / "draws.txt", manifest, manifest.videos[:3])
    assert [video.video_id for video in text] == ["a/000", "a/001"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "no JSON"),
        ("[]", "no object"),
        ('{"lists": 3}', "no object `lists`"),
        ('{"lists": {"K-400": [["a/000"]]}}', "no draws of hmdb51, but of K-400"),
        ('{"lists": {"HMDB51": [[]]}}', "no lists of video ids"),
        ('{"lists": {"HMDB51": [["a/000", "a/999"]]}}', "1 of its videos are not among those to train on"),
    ],
)
def test_draws_that_are_none_are_refused(content: str, why: str, tmp_path: Path) -> None:
    manifest = manifest_of(tmp_path)
    (tmp_path / "draws.json").write_text(content)
    with pytest.raises(ListUnreadable, match=why):
        read_draws(tmp_path / "draws.json", manifest, manifest.videos)
