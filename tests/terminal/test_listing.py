from __future__ import annotations

from typing import Any

import pytest

from m2m_ssh_client.terminal.listing import prompt_row, resource_row, tool_row


def tool(**members: Any) -> list[str]:
    return tool_row({"name": "t", **members})


def test_an_argument_has_its_types_and_a_mark_if_it_is_required() -> None:
    properties = {"a": {"type": ["string", "null"]}, "b": {}, "c": {"$ref": "#/$defs/C"}}
    schema = {"properties": properties, "required": ["b"], "$defs": {"C": {"enum": [1]}}}
    assert tool(inputSchema=schema)[2].split("\n") == ["a: null|string", "b*: any", "c: integer"]


@pytest.mark.parametrize(
    ("annotations", "words"),
    [
        ({"readOnlyHint": True}, ["read-only"]),
        ({"readOnlyHint": False}, []),
        ({"destructiveHint": True, "openWorldHint": True}, ["destructive", "open world"]),
        ({"destructiveHint": False, "openWorldHint": False}, ["not destructive", "closed world"]),
        ({"idempotentHint": True, "x": True}, ["idempotent"]),
        ({"readOnlyHint": "yes"}, []),
        ({}, []),
        (None, []),
    ],
)
def test_annotations_are_told_in_words(annotations: Any, words: list[str]) -> None:
    assert tool(annotations=annotations)[3] == "\n".join(words)


def test_the_title_may_stand_in_the_annotations() -> None:
    assert tool(annotations={"title": "old"})[1] == "old"
    assert tool(annotations={"title": "old"}, title="new")[1] == "new"


def test_only_the_first_line_of_a_description_is_told() -> None:
    assert tool(description="\n  One.\n\nTwo.")[4] == "One."


@pytest.mark.parametrize("odd", [None, 5, "text", [], [5], {}, {"a": 5}, True])
def test_what_is_not_as_mcp_has_it_is_no_reason_to_fail(odd: Any) -> None:
    members = ("name", "title", "description", "inputSchema", "annotations", "arguments", "uri")
    for member in members:
        for row in (tool_row, resource_row, prompt_row):
            assert all(isinstance(cell, str) for cell in row({member: odd}))
    for member in ("properties", "required", "$defs"):
        assert len(tool(inputSchema={"properties": {"a": {"$ref": "#/$defs/a"}}, member: odd})) == 5
