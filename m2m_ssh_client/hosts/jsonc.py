"""Parse JSON with the positions of its values, so that an edit can keep everything else.

Accepts JSON by RFC 8259, or with the comments and trailing commas that editors allow (JSONC).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, NoReturn

_BLANK = re.compile(r"[ \t\r\n]*")
_COMMENT = re.compile(r"//[^\r\n]*|/\*.*?\*/", re.DOTALL)
_BEGINS_SCALAR = re.compile(r'["0-9tfn-]')


class JSONCError(ValueError):
    """The text is not valid, or a member is ambiguous; the message has the position."""


class Node(NamedTuple):
    """A value at `text[start:end]`; `solid` is the end of an object's last member or comment."""

    value: Any
    start: int
    end: int
    members: tuple[Member, ...] = ()
    items: tuple[Node, ...] = ()
    solid: int = 0

    def scalars(self) -> Iterator[Node]:
        """Yield the strings, numbers and literals in it, in text order; not the keys."""
        if not isinstance(self.value, (dict, list)):
            yield self
        for node in (*(member.node for member in self.members), *self.items):
            yield from node.scalars()


class Member(NamedTuple):
    """A key, its start, its value, and the position of the comma after it, if any."""

    key: str
    start: int
    node: Node
    comma: int | None


def parse(text: str, *, comments: bool = True) -> Node | None:
    """Return the document; None without a value. `comments` selects JSONC. Raises JSONCError."""
    reader = _Reader(text, comments)
    reader.skip()
    if reader.at == len(text):
        return None
    try:
        root = reader.value()
    except RecursionError:
        raise JSONCError("it is nested too deeply") from None
    reader.skip()
    if reader.at < len(text):
        reader.fail("text follows the end")
    return root


def find(root: Node | None, path: Sequence[str]) -> Node | None:
    """Return the value under these keys, or None. Raises JSONCError as `member` does."""
    node = root
    for at, key in enumerate(path):
        found = member(node, key, path[:at]) if node else None
        node = found.node if found else None
    return node


def member(node: Node, key: str, place: Sequence[str]) -> Member | None:
    """Return the member of the node at `place`, or None.

    Raises JSONCError if the node is not an object, or has the key more than once.
    """
    where = ".".join(place) or "the document"
    if not isinstance(node.value, dict):
        raise JSONCError(f"{where} is not an object")
    found = [member for member in node.members if member.key == key]
    if len(found) > 1:
        raise JSONCError(f"{where} has {key!r} more than once")
    return found[0] if found else None


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
        except JSONCError:
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
        raise JSONCError(f"line {line}, column {column}: {problem}")
