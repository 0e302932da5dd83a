"""Edits of YAML text: the result has the change and nothing else. The oracle is ruamel.yaml's loader."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML
from support.examples import examples

from m2m_ssh_client.hosts.blocks import parse, rendered, with_member, without_member
from m2m_ssh_client.hosts.nodes import FormatError, find

PATH = ("s", "lab")
ENTRY: dict[str, Any] = {"cmd": "x", "args": ["a", "yes"], "envs": {}, "n": 5}
BODY = 'cmd: "x"\n{i}args:\n{i}  - "a"\n{i}  - "yes"\n{i}envs: {{}}\n{i}n: 5\n'
LAB = "  lab:\n    " + BODY.format(i="    ")
ITEM = '- name: "lab"\n  ' + BODY.format(i="  ")
DEEP = "".join(f"  {line}\n" for line in ITEM.splitlines())


def values_of(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"s:\n{LAB}"),
        ("# c", f"# c\ns:\n{LAB}"),
        ("---\na: 1\n", f"---\na: 1\ns:\n{LAB}"),
        ("a: 1", f"a: 1\ns:\n{LAB}"),
        ("s:\n", f"s:\n{LAB}"),
        ("s:", f"s:\n{LAB}"),
        ("s: ~ # c\nz: 1\n", f"s: # c\n{LAB}z: 1\n"),
        ("s:\n# c\n# d\nz: 1\n", f"s:\n{LAB}# c\n# d\nz: 1\n"),
        ("s: {}\nz: 1\n", f"s:\n{LAB}z: 1\n"),
        ("'s' : {} # c\n", f"'s' : # c\n{LAB}"),
        ("s:\n  b: {} # c\n\n# of z\nz: 1\n", f"s:\n  b: {{}} # c\n{LAB}\n# of z\nz: 1\n"),
        ("s:\n  b:\nz: 1\n", f"s:\n  b:\n{LAB}z: 1\n"),
        ("s:\n  b: 1\n  # off: 1\n# of z\n", f"s:\n  b: 1\n  # off: 1\n{LAB}# of z\n"),
        ("s:\n  b: |\n    t\n\nz: 1\n", f"s:\n  b: |\n    t\n{LAB}\nz: 1\n"),
        ("s:\n  b: [1,\n  2]\nz: 1\n", f"s:\n  b: [1,\n  2]\n{LAB}z: 1\n"),
        ("a: &a\n  k: 1\ns:\n  b: *a\nz: 1\n", f"a: &a\n  k: 1\ns:\n  b: *a\n{LAB}z: 1\n"),
        ("s:\n  lab:\n    old: 1 # c\n\n  # of b\n  b: 1\n", f"s:\n{LAB}\n  # of b\n  b: 1\n"),
        ("s:\n  b: 1\n  lab: {old: 1}\n...\n", f"s:\n  b: 1\n{LAB}...\n"),
    ],
)
def test_a_member_is_set_and_the_rest_stays(before: str, after: str) -> None:
    assert with_member(before, PATH, ENTRY) == after
    assert values_of(after)["s"]["lab"] == ENTRY
    crlf = before.replace("\n", "\r\n")
    if crlf != before:
        assert with_member(crlf, PATH, ENTRY) == after.replace("\n", "\r\n")
    assert with_member(after, PATH, ENTRY) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", f"s:\n{DEEP}"),
        ("s: []\nz: 1\n", f"s:\n{DEEP}z: 1\n"),
        ("s:\n- name: b\n  k: 1 # c\nz: 1\n", f"s:\n- name: b\n  k: 1 # c\n{ITEM}z: 1\n"),
        ("s:\n  - k: 1\n    name: b\n# of z\nz: 1\n", f"s:\n  - k: 1\n    name: b\n{DEEP}# of z\nz: 1\n"),
        ("s:\n  - name: lab\n    k: 1\n  - name: b\n", f"s:\n{DEEP}  - name: b\n"),
        ("s:\n- ? [k]\n  : 1\n  name: b\n", f"s:\n- ? [k]\n  : 1\n  name: b\n{ITEM}"),
        ("s:\n- uses: o/b\n  with:\n    k: 1\n", f"s:\n- uses: o/b\n  with:\n    k: 1\n{ITEM}"),
    ],
)  # fmt: skip
def test_a_named_item_is_set_and_the_rest_stays(before: str, after: str) -> None:
    assert with_member(before, PATH, ENTRY, items=True) == after
    assert {"name": "lab", **ENTRY} in values_of(after)["s"]
    assert with_member(after, PATH, ENTRY, items=True) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("s: {}\n", "s: {}\n"),
        ("s: {b: 1}\n", "s: {b: 1}\n"),
        (f"s: # c\n{LAB}# d\n", "s: {} # c\n# d\n"),
        (f"s:\n  # c\n{LAB}", "s: {}\n  # c\n"),
        (f"s:\n  b: 1\n{LAB}\nz: 1\n", "s:\n  b: 1\n\nz: 1\n"),
        (f"s:\n{LAB}  # of b\n  b: 1\n", "s:\n  # of b\n  b: 1\n"),
        (f"s:\n{ITEM}z: 1\n", "s: []\nz: 1\n"),
        (f"s:\n{ITEM}- name: b\n", "s:\n- name: b\n"),
        (f"s:\n- ? {{}}\n  : 1\n  name: b\n{ITEM}", "s:\n- ? {}\n  : 1\n  name: b\n"),
        (f"s:\n- uses: o/b\n{ITEM}", "s:\n- uses: o/b\n"),
    ],
)
def test_a_server_is_removed_and_comments_stay(before: str, after: str) -> None:
    assert without_member(before, PATH) == after


def test_a_key_that_is_a_list_is_named_as_it_is_written() -> None:
    node = parse("s:\n  ? [a, b] # c\n  : 1\n")
    assert node is not None
    assert node.value == {"s": {"[a, b]": 1}}


def test_nothing_is_said_of_an_anchor_that_is_given_anew(
    recwarn: pytest.WarningsRecorder,
) -> None:
    parse("a: &x 1\nb: &x 2\nc: *x\n")
    assert [str(each.message) for each in recwarn] == []


@pytest.mark.parametrize(
    ("text", "items", "problem"),
    [
        ("s: {b: 1}\n", False, "not written in block style"),
        ("s: [{name: b}]\n", True, "not written in block style"),
        ("{s: {}}\n", False, "not written in block style"),
        ("s:\n- name: b\n", False, "not written in block style"),
        ("s:\n  b: 1\n", True, "not written in block style"),
        ("s:\n-\n  name: b\n", True, "not written in block style"),
        ("s:\n- b\n", True, "s is not an object"),
        ("s: 1\n", False, "s is not an object"),
        ("- a\n", False, "the document is not an object"),
        ("s: {}\ns: {}\n", False, "more than once"),
        ("a: [\n", False, "line 2, column 1: "),
        ("a: 1\n---\nb: 1\n", False, "line 2, column 1: "),
        ("\x00", False, "not YAML"),
        ("a: *b\n", False, "line 1, column 4: "),
        ("a: " + "[" * 1000, False, "nested too deeply|line"),
    ],
)
def test_a_text_that_cannot_be_edited_is_refused_with_the_reason(
    text: str, items: bool, problem: str
) -> None:
    with pytest.raises(FormatError, match=problem):
        with_member(text, PATH, ENTRY, items=items)


def test_a_server_that_is_there_twice_is_not_removed() -> None:
    key, name = PATH
    with pytest.raises(FormatError, match="more than once"):
        without_member(f"{key}:\n  {name}:\n    x:\n  {name}:\n    y: 1\n", PATH)


def test_every_string_is_read_as_the_string_that_it_is() -> None:
    words = [
        "yes",
        "22",
        "",
        "a: b # c",
        "- x",
        "é\u2028\x85\x7f",
        "x\ny\t",
        '"\\',
        "1e3",
        "~",
        "😀",
    ]
    text = rendered(PATH, {"args": words})
    assert values_of(text) == {"s": {"lab": {"args": words}}}
    assert all(each.isprintable() for each in text.splitlines())


@pytest.mark.parametrize("style", [">", ">-", "|", "|+"])
def test_a_text_of_several_lines_is_read_as_the_string_that_it_is(style: str) -> None:
    text = f"s:\n  lab:\n    cmd: {style}\n      one\n      two\n\n      three\n\nz: 1\n"
    root = parse(text)
    assert root
    assert root.value == values_of(text)


def test_each_value_is_found_with_its_place() -> None:
    text = "a: &x 'one'\nb:\n- |\n  two\n\n- {c: three, d: 4, e: true, f: ~}\n- *x\n"
    root = parse(text)
    assert root
    found = [(each.value, text[each.start : each.end]) for each in root.scalars()]
    assert found[1:4] == [("two\n", "|\n  two"), ("three", "three"), (4, "4")]
    assert found[0][1].endswith("'one'")
    assert found[4] == (True, "true")
    assert find(root, ["a"]) is not None


scalars = st.sampled_from(
    ["1", "x", "'#'", '"\\": "', "~", "|\n{i}  t\n{i}  # u", "[a, {b: c}]", "{}"]
)
blocks = st.recursive(
    scalars,
    lambda inner: st.dictionaries(st.sampled_from("abcs"), inner, min_size=1, max_size=3),
    max_leaves=6,
)


def written(value: Any, indent: str = "") -> str:
    text = ""
    for key, inner in value.items():
        if isinstance(inner, dict):
            text += f"{indent}{key}: # c\n{indent}# d\n{written(inner, indent + '  ')}"
        else:
            text += f"{indent}{key}: {inner.format(i=indent) if '{i}' in inner else inner}\n\n"
    return text


@examples(200)
@given(st.dictionaries(st.sampled_from("abcs"), blocks, min_size=1, max_size=4).map(written))
def test_whatever_the_text_only_the_server_changes(text: str) -> None:
    before = values_of(text)
    try:
        after = with_member(text, PATH, ENTRY)
    except FormatError:
        assert not isinstance(before.get("s"), dict)
        return
    wanted = {**before, "s": {**(before.get("s") or {}), "lab": ENTRY}}
    assert values_of(after) == wanted
    gone = without_member(after, PATH)
    del wanted["s"]["lab"]
    assert values_of(gone) == wanted
    if before.get("s"):
        assert gone == text


@pytest.mark.parametrize(
    "name", ["123", "1e5", "0x1f", "on", "No", "TRUE", "null", "y", "-", "1_000"]
)
def test_a_name_that_a_reader_could_take_for_something_else_is_quoted(name: str) -> None:
    text = with_member("s:\n  b: 1\n", ("s", name), ENTRY)
    assert f'  "{name}":\n' in text
    read = values_of(text)
    assert list(read["s"]) == ["b", name]
    assert without_member(text, ("s", name)) == "s:\n  b: 1\n"


def test_an_ordinary_name_is_not_quoted() -> None:
    assert "  lab-2:\n" in with_member("s:\n  b: 1\n", ("s", "lab-2"), ENTRY)
