from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlp.datasplits.manifest import Manifest, Video
from vlp.pipeline.coverage import Coverage, cover_captions, cover_classes, label_indices
from vlp.pipeline.coverage_errors import (
    ClassAbsent,
    DuplicateVideos,
    EmptyRole,
    NoCaptions,
    NoFeatures,
    NotOneLabel,
    UnknownSplit,
)
from vlp.stores.features import FeatureStore

MakeStore = Callable[..., FeatureStore]
MEANING = {"weights": "a" * 64}


def video(video_id: str, label: str, *splits: str) -> Video:
    """A video of one class; splits are written "split1/test"."""
    pairs = tuple((name, role) for name, role in (text.split("/") for text in splits))
    return Video(video_id=video_id, path=f"{video_id}.mp4", labels=(label,), splits=pairs)


def manifest(videos: Iterable[Video], classes: tuple[str, ...] = ("cat", "dog")) -> Manifest:
    return Manifest(dataset="pets", root=Path("pets"), videos=tuple(videos), classes=classes)


def stored(make_store: MakeStore, *video_ids: str, **settings: Any) -> FeatureStore:
    return make_store({name: np.ones((1, 1, 4)) for name in video_ids}, meaning=MEANING, **settings)


def ids(coverage: Coverage) -> list[str]:
    return [found.video_id for found in coverage.found]


SPLIT = manifest(
    [
        video("c1", "cat", "split1/test", "split2/train"),
        video("c2", "cat", "split1/train", "split2/test"),
        video("d1", "dog", "split1/test", "split2/train"),
        video("d2", "dog", "split1/train", "split2/test"),
        video("d3", "dog", "split2/test"),
    ]
)
ALL_IDS = ("c1", "c2", "d1", "d2", "d3")


def test_a_split_scores_its_test_videos_and_no_other(make_store: MakeStore) -> None:
    (coverage,) = cover_classes(SPLIT, stored(make_store, *ALL_IDS), split="split1")
    assert (ids(coverage), coverage.split, coverage.role) == (["c1", "d1"], "split1", "test")
    assert (coverage.num_expected, coverage.missing, coverage.num_short) == (2, {}, 0)


@pytest.mark.parametrize("split", [None, "all"])
def test_without_a_choice_every_split_is_scored_by_itself(make_store: MakeStore, split: str | None) -> None:
    coverages = cover_classes(SPLIT, stored(make_store, *ALL_IDS), split=split)
    assert [(coverage.split, ids(coverage)) for coverage in coverages] == [
        ("split1", ["c1", "d1"]),
        ("split2", ["c2", "d2", "d3"]),
    ]


def test_another_role_can_be_scored(make_store: MakeStore) -> None:
    (coverage,) = cover_classes(SPLIT, stored(make_store, *ALL_IDS), split="split1", role="train")
    assert ids(coverage) == ["c2", "d2"]


@pytest.mark.parametrize("split", [None, "all"])
def test_a_dataset_without_splits_scores_all_its_videos(make_store: MakeStore, split: str | None) -> None:
    plain = manifest([video("a", "cat"), video("b", "dog")])
    (coverage,) = cover_classes(plain, stored(make_store, "a", "b"), split=split)
    assert (ids(coverage), coverage.split, coverage.role) == (["a", "b"], None, None)


def test_videos_without_features_are_counted_with_their_reason(make_store: MakeStore) -> None:
    store = stored(make_store, "d2", "c2", short=frozenset({"d2"}), failed={"d3": "truncated"})
    (coverage,) = cover_classes(SPLIT, store, split="split2")
    assert ids(coverage) == ["c2", "d2"]
    assert coverage.missing == {"d3": "truncated"}
    assert (coverage.num_expected, coverage.num_short) == (3, 1)
    (coverage,) = cover_classes(SPLIT, stored(make_store, "c1"), split="split1")
    assert coverage.missing == {"d1": "not extracted"}


def test_labels_become_indices_in_the_datasets_order() -> None:
    videos = [video("a", "dog"), video("b", "cat"), video("c", "dog")]
    assert label_indices(videos, ("cat", "dog")).tolist() == [1, 0, 1]


def test_a_split_that_is_not_there_is_named_with_those_that_are(make_store: MakeStore) -> None:
    store = stored(make_store, *ALL_IDS)
    with pytest.raises(
        UnknownSplit, match=r"pets has no split 'split9'. Known: split1, split2, all\."
    ) as caught:
        cover_classes(SPLIT, store, split="split9")
    assert (caught.value.split, caught.value.known) == ("split9", ("split1", "split2"))
    with pytest.raises(UnknownSplit, match="It has no splits: all its videos are scored"):
        cover_classes(manifest([video("c1", "cat")], ("cat",)), store, split="split1")


def test_a_role_without_videos_is_named_with_those_that_have_some(make_store: MakeStore) -> None:
    store = stored(make_store, *ALL_IDS)
    with pytest.raises(
        EmptyRole, match=r"pets \(split1\) has no val video\. Roles there: test \(2\), train \(2\)"
    ):
        cover_classes(SPLIT, store, split="split1", role="val")
    with pytest.raises(EmptyRole, match=r"pets has no listed video\. Roles there: none\."):
        cover_classes(manifest([]), store)


def test_a_class_without_a_listed_test_video_is_named(make_store: MakeStore) -> None:
    lonely = manifest([video("c1", "cat", "split1/test"), video("d1", "dog", "split1/train")])
    with pytest.raises(ClassAbsent, match=r"pets \(split1\) has no test video of: dog\.") as caught:
        cover_classes(lonely, stored(make_store, "c1", "d1"))
    assert caught.value.classes == ("dog",)


def test_a_class_whose_videos_failed_is_not_absent(make_store: MakeStore) -> None:
    (coverage,) = cover_classes(SPLIT, stored(make_store, "c1", failed={"d1": "empty"}), split="split1")
    assert ids(coverage) == ["c1"]


@pytest.mark.parametrize(
    ("labels", "carries"), [((), "no label"), (("cat", "dog"), r"2 labels \(cat, dog\)")]
)
def test_a_video_must_have_exactly_one_label(
    make_store: MakeStore, labels: tuple[str, ...], carries: str
) -> None:
    odd = Video(video_id="odd", path="odd.mp4", labels=labels)
    with pytest.raises(NotOneLabel, match=rf"1 video\(s\) of pets .* such as 'odd': {carries}\.") as caught:
        cover_classes(manifest([video("a", "cat"), odd]), stored(make_store, "a", "odd"))
    assert (caught.value.video_id, caught.value.labels, caught.value.num_videos) == ("odd", labels, 1)


def test_one_file_to_train_and_to_test_on_is_named(make_store: MakeStore) -> None:
    store = stored(make_store, *ALL_IDS, contents={"d2": "same", "d1": "same"})
    with pytest.raises(
        DuplicateVideos, match=r"pets \(split1\) has 1 video\(s\) in both train and test: d2 = d1"
    ):
        cover_classes(SPLIT, store, split="split1")
    (coverage,) = cover_classes(SPLIT, store, split="split1", allow_duplicates=True)
    assert coverage.duplicates == (("d2", "d1"),)
    assert ids(coverage) == ["c1", "d1"]


def test_equal_files_within_test_or_of_other_splits_are_no_duplicates(make_store: MakeStore) -> None:
    store = stored(make_store, *ALL_IDS, contents={"d2": "same", "d3": "same"})
    assert [coverage.duplicates for coverage in cover_classes(SPLIT, store)] == [(), ()]


def test_a_training_video_without_features_has_no_bytes_to_compare(make_store: MakeStore) -> None:
    store = stored(make_store, "c1", "d1", "d2", contents={"d2": "same", "d3": "same"})
    assert [coverage.duplicates for coverage in cover_classes(SPLIT, store)] == [(), ()]


def test_a_store_of_other_videos_is_refused_with_the_reasons(make_store: MakeStore) -> None:
    store = stored(make_store, "other", failed={"c1": "empty"})
    with pytest.raises(
        NoFeatures, match=r"none of the videos of pets \(split1\): empty \(1\), not extracted \(1\)"
    ):
        cover_classes(SPLIT, store, split="split1")


def test_captions_are_asked_of_every_video_and_labels_of_none(make_store: MakeStore) -> None:
    told = Video(video_id="told", path="told.mp4", captions=("a cat sleeps", "it rests"))
    silent = Video(video_id="silent", path="silent.mp4")
    store = stored(make_store, "told", "silent")
    assert ids(cover_captions(manifest([told]), store)[0]) == ["told"]
    with pytest.raises(NoCaptions, match=r"1 video\(s\) of pets have no caption, such as 'silent'") as caught:
        cover_captions(manifest([told, silent]), store)
    assert (caught.value.video_id, caught.value.num_videos) == ("silent", 1)


def test_many_names_are_cut_short(make_store: MakeStore) -> None:
    classes = ("cat", *(f"kind{number}" for number in range(7)))
    with pytest.raises(ClassAbsent, match="kind0, kind1, kind2, kind3, kind4 and 2 more"):
        cover_classes(manifest([video("a", "cat")], classes), stored(make_store, "a"))
