"""LSMDC as users really download it: a fixture a trap."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from vlp.datasplits import load_dataset
from vlp.datasplits.errors import AnnotationsMissing, ManifestUnreadable, OutsideRoot, SplitLeak

Touch = Callable[..., Path]
WriteLists = Callable[[Path, Mapping[str, str]], Path]

TIMES = "00.00.51.926\t00.00.54.129\t00.00.51.900\t00.00.54.200"
AMELIE, BEN, SIGNS = (
    "0001_Amelie_00.00.51.926-00.00.54.129",
    "0002_Ben_and_Me_00.01.00.000-00.01.02.000",
    "1005_Signs_00.04.18.812-00.04.21.450",
)
TRAINING, VAL, TEST = (
    "LSMDC16_annos_training.csv",
    "LSMDC16_annos_val.csv",
    "LSMDC16_challenge_1000_publictect.csv",
)
LISTS = {
    TRAINING: f'{AMELIE}\t{TIMES}\tSOMEONE says "hello.\n{AMELIE}\t{TIMES}\tHe leaves", they say.\r\n',
    VAL: f"{BEN}\t{TIMES}\tA dog\tand a cat.\n\n",
    TEST: f"{SIGNS}\t{TIMES}\tHe looks up.\n",
}
PATHS = (f"0001_Amelie/{AMELIE}.avi", f"0002_Ben_and_Me/{BEN}.avi", f"1005_Signs/{SIGNS}.avi")


@pytest.mark.parametrize("layout", ["folders", "flat", "converted"])
def test_clips_are_found_in_the_folder_of_their_film_or_anywhere(
    tmp_path: Path, layout: str, touch: Touch, write_lists: WriteLists
) -> None:
    spelt = {
        "folders": PATHS,
        "flat": [path.rpartition("/")[2] for path in PATHS],
        "converted": [f"clips/{path[:-4]}.mp4" for path in PATHS],
    }
    root = write_lists(touch(tmp_path, *spelt[layout]), LISTS)
    videos = load_dataset("lsmdc", root=root).videos
    assert [video.video_id for video in videos] == [path[:-4] for path in PATHS]  # whatever the layout
    assert [video.path for video in videos] == list(spelt[layout])


def test_quotation_marks_join_no_lines_and_the_lines_of_a_clip_join(
    tmp_path: Path, write_lists: WriteLists
) -> None:
    manifest = load_dataset("lsmdc", root=write_lists(tmp_path, LISTS))
    assert [video.captions for video in manifest.videos] == [
        ('SOMEONE says "hello.', 'He leaves", they say.'),
        ("A dog and a cat.",),
        ("He looks up.",),
    ]


def test_two_splits_share_the_test_clips(tmp_path: Path, write_lists: WriteLists) -> None:
    manifest = load_dataset("lsmdc", root=write_lists(tmp_path, LISTS))
    assert manifest.default_split == "ju2022"
    amelie, ben, signs = manifest.videos
    assert manifest.videos_in("default", "train") == (amelie,)
    assert manifest.videos_in("default", "val") == manifest.videos_in("ju2022", "train") == (ben,)
    assert manifest.videos_in("default", "test") == manifest.videos_in("ju2022", "test") == (signs,)
    assert "ju2022 train: 1 listed, 7,408 published" in manifest.notes


def test_the_training_list_is_not_needed_and_the_test_list_may_be_spelt_right(
    tmp_path: Path, write_lists: WriteLists
) -> None:
    write_lists(tmp_path, {VAL: LISTS[VAL], TEST.replace("tect", "test"): LISTS[TEST]})
    manifest = load_dataset("lsmdc", root=tmp_path)
    assert len(manifest.videos) == 2
    assert any(f"no {TRAINING} was found" in note for note in manifest.notes)


@pytest.mark.parametrize("name", [VAL, TEST])
def test_the_other_lists_are_needed(tmp_path: Path, name: str, write_lists: WriteLists) -> None:
    write_lists(tmp_path, {other: text for other, text in LISTS.items() if other != name})
    with pytest.raises(AnnotationsMissing, match=name):
        load_dataset("lsmdc", root=tmp_path)


def test_a_clip_of_two_lists_is_refused(tmp_path: Path, write_lists: WriteLists) -> None:
    write_lists(tmp_path, LISTS | {TEST: LISTS[VAL]})
    with pytest.raises(SplitLeak):
        load_dataset("lsmdc", root=tmp_path)


@pytest.mark.parametrize("line", [SIGNS, f"{SIGNS},1,2,3,4,He looks up.", "a\tb\tc\td"])
def test_a_wrong_line_is_named(tmp_path: Path, line: str, write_lists: WriteLists) -> None:
    write_lists(tmp_path, LISTS | {TEST: f"{LISTS[TEST]}{line}\n"})
    with pytest.raises(ManifestUnreadable, match="line 2"):
        load_dataset("lsmdc", root=tmp_path)


def test_a_clip_cannot_lead_out_of_the_root(tmp_path: Path, write_lists: WriteLists) -> None:
    write_lists(tmp_path, LISTS | {TEST: f"../../x_1\t{TIMES}\tHe looks up.\n"})
    with pytest.raises(OutsideRoot):
        load_dataset("lsmdc", root=tmp_path)
