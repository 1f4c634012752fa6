"""The examples in docstrings are true, run through the installed names: `vlp.pipeline.x`, never `pipeline.x`."""

import doctest
import importlib
import pkgutil

import pytest

PACKAGES = ("vlp.cli", "vlp.datasplits", "vlp.pipeline", "vlp.stores")
MODULES = [
    module.name
    for package in PACKAGES
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
]


@pytest.mark.parametrize("name", MODULES)
def test_every_example_gives_what_it_says(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_there_are_examples_and_all_folders_are_walked() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    examples = [
        test for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples
    ]
    assert len(examples) >= 25
    assert {name.split(".")[1] for name in MODULES} == {"cli", "datasplits", "pipeline", "stores"}
