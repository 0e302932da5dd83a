"""Parse JSON with the positions of its values, so that an edit can keep everything else.

Accepts JSON by RFC 8259, or with the comments and trailing commas that editors allow (JSONC).
"""

from __future__ import annotations

import json
import re
from typing import NoReturn

from m2m_ssh_client.hosts.nodes import FormatError, Member, Node

_BLANK = re.compile(r"[ \t\r\n]*")
_COMMENT = re.compile(r"//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_BEGINS_SCALAR = re.compile(r'["0-9tfn-]')


def parse(text: str, *, comments: bool = True) -> Node | None:
    """Return the document; None without a value. `comments` selects JSONC. Raises FormatError."""
    reader = _Reader(text, comments)
    reader.skip()
    if reader.at == len(text):
        return None
    try:
        root = reader.value()
    except RecursionError:
        raise FormatError("it is nested too deeply") from None
    reader.skip()
    if reader.at < len(text):
        reader.fail("text follows the end")
    return root


class _Reader:
    """Reads the text once, from `at`; the standard library reads scalars."""

    def __init__(self, text: str, comments: bool) -> None:
        self._text = text
        self._comments = comments
        self._decode = json.JSONDecoder(parse_constant=self._constant).raw_decode
        self.at = 0

    def skip(self) -> int:
        """Skip white space and comments; return the end of the last comment, or else the start."""
        solid = self.at
        while True:
            self.at = self._end_of(_BLANK) or self.at
            comment = self._end_of(_COMMENT) if self._comments else None
            if comment is None:
                return solid
            solid = self.at = comment

    def value(self) -> Node:
        first = self._text[self.at : self.at + 1]
        if first == "{":
            return self._object()
        if first == "[":
            return self._array()
        if not _BEGINS_SCALAR.match(first):
            self.fail("not a JSON value")
        start = self.at
        try:
            value, self.at = self._decode(self._text, start)
        except FormatError:
            raise
        except json.JSONDecodeError as exc:
            self.at = exc.pos
            self.fail(exc.msg)
        except ValueError:  # an integer with thousands of digits
            self.fail("the number is too long")
        return Node(value, start, self.at)

    def _object(self) -> Node:
        start, members = self.at, list[Member]()
        self.at += 1
        solid = self.skip()
        while not self._takes("}"):
            if members and members[-1].comma is None:
                self.fail("a comma is missing")
            if not self._text.startswith('"', self.at):
                self.fail("a key in quotes is missing")
            key = self.value()
            self.skip()
            if not self._takes(":"):
                self.fail("a colon is missing")
            self.skip()
            node = self.value()
            solid, comma = self._behind("}")
            members.append(Member(key.value, key.start, node, comma))
        value = {member.key: member.node.value for member in members}
        return Node(value, start, self.at, members=tuple(members), solid=solid)

    def _array(self) -> Node:
        start, items, comma = self.at, list[Node](), None
        self.at += 1
        self.skip()
        while not self._takes("]"):
            if items and comma is None:
                self.fail("a comma is missing")
            items.append(self.value())
            _, comma = self._behind("]")
        return Node([item.value for item in items], start, self.at, items=tuple(items))

    def _behind(self, closing: str) -> tuple[int, int | None]:
        """Skip a comma and the comments around it; return the end of the last, and the comma."""
        solid = self.skip()
        comma = self.at
        if not self._takes(","):
            return solid, None
        solid = self.skip()
        if not self._comments and self._text.startswith(closing, self.at):
            self.at = comma
            self.fail("there is one comma too many")
        return solid, comma

    def _takes(self, character: str) -> bool:
        found = self._text.startswith(character, self.at)
        self.at += found
        return found

    def _end_of(self, pattern: re.Pattern[str]) -> int | None:
        match = pattern.match(self._text, self.at)
        return match.end() if match else None

    def _constant(self, name: str) -> NoReturn:
        self.fail(f"{name} is not a JSON value")

    def fail(self, problem: str) -> NoReturn:
        if not self._comments and _COMMENT.match(self._text, self.at):
            problem = "comments are not allowed in this file"
        line = self._text.count("\n", 0, self.at) + 1
        column = self.at - self._text.rfind("\n", 0, self.at)
        raise FormatError(f"line {line}, column {column}: {problem}")
