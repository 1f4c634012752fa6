"""Datasets as users really download them: each trap in a fixture, and the official lists where present."""

import os
import shutil
from pathlib import Path

import pytest

from vlp.datasplits import DATASETS, data_root, dataset_module, load_dataset
from vlp.datasplits.counts import counts_of
from vlp.datasplits.errors import (
    AnnotationsMissing,
    DatasetError,
    ManifestUnreadable,
    NoVideos,
    OutsideRoot,
    RootMissing,
    UnknownDataset,
    VideoCollision,
)

SHARED = Path(__file__).parents[2].parent / "shared"
OFFICIAL = [name for name in ("ucf101", "hmdb51") if (SHARED / "annotations" / name).is_dir()]
REAL_FOLDERS = [path for path in (SHARED / "videos" / "weizmann",) if path.is_dir()]


def touch(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


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
    assert str(tmp_path / "nowhere") in str(caught.value)
    assert dataset_module(name).LAYOUT in str(caught.value)


def test_an_unknown_dataset_lists_the_known() -> None:
    with pytest.raises(UnknownDataset) as caught:
        load_dataset("ucf-101")
    assert caught.value.known == tuple(sorted(DATASETS))


def test_the_default_root_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VLP_DATA", str(tmp_path))
    assert data_root("ucf101") == tmp_path / "ucf101"
    monkeypatch.delenv("VLP_DATA")
    assert data_root("ucf101") == Path("data/ucf101")


def test_a_folder_of_classes(tmp_path: Path) -> None:
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
    assert any("run/notes.txt" in note for note in manifest.notes)
    assert any("loose.mkv" in note for note in manifest.notes)


def test_a_folder_without_videos_and_one_with_a_collision(tmp_path: Path) -> None:
    touch(tmp_path, "walk/readme.txt")
    with pytest.raises(NoVideos):
        load_dataset("folder", root=tmp_path)
    touch(tmp_path, "walk/a.mp4", "walk/a.avi")
    with pytest.raises(VideoCollision):
        load_dataset("folder", root=tmp_path)


def test_links_may_stay_inside_the_root_and_not_leave_it(tmp_path: Path) -> None:
    root = touch(tmp_path / "root", "walk/a.mp4")
    (root / "walk" / "b.mp4").symlink_to(root / "walk" / "a.mp4")
    assert len(load_dataset("folder", root=root).videos) == 2
    touch(tmp_path, "outside/secret.mp4")
    (root / "walk" / "c.mp4").symlink_to(tmp_path / "outside" / "secret.mp4")
    with pytest.raises(OutsideRoot):
        load_dataset("folder", root=root)


def test_a_folder_that_links_to_its_parent_ends(tmp_path: Path) -> None:
    root = touch(tmp_path / "root", "walk/a.mp4")
    (root / "walk" / "again").symlink_to(root)
    assert [video.video_id for video in load_dataset("folder", root=root).videos] == ["walk/a"]


UCF_LISTS = {
    "classInd.txt": "1 Archery\n2 HandstandPushups\n",
    "trainlist01.txt": "Archery/v_Archery_g08_c01.avi 1\r\nHandstandPushups/v_HandStandPushups_g08_c01.avi 2\n",
    "testlist01.txt": "Archery/v_Archery_g01_c01.avi\nHandStandPushups/v_HandStandPushups_g01_c01.avi\n",
    "trainlist02.txt": "Archery/v_Archery_g01_c01.avi 1\n",
    "testlist02.txt": "Archery/v_Archery_g08_c01.avi\n\n",
    "trainlist03.txt": "Archery/v_Archery_g01_c01.avi 1\nArchery/v_Archery_g08_c01.avi 1\n",
    "testlist03.txt": "",
}
UCF_FILES = (
    "Archery/v_Archery_g01_c01.avi",
    "Archery/v_Archery_g08_c01.avi",
    "HandstandPushups/v_HandstandPushups_g01_c01.avi",
    "HandstandPushups/v_HandstandPushups_g08_c01.avi",
)


def write_lists(folder: Path, lists: dict[str, str]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in lists.items():
        (folder / name).write_text(text)
    return folder


@pytest.mark.parametrize("place", ["ucfTrainTestlist", ".", "annotations", "../ucfTrainTestlist", "named"])
@pytest.mark.parametrize("flat", [False, True])
def test_ucf101_with_its_lists_wherever_they_lie(tmp_path: Path, place: str, flat: bool) -> None:
    files = [file.rpartition("/")[2] if flat else file for file in UCF_FILES]
    root = touch(tmp_path / "UCF-101", *files)
    lists = write_lists(tmp_path / "elsewhere" if place == "named" else root / place, UCF_LISTS)
    manifest = load_dataset("ucf101", root=root, annotations=lists if place == "named" else None)
    assert manifest.classes == ("Archery", "HandstandPushups")
    assert [video.labels for video in manifest.videos_in("split1", "test")] == [
        ("HandstandPushups",),
        ("Archery",),
    ] or [video.labels for video in manifest.videos_in("split1", "test")] == [
        ("Archery",),
        ("HandstandPushups",),
    ]
    assert len(manifest.videos_in("split1", "train")) == 2
    assert {video.video_id for video in manifest.videos_in("split3", "train")} == {
        "Archery/v_Archery_g01_c01",
        "Archery/v_Archery_g08_c01",
    }
    assert all((root / video.path).is_file() for video in manifest.videos)  # whatever the lists spell
    assert "videos: 4 listed, 13,320 published" in manifest.notes


@pytest.mark.parametrize(("split", "tested"), [(1, range(1, 8)), (2, range(8, 15)), (3, range(15, 22))])
def test_ucf101_without_lists_splits_by_group(tmp_path: Path, split: int, tested: range) -> None:
    root = touch(
        tmp_path,
        *(f"Archery/v_Archery_g{group:02d}_c01.avi" for group in range(1, 26)),
        *(f"HandstandPushups/v_HandStandPushups_g{group:02d}_c01.avi" for group in range(1, 26)),
    )
    manifest = load_dataset("ucf101", root=root)
    found = {video.video_id.split("_g")[1][:2] for video in manifest.videos_in(f"split{split}", "test")}
    assert found == {f"{group:02d}" for group in tested}
    assert len(manifest.videos_in(f"split{split}", "train")) == 2 * (25 - 7)
    assert manifest.classes == ("Archery", "HandstandPushups")
    assert any("no ucfTrainTestlist was found" in note for note in manifest.notes)


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("classInd.txt", "Archery\n", "is not a number and a class"),
        ("trainlist01.txt", "Unknown/v_Unknown_g01_c01.avi 1\n", "has no class of classInd.txt"),
        ("testlist03.txt", None, "there is no such file"),
    ],
)
def test_ucf101_lists_that_are_wrong_are_named(
    tmp_path: Path, name: str, text: str | None, problem: str
) -> None:
    lists = write_lists(tmp_path / "ucfTrainTestlist", UCF_LISTS)
    (lists / name).unlink() if text is None else (lists / name).write_text(text)
    with pytest.raises(ManifestUnreadable, match=problem):
        load_dataset("ucf101", root=tmp_path)


def test_ucf101_without_anything_is_no_dataset(tmp_path: Path) -> None:
    touch(tmp_path, "walk/a.mp4")
    with pytest.raises(NoVideos):
        load_dataset("ucf101", root=tmp_path)


HMDB_NAMES = ("#20_Rhythm_clap_u_nm_np1_fr_goo_0.avi", "a (b) [c] & d;e clap 1.avi", "plain_clap_0.avi")


def hmdb_lists(folder: Path) -> Path:
    uses = (("1", "2", "0"), ("2", "1", "1"), ("0", "1", "2"))
    lists = {
        f"clap_test_split{number}.txt": "".join(
            f"{name} {use} \n" for name, use in zip(HMDB_NAMES, uses[number - 1], strict=True)
        )
        for number in (1, 2, 3)
    }
    lists["brush_hair_test_split1.txt"] = "plain_clap_0.avi 1 \n"  # one name in two classes
    return write_lists(folder, lists)


@pytest.mark.parametrize("in_folders", [True, False])
def test_hmdb51_names_with_every_odd_character(tmp_path: Path, in_folders: bool) -> None:
    root = touch(tmp_path / "hmdb51", *(f"clap/{name}" if in_folders else name for name in HMDB_NAMES))
    hmdb_lists(tmp_path / "hmdb51" / "testTrainMulti_7030_splits")
    manifest = load_dataset("hmdb51", root=root)
    assert manifest.classes == ("brush_hair", "clap")
    assert {video.video_id for video in manifest.videos_in("split1", "train")} == {
        f"clap/{HMDB_NAMES[0][:-4]}",
        "brush_hair/plain_clap_0",
    }
    assert [video.video_id for video in manifest.videos_in("split1", "test")] == [
        f"clap/{HMDB_NAMES[1][:-4]}"
    ]
    unused = next(video for video in manifest.videos if video.video_id == "clap/plain_clap_0")
    assert "split1" not in dict(unused.splits)
    assert sum((root / video.path).is_file() for video in manifest.videos) >= 3


def test_hmdb51_without_lists_or_with_a_wrong_line_says_so(tmp_path: Path) -> None:
    with pytest.raises(AnnotationsMissing) as caught:
        load_dataset("hmdb51", root=tmp_path)
    assert "testTrainMulti_7030_splits" in str(caught.value)
    with pytest.raises(AnnotationsMissing, match="nowhere"):
        load_dataset("hmdb51", root=tmp_path, annotations=tmp_path / "nowhere")
    write_lists(tmp_path / "splits", {"clap_test_split1.txt": "x.avi 3\n"})
    with pytest.raises(ManifestUnreadable, match="line 1"):
        load_dataset("hmdb51", root=tmp_path)


def test_the_toy_set_is_what_its_manifest_says(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("path,label,split\nvideos/growing/000.mp4,growing,test\n")
    manifest = load_dataset("toy", root=tmp_path)
    assert manifest.dataset == "toy"
    assert manifest.videos_in("default", "test")[0].labels == ("growing",)


@pytest.mark.parametrize("name", OFFICIAL)
def test_the_official_lists_give_the_published_counts(name: str, tmp_path: Path) -> None:
    manifest = load_dataset(name, root=tmp_path, annotations=SHARED / "annotations" / name)
    assert counts_of(manifest) == dataset_module(name).PUBLISHED
    assert manifest.notes == ()


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
        assert not train & test


def test_the_groups_give_the_official_splits(tmp_path: Path) -> None:
    """Without lists the splits are made from groups: with UCF101's real names they must equal the official ones."""
    for name in OFFICIAL:
        if name != "ucf101":
            continue
        official = load_dataset(name, root=tmp_path, annotations=SHARED / "annotations" / name)
        root = touch(tmp_path / "root", *(video.path for video in official.videos))
        from_groups = load_dataset(name, root=root, annotations=tmp_path)
        assert {video.video_id: set(video.splits) for video in from_groups.videos} == {
            video.video_id: set(video.splits) for video in official.videos
        }
        shutil.rmtree(root)


@pytest.mark.parametrize("root", REAL_FOLDERS, ids=lambda root: root.name)
def test_a_real_folder_of_classes(root: Path) -> None:
    manifest = load_dataset("folder", root=root)
    assert len(manifest.videos) == 90
    assert len(manifest.classes) == 10


def test_a_file_name_that_is_no_unicode_is_named(tmp_path: Path) -> None:
    (tmp_path / "walk").mkdir()
    Path(os.fsdecode(bytes(tmp_path / "walk") + b"/caf\xe9.mp4")).touch()
    with pytest.raises(DatasetError, match=r"caf\\udce9\.mp4.* is not valid UTF-8"):
        load_dataset("folder", root=tmp_path)
