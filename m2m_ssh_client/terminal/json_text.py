"""Answers as JSON text, of which a piece at a time becomes Python objects.

As objects, JSON can need 25 times the memory of its text, and the SDK's models need more. So
answers stay text, like the messages in the proxy, and what is longer than `LONGEST_OBJECTS` never
becomes objects as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from m2m_ssh_client.proxy.frames.frame import LONGEST_OBJECTS, JSONText, load

_MOST_LEVELS = 3
"""Levels of long objects in one another, as in a message, its content and the resource in that."""

_CHECK_EVERY = 4096  # marks

# A string, at least up to its first escape; or a mark that may end an element.
_OUTSIDE = re.compile(rb'"[^"\\]*"?|[\[\]{},]')
_INSIDE = re.compile(rb'["\\]')


# The members of results, and of entries in them, that the commands know.
_NAMES = (
    "annotations",
    "arguments",
    "blob",
    "content",
    "contents",
    "data",
    "description",
    "inputSchema",
    "isError",
    "messages",
    "mimeType",
    "name",
    "nextCursor",
    "prompts",
    "resource",
    "resources",
    "resourceTemplates",
    "resultType",
    "role",
    "size",
    "structuredContent",
    "text",
    "title",
    "tools",
    "type",
    "uri",
    "uriTemplate",
)
_Known = msgspec.defstruct("_Known", [(name, msgspec.Raw, msgspec.Raw()) for name in _NAMES])
_decode_known = msgspec.json.Decoder(_Known).decode
_decode_string = msgspec.json.Decoder(str).decode


def size_of(text: JSONText) -> int:
    """Return the length of a text in bytes."""
    return len(memoryview(text))


def member(text: JSONText, name: str) -> msgspec.Raw:
    """Return a known member of an object as text; empty if there is none."""
    try:
        found: msgspec.Raw = getattr(_decode_known(text), name)
    except (ValueError, RecursionError):
        return msgspec.Raw()
    return found


def value(text: JSONText, levels: int = _MOST_LEVELS) -> Any:
    """Return the value of a text.

    Of a long object, only the known members; None for a long list, or for no value.
    """
    try:
        if size_of(text) <= LONGEST_OBJECTS:
            return load(bytes(text)) if text else None
        start = bytes(memoryview(text)[:1])
        if start == b'"':
            return _decode_string(text)
        if start != b"{" or not levels:
            return None
        known = msgspec.structs.asdict(_decode_known(text))
    except (ValueError, RecursionError):
        return None
    return {name: value(each, levels - 1) for name, each in known.items() if each}


def items(text: JSONText, check: Callable[[], None]) -> Iterator[bytes]:
    """Yield the elements of a list as text; none for another value. The text must be JSON.

    `check` is called now and then, and may raise.
    """
    data = memoryview(text)
    if bytes(data[:1]) != b"[":
        return
    depth = at = marks = 0
    start = 1
    inside = False  # a string, behind an escape in it
    while found := (_INSIDE if inside else _OUTSIDE).search(data, at):
        mark, at = found.group(), found.end()
        marks += 1
        if marks % _CHECK_EVERY == 0:
            check()
        if inside:
            inside = mark != b'"'
            at += inside  # what is escaped
        elif mark[:1] == b'"':
            inside = len(mark) == 1 or mark[-1:] != b'"'
        elif mark in b"[{":
            depth += 1
        elif mark == b",":
            if depth == 1:
                yield bytes(data[start : at - 1]).strip()
                start = at
        else:
            depth -= 1
            if not depth and (last := bytes(data[start : at - 1]).strip()):
                yield last
