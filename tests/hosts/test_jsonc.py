from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

from m2m_ssh_client.hosts.jsonc import parse
from m2m_ssh_client.hosts.nodes import FormatError

many = examples(300)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@many
@given(json_values, st.sampled_from([None, 0, 2, "\t"]), st.booleans())
def test_json_is_read_as_the_standard_library_reads_it(
    value: Any, indent: int | str | None, ascii_only: bool
) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    for comments in (True, False):
        node = parse(text, comments=comments)
        assert node
        assert node.value == value
        assert text[node.start : node.end] == text


@many
@given(st.text(alphabet='{}[]",:/*\\ \n1-eEtrufals.'))
def test_no_text_is_taken_for_json_that_is_none(text: str) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        if text.strip():
            with pytest.raises(FormatError):
                parse(text, comments=False)
    else:
        node = parse(text, comments=False)
        assert node
        assert node.value == expected


def test_comments_and_trailing_commas_are_read_over() -> None:
    text = '// one\n{/* two */"a" /* three */ : // four\n [1, 2,], "b": {"c": "// no",},} /* five */ // six'
    node = parse(text)
    assert node
    assert node.value == {"a": [1, 2], "b": {"c": "// no"}}


def test_each_scalar_is_told_with_its_place() -> None:
    text = '{"a": ["x", {"b": 1.5}], "c": null}'
    node = parse(text)
    assert node
    assert [text[each.start : each.end] for each in node.scalars()] == ['"x"', "1.5", "null"]


@pytest.mark.parametrize("text", ["", " \r\n\t", "// nothing", "/* nothing\n*/ // at all"])
def test_a_text_without_a_value_is_no_error(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"a": 1', "line 1, column 8: a comma is missing"),
        ('{"a" 1}', "line 1, column 6: a colon is missing"),
        ('{\n "a": 1\n "b": 2}', "line 3, column 2: a comma is missing"),
        ("{\r\n\ta: 1}", "line 2, column 2: a key in quotes is missing"),
        ("{'a': 1}", "a key in quotes is missing"),
        ("{,}", "a key in quotes is missing"),
        ("[,]", "not a JSON value"),
        ("[1,,]", "not a JSON value"),
        ("[1 2]", "a comma is missing"),
        ('{"a": }', "not a JSON value"),
        ("{} {}", "line 1, column 4: text follows the end"),
        ("/* open", "not a JSON value"),
        ('"a\nb"', "Invalid control character"),
        ('"open', "Unterminated string"),
        ("[NaN]", "not a JSON value"),
        ("-Infinity", "-Infinity is not a JSON value"),
        ("9" * 5000, "the number is too long"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_json_is_told_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        parse(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{} // c", "line 1, column 4: comments are not allowed in this file"),
        ('{"a": /* c */ 1}', "comments are not allowed in this file"),
        ('{"a": 1,}', "line 1, column 8: there is one comma too many"),
        ("[1,\n]", "there is one comma too many"),
    ],
)
def test_where_comments_are_not_allowed_the_message_says_so(text: str, problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        parse(text, comments=False)
