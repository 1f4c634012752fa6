"""`vlp store export`, `import` and `add`, as they are typed."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vlp.pipeline.bank import FeatureBank
from vlp.stores.features import FeatureStore
from vlp.stores.locate import find_stores

Type = Callable[..., Any]
MakeStore = Callable[..., FeatureStore]


@pytest.fixture
def store(make_store: MakeStore) -> FeatureStore:
    random = np.random.default_rng(0)
    videos = {name: random.normal(size=(rows, 1, 8)) for name, rows in (("walk/a", 12), ("run/b", 5))}
    return make_store(videos, meaning={"weights": "w"})


def bits(store: FeatureStore) -> dict[str, bytes]:
    return {video_id: store.read(video_id).features.tobytes() for video_id in store.videos()}


def test_what_is_exported_can_be_imported_and_sampled(
    typed: Type, store: FeatureStore, tmp_path: Path
) -> None:
    exported = typed("store", "export", store.path, "--to", tmp_path / "out", "--json")
    assert (exported.status, exported.json["num_videos"], exported.json["num_rows"]) == (0, 2, 17)
    place = ["--dataset", "folder", "--model", "tiny", "--cache", tmp_path / "there"]
    made = typed("store", "import", tmp_path / "out", *place, "--fps", "10", "--json")
    assert (made.status, made.json["num_imported"], made.json["refused"]) == (0, 2, {})
    there = FeatureStore.open(Path(made.json["store"]))
    assert bits(there) == bits(store)
    assert there.meaning["timeline"] == "fps:10"
    bank = FeatureBank(there, ["walk/a", "run/b"])
    assert bank.num_steps.tolist() == [12, 5]  # row i is the one shown at i / fps
    again = typed("store", "import", tmp_path / "out", *place, "--fps", "10")
    assert "0 imported, 2 there before, 0 refused of 2 files: 0 rows." in again.stdout
    info = typed("store", "info", there.path)
    assert "weights: unknown" in info.stdout


@pytest.mark.parametrize(
    ("flags", "timeline"),
    [((), "unknown"), (("--fps", "native"), "native"), (("--frames", "5"), "frames:5")],
)
def test_rows_without_a_rate_are_steps_one_by_one(
    flags: tuple[str, ...], timeline: str, typed: Type, store: FeatureStore, tmp_path: Path
) -> None:
    typed("store", "export", store.path, "--to", tmp_path / "out")
    place = ["--dataset", "folder", "--model", "tiny", "--cache", tmp_path / "there"]
    made = typed("store", "import", tmp_path / "out", *place, *flags, "--json")
    there = FeatureStore.open(Path(made.json["store"]))
    assert there.meaning["timeline"] == timeline
    assert FeatureBank(there, ["run/b"]).num_steps.tolist() == [5]


def test_refused_files_are_listed_and_the_exit_status_says_so(
    typed: Type, store: FeatureStore, tmp_path: Path
) -> None:
    typed("store", "export", store.path, "--to", tmp_path / "out")
    np.save(tmp_path / "out" / "bad.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "out" / os.fsdecode(b"caf\xe9\x1b.npy")).touch()
    place = ["--dataset", "folder", "--model", "tiny", "--cache", tmp_path / "there"]
    result = typed("store", "import", tmp_path / "out", *place)
    assert result.status == 3
    assert "bad.npy" in result.stdout
    assert "caf\\udce9\\x1b.npy" in result.stdout
    assert len(typed("store", "import", tmp_path / "out", *place, "--json").json["refused"]) == 2
    assert "it holds Python objects, which are never loaded" in result.stdout


def test_features_of_an_import_are_not_taken_for_the_models_own(
    typed: Type, videos: Path, tiny_model: str, tmp_path: Path
) -> None:
    for path in videos.rglob("*.*"):
        target = tmp_path / "made" / path.relative_to(videos).with_suffix(".npy")
        target.parent.mkdir(parents=True, exist_ok=True)
        np.save(target, np.random.default_rng(0).normal(size=(8, 16)))
    place = ["--dataset", "folder", "--cache", tmp_path / "cache"]
    made = typed(
        "store", "import", tmp_path / "made", *place, "--model", tiny_model, "--pretrained", "folder"
    )
    assert made.status == 0
    score = ["eval", "zero-shot", *place, "--root", videos, "--model", tiny_model]
    refused = typed(*score)
    assert refused.status == 4
    assert 'weights: "unknown" here' in refused.stderr
    assert typed(*score, "--allow-mismatch").status == 0
    [found] = find_stores(tmp_path / "cache")
    for command in ("add", "repair"):
        if command == "repair":
            shard = next(found.path.glob("segments/*/features/c/0/0/0"))
            shard.write_bytes(bytes(len(shard.read_bytes())))
        result = typed("store", command, found.path, "--root", videos)
        assert result.status == 1
        assert "were imported" in result.stderr
        assert "Run: vlp store import again" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words", "status"),
    [
        (("import", "none", "--dataset", "d", "--model", "m"), "there is no such folder", 1),
        (("import", "none", "--dataset", " ", "--model", "m"), "a name is text of one line", 2),
        (("import", "none", "--dataset", "d", "--model", "a\nb"), "a name is text of one line", 2),
        (("import", "none", "--dataset", "d", "--model", "m", "--fps", "0"), "Error: ", 1),
        (
            ("import", "none", "--dataset", "d", "--model", "m", "--fps", "5", "--frames", "3"),
            "choose one of",
            2,
        ),
        (("export", "--to", "out"), "name one store", 2),
        (("export", "none.vlp", "--to", "out"), "no store at", 4),
        (("export", "none.vlp", "--to", "out", "--format", "zip"), "zip", 2),
        (("add", "none.vlp"), "say which videos", 2),
        (("add", "none.vlp", "--root", "none"), "no store at", 4),
    ],
)
def test_a_wrong_use_is_a_line_that_says_what_is_wrong(
    arguments: tuple[str, ...],
    words: str,
    status: int,
    typed: Type,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    result = typed("store", *arguments)
    assert result.status == status
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_an_export_never_lands_in_a_folder_of_the_users(
    typed: Type, store: FeatureStore, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    result = typed("store", "export", store.path, "--to", tmp_path / "mine")
    assert result.status == 1
    assert "it holds thesis.txt, and no vlp-export.json" in result.stderr
    assert "Run: the same command with --to on a folder that is new or empty" in result.stderr


def test_an_id_that_names_no_file_is_told_and_costs_nothing_else(
    typed: Type, make_store: MakeStore, tmp_path: Path
) -> None:
    made = make_store({"../up": np.zeros((1, 1, 8)), "a": np.zeros((1, 1, 8))}, meaning={"weights": "w"})
    result = typed("store", "export", made.path, "--to", tmp_path / "out")
    assert result.status == 3
    assert "not exported: '../up' cannot name a file" in result.stderr
    assert "1 videos, 1 frames" in result.stdout
    assert not (tmp_path / "up.npy").exists()


def test_parquet_is_chosen_by_name(typed: Type, store: FeatureStore, tmp_path: Path) -> None:
    result = typed("store", "export", store.path, "--to", tmp_path / "out", "--format", "parquet")
    assert (result.status, len([*(tmp_path / "out").glob("*.parquet")])) == (0, 1)


@pytest.fixture
def more(videos: Path, tmp_path: Path) -> Path:
    """Two videos that the six do not hold, and a list of one of them."""
    root = tmp_path / "more"
    for new, old in (("swim/0.mp4", "walk/1.mp4"), ("swim/1.avi", "run/2.avi")):
        (root / new).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(videos / old, root / new)
    (root / "list.csv").write_text("path,label\nswim/1.avi,swim\n")
    return root


def test_further_videos_get_the_features_that_one_extraction_of_all_gives(
    typed: Type, extract_arguments: list[object], videos: Path, more: Path, tmp_path: Path
) -> None:
    assert typed(*extract_arguments, "--fps", "10", "--batch-size", "8").status == 0
    [found] = find_stores(tmp_path / "cache")
    place = ["--cache", tmp_path / "cache"]
    listed = typed("store", "add", found.path, "--manifest", more / "list.csv", *place, "--json")
    assert (listed.status, listed.json["ok"], listed.json["listed"]) == (0, 1, 1)
    assert listed.json["store"] == str(found.path)
    added = typed("store", "add", "--dataset", "folder", "--root", more, *place, "--json")
    assert (added.status, added.json["ok"], added.json["skipped"]) == (0, 1, 1)
    together = tmp_path / "together"
    shutil.copytree(videos, together)
    shutil.copytree(more / "swim", together / "swim")
    arguments = [*extract_arguments, "--root", together, "--cache", tmp_path / "other"]
    assert typed(*arguments, "--fps", "10", "--batch-size", "8").status == 0
    [other] = find_stores(tmp_path / "other")
    assert len(bits(FeatureStore.open(found.path))) == 8
    assert bits(FeatureStore.open(found.path)) == bits(FeatureStore.open(other.path))
    assert FeatureStore.open(found.path).batch_size == 8


def test_a_store_that_was_moved_is_added_to_where_it_lies(
    typed: Type, extract_arguments: list[object], more: Path, tmp_path: Path
) -> None:
    assert typed(*extract_arguments, "--limit", "1", "--fps", "native").status == 0
    [found] = find_stores(tmp_path / "cache")
    moved = tmp_path / "moved.vlp"
    found.path.rename(moved)
    assert typed("store", "add", moved, "--root", more, "--cache", tmp_path / "cache").status == 0
    assert len(FeatureStore.open(moved).videos()) == 3
    assert not found.path.exists()


def test_another_video_of_a_known_id_is_refused_before_anything_is_extracted(
    typed: Type, extract_arguments: list[object], more: Path, videos: Path, tmp_path: Path
) -> None:
    assert typed(*extract_arguments).status == 0
    [found] = find_stores(tmp_path / "cache")
    (more / "walk").mkdir()
    shutil.copy(videos / "walk" / "2.mp4", more / "walk" / "0.mp4")  # the store has another walk/0
    result = typed("store", "add", found.path, "--root", more, "--cache", tmp_path / "cache")
    assert result.status == 1
    assert "holds other videos of these ids: walk/0" in result.stderr
    assert len(FeatureStore.open(found.path).videos()) == 6


def test_a_rerun_with_nothing_to_add_imports_no_torch(
    typed: Type, extract_arguments: list[object], videos: Path, tmp_path: Path
) -> None:
    assert typed(*extract_arguments).status == 0
    script = (
        "import sys; from vlp.cli.__main__ import run\n"
        "try: run()\n"
        "except SystemExit as ended: assert ended.code == 0, ended.code\n"
        "assert 'torch' not in sys.modules and 'zarr' not in sys.modules\n"
    )
    command = ["store", "add", "--dataset", "folder", "--root", videos, "--cache", tmp_path / "cache"]
    again = subprocess.run(
        [sys.executable, "-c", script, *map(str, command)], capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stderr
    assert "Nothing to do: 6 of 6 videos are extracted." in again.stdout


def test_features_of_another_encoder_are_not_added_to(
    typed: Type, extract_arguments: list[object], videos: Path, tmp_path: Path
) -> None:
    assert typed(*extract_arguments).status == 0
    [found] = find_stores(tmp_path / "cache")
    config = json.loads((found.path / "zarr.json").read_text())["attributes"]
    forged = FeatureStore.open_or_create(
        tmp_path / "forged.vlp",
        meaning={**config["meaning"], "weights": "0" * 64},
        **{name: config[name] for name in ("dataset", "model", "pretrained", "num_views", "embed_dim")},
        **{name: config[name] for name in ("batch_size", "precision", "tool_versions")},
    )
    refused = typed("store", "add", forged.path, "--root", videos, "--cache", tmp_path / "cache")
    assert refused.status == 4
    assert "weights" in refused.stderr
