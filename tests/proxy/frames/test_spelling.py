"""The same JSON in other spellings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from m2m_ssh_client.proxy.frames.spelling import shell_safe, without_unicode_line_breaks


@given(st.dictionaries(st.text(), st.text()))
def test_the_shell_safe_form_means_the_same_json(params: dict[str, str]) -> None:
    message = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": params}
    for ascii_only in (True, False):
        try:
            line = json.dumps(message, ensure_ascii=ascii_only).encode()
        except UnicodeEncodeError:
            continue  # UTF-8 cannot express a lone surrogate
        safe = shell_safe(line)
        assert json.loads(safe) == message
        # No character is left that any shell acts on.
        assert not set(safe) & set(b"$`;&|<>()!*?#~'%^/\n\t\r\0")


def test_the_shell_safe_form_has_no_space_between_tokens() -> None:
    assert shell_safe(b'{ "reboot" : 1 ,\t"a b" : [ ] }') == b'{"reboot":1,"a b":[]}'


def test_only_unicode_line_breaks_are_escaped() -> None:
    line = '{"t":"a\u2028b\u2029c\u0085d\u00e9\\n"}'.encode()
    escaped = without_unicode_line_breaks(line)
    assert escaped == '{"t":"a\\u2028b\\u2029c\\u0085d\u00e9\\n"}'.encode()
    assert json.loads(escaped) == json.loads(line)
    assert len(escaped.decode().splitlines()) == 1


SPECIAL = st.text(alphabet='a"\\/$é\u2028😀\ud83d\0\1\2 u0001', max_size=8)


@given(st.dictionaries(SPECIAL, st.lists(SPECIAL, max_size=3), max_size=3))
def test_adjacent_escapes_are_not_mistaken_for_one(value: Any) -> None:
    line = json.dumps(value).replace("/", "\\/" if "\\" not in json.dumps(value) else "/")
    assert json.loads(shell_safe(line.encode())) == value


@pytest.mark.parametrize("value", [{}, [], "", 5, None, {"": ""}, [[], {}]])
def test_json_without_text_stays_unchanged(value: Any) -> None:
    line = json.dumps(value, separators=(",", ":")).encode()
    assert shell_safe(line) == line
