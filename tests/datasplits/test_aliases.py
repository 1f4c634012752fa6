"""Corrected class names: each label is one that its dataset has, and each correction reads as prompts do."""

import csv
import json
from pathlib import Path

import pytest

from vlp.datasplits import load_dataset
from vlp.datasplits.aliases import ALIASES, alias_of
from vlp.datasplits.class_text import class_text
from vlp.datasplits.ucf101_names import CLASSES as UCF101

OFFICIAL = Path(__file__).parents[2].parent / "shared" / "annotations"
PROTOCOLS = OFFICIAL / "protocols"


def official_labels(dataset: str, root: Path) -> set[str]:
    if dataset.startswith("kinetics"):
        maps = json.loads((PROTOCOLS / "kinetics_class_lists.json").read_text())
        return {*maps[f"k{dataset.removeprefix('kinetics')}"]}
    if dataset == "activitynet":
        with (OFFICIAL / "activitynet" / "action_name.csv").open(newline="") as file:
            return {row["action"] for row in csv.DictReader(file)}
    if dataset == "ssv2":
        return {*json.loads((PROTOCOLS / "something-something-v2-labels.json").read_text())}
    if dataset == "thumos14":
        lists = (OFFICIAL / "thumos14" / "temporal_annotations_test").iterdir()
        return {path.stem.removesuffix("_test") for path in lists}
    return {*load_dataset(dataset, root=root, annotations=OFFICIAL / dataset).classes}


@pytest.mark.skipif(not PROTOCOLS.is_dir(), reason="no official lists here")
@pytest.mark.parametrize("dataset", sorted(ALIASES))
def test_every_label_is_one_of_its_dataset(dataset: str, tmp_path: Path) -> None:
    assert {*ALIASES[dataset]} <= official_labels(dataset, tmp_path)


def test_every_ucf101_label_is_in_its_class_list() -> None:
    assert {*ALIASES["ucf101"]} <= {*UCF101}


@pytest.mark.skipif(not PROTOCOLS.is_dir(), reason="no official lists here")
def test_no_correction_makes_two_classes_the_same(tmp_path: Path) -> None:
    for dataset, table in ALIASES.items():
        labels = official_labels(dataset, tmp_path)
        texts = [table.get(label, class_text(label)) for label in labels]
        assert len({*texts}) == len(labels)


def test_a_label_of_several_datasets_has_one_text() -> None:
    texts: dict[str, set[str]] = {}
    for table in ALIASES.values():
        for label, text in table.items():
            texts.setdefault(label, set()).add(text)
    assert all(len(found) == 1 for found in texts.values())
    assert {label: alias_of(label) for label in texts} == {
        label: found.pop() for label, found in texts.items()
    }


def test_every_text_is_a_correction_and_is_written_as_class_text_writes() -> None:
    for table in ALIASES.values():
        for label, text in table.items():
            assert text == class_text(text)
            assert text == class_text(label) != class_text(label, rule="uncorrected")


def test_a_label_that_is_spelt_well_has_no_alias() -> None:
    assert alias_of("archery") is None
    assert alias_of("volleyball spiking") is None
    assert alias_of("barbequing") == "barbecuing"
    assert alias_of("Plataform diving") == "platform diving"
