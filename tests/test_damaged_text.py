"""YAML and JSON files that parsers choke on are refused by name, whatever the parser raises."""

import json
from pathlib import Path

import pytest
from refusals import raises_naming

from deepnets4eo.errors import InputError
from deepnets4eo.files import MAX_DEPTH, read_json, read_yaml, write_text

ALIAS_BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    ["2020-13-45", "!!int x", "!!bool x", '!!int ""', "!!timestamp x", "[" * 5_000, "&a [*a]", ALIAS_BOMB, "9" * 5_000, "\x00"],
    ids=["date", "int", "bool", "empty int", "timestamp", "deep", "itself", "bomb", "digits", "control"],
)  # fmt: skip
def test_yaml_that_no_parser_takes_is_refused_by_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "card.yaml"
    path.write_text(text)
    with raises_naming(InputError, "card.yaml"):
        read_yaml(path)


@pytest.mark.parametrize("text", ["[" * 200_000, "9" * 5_000, "[" * 150 + "]" * 150, "", "\x00"])
def test_json_that_no_parser_takes_is_refused_by_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(text)
    with raises_naming(InputError, "labels.json"):
        read_json(path)


@pytest.mark.parametrize("read", [read_yaml, read_json])
def test_what_is_no_file_of_text_is_refused_by_name(read, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    for name, message in (("folder", "cannot be read"), ("bytes", "not a text file"), ("absent", "does not exist")):
        with raises_naming(InputError, name, message):
            read(tmp_path / name)
    with pytest.raises(InputError, match="cannot be read"):
        read("a\0b")


def test_a_yaml_file_beyond_the_limit_is_not_parsed(tmp_path: Path) -> None:
    (tmp_path / "big.yaml").write_bytes(b"a: 1\n" + b" " * 996)
    with raises_naming(InputError, "1", "001", "000"):
        read_yaml(tmp_path / "big.yaml", max_bytes=1_000)
    (tmp_path / "big.yaml").write_bytes(b"a: 1\n" + b" " * 995)
    assert read_yaml(tmp_path / "big.yaml", max_bytes=1_000) == {"a": 1}


def test_nesting_up_to_the_limit_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert isinstance(read_json(path), list)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"a": 1}).encode())
    assert read_json(path) == read_yaml(path) == {"a": 1}


def test_names_that_are_no_text_do_not_stop_a_file_from_being_written(tmp_path: Path) -> None:
    assert write_text(tmp_path / "a.txt", "na\udcefve").read_text() == "na\\udcefve"


def test_half_of_a_surrogate_pair_is_refused_since_it_cannot_be_written(tmp_path: Path) -> None:
    for text in ('{"name": "\\ud800"}', '{"\\udfff": 1}'):
        (tmp_path / "a.json").write_text(text)
        for read in (read_json, read_yaml):
            with pytest.raises(InputError, match="half of a surrogate pair|not valid YAML"):
                read(tmp_path / "a.json")
    (tmp_path / "a.json").write_text('{"name": "\\ud83c\\udfe0"}')
    assert read_json(tmp_path / "a.json") == {"name": "\U0001f3e0"}
