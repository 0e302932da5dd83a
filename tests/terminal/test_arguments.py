from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2m_ssh_client.errors import UsageError
from m2m_ssh_client.terminal.arguments import TEXT_ONLY, read_object, read_words, types_of, values


def value_of(word: str, schema: Any) -> Any:
    (value,) = values(read_words([f"x{word}"]), {"properties": {"x": schema}}).values()
    return value


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, "5", "5"),
        ({"type": "string"}, "", ""),
        ({"type": "string"}, '"quoted"', '"quoted"'),
        ({"type": "string"}, "a=b:=c", "a=b:=c"),
        ({"type": "integer"}, "-5", -5),
        ({"type": "integer"}, "123456789012345678901", 123456789012345678901),
        ({"type": "number"}, "5", 5),
        ({"type": "number"}, "1e3", 1000.0),
        ({"type": "boolean"}, "false", False),
        ({"type": "array"}, "[1, null]", [1, None]),
        ({"type": "object"}, '{"a": {}}', {"a": {}}),
        ({"type": "null"}, "null", None),
        ({"type": ["string", "null"]}, "null", None),
        ({"type": ["string", "null"]}, "5", "5"),
        ({"type": ["string", "integer"]}, "5", 5),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "7", 7),
        ({"oneOf": [{"type": "array"}, {"type": "string"}]}, "plain", "plain"),
        ({"enum": ["1", "2"]}, "1", "1"),
        ({"enum": [1, 2]}, "1", 1),
        ({"const": "1"}, "1", "1"),
        ({}, "5", 5),
        ({}, "plain", "plain"),
        ({}, '"quoted"', '"quoted"'),
        ({}, "NaN", "NaN"),
        ({}, "1e999", "1e999"),
        (True, "5", 5),
        (None, "5", 5),
        ({"anyOf": [{"type": "string"}, {}]}, "5", 5),
    ],
)
def test_a_value_is_what_the_schema_wants(schema: Any, text: str, value: Any) -> None:
    found = value_of(f"={text}", schema)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": "integer"}, "5.5"),
        ({"type": "integer"}, "true"),
        ({"type": "integer"}, "five"),
        ({"type": "boolean"}, "1"),
        ({"type": "boolean"}, "True"),
        ({"type": "number"}, "NaN"),
        ({"type": "array"}, "a,b"),
        ({"type": "object"}, "[]"),
        ({"type": "integer"}, ""),
    ],
)
def test_a_value_of_another_type_is_a_usage_error_that_tells_the_way_out(
    schema: Any, text: str
) -> None:
    with pytest.raises(UsageError, match=r"x must be .*x:=JSON"):
        value_of(f"={text}", schema)
    assert value_of(":=[1]", schema) == [1]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_forced_json_is_sent_as_it_is(value: Any) -> None:
    assert value_of(f":={json.dumps(value)}", {"type": "string"}) == value


def test_prompts_take_text_whatever_it_looks_like() -> None:
    assert values(read_words(["a=1", "b=null"]), TEXT_ONLY) == {"a": "1", "b": "null"}


def test_a_file_is_read_as_text_and_then_of_the_type_that_is_wanted(tmp_path: Path) -> None:
    file = tmp_path / "value"
    file.write_bytes(b"\xef\xbb\xbf5\r\n")
    assert value_of(f"=@{file}", {"type": "string"}) == "5\r\n"
    assert value_of(f"=@{file}", {"type": "integer"}) == 5
    file.write_text('{"x": [1]}')
    assert read_object(f"@{file}") == {"x": [1]}


@pytest.mark.parametrize(
    "word", ["x", "=5", ":=5", "x:=", "x:={", "x:=NaN", "x=\udcff", "\udcff=x"]
)
def test_what_is_no_argument_is_a_usage_error(word: str) -> None:
    with pytest.raises(UsageError):
        read_words([word])


def test_a_key_is_given_once() -> None:
    with pytest.raises(UsageError, match="x is given twice"):
        read_words(["x=1", "x:=2"])


def test_files_that_are_missing_or_no_text_are_usage_errors(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="not UTF-8 text"):
        read_words([f"x=@{tmp_path / 'bytes'}"])
    with pytest.raises(UsageError, match="cannot be read"):
        read_words([f"x=@{tmp_path / 'missing'}"])


def test_references_are_followed_within_the_schema() -> None:
    root = {"$defs": {"a/b": {"$ref": "#/$defs/c"}, "c": {"type": "array"}}}
    assert types_of({"$ref": "#/$defs/a~1b"}, root) == {"array"}
    assert types_of({"$ref": "#/$defs/missing"}, root) == set()
    assert types_of({"$ref": "https://example.com/schema"}, root) == set()


@pytest.mark.parametrize(
    "definition", [{"$ref": "#/$defs/a"}, {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}]
)
def test_references_in_a_circle_end(definition: Any) -> None:
    assert types_of({"$ref": "#/$defs/a"}, {"$defs": {"a": definition}}) == set()
