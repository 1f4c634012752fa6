"""Stores are found by what they hold, and no name leads out of the cache."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vlp.stores.errors import FeaturesMissing, StoreAmbiguous
from vlp.stores.features import FeatureStore
from vlp.stores.locate import find_stores, safe_name, select_store, store_path

MakeStore = Callable[..., FeatureStore]


def test_the_path_says_what_is_in_it() -> None:
    path = store_path(
        Path("cache"), dataset="ucf101", model="ViT-B-16", pretrained="openai", fingerprint="ab" * 32
    )
    assert path == Path("cache/ucf101/ViT-B-16__openai/abababababab.vlp")


@given(name=st.text(max_size=300))
@example(name="..")
@example(name="../../etc")
@example(name=".")
@example(name="")
@example(name="/")
@example(name="./.x")
def test_any_name_is_one_visible_component(name: str) -> None:
    safe = safe_name(name)
    assert "/" not in safe
    assert "\0" not in safe
    assert 1 <= len(safe.encode()) <= 120
    assert not safe.startswith(".")


def test_long_names_stay_apart() -> None:
    assert safe_name("a" * 300) != safe_name("a" * 301)


@pytest.fixture
def cache(tmp_path: Path, make_store: MakeStore) -> Path:
    for dataset, model, pretrained, size in (
        ("hmdb51", "ViT-B-32", "openai", 224),
        ("ucf101", "ViT-B-16", "openai", 224),
        ("ucf101", "ViT-B-16", "openai", 336),
        ("ucf101", "ViT-B-16", "laion2b", 224),
    ):
        meaning = {"size": size, "weights": pretrained}
        names = {"dataset": dataset, "model": model, "pretrained": pretrained}
        fingerprint = f"{size}{len(pretrained)}" + "0" * 60
        path = store_path(tmp_path, **names, fingerprint=fingerprint)
        make_store(path, meaning=meaning, **names)
    return tmp_path


def test_stores_are_found_by_dataset_model_and_tag(cache: Path) -> None:
    assert len(find_stores(cache)) == 4
    assert [str(store) for store in find_stores(cache, "hmdb51")] == ["hmdb51 (ViT-B-32/openai)"]
    found = select_store(cache, dataset="ucf101", pretrained="laion2b")
    assert FeatureStore.open(found).pretrained == "laion2b"
    assert find_stores(cache / "none") == []


def test_when_none_fits_what_exists_is_listed(cache: Path) -> None:
    with pytest.raises(FeaturesMissing) as caught:
        select_store(cache, dataset="hmdb51", model="ViT-B-16", pretrained="openai")
    error = caught.value
    assert str(error) == (
        f"no embeddings of hmdb51 by ViT-B-16/openai under {cache}.\n"
        "Found: hmdb51 (ViT-B-32/openai), ucf101 (ViT-B-16/laion2b), ucf101 (ViT-B-16/openai), "
        "ucf101 (ViT-B-16/openai)."
    )
    assert (error.path, error.dataset, error.model, error.pretrained) == (
        cache,
        "hmdb51",
        "ViT-B-16",
        "openai",
    )
    assert len(error.found) == 4
    with pytest.raises(FeaturesMissing, match=r"of k400 by any model under [^\n]*\nFound: nothing\."):
        select_store(cache / "none", dataset="k400")


def test_when_several_fit_they_are_listed(cache: Path) -> None:
    with pytest.raises(StoreAmbiguous, match="several stores under ") as caught:
        select_store(cache, dataset="ucf101", model="ViT-B-16", pretrained="openai")
    assert len(caught.value.candidates) == 2
    assert sorted(caught.value.distinctions) == [("size: 224",), ("size: 336",)]
    assert all(
        f"\n{path} ({said})" in str(caught.value)
        for path, (said,) in zip(caught.value.candidates, caught.value.distinctions, strict=True)
    )
    assert all(FeatureStore.open(path).pretrained == "openai" for path in caught.value.candidates)


def test_a_store_that_cannot_be_read_is_listed_with_its_problem(cache: Path) -> None:
    (broken,) = [store.path for store in find_stores(cache, "hmdb51")]
    (broken / "zarr.json").write_text("{")
    (found,) = [store for store in find_stores(cache) if store.problem]
    assert (found.path, found.description) == (broken, None)
    assert "is no JSON" in str(found.problem)
    assert str(found) == f"{broken} (unreadable)"
    assert find_stores(cache, "hmdb51") == []
