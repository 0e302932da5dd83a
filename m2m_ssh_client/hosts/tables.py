"""Set or remove one server in a TOML document, where each is a table: [mcp_servers.lab].

tomlkit reads the text, but does not write it: it would move or drop comments beside a changed table
and, as of 0.15, drop tables that are out of order. Lines are cut and inserted instead, and the
result is used only if tomlkit reads from it what it should.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from m2m_ssh_client.hosts.nodes import FormatError, Member, Node, line_end, with_value
from m2m_ssh_client.text import safe_in_quotes

_TOKEN = re.compile(
    r'(?P<string>"""(?:\\.|[^\\])*?"{3,5}|\'\'\'.*?\'{3,5}|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\')'
    r"|(?P<comment>#[^\n]*)|(?P<newline>\n)|(?P<blank>[ \t\r]+)"
    r"|(?P<open>[\[{])|(?P<close>[\]}])|(?P<other>[^\[\]{}\"'#\s]+|.)",
    re.DOTALL,
)
_IS_KEY = re.compile(r"[ \t]*[.=]")  # after a string


class _Statement(NamedTuple):
    """A table's header or a key with its value, at `text[start:end]`; `keys` lead to it."""

    keys: tuple[str, ...]
    value: Any
    start: int
    end: int
    strings: tuple[Node, ...] = ()


def parse(text: str) -> Node | None:
    """Return the document; None without a value. Raises FormatError."""
    document = _value(text)
    if not document:
        return None
    root = _Table(document)
    for each in _statements(text):
        root.add(each)
    return root.node()


def with_member(text: str, path: Sequence[str], value: Any) -> str:
    """Return the text with a table at `path`: in place of the old one, or at the end.

    Raises FormatError.
    """
    wanted = with_value(_value(text), path, value)
    if wanted == _value(text):
        return text
    newline = line_end(text)
    new = rendered(path, value).replace("\n", newline)
    cuts = list(_cuts(text, path))
    if cuts:
        after = text[: cuts[0][0]] + new + _without(text, cuts, cuts[0][0])
    elif text.strip():
        after = text + ("" if text.endswith("\n") else newline) + newline + new
    else:
        after = new
    return _checked(after, wanted, path)


def without_member(text: str, path: Sequence[str]) -> str:
    """Return the text without the tables at `path`, if there are any. Raises FormatError."""
    wanted = with_value(_value(text), path, None)
    if wanted == _value(text):
        return text
    cuts = [_with_blank_line(text, *cut) for cut in _cuts(text, path)]
    after = _value_or_none(_without(text, cuts, 0))
    if after is not None and path[0] not in after:
        wanted.pop(path[0], None)  # its last table is gone
    return _checked(_without(text, cuts, 0), wanted, path)


def rendered(path: Sequence[str], value: Any) -> str:
    """Return a document that has only this value."""
    import tomlkit

    return safe_in_quotes(tomlkit.dumps(with_value({}, path, value)))


def _value(text: str) -> dict[str, Any]:
    import tomlkit
    from tomlkit.exceptions import TOMLKitError

    try:
        return tomlkit.parse(text).unwrap()
    except RecursionError:
        raise FormatError("it is nested too deeply") from None
    except (TOMLKitError, ValueError) as exc:
        raise FormatError(f"this is not TOML: {exc}") from exc


def _value_or_none(text: str) -> dict[str, Any] | None:
    try:
        return _value(text)
    except FormatError:
        return None


def _checked(after: str, wanted: dict[str, Any], path: Sequence[str]) -> str:
    if _value_or_none(after) != wanted:
        raise FormatError(f"the servers are not written as tables, like [{'.'.join(path)}]")
    return after


def _statements(text: str) -> Iterator[_Statement]:
    """Yield the statements of a valid document; the keys of each include its table's."""
    table: tuple[str, ...] = ()
    for start, end, strings in _ranges(text):
        keys, value = _innermost(_value(text[start:end]))
        if text[start] == "[":
            table = keys
            yield _Statement(keys, {}, start, end)
        else:
            nodes = tuple(Node(_value(f"x={text[a:b]}")["x"], a, b) for a, b in strings)
            yield _Statement(table + keys, value, start, end, nodes)


def _ranges(text: str) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """Yield start and end of each statement, and of the strings in its value."""
    start, end, depth = -1, 0, 0
    strings: list[tuple[int, int]] = []
    for token in _TOKEN.finditer(text):
        kind = token.lastgroup
        if kind == "newline" and depth == 0 and start >= 0:
            yield start, end, strings
            start, strings = -1, []
        if kind in ("newline", "comment", "blank"):
            continue
        start = token.start() if start < 0 else start
        end = token.end()
        depth += (kind == "open") - (kind == "close")
        if kind == "string" and not _IS_KEY.match(text, end):
            strings.append(token.span())
    if start >= 0:
        yield start, end, strings


def _innermost(value: Any) -> tuple[tuple[str, ...], Any]:
    """Return the keys of the only value in nested tables, and the value."""
    keys: list[str] = []
    while isinstance(value, dict) and len(value) == 1:
        ((key, value),) = value.items()
        keys.append(key)
    return tuple(keys), value


def _cuts(text: str, path: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Yield the lines of the tables at `path`; comments behind their last statement stay."""
    start, end = -1, 0
    inside = False
    for each in _statements(text):
        if text[each.start] == "[":
            inside = each.keys[: len(path)] == tuple(path)
            if not inside and start >= 0:
                yield start, end
                start = -1
            elif inside and start < 0:
                start = text.rfind("\n", 0, each.start) + 1
        if inside:
            end = text.find("\n", each.end) + 1 or len(text)
    if start >= 0:
        yield start, end


def _with_blank_line(text: str, start: int, end: int) -> tuple[int, int]:
    """Extend the range to the empty line before it, or else after it."""
    newline = line_end(text)
    if text[:start].endswith(newline * 2):
        return start - len(newline), end
    return start, end + len(newline) if text.startswith(newline, end) else end


def _without(text: str, cuts: Sequence[tuple[int, int]], start: int) -> str:
    kept = []
    for cut_start, cut_end in cuts:
        kept.append(text[start:cut_start])
        start = cut_end
    return "".join([*kept, text[start:]])


class _Table:
    """A table with its statements, which may be anywhere in the text."""

    def __init__(self, value: Any) -> None:
        self._value = value if isinstance(value, dict) else {}
        self._members: list[Member] = []
        self._tables: dict[str, _Table] = {}

    def add(self, each: _Statement) -> None:
        table = self
        is_table = each.value == {}
        for key in each.keys if is_table else each.keys[:-1]:
            table = table._tables.setdefault(key, _Table(table._value.get(key)))
        if is_table:
            return
        if isinstance(each.value, str) and len(each.strings) == 1:
            node = each.strings[0]
        else:
            node = Node(each.value, each.start, each.end, items=each.strings)
        table._members.append(Member(each.keys[-1], each.start, node, None))

    def node(self) -> Node:
        nested = (Member(key, 0, table.node(), None) for key, table in self._tables.items())
        return Node(self._value, 0, 0, (*self._members, *nested))
