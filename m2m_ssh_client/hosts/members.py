"""Set or remove one member of a JSON document by editing its text.

Everything else stays byte for byte: other members, their order, comments, indentation, line ends.
Only a comma and the white space around the member change with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from m2m_ssh_client.hosts.jsonc import parse
from m2m_ssh_client.hosts.nodes import Member, Node, find, line_end, member
from m2m_ssh_client.text import readable_json


def with_member(text: str, path: Sequence[str], value: Any, *, comments: bool = True) -> str:
    """Return the text with `value` at `path`: in place of an old value, or as the last member.

    Raises FormatError.
    """
    root = parse(text, comments=comments)
    style = _Style(text, root)
    if root is None:
        before = text.rstrip() + style.newline if text.strip() else ""
        return before + style.rendered(_nested(path, value), "") + style.newline
    node = root
    for at, key in enumerate(path[:-1]):
        outer = member(node, key, path[:at])
        if outer is None:
            return _inserted(text, style, node, key, _nested(path[at + 1 :], value))
        node = outer.node
    found = member(node, path[-1], path[:-1])
    if found is None:
        return _inserted(text, style, node, path[-1], value)
    if found.node.value == value:
        return text
    if style.is_one_line(node):
        new = style.in_one_line(value, style.colon(node))
    else:
        new = style.rendered(value, style.indent_of(node, found))
    return text[: found.node.start] + new + text[found.node.end :]


def without_member(text: str, path: Sequence[str], *, comments: bool = True) -> str:
    """Return the text without the member at `path`, if there is one. Raises FormatError."""
    node = find(parse(text, comments=comments), path[:-1])
    found = member(node, path[-1], path[:-1]) if node else None
    if node is None or found is None:
        return text
    cuts = _cuts(text, node, found)
    if len(node.members) == 1 and not _without(text, cuts, node.start + 1, node.end - 1).strip():
        cuts = [(node.start + 1, node.end - 1)]
    return _without(text, cuts, 0, len(text))


def rendered(path: Sequence[str], value: Any) -> str:
    """Return a document that has only this value."""
    return readable_json(_nested(path, value)) + "\n"


def _nested(path: Sequence[str], value: Any) -> Any:
    for key in reversed(path):
        value = {key: value}
    return value


def _inserted(text: str, style: _Style, node: Node, key: str, value: Any) -> str:
    """Insert a member after all members and comments of the object."""
    last = node.members[-1] if node.members else None
    new, close = json.dumps(key, ensure_ascii=False), ""
    if style.is_one_line(node):
        colon = style.colon(node)
        new = colon[1:] + new + colon + style.in_one_line(value, colon)
    else:
        indent = style.indent_of(node, last)
        new = style.newline + indent + new + ": " + style.rendered(value, indent)
        if last is None and "\n" not in text[node.solid : node.end]:
            close = style.newline + style.indent_at(node.start)
    if last is None:
        return text[: node.solid] + new + close + text[node.solid :]
    if last.comma is not None:
        return text[: node.solid] + new + "," + text[node.solid :]
    end = last.node.end
    return text[:end] + "," + text[end : node.solid] + new + text[node.solid :]


def _cuts(text: str, node: Node, found: Member) -> list[tuple[int, int]]:
    """Return the ranges to cut for a member; comments next to it stay."""
    end, comma = found.node.end, found.comma
    at = node.members.index(found)
    if comma is None:
        before = node.members[at - 1].comma if at else None
        cuts = [] if before is None else [(before, before + 1)]
        return [*cuts, _with_blanks(text, found.start, end)]
    if text[end:comma].strip():  # a comment
        return [(found.start, end), (comma, comma + 1)]
    return [_with_blanks(text, found.start, comma + 1)]


def _with_blanks(text: str, start: int, end: int) -> tuple[int, int]:
    """Extend the range to the whole line if it is alone there, else to the blanks on one side."""
    line = text.rfind("\n", 0, start) + 1
    first = line + len(text[line:start].rstrip(" \t"))
    behind = end
    while text.startswith((" ", "\t"), behind):
        behind += 1
    newline = next((each for each in ("\r\n", "\n") if text.startswith(each, behind)), "")
    if newline and first == line:
        return line, behind + len(newline)
    if newline or text.startswith("}", behind):
        return first, end
    return start, behind


def _without(text: str, cuts: Sequence[tuple[int, int]], start: int, end: int) -> str:
    kept = []
    for cut_start, cut_end in cuts:
        kept.append(text[start : max(start, cut_start)])
        start = max(start, cut_end)
    return "".join([*kept, text[start:end]])


class _Style:
    """The style of the text: line ends and indentation."""

    def __init__(self, text: str, root: Node | None) -> None:
        self._text = text
        self.newline = line_end(text)
        self._unit = next(self._steps(root), "  ") if root else "  "

    def is_one_line(self, node: Node) -> bool:
        return bool(node.members) and not re.search(r"[\r\n]", self._text[node.start : node.end])

    def colon(self, node: Node) -> str:
        """Return the colon with or without a blank, as in the first member of the object."""
        return ":" if self._text.startswith(":", node.members[0].node.start - 1) else ": "

    def in_one_line(self, value: Any, colon: str) -> str:
        return json.dumps(value, ensure_ascii=False, separators=("," + colon[1:], colon))

    def rendered(self, value: Any, indent: str) -> str:
        """Return the value as lines; the first continues a line with this indentation."""
        lines = json.dumps(value, ensure_ascii=False, indent=self._unit).split("\n")
        return (self.newline + indent).join(lines)

    def indent_of(self, node: Node, found: Member | None) -> str:
        """Return the indentation of a member of the object, or for its first one."""
        own = self._own_line(found.start) if found else None
        return self.indent_at(node.start) + self._unit if own is None else own

    def indent_at(self, position: int) -> str:
        line = self._text[self._text.rfind("\n", 0, position) + 1 : position]
        return line[: len(line) - len(line.lstrip(" \t"))]

    def _own_line(self, position: int) -> str | None:
        """Return the indentation of a position, or None if other text precedes it on its line."""
        line = self._text[self._text.rfind("\n", 0, position) + 1 : position]
        return None if line.strip(" \t") else line

    def _steps(self, node: Node) -> Iterator[str]:
        """Yield the indentation of each member relative to its object."""
        outer = self.indent_at(node.start)
        for each in node.members:
            own = self._own_line(each.start)
            if own and own != outer and own.startswith(outer):
                yield own.removeprefix(outer)
            yield from self._steps(each.node)
