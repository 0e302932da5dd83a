from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2m_ssh_client.text import filled, printable, printable_lines, shortened


@pytest.mark.parametrize(
    ("given_text", "shown"),
    [
        ("", ""),
        ("plain text", "plain text"),
        ("ünïcödé ☂ 日本 🎉", "ünïcödé ☂ 日本 🎉"),
        ("a\ttab stays", "a\ttab stays"),
        ("two\nlines", "two\\x0alines"),
        ("two\r\nlines", "two\\x0d\\x0alines"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("nul\0bell\x07delete\x7f", "nul\\x00bell\\x07delete\\x7f"),
        ("C1: \x9b31m \x85", "C1: \\x9b31m \\x85"),
        ("line \u2028 paragraph \u2029", "line \\u2028 paragraph \\u2029"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\u2066isolated\u2069", "\\u2066isolated\\u2069"),
        (b"bytes \xc3\xa9", "bytes é"),
        (b"not UTF-8 \xff\xfe", "not UTF-8 \\xff\\xfe"),
        (b"cut short \xe2\x98", "cut short \\xe2\\x98"),
        (b"\x1b[2J", "\\x1b[2J"),
    ],
)
def test_what_could_steer_a_terminal_is_shown_and_not_done(
    given_text: bytes | str, shown: str
) -> None:
    assert printable(given_text) == shown


@given(st.one_of(st.text(), st.binary()))
def test_any_text_becomes_one_line_without_control_characters(data: bytes | str) -> None:
    shown = printable(data)
    assert len(shown.splitlines()) <= 1
    assert not [c for c in shown if c != "\t" and unicodedata.category(c) in ("Cc", "Zl", "Zp")]


@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Zl", "Zp"])))
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "most", "short"),
    [
        ("", 5, ""),
        ("abcde", 5, "abcde"),
        ("abcdef", 5, "abcd…"),
        ("abcdefghij", 5, "abcd…"),
        ("ab", 1, "…"),
        ("x" * 200, 200, "x" * 200),
        ("x" * 201, 200, "x" * 199 + "…"),
    ],
)
def test_a_text_is_cut_to_the_length_with_a_mark(text: str, most: int, short: str) -> None:
    assert shortened(text, most) == short
    assert len(short) <= most


def test_two_hundred_characters_pass_unless_told_otherwise() -> None:
    assert shortened("x" * 200) == "x" * 200
    assert len(shortened("x" * 201)) == 200


def test_text_of_several_lines_keeps_its_line_feeds_and_nothing_else_that_steers() -> None:
    text = "one\r\ntwo\n\n\tthree \x1b[31m\rfour \x9b\u2028\n"
    assert printable_lines(text) == "one\ntwo\n\n\tthree \\x1b[31m\\x0dfour \\x9b\\u2028\n"


def test_long_text_is_filled_into_lines_and_commands_stay_whole() -> None:
    text = "→ Set a default with `git config user.name` first, then m2m-mcp-server-ssh-client trust --host h"
    assert filled(text, 24, "  ").split("\n") == [
        "→ Set a default with",
        "  `git config user.name`",
        "  first, then",
        "  m2m-mcp-server-ssh-client trust --host h",
    ]
