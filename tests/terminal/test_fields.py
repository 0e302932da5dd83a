"""Fields of the forms that servers send."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2m_ssh_client.terminal.fields import Field, NoForm, WrongAnswer, fields_of
from m2m_ssh_client.text import printable

COLOURS = {"type": "string", "enum": ["r", "g"], "enumNames": ["Red", "Green"]}
SIZES = {"type": "string", "oneOf": [{"const": "s", "title": "Small"}, {"const": "l"}]}
FLOORS = {"type": "string", "enum": ["3", "2", "1"]}
EXTRAS = {"type": "array", "items": {"anyOf": [{"const": c} for c in "abc"]}, "maxItems": 2}


def field(schema: dict[str, Any], *, required: bool = False) -> Field:
    return Field("name", schema, required)


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, "5", "5"),
        ({"type": "string", "maxLength": 2}, "äö", "äö"),
        ({"type": "integer"}, "-5", -5),
        ({"type": "integer", "enum": ["r"]}, "5", 5),
        ({"type": "number"}, "5", 5),
        ({"type": "number"}, "-.5e3", -500.0),
        ({"type": "number", "minimum": 1.5, "maximum": 1.5}, "1.5", 1.5),
        ({"type": "boolean"}, "Yes", True),
        ({"type": "boolean"}, "false", False),
        (COLOURS, "2", "g"),
        (COLOURS, "g", "g"),
        (COLOURS, "green", "g"),
        (SIZES, "small", "s"),
        (SIZES, "L", "l"),
        (FLOORS, "1", "1"),
        (EXTRAS, "c, 1,c,", ["c", "a"]),
        (EXTRAS, ",", []),
    ],
)
def test_an_answer_becomes_what_the_schema_wants(
    schema: dict[str, Any], text: str, value: object
) -> None:
    found = field(schema).value(text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("schema", "text", "said"),
    [
        ({"type": "string", "minLength": 3}, "ab", "at least 3 characters"),
        ({"type": "string", "minLength": 1, "maxLength": 2}, "abc", "1 to 2 characters"),
        ({"type": "integer"}, "1.5", "a whole number"),
        ({"type": "integer"}, "9" * 5000, "a whole number"),
        ({"type": "number"}, "nan", "a number"),
        ({"type": "number"}, "1e999", "a number"),
        ({"type": "number"}, "1_0", "a number"),
        ({"type": "number", "maximum": 5}, "6", "at most 5"),
        ({"type": "boolean"}, "maybe", "yes or no"),
        (COLOURS, "3", "not one of the choices"),
        (COLOURS, "0", "not one of the choices"),
        (COLOURS, "9" * 5000, "not one of the choices"),
        (COLOURS, "\x1b[2J" * 1000, "not one of the choices"),
        (FLOORS, "4", "not one of the choices"),
        (EXTRAS, "1,2,3", "at most 2 choices"),
    ],
)
def test_a_wrong_answer_is_told_what_is_wanted(
    schema: dict[str, Any], text: str, said: str
) -> None:
    with pytest.raises(WrongAnswer, match=said) as caught:
        field(schema).value(text)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize(
    ("schema", "prompt"),
    [
        ({"type": "string"}, "name: "),
        ({"type": "string", "title": "A \x1b[2J title"}, "A \\x1b[2J title: "),
        ({"type": "string", "title": ""}, "name: "),
        ({"type": "string", "title": "x" * 1000}, f"{'x' * 79}…: "),
        ({"type": "string", "format": "email"}, "name (email): "),
        ({"type": "string", "format": "\x1b[2J"}, "name (\\x1b[2J): "),
        ({"type": "string", "default": ""}, "name: "),
        ({"type": "string", "default": "\x1b[2J"}, "name [\\x1b[2J]: "),
        ({"type": "string", "default": "x" * 1000}, f"name [{'x' * 79}…]: "),
        ({"type": "string", "default": {"a": True}}, 'name [{"a": true}]: '),
        ({"type": "number", "maximum": 10**100}, f"name (a number, at most 1{'0' * 18}…): "),
        (
            {"type": "integer", "minimum": 1, "default": 3},
            "name (a whole number, at least 1) [3]: ",
        ),
        ({"type": "boolean", "default": False}, "name (yes or no) [no]: "),
        (
            {**EXTRAS, "default": ["a", "b"]},
            "name (with commas between, at most 2 choices) [a, b]: ",
        ),
        ({"type": "string", "default": None, "maxLength": True, "title": 5}, "name: "),
    ],
)
def test_a_prompt_says_what_is_wanted_and_what_is_taken_otherwise(
    schema: dict[str, Any], prompt: str
) -> None:
    of = field(schema)
    assert of.prompt(of.default) == prompt


def test_what_has_to_be_answered_has_a_star() -> None:
    assert field({"type": "string"}, required=True).prompt(None) == "name*: "


def test_what_a_field_is_about_cannot_steer_the_terminal_nor_fill_it() -> None:
    odd = {"type": "string", "description": "\x1b[2J", "enum": ["\x9bA"], "enumNames": ["\u202eB"]}
    assert field(odd).about() == ["\\x1b[2J", "  1  \\u202eB (\\x9bA)"]
    (line,) = field({"type": "string", "description": "x" * 10_000}).about()
    assert line == f"{'x' * 499}…"


def test_a_choice_whose_title_is_no_text_is_called_what_it_is() -> None:
    assert field({"type": "string", "enum": ["a"], "enumNames": [5]}).about() == ["  1  a"]


def test_choices_are_numbered_unless_numbers_are_their_names() -> None:
    assert field(COLOURS).about() == ["  1  Red (r)", "  2  Green (g)"]
    assert field(FLOORS).about() == ["     3", "     2", "     1"]
    many = {"type": "string", "enum": [f"v{n}" for n in range(1000)]}
    assert field(many).about()[-1] == "… and 950 more"
    assert field(many).value("1000") == "v999"


def test_what_a_form_cannot_have_in_mcp_is_no_field() -> None:
    for schema in ({"type": "object"}, {"type": "array"}, {"type": ["string", "null"]}, {}):
        with pytest.raises(NoForm, match="name"):
            field(schema)


@pytest.mark.parametrize("schema", [None, [], {}, {"properties": []}, {"required": 5}])
def test_a_schema_without_properties_has_no_fields(schema: Any) -> None:
    assert fields_of(schema) == []


def test_fields_are_in_the_order_of_the_schema_and_know_if_they_are_needed() -> None:
    properties = {name: {"type": "string"} for name in "zab"}
    found = fields_of({"properties": properties, "required": ["a", 5]})
    assert [(each.name, each.required) for each in found] == [
        ("z", False),
        ("a", True),
        ("b", False),
    ]


def test_what_is_needed_may_be_no_list_and_a_field_no_schema() -> None:
    (found,) = fields_of({"properties": {"a": {"type": "string"}}, "required": 5})
    assert not found.required
    with pytest.raises(NoForm, match="a"):
        fields_of({"properties": {"a": 5}})


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
ANYTHING = st.recursive(
    SCALARS, lambda of: st.lists(of) | st.dictionaries(st.text(), of), max_leaves=5
)
NAMES = ["title", "description", "default", "enum", "enumNames", "oneOf", "items", "format"]
NAMES += ["minLength", "maxLength", "minimum", "maximum", "minItems", "maxItems"]
SCHEMAS = st.fixed_dictionaries(
    {"type": st.sampled_from(["string", "integer", "number", "boolean", "array"]) | ANYTHING},
    optional=dict.fromkeys(NAMES, ANYTHING) | {"items": st.just(COLOURS)},
)


@given(schema=SCHEMAS, name=st.text(), text=st.text())
def test_no_schema_breaks_the_dialogue_nor_gets_what_mcp_does_not_have(
    schema: dict[str, Any], name: str, text: str
) -> None:
    try:
        of = Field(name, schema, required=True)
    except NoForm:
        return
    for line in [*of.about(), of.prompt(of.default)]:
        assert printable(line) == line
        assert len(line) < 1000
    try:
        value = of.value(text)
    except WrongAnswer:
        return
    if isinstance(value, list):
        assert all(isinstance(each, str) for each in value)
    else:
        assert isinstance(value, (str, int, float))
        assert isinstance(value, str) or math.isfinite(value)
