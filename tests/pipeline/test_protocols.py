"""Draws and divisions: from their definitions, and against published ones."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlp.datasplits.manifest import Manifest, Video
from vlp.pipeline.protocols import (
    TooFewClasses,
    TooFewVideos,
    UnknownClasses,
    base_and_novel,
    draw_class_sets,
    draw_episodes,
    draw_shots,
    only_classes,
    overlap,
)

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


@given(counts=counts, most=st.integers(3, 6), seed=st.integers(0, 20))
def test_all_trials_together_see_at_most_so_many_videos_a_class(
    counts: dict[str, int], most: int, seed: int
) -> None:
    videos = videos_of({name: count + 3 for name, count in counts.items()})
    seen: dict[str, set[str]] = {}
    for episode in draw_episodes(
        videos, tuple(counts), ways=2, shots=2, trials=30, seed=seed, most_videos=most
    ):
        for video in (*episode.train, *episode.test):
            seen.setdefault(video.labels[0], set()).add(video.video_id)
    assert all(len(ids) == min(most, counts[name] + 3) for name, ids in seen.items())


@given(num_classes=st.integers(2, 40), seed=st.integers(0, 99), order=st.randoms())
def test_sets_of_classes_depend_on_seed_and_number_alone(num_classes: int, seed: int, order: Any) -> None:
    classes = [f"class {number}" for number in range(num_classes)]
    size = num_classes // 2 + 1
    sets = draw_class_sets(classes, size, 3, seed)
    assert [len(set(drawn)) for drawn in sets] == [size] * 3
    assert all(list(drawn) == [name for name in classes if name in drawn] for drawn in sets)
    assert draw_class_sets(classes, size, 5, seed)[:3] == sets
    shuffled = list(classes)
    order.shuffle(shuffled)
    assert [set(drawn) for drawn in draw_class_sets(shuffled, size, 3, seed)] == [
        set(drawn) for drawn in sets
    ]


def test_sets_of_classes_differ_and_need_enough_classes() -> None:
    classes = [f"class {number}" for number in range(220)]  # those of Kinetics-600 that Kinetics-400 lacks
    one, two, three = draw_class_sets(classes, 160, 3, 0)
    assert len({one, two, three}) == 3
    counted = Counter(name for drawn in draw_class_sets(classes, 160, 400, 1) for name in drawn)
    expected, spread = 400 * 160 / 220, (400 * 160 / 220 * 60 / 220) ** 0.5
    assert max(abs(counted[name] - expected) for name in classes) < 5 * spread
    with pytest.raises(TooFewClasses, match="160 classes are needed, and there are 150"):
        draw_class_sets(classes[:150], 160, 3, 0)


def test_classes_are_kept_however_a_list_spells_them(tmp_path: Path) -> None:
    manifest = Manifest(
        "mine", tmp_path, tuple(videos_of({"kick_ball": 2, "kick": 2})), ("kick", "kick_ball")
    )
    assert only_classes(manifest, ["kick ball"]).classes == ("kick_ball",)
    assert only_classes(manifest, ["Kick", "kick_ball", "kick ball"]).classes == ("kick", "kick_ball")
