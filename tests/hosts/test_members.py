"""Edits of JSON text: the result has the change and nothing else."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

from m2m_ssh_client.hosts.jsonc import parse
from m2m_ssh_client.hosts.members import with_member, without_member
from m2m_ssh_client.hosts.nodes import FormatError, find

ENTRY = {"command": "/bin/x", "args": ["--host", "h"]}
PATH = ("mcpServers", "lab")
many = examples(300)


def value_of(text: str) -> Any:
    node = parse(text)
    return node.value if node else None


# A member set


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '{\n  "a": {\n    "b": 1\n  }\n}\n'),
        (" \n", '{\n  "a": {\n    "b": 1\n  }\n}\n'),
        ("// none yet", '// none yet\n{\n  "a": {\n    "b": 1\n  }\n}\n'),
        ("{}", '{\n  "a": {\n    "b": 1\n  }\n}'),
        ("{\n}\n", '{\n  "a": {\n    "b": 1\n  }\n}\n'),
        ('{\n\t"x": 0\n}', '{\n\t"x": 0,\n\t"a": {\n\t\t"b": 1\n\t}\n}'),
        ('{\n    "a": {}\n}', '{\n    "a": {\n        "b": 1\n    }\n}'),
        ('{"a": {"x": 0}}', '{"a": {"x": 0, "b": 1}}'),
        ('{"a":{"x":0}}', '{"a":{"x":0,"b":1}}'),
        ('{ "a": { "x": 0 } }', '{ "a": { "x": 0, "b": 1 } }'),
        ('{"a": {"x": 0,}}', '{"a": {"x": 0, "b": 1,}}'),
        ('{"a": {"b": 0, "x": 0}}', '{"a": {"b": 1, "x": 0}}'),
        ('{\r\n  "a": {\r\n    "x": 0\r\n  }\r\n}', '{\r\n  "a": {\r\n    "x": 0,\r\n    "b": 1\r\n  }\r\n}'),
        ('{\n  "a": {\n    "x": 0, // x\n    // end\n  },\n}',
         '{\n  "a": {\n    "x": 0, // x\n    // end\n    "b": 1,\n  },\n}'),
        ('{\n  "a": {\n    "x": 0 // x\n  }\n}', '{\n  "a": {\n    "x": 0, // x\n    "b": 1\n  }\n}'),
        ('{\n  "a": {\n    // none\n  }\n}', '{\n  "a": {\n    // none\n    "b": 1\n  }\n}'),
        ('{\n  "a": { /* none */ }\n}', '{\n  "a": { /* none */\n    "b": 1\n  } \n}'.replace("} \n", " }\n")),
        ('{"a": {"x": 0 // c\r}}', '{"a": {"x": 0, // c\n  "b": 1\r}}'),
    ],
)  # fmt: skip
def test_a_member_is_set_in_the_style_of_the_text(before: str, after: str) -> None:
    assert with_member(before, ("a", "b"), 1) == after
    assert value_of(after)["a"]["b"] == 1


# A member removed


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("{}", "{}"),
        ('{"a": {"x": 0}}', '{"a": {"x": 0}}'),
        ('{"a": {"b": 1}}', '{"a": {}}'),
        ('{"a": {"b": 1, "x": 0}}', '{"a": {"x": 0}}'),
        ('{"a": {"x": 0, "b": 1, "y": 0}}', '{"a": {"x": 0, "y": 0}}'),
        ('{"a": {"x": 0, "b": 1}}', '{"a": {"x": 0}}'),
        ('{"a": { "x": 0, "b": 1 }}', '{"a": { "x": 0 }}'),
        ('{"a": {"x": 0, "b": 1,}}', '{"a": {"x": 0,}}'),
        ('{"a": {\n  "b": 1\n}}', '{"a": {}}'),
        ('{"a": {\n  // c\n  "b": 1\n}}', '{"a": {\n  // c\n}}'),
        ('{"a": {\n  "x": 0, // x\n  "b": 1 // b\n}}', '{"a": {\n  "x": 0 // x\n  // b\n}}'),
        ('{"a": {\n  "b": {\n  }, // b\n  "x": 0\n}}', '{"a": {\n  // b\n  "x": 0\n}}'),
        ('{"a": {"x": 0, "b": 1 /* b */, "y": 0}}', '{"a": {"x": 0,  /* b */ "y": 0}}'),
        ('{"a": {\r\n\t"x": 0,\r\n\t"b": 1\r\n}}', '{"a": {\r\n\t"x": 0\r\n}}'),
    ],
)
def test_a_member_is_removed_and_comments_stay(before: str, after: str) -> None:
    assert without_member(before, ("a", "b")) == after


# Documents of every style

names = st.text(alphabet='abé"\\/{ \u2028', min_size=1, max_size=5)
scalars = st.none() | st.booleans() | st.integers() | st.text(alphabet='x"\\/*,}é\t', max_size=6)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3)
)
fillers = st.sampled_from(["", " ", "\t", "\n", "\n  ", " // c, }\n", "/* { */", " /* a\n// b */ "])


@st.composite
def written(draw: st.DrawFn, value: Any, newline: str) -> str:
    """Return a value in an untidy style."""

    def write(value: Any) -> str:
        gap = draw(fillers)
        if isinstance(value, dict):
            parts = [json.dumps(k) + draw(fillers) + ":" + write(v) for k, v in value.items()]
            brackets = "{}"
        elif isinstance(value, list):
            parts, brackets = [write(each) for each in value], "[]"
        else:
            return gap + json.dumps(value, ensure_ascii=draw(st.booleans())) + draw(fillers)
        comma = "," if draw(st.booleans()) and parts else ""
        inside = ",".join(draw(fillers) + part for part in parts) + comma + draw(fillers)
        return gap + brackets[0] + inside + brackets[1] + draw(fillers)

    return write(value).replace("\n", newline)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Return a document, with or without servers and one called lab."""
    root = draw(st.dictionaries(names, values, max_size=3))
    if draw(st.booleans()):
        servers = draw(st.dictionaries(names, values, max_size=3))
        if draw(st.booleans()):
            servers = dict(draw(st.permutations([*servers.items(), ("lab", draw(values))])))
        root = dict(draw(st.permutations([*root.items(), ("mcpServers", servers)])))
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    if draw(st.booleans()):
        indent = draw(st.sampled_from([None, 2, 4, "\t"]))
        return json.dumps(root, indent=indent, ensure_ascii=False).replace("\n", newline)
    return draw(written(root, newline))


TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\r\n]*|/\*.*?\*/|[{}\[\]:,]|[^\s"{}\[\]:,/]+', re.DOTALL)


def ends_of_change(before: str, after: str) -> tuple[str, str]:
    """Return the parts between the common beginning and the common end."""
    most = min(len(before), len(after))
    head = next((i for i in range(most) if before[i] != after[i]), most)
    tail = next((i for i in range(most - head) if before[-1 - i] != after[-1 - i]), most - head)
    return before[head : len(before) - tail], after[head : len(after) - tail]


@many
@given(documents())
def test_a_set_member_is_the_only_thing_that_changes(text: str) -> None:
    old = value_of(text)
    result = with_member(text, PATH, ENTRY)
    expected = {**old, "mcpServers": {**old.get("mcpServers", {}), "lab": ENTRY}}
    assert value_of(result) == expected
    assert list(value_of(result)) == list(expected)
    assert list(value_of(result)["mcpServers"]) == list(expected["mcpServers"])
    existing = find(parse(text), PATH)
    if existing:
        new = find(parse(result), PATH)
        assert new
        assert result[: new.start] == text[: existing.start]
        assert result[new.end :] == text[existing.end :]
    else:
        gone, come = ends_of_change(text, result)
        # Nothing is lost. Text after the last member may stand between a comma and the new member.
        assert come == gone or come[: 1 + len(gone)] == "," + gone or not gone
        assert "/" not in come.replace(gone, "", 1).replace("/bin/x", "")


@many
@given(documents())
def test_a_removed_member_takes_nothing_along(text: str) -> None:
    old = value_of(text)
    result = without_member(text, PATH)
    if "lab" not in old.get("mcpServers", {}):
        assert result == text
        return
    del old["mcpServers"]["lab"]
    assert value_of(result) == old
    node = find(parse(text), PATH)
    assert node
    # All tokens except the member's and one comma are there, comments included.
    start = max(m.start() for m in TOKEN.finditer(text[: node.start]) if m.group() == '"lab"')
    rest = TOKEN.findall(text[:start]) + TOKEN.findall(text[node.end :])
    left = TOKEN.findall(result)
    assert [t for t in left if t != ","] == [t for t in rest if t != ","]
    assert len(rest) - len(left) in (0, 1)


@many
@given(documents(), values)
def test_what_is_set_and_removed_leaves_the_value_as_it_was(text: str, value: Any) -> None:
    before = without_member(text, PATH)
    result = without_member(with_member(before, PATH, value), PATH)
    assert value_of(result) == {"mcpServers": {}} | value_of(before)


@pytest.mark.parametrize("indent", [2, 4, "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_what_is_set_and_removed_leaves_the_text_as_it_was(indent: int | str, newline: str) -> None:
    servers = {"one": ENTRY, "two": {"url": "http://x"}}
    text = json.dumps({"mcpServers": servers, "last": 1}, indent=indent).replace("\n", newline)
    for before in (text, text.replace('"last"', '// note\n"last"'), json.dumps({"mcpServers": {}})):
        set_there = with_member(before, PATH, ENTRY)
        assert set_there != before
        assert without_member(set_there, PATH) == before


@many
@given(documents())
def test_setting_the_same_again_changes_nothing(text: str) -> None:
    once = with_member(text, PATH, ENTRY)
    assert with_member(once, PATH, ENTRY) == once


# Refusals


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "the document is not an object"),
        ("null", "the document is not an object"),
        ('{"mcpServers": []}', "mcpServers is not an object"),
        ('{"mcpServers": null}', "mcpServers is not an object"),
        ('{"mcpServers": {}, "mcpServers": {}}', "the document has 'mcpServers' more than once"),
        ('{"mcpServers": {"lab": 1, "lab": 2}}', "mcpServers has 'lab' more than once"),
    ],
)
def test_where_the_member_has_no_clear_place_nothing_is_edited(text: str, problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        with_member(text, PATH, ENTRY)
    with pytest.raises(FormatError, match=problem):
        without_member(text, PATH)
