"""The values of a configuration text with their positions, and how to find one by its keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple


class FormatError(ValueError):
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


def find(root: Node | None, path: Sequence[str]) -> Node | None:
    """Return the value under these keys, or None. Raises FormatError as `member` does."""
    node = root
    for at, key in enumerate(path):
        found = member(node, key, path[:at]) if node else None
        node = found.node if found else None
    return node


def member(node: Node, key: str, place: Sequence[str]) -> Member | None:
    """Return the member of the node at `place`, or None.

    Raises FormatError if the node is not an object, or has the key more than once.
    """
    where = ".".join(place) or "the document"
    if not isinstance(node.value, dict):
        raise FormatError(f"{where} is not an object")
    found = [member for member in node.members if member.key == key]
    if len(found) > 1:
        raise FormatError(f"{where} has {key!r} more than once")
    return found[0] if found else None


def with_value(document: dict[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """Return a copy with the value at `path`, or without that member if the value is None.

    Raises FormatError if what is on the way is not an object.
    """
    key, *rest = path
    changed = dict(document)
    if rest:
        inner = changed.get(key, {})
        if not isinstance(inner, dict):
            raise FormatError(f"{key} is not an object")
        if key in changed or value is not None:
            changed[key] = with_value(inner, rest, value)
    elif value is None:
        changed.pop(key, None)
    else:
        changed[key] = value
    return changed


def line_end(text: str) -> str:
    """Return the line end that the text uses first; a line feed if it has none."""
    at = text.find("\n")
    return "\r\n" if text[max(0, at - 1) : at] == "\r" else "\n"
