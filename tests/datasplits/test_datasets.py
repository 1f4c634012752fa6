"""The registry of datasets; folders of classes and the toy set; the official lists where they are present."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vlp.datasplits import DATASETS, data_root, dataset_module, load_dataset
from vlp.datasplits.counts import counts_of
from vlp.datasplits.errors import (
    DatasetError,
    ManifestRootMissing,
    ManifestUnreadable,
    NoVideos,
    OutsideRoot,
    RootMissing,
    UnknownDataset,
    VideoCollision,
)

Touch = Callable[..., Path]
SHARED = Path(__file__).parents[2].parent / "shared"
OFFICIAL = [name for name in ("ucf101", "hmdb51") if (SHARED / "annotations" / name).is_dir()]
REAL_FOLDERS = [path for path in (SHARED / "videos" / "weizmann",) if path.is_dir()]


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_every_dataset_says_where_it_comes_from_and_how_it_lies(name: str) -> None:
    module = dataset_module(name)
    assert module.SOURCE
    assert "ROOT" in module.LAYOUT
    assert all(count > 0 for count in module.PUBLISHED.values())


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_a_root_that_is_not_there_is_named_with_its_layout(name: str, tmp_path: Path) -> None:
    with pytest.raises(RootMissing) as caught:
        load_dataset(name, root=tmp_path / "nowhere")
    assert (caught.value.dataset, caught.value.path) == (name, tmp_path / "nowhere")
    assert str(tmp_path / "nowhere") in str(caught.value)
    assert dataset_module(name).LAYOUT in str(caught.value)


def test_an_unknown_dataset_lists_the_known() -> None:
    with pytest.raises(UnknownDataset) as caught:
        load_dataset("ucf-101")
    assert caught.value.known == tuple(sorted(DATASETS))
    assert "'ucf-101'" in str(caught.value)
    assert "ucf101" in str(caught.value)


def test_the_default_root_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, touch: Touch
) -> None:
    monkeypatch.delenv("VLP_DATA", raising=False)
    assert data_root("ucf101") == Path("data/ucf101")
    monkeypatch.setenv("VLP_DATA", str(tmp_path))
    touch(tmp_path / "folder", "walk/a.mp4")
    assert load_dataset("folder").root == tmp_path / "folder"


def test_a_manifest_stands_in_for_any_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLP_DATA", str(tmp_path / "data"))
    (tmp_path / "list.csv").write_text("path,label\nx.mp4,walk\n")
    manifest = load_dataset("my-own", manifest=tmp_path / "list.csv")
    assert (manifest.dataset, manifest.root, manifest.classes) == ("my-own", tmp_path, ("walk",))
    (tmp_path / "data" / "my-own").mkdir(parents=True)
    assert load_dataset("my-own", manifest=tmp_path / "list.csv").root == tmp_path / "data" / "my-own"
    assert load_dataset("my-own", manifest=tmp_path / "list.csv", root=tmp_path).root == tmp_path


def test_a_root_that_is_named_and_not_there_is_refused_before_a_manifest_is_read(tmp_path: Path) -> None:
    with pytest.raises(ManifestRootMissing) as caught:
        load_dataset("my-own", manifest=tmp_path / "list.csv", root=tmp_path / "nowhere")
    assert (caught.value.manifest, caught.value.path) == (tmp_path / "list.csv", tmp_path / "nowhere")


def test_a_folder_of_classes(tmp_path: Path, touch: Touch) -> None:
    touch(
        tmp_path,
        "walk/b.mp4",
        "walk/take 2/c.AVI",
        "run/a.webm",
        "run/.hidden.mp4",
        ".cache/x.mp4",
        "run/notes.txt",
        "loose.mkv",
    )
    manifest = load_dataset("folder", root=tmp_path)
    assert [(video.video_id, video.labels) for video in manifest.videos] == [
        ("loose", ()),
        ("run/a", ("run",)),
        ("walk/b", ("walk",)),
        ("walk/take 2/c", ("walk",)),
    ]
    assert manifest.classes == ("run", "walk")
    assert manifest.class_index == {"run": 0, "walk": 1}
    assert manifest.split_names == ()
    assert any("1, such as run/notes.txt" in note for note in manifest.notes)
    assert any("1, such as loose.mkv" in note for note in manifest.notes)


def test_a_folder_without_videos_is_refused(tmp_path: Path, touch: Touch) -> None:
    touch(tmp_path, "walk/readme.txt", "walk/.hidden.mp4")
    with pytest.raises(NoVideos, match=r"\.mp4") as caught:
        load_dataset("folder", root=tmp_path)
    assert caught.value.root == tmp_path


def test_two_files_that_differ_by_suffix_alone_are_both_named(tmp_path: Path, touch: Touch) -> None:
    touch(tmp_path, "walk/a.mp4", "walk/a.avi")
    with pytest.raises(VideoCollision) as caught:
        load_dataset("folder", root=tmp_path)
    assert (caught.value.video_id, caught.value.paths) == ("walk/a", ("walk/a.avi", "walk/a.mp4"))


def test_links_may_stay_inside_the_root_and_not_leave_it(tmp_path: Path, touch: Touch) -> None:
    root = touch(tmp_path / "root", "walk/a.mp4")
    (root / "walk" / "b.mp4").symlink_to(root / "walk" / "a.mp4")
    assert len(load_dataset("folder", root=root).videos) == 2
    touch(tmp_path, "outside/secret.mp4")
    (root / "walk" / "c.mp4").symlink_to(tmp_path / "outside" / "secret.mp4")
    with pytest.raises(OutsideRoot) as caught:
        load_dataset("folder", root=root)
    assert (caught.value.path, caught.value.root) == ("walk/c.mp4", root)


def test_a_linked_folder_outside_the_root_is_refused(tmp_path: Path, touch: Touch) -> None:
    root = touch(tmp_path / "root", "walk/a.mp4")
    (root / "run").symlink_to(touch(tmp_path / "outside", "b.mp4"))
    with pytest.raises(OutsideRoot, match="'run' leads out"):
        load_dataset("folder", root=root)


def test_the_root_itself_may_be_a_link(tmp_path: Path, touch: Touch) -> None:
    touch(tmp_path / "disk", "walk/a.mp4")
    (tmp_path / "root").symlink_to(tmp_path / "disk")
    manifest = load_dataset("folder", root=tmp_path / "root")
    assert manifest.absolute(manifest.videos[0]) == tmp_path / "root" / "walk" / "a.mp4"


def test_folders_and_files_that_link_to_themselves_end(tmp_path: Path, touch: Touch) -> None:
    root = touch(tmp_path / "root", "walk/a.mp4")
    (root / "walk" / "again").symlink_to(root)
    (root / "walk" / "loop.mp4").symlink_to(root / "walk" / "loop.mp4")
    assert [video.video_id for video in load_dataset("folder", root=root).videos] == ["walk/a", "walk/loop"]


def test_a_file_name_that_is_no_unicode_is_named(tmp_path: Path) -> None:
    (tmp_path / "walk").mkdir()
    Path(os.fsdecode(bytes(tmp_path / "walk") + b"/caf\xe9.mp4")).touch()
    with pytest.raises(DatasetError, match=r"caf\\udce9\.mp4.* is not valid UTF-8"):
        load_dataset("folder", root=tmp_path)


def test_a_file_name_that_would_steer_a_terminal_is_named_harmlessly(tmp_path: Path, touch: Touch) -> None:
    touch(tmp_path, "walk/\x1b[2Ja.mp4")
    with pytest.raises(DatasetError, match=r"\\x1b.*control character") as caught:
        load_dataset("folder", root=tmp_path)
    assert "\x1b" not in str(caught.value)


def test_the_toy_set_is_what_its_manifest_says(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("path,label,split\nvideos/growing/000.mp4,growing,test\n")
    manifest = load_dataset("toy", root=tmp_path)
    assert manifest.dataset == "toy"
    assert manifest.videos_in("default", "test")[0].labels == ("growing",)
    assert "videos: 1 listed, 384 published" in manifest.notes


def test_a_toy_set_whose_list_is_damaged_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("path,label\n../x.mp4,growing\n")
    with pytest.raises(ManifestUnreadable):
        load_dataset("toy", root=tmp_path)


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_official_lists_give_the_published_counts(name: str, tmp_path: Path) -> None:
    manifest = load_dataset(name, root=tmp_path, annotations=SHARED / "annotations" / name)
    assert counts_of(manifest) == dataset_module(name).PUBLISHED
    assert manifest.notes == ()
    assert set(manifest.class_index) == {label for video in manifest.videos for label in video.labels}


@pytest.mark.parametrize("name", OFFICIAL)
def test_official_test_and_train_videos_share_no_group_or_file(name: str, tmp_path: Path) -> None:
    manifest = load_dataset(name, root=tmp_path, annotations=SHARED / "annotations" / name)
    for split in manifest.split_names:
        train, test = (
            {
                video.video_id.split("_c")[0] if name == "ucf101" else video.video_id
                for video in manifest.videos_in(split, role)
            }
            for role in ("train", "test")
        )
        assert train
        assert test
        assert not train & test


@pytest.mark.parametrize(
    "annotations", [SHARED / "annotations" / name for name in OFFICIAL if name == "ucf101"]
)
@pytest.mark.parametrize("flat", [False, True])
def test_the_groups_give_the_official_splits(
    annotations: Path, flat: bool, tmp_path: Path, touch: Touch
) -> None:
    """Without lists the splits are made from groups: with UCF101's real names they equal the official ones."""
    official = load_dataset("ucf101", root=tmp_path, annotations=annotations)
    root = touch(
        tmp_path / "root",
        *(video.path.rpartition("/")[2] if flat else video.path for video in official.videos[::3]),
    )
    from_groups = load_dataset("ucf101", root=root)
    assert from_groups.classes == official.classes
    assert {video.video_id: (video.labels, set(video.splits)) for video in from_groups.videos} == {
        video.video_id: (video.labels, set(video.splits)) for video in official.videos[::3]
    }


@pytest.mark.parametrize("root", REAL_FOLDERS, ids=lambda root: root.name)
def test_a_real_folder_of_classes(root: Path) -> None:
    manifest = load_dataset("folder", root=root)
    assert len(manifest.videos) == 90
    assert len(manifest.classes) == 10
    assert manifest.notes == ()


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_every_dataset_has_a_page_that_the_index_names(name: str) -> None:
    docs = Path(__file__).parents[2] / "docs"
    page = (docs / "datasets" / f"{name}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# `{name}`")
    assert f"(datasets/{name}.md)" in (docs / "datasets.md").read_text(encoding="utf-8")
