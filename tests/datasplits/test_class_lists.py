"""Published lists of classes: their sizes, what they share, and that their datasets have every name."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlp.datasplits import class_lists, load_dataset
from vlp.datasplits.class_lists import CLASS_LISTS, class_list, resolve_names
from vlp.datasplits.class_text import class_text
from vlp.datasplits.errors import UnknownName, UnmatchedNames
from vlp.datasplits.ucf101_names import CLASSES as UCF101

SHARED = Path(__file__).parents[2].parent / "shared"
KINETICS = SHARED / "annotations" / "protocols" / "kinetics_class_lists.json"
HMDB51 = SHARED / "annotations" / "hmdb51"
PAPERS = sorted((SHARED / "papers").glob("000_*.txt"))
SIZES = {
    "hmdb51-5way": 10,
    "kinetics400-5way": 24,
    "kinetics700-test300": 300,
    "kinetics700-train400": 400,
    "ucf101-5way": 21,
}


def test_every_list_has_its_published_size_and_each_name_once() -> None:
    assert {name: len(class_list(name)) for name in CLASS_LISTS} == SIZES
    for name in CLASS_LISTS:
        words = [class_text(entry) for entry in class_list(name)]
        assert len({*words}) == len(words)
        assert all(words)


def test_every_file_is_a_known_list_and_says_its_source() -> None:
    folder = Path(class_lists.__file__).with_name("classes")
    assert {path.stem for path in folder.iterdir()} == set(CLASS_LISTS)
    assert all("2112.04478" in source for source in CLASS_LISTS.values())


def test_what_is_trained_on_is_not_tested_on() -> None:
    assert not {*class_list("kinetics700-train400")} & {*class_list("kinetics700-test300")}


def test_an_unknown_list_names_the_known() -> None:
    with pytest.raises(UnknownName, match="ucf101-5way") as caught:
        class_list("ucf101-6way")
    assert caught.value.known == tuple(sorted(CLASS_LISTS))


def test_names_resolve_to_the_datasets_own_spelling_in_the_order_of_the_list() -> None:
    classes = ["ApplyEyeMakeup", "kick", "kick_ball", "playing rubiks cube", "Moving [something] up"]
    names = ["playing_rubiks_cube", "kick ball", "moving something up", "apply eye makeup", "kick"]
    assert resolve_names(names, classes) == (classes[3], classes[2], classes[4], classes[0], classes[1])


def test_a_class_spelt_as_the_list_goes_before_one_of_the_same_words() -> None:
    assert resolve_names(["Kick", "KICK", "kick"], ["Kick", "kick"]) == ("Kick", "Kick", "kick")


def test_all_names_without_a_class_are_named() -> None:
    with pytest.raises(
        UnmatchedNames, match="none of the 2 classes is called 'swim', 'kick balls'"
    ) as caught:
        resolve_names(["kick", "swim", "kick balls"], ["kick", "kick_ball"])
    assert (caught.value.names, caught.value.num_classes) == (("swim", "kick balls"), 2)


NAMES = st.text(max_size=6) | st.sampled_from(["kick_ball", "Kick Ball", "KickBall", "kick", ""])


@given(names=st.lists(NAMES, max_size=4), classes=st.lists(NAMES, max_size=4))
def test_a_resolved_name_is_a_class_of_the_same_words(names: list[str], classes: list[str]) -> None:
    words = {class_text(name) for name in classes}
    unmatched = tuple(name for name in names if class_text(name) not in words)
    if unmatched:
        with pytest.raises(UnmatchedNames) as caught:
            resolve_names(names, classes)
        assert caught.value.names == unmatched
    else:
        resolved = resolve_names(names, classes)
        assert {*resolved} <= {*classes}
        assert [*map(class_text, resolved)] == [*map(class_text, names)]


def test_every_ucf101_name_is_in_classInd_txt() -> None:  # noqa: N802  # the file's name
    assert {*class_list("ucf101-5way")} <= {*UCF101}
    assert "VolleyballSpiking" in class_list("ucf101-5way")


@pytest.mark.skipif(not HMDB51.is_dir(), reason="no official lists here")
def test_every_hmdb51_name_is_a_folder(tmp_path: Path) -> None:
    assert {*class_list("hmdb51-5way")} <= {
        *load_dataset("hmdb51", root=tmp_path, annotations=HMDB51).classes
    }


@pytest.mark.skipif(not KINETICS.is_file(), reason="no label maps here")
def test_the_kinetics_names_are_those_of_the_label_maps() -> None:
    maps = json.loads(KINETICS.read_text())
    train, test = class_list("kinetics700-train400"), class_list("kinetics700-test300")
    assert {*train} | {*test} == {*maps["k700"]}
    assert {*class_list("kinetics400-5way")} <= {*maps["k400"]}


@pytest.mark.skipif(not PAPERS, reason="the paper's text is not here")
@pytest.mark.parametrize(
    ("name", "heading", "misprinted"),
    [
        ("kinetics700-train400", "**Training Categories (#400):**", {"breeding or breadcrumbing"}),
        ("kinetics700-test300", "**Testing Categories (#300):**", set()),
        ("kinetics400-5way", "sample the test action categories from:", set()),
        ("ucf101-5way", "the test action categories are sampled from :", {"volleyballsiking"}),
        ("hmdb51-5way", "**HMDB-51**. We follow [94] and sample the test action categories from:", set()),
    ],
)
def test_every_name_that_the_paper_prints_is_in_the_list(
    name: str, heading: str, misprinted: set[str]
) -> None:
    text = PAPERS[0].read_text().split(heading)[1]
    printed = " ".join(text.split("\n- **")[0].split("\n\nD.")[0].split("\n\n5-Shot")[0].split())
    words = [word.strip(" .") for word in printed.rstrip(", ").split(",")]
    known = {word for entry in class_list(name) for word in (class_text(entry), entry.lower())}
    listed = {class_text(word) for word in words}
    assert listed - known == misprinted
    assert len(words) == SIZES[name]
