from __future__ import annotations

import io
import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2m_ssh_client.terminal.output import (
    NO_LIMIT,
    write_json,
    write_json_as_text,
    write_json_text,
    write_table,
    write_text,
)
from m2m_ssh_client.text import readable_json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('\\"/\n\u009b\u2028é☂ x'),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("aé"), inner),
    max_leaves=10,
)


class Stdout:
    """A stdout with an encoding; its bytes can be read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, encoding: str = "utf-8") -> None:
        self._raw = io.BytesIO()
        self.stream = io.TextIOWrapper(self._raw, encoding=encoding, newline="\n")
        monkeypatch.setattr(sys, "stdout", self.stream)

    @property
    def written(self) -> bytes:
        self.stream.flush()
        return self._raw.getvalue()


def test_json_holds_nothing_that_a_terminal_acts_on_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stdout = Stdout(monkeypatch, "ascii")
    value = {"a": "\x00\x1b\x7f\x9b\u2028\u202e\u2066", "grüße": ["☂", 1 << 80, None, 0.1]}
    write_json(value)
    text = stdout.written.decode("utf-8")
    assert json.loads(text) == value
    assert all(character.isprintable() or character == "\n" for character in text)
    assert "grüße" in text
    assert text.endswith("}\n")


def test_a_document_of_the_server_keeps_its_numbers_and_shows_what_is_escaped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stdout = Stdout(monkeypatch)
    write_json_text(b'{"n":[1.0,1e5,0.10000000000000000001],"x":{}}', NO_LIMIT)
    write_json_text(b'{"t":"gr\\u00fcn"}', NO_LIMIT)
    numbers = '{\n  "n": [\n    1.0,\n    1e5,\n    0.10000000000000000001\n  ],\n  "x": {}\n}\n'
    assert stdout.written.decode() == numbers + '{\n  "t": "grün"\n}\n'


@given(JSON, st.booleans())
def test_a_document_of_the_server_reads_like_one_of_ours(value: Any, as_ascii: bool) -> None:
    shown = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n")
    write_json_as_text(json.dumps(value, ensure_ascii=as_ascii).encode(), shown, NO_LIMIT)
    shown.seek(0)
    assert shown.read() == readable_json(value) + "\n"


@pytest.mark.parametrize("inside", ["1", '"\\u00fc"'])
def test_a_document_of_more_levels_than_there_is_stack_for_is_shown_as_it_is(
    inside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdout = Stdout(monkeypatch)
    text = "[" * 20_000 + inside + "]" * 20_000
    write_json_text(text.encode(), NO_LIMIT)
    assert stdout.written.decode() == text + "\n"


def test_a_console_that_cannot_show_a_letter_gets_an_escape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stdout = Stdout(monkeypatch, "ascii")
    write_text("grün")
    write_table(["tool"], [["grün"]])
    assert stdout.written == b"gr\\xfcn\ntool\ngr\\xfcn\n"


def test_a_carriage_return_before_a_line_feed_is_no_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = Stdout(monkeypatch)
    write_text("a\r\nb\rc\n")
    assert stdout.written == b"a\nb\\x0dc\n"


def test_columns_without_anything_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = Stdout(monkeypatch)
    write_table(["tool", "title", "about"], [["a", "", "x\ny"], ["bc", "", ""]])
    assert stdout.written == b"tool  about\na     x, y\nbc\n"


LONG = "a_name_that_nobody_wants_to_see_broken"
TOOLS = [
    [LONG, "text*: string\ncount: integer", "Words " * 20],
    ["b", "", ""],
]


@pytest.mark.parametrize("width", [30, 60, 81, 200])  # 81: an old console of Windows uses 80
def test_no_name_is_broken_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    stdout = Stdout(monkeypatch)
    monkeypatch.setattr(stdout.stream, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    write_table(["tool", "arguments", "description"], TOOLS)
    lines = [line.rstrip() for line in stdout.written.decode().splitlines()]
    assert any(line.split()[:1] == [LONG] for line in lines)
    assert any("text*: string" in line for line in lines)
    assert sum(line.count("Words") for line in lines) == 20
    assert all(len(line) <= width or line == LONG for line in lines)
    assert (LONG in lines) == (width < 80)  # on a line of its own
    assert ("  text*: string, count: integer" in lines) == (width == 60)


def test_a_table_of_nothing_is_nothing_but_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = Stdout(monkeypatch)
    write_table(["tool", "title"], [])
    assert stdout.written.strip() == b""
