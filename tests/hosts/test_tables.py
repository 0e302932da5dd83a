"""Edits of TOML text: the result has the change and nothing else. The oracle is tomlkit."""

from __future__ import annotations

from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st
from support.examples import examples

from m2m_ssh_client.hosts.nodes import FormatError, find
from m2m_ssh_client.hosts.tables import parse, with_member, without_member

PATH = ("s", "lab")
ENTRY = {"command": "x", "args": ["a", "b"]}
LAB = '[s.lab]\ncommand = "x"\nargs = ["a", "b"]\n'


def values_of(text: str) -> dict[str, Any]:
    return tomlkit.parse(text).unwrap()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", LAB),
        ("\n", LAB),
        ("# c", f"# c\n\n{LAB}"),
        ("a = 1\n", f"a = 1\n\n{LAB}"),
        ("a = 1\n\n", f"a = 1\n\n\n{LAB}"),
        ("[s]\n", f"[s]\n\n{LAB}"),
        ("[s.b]\nx = 1\n\n# of z\n[z]\n", f"[s.b]\nx = 1\n\n# of z\n[z]\n\n{LAB}"),
        ("s.b.x = 1\n[z]\n", f"s.b.x = 1\n[z]\n\n{LAB}"),
        ("[s]\nb = { x = 1 }\n", f"[s]\nb = {{ x = 1 }}\n\n{LAB}"),
        ("[s.lab]\nold = 1 # c\n\n# of z\n[z]\n", f"{LAB}\n# of z\n[z]\n"),
        ("[s.lab]\nold = 1\n[s.lab.env]\nA = '1'\n# end\n", f"{LAB}# end\n"),
        ("[s.lab]\nx = 1\n[z]\n[s.lab.env]\nA = 1\n[s.c]\n", f"{LAB}[z]\n[s.c]\n"),
        ('[\'s\' . "lab"] # c\nx = 1\n[s."la"]\n', f'{LAB}[s."la"]\n'),
        ("  [s.lab]\n  x = 1", LAB),
        ('t = """\n[s.lab]\n"""\n', f't = """\n[s.lab]\n"""\n\n{LAB}'),
        ('[s.lab]\nx = """\n[z]\n# """ # c\n[z]\n', f"{LAB}[z]\n"),
        ("[s.lab]\nx = [\n  1, # ]\n]\n[z]\n", f"{LAB}[z]\n"),
        ("[[z]]\nx = 1\n[[z]]\nx = 2\n", f"[[z]]\nx = 1\n[[z]]\nx = 2\n\n{LAB}"),
    ],
)
def test_a_table_is_set_and_the_rest_stays(before: str, after: str) -> None:
    assert with_member(before, PATH, ENTRY) == after
    crlf = before.replace("\n", "\r\n")
    if crlf != before:
        assert with_member(crlf, PATH, ENTRY) == after.replace("\n", "\r\n")
    assert with_member(after, PATH, ENTRY) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("[s]\n", "[s]\n"),
        ("[s.b]\n", "[s.b]\n"),
        (LAB, ""),
        (f"a = 1\n\n{LAB}", "a = 1\n"),
        (f"a = 1\n\n\n{LAB}", "a = 1\n\n"),
        (f"[s]\n{LAB}", "[s]\n"),
        (f"[y]\n\n{LAB}\n# of z\n[z]\n", "[y]\n\n# of z\n[z]\n"),
        (f"{LAB}# old = 1\n\n[z]\n", "# old = 1\n\n[z]\n"),
        (f"{LAB}\n[z]\n\n[s.lab.env]\nA = 1\n\n[s.c]\nx = 1\n", "[z]\n\n[s.c]\nx = 1\n"),
    ],
)
def test_a_table_is_removed_and_comments_behind_it_stay(before: str, after: str) -> None:
    assert without_member(before, PATH) == after


@pytest.mark.parametrize(
    "text",
    ["s = {}\n", "s = { lab = { x = 1 } }\n", "[s]\nlab = { x = 1 }\n", "s.lab.x = 1\n", "[s]\nlab.x = 1\n"],
)  # fmt: skip
def test_servers_that_are_not_tables_are_left_to_a_person(text: str) -> None:
    with pytest.raises(FormatError, match=r"not written as tables, like \[s\.lab\]"):
        with_member(text, PATH, ENTRY)
    if "lab" in text:
        with pytest.raises(FormatError, match="not written as tables"):
            without_member(text, PATH)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a =\n", r"this is not TOML: .* line 1"),
        ("a = 1\na = 2\n", "this is not TOML: "),
        ("s = 1\n", "s is not an object"),
        ("[s]\nlab = '\n", "this is not TOML: .* line 2"),
        ("a = " + "[" * 5000, "nested too deeply|not TOML"),
        ("[[s]]\n", "s is not an object"),
    ],
)
def test_a_broken_text_is_refused_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(FormatError, match=problem):
        with_member(text, PATH, ENTRY)
    with pytest.raises(FormatError, match=problem):
        without_member(text, PATH)


def test_strings_are_found_with_their_places_and_keys_are_none() -> None:
    text = """"k" = "1"
    'a.b'."c" = ['2', "3", { "d" = '''4''', e = 5 }] # "no"
    [s."lab"]
    env = { A = "5", "B" = "6" }
    x = \"""7""\"""
    y = ""
    [[t]]
    z = "8"
    [[t]]
    z = "9"
    """
    root = parse(text)
    assert root
    found = [text[each.start : each.end] for each in root.scalars() if isinstance(each.value, str)]
    assert sorted(found) == sorted(
        ['"1"', "'2'", '"3"', "'''4'''", '"5"', '"6"', '"""7"""""', '""', '"8"', '"9"']
    )
    lab = find(root, PATH)
    assert lab
    assert lab.value == {"env": {"A": "5", "B": "6"}, "x": '7""', "y": ""}
    assert [member.key for member in lab.members] == ["env", "x", "y"]


keys = st.sampled_from(["a", "lab", '"lab"', "'l.b'", "s"])
strings = st.sampled_from(
    ['"x"', "'#'", '"\\"["', '"""\n[s.lab]\n"""', "'''\"'''", '"""a\\"""b"""', "''", '""']
)
values = st.recursive(
    strings | st.sampled_from(["1", "true", "1979-05-27 07:32:00", "1.5"]),
    lambda inner: st.lists(inner, max_size=3).map(lambda each: f"[ {', '.join(each)}, # ]\n]" if each else "[]"),
    max_leaves=4,
)  # fmt: skip
lines = st.one_of(
    st.tuples(keys, values).map(lambda pair: f"{pair[0]} = {pair[1]}"),
    st.tuples(st.sampled_from(["s.lab", "s . a", "z", "s.lab.env", "s.'lab'.x"])).map(
        lambda name: f"[{name[0]}] # c"
    ),
    st.sampled_from(["", "# c", "  # [s.lab]"]),
)


@examples(300)
@given(st.lists(lines, max_size=8).map("\n".join))
def test_whatever_the_text_only_the_table_changes(text: str) -> None:
    try:
        before = values_of(text)
        after = with_member(text, PATH, ENTRY)
    except (FormatError, ValueError, tomlkit.exceptions.TOMLKitError):
        return
    wanted = {**before, "s": {**before.get("s", {}), "lab": ENTRY}}
    assert values_of(after) == wanted
    gone = without_member(after, PATH)
    del wanted["s"]["lab"]
    assert {"s": {}} | values_of(gone) == wanted
    assert [line for line in gone.split("\n") if line.strip()] == [
        line for line in without_member(text, PATH).split("\n") if line.strip()
    ]
