"""Pickles of word lists are read at every protocol; whatever could do more is refused, and does nothing."""

import builtins
import copyreg
import os
import pickle
import pickletools
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vlp.datasplits.errors import DatasetError, ManifestUnreadable
from vlp.datasplits.plain_pickle import read_word_lists

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
word_lists = st.dictionaries(words, st.lists(st.lists(words, max_size=5), max_size=4), max_size=4)


class Calls:
    """Pickles as a call of a function, made when it is loaded."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> Any:
        return self._call


class HasState(list[str]):
    """Pickles as an object with a state, set when it is loaded."""

    def __setstate__(self, state: object) -> None:
        raise AssertionError("it ran")


def refused(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "raw-captions.pkl"
    path.write_bytes(data)
    with pytest.raises(ManifestUnreadable) as caught:
        read_word_lists(path)
    assert caught.value.path == path
    return str(caught.value)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@given(held=word_lists)
def test_word_lists_of_every_protocol_are_read(
    protocol: int, held: dict[str, list[list[str]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("pickle") / "captions.pkl"
    for data in (pickle.dumps(held, protocol), pickletools.optimize(pickle.dumps(held, protocol))):
        path.write_bytes(data)
        assert read_word_lists(path) == held


def test_the_byte_strings_of_python_2_are_words(tmp_path: Path) -> None:
    """What Python 2.7's cPickle writes for {"a_1_2": [["caf\\xc3\\xa9"]]} at protocol 2."""
    path = tmp_path / "captions.pkl"
    path.write_bytes(b"\x80\x02}q\x01U\x05a_1_2q\x02]q\x03]q\x04U\x05caf\xc3\xa9q\x05aas.")
    assert read_word_lists(path) == {"a_1_2": [["café"]]}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("function", ["system", "eval", "exec", "getattr", "import"])
def test_calls_are_refused_before_any_runs(tmp_path: Path, function: str, protocol: int) -> None:
    mark = tmp_path / "it-ran"
    code = f"open({str(mark)!r}, 'w').close()"
    call = {
        "system": Calls(os.system, f"touch {mark}"),
        "eval": Calls(eval, code),
        "exec": Calls(exec, code),
        "getattr": Calls(getattr, Calls(__import__, "os"), "system"),
        "import": Calls(__import__, "this"),
    }[function]
    held = {"video": [["a", call, "word"]]}
    assert "the instruction" in refused(tmp_path, pickle.dumps(held, protocol))
    assert not mark.exists()


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "held", [print, builtins.getattr, HasState, HasState("ab"), {"a"}, b"a", 1.5, 7, None]
)
def test_other_things_than_words_are_refused(tmp_path: Path, held: object, protocol: int) -> None:
    refused(tmp_path, pickle.dumps({"video": [[held]]}, protocol))


@pytest.mark.parametrize(
    "data",
    [
        b"cos\nsystem\n(S'true'\ntR.",  # GLOBAL, REDUCE
        b"(S'true'\nios\nsystem\n.",  # INST
        b"(cos\nsystem\nS'true'\no.",  # OBJ
        b"\x8c\x02os\x8c\x06system\x93.",  # STACK_GLOBAL
        b"Pid\n.",  # PERSID
        b"S'id'\nQ.",  # BINPERSID
        b"\x82\x01.",  # EXT1
        b"\x83\x01\x00.",  # EXT2
        b"\x84\x01\x00\x00\x00.",  # EXT4
        b"}]b.",  # BUILD
        b"}2.",  # DUP
        b"\x97.",  # NEXT_BUFFER
    ],
)
def test_every_instruction_that_could_reach_code_is_refused_by_name(tmp_path: Path, data: bytes) -> None:
    assert "which lists of words do not need" in refused(tmp_path, data)


def test_an_extension_that_is_registered_is_refused(tmp_path: Path) -> None:
    copyreg.add_extension("builtins", "print", 200)
    try:
        assert "EXT1" in refused(tmp_path, pickle.dumps({"a": print}, 2))
    finally:
        copyreg.remove_extension("builtins", "print", 200)


@pytest.mark.parametrize(
    "data",
    [
        b"}r\xff\xff\xff\x7f.",  # LONG_BINPUT: two thousand million places
        b"}q\xff.",
        b"}p999999999\n.",
        b"}p-1\n.",
    ],
)
def test_a_huge_memo_is_refused(tmp_path: Path, data: bytes) -> None:
    assert "the memo number" in refused(tmp_path, data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b".",
        b"}",
        b"no pickle",
        b"\x80\xff}.",  # a protocol of the future
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f}.",  # a frame longer than the file
        b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.",  # a string longer than any file
        b"X\xff\xff\xff\x7fa.",
        b"}g5\n.",  # nothing is remembered under 5
        b"}]]s.",  # a list as a key
        b"]e.",
        b"(.",
        b"p" + b"9" * 5000 + b"\n.",
        b"\x80\x02}U\x01\xffK.",
        b"(" * 100_000,
        pickle.dumps([["a"]]),
        pickle.dumps("a"),
        pickle.dumps({"a": ["bc"]}),
        pickle.dumps({"a": {"b": []}}),
    ],
)
def test_what_is_no_dict_of_word_lists_is_refused(tmp_path: Path, data: bytes) -> None:
    refused(tmp_path, data)


def test_deep_lists_are_refused(tmp_path: Path) -> None:
    refused(tmp_path, b"}S'a'\n" + b"]" * 200_000 + b"a" * 199_999 + b"s.")


def test_a_list_within_itself_is_refused(tmp_path: Path) -> None:
    held: list[Any] = []
    held.append(held)
    assert "no list of words" in refused(tmp_path, pickle.dumps({"a": held}))


def test_a_small_file_that_stands_for_a_large_structure_is_refused(tmp_path: Path) -> None:
    many = [["a"] * 1000] * 1000
    assert "too often" in refused(tmp_path, pickle.dumps({str(number): many for number in range(1000)}))
    assert "too often" in refused(tmp_path, pickle.dumps({"a": [["x" * 100_000] * 1000]}))
    empty: list[list[str]] = [[]] * 1000
    assert "too often" in refused(tmp_path, pickle.dumps({str(number): empty for number in range(1000)}))


def test_a_file_that_is_not_there_a_folder_or_too_large_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestUnreadable, match="No such file"):
        read_word_lists(tmp_path / "none.pkl")
    with pytest.raises(ManifestUnreadable, match="directory"):
        read_word_lists(tmp_path)
    with (tmp_path / "large.pkl").open("wb") as file:
        file.truncate(64 * 2**20 + 1)
    with pytest.raises(ManifestUnreadable, match="larger than"):
        read_word_lists(tmp_path / "large.pkl")


@given(position=st.integers(0, 200), byte=st.integers(0, 255), protocol=st.sampled_from(PROTOCOLS))
def test_a_damaged_pickle_is_read_or_refused(
    position: int, byte: int, protocol: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray(pickle.dumps({"a_1_2": [["a", "dog", "a"], ["b"]], "b": [["a"]]}, protocol))
    data[position % len(data)] = byte
    path = tmp_path_factory.mktemp("pickle") / "captions.pkl"
    path.write_bytes(bytes(data))
    try:
        held = read_word_lists(path)
    except DatasetError:
        return
    assert all(isinstance(word, str) for captions in held.values() for found in captions for word in found)
