"""The fingerprint is the SHA-256 of one canonical text."""

import json
import math
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vlp.stores.fingerprint import canonical_json, differences, fingerprint

# printf '%s' TEXT | sha256sum
TEXT = (
    '{"mean":[0.5,0.25],"name":"é","preprocess":{"size":224,"square":true},"timeline":"fps:30",'
    '"views":null,"z":1e+300}'
)
SHA256 = "aeac61ac1dfe044091e9a4fc1b7900f79dab1c6f21d4d7243e00e8d98e014e67"

KEYS = st.text(max_size=5)
LEAVES = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
TREES = st.recursive(LEAVES, lambda trees: st.lists(trees) | st.dictionaries(KEYS, trees), max_leaves=20)


def test_the_canonical_text_and_its_hash_are_fixed() -> None:
    meaning: dict[str, Any] = {
        "z": 1e300,
        "timeline": "fps:30",
        "preprocess": {"square": True, "size": 224.0},
        "views": None,
        "name": "é",
        "mean": (0.5, 0.25),
    }
    assert canonical_json(meaning) == TEXT
    assert fingerprint(meaning) == SHA256


@settings(max_examples=50, deadline=None)
@given(tree=TREES)
def test_reading_the_text_back_gives_the_same_text(tree: Any) -> None:
    text = canonical_json(tree)
    assert canonical_json(json.loads(text)) == text


@given(number=st.integers(-(2**53) + 1, 2**53 - 1))
def test_a_whole_float_and_its_integer_are_one(number: int) -> None:
    assert canonical_json(float(number)) == canonical_json(number) == str(number)


@given(number=st.floats(allow_nan=False, allow_infinity=False))
def test_every_float_reads_back_equal(number: float) -> None:
    assert float(canonical_json(number)) == number


@settings(max_examples=50, deadline=None)
@given(first=TREES, second=TREES)
@example(first={"a.b": 1}, second={"a": {"b": 1}})
@example(first=None, second={"": None})
@example(first={"a": [1.0]}, second={"a": (1,)})
def test_meanings_differ_exactly_when_their_fingerprints_do(first: Any, second: Any) -> None:
    assert (differences(first, second) == []) == (fingerprint(first) == fingerprint(second))


def test_true_is_not_one() -> None:
    assert canonical_json({"a": True, "b": 1}) == '{"a":true,"b":1}'


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_json_lacks_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match="no place in JSON"):
        canonical_json({"a": [number]})


@pytest.mark.parametrize("value", [{1: "a"}, {"a": {2}}, b"a", {"a": object()}])
def test_values_that_json_lacks_are_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        canonical_json(value)


def test_endless_nesting_is_refused() -> None:
    tree: list[Any] = []
    for _ in range(100_000):
        tree = [tree]
    with pytest.raises(ValueError, match="too deep"):
        canonical_json(tree)


def test_differences_name_the_leaf_and_both_values() -> None:
    here = {"preprocess": {"size": 224, "mode": "bicubic"}, "views": 1, "old": {}}
    asked = {"preprocess": {"size": 336, "mode": "bicubic"}, "views": 1.0, "new": [1, 2]}
    assert differences(here, asked) == [
        "new: absent here, [1,2] asked",
        "old: {} here, absent asked",
        "preprocess.size: 224 here, 336 asked",
    ]
