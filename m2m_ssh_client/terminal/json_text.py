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

# Marks are what decides where an element ends: brackets, commas, strings. What is small is one mark
# as a whole. No part of a pattern begins with what may follow the part before, so that no text is
# looked at again and again; and what is found ahead and then taken leaves nothing to come back to,
# for which `re` needs a hundred times the memory of the text.
_PLAIN = rb'[^"\\\[\]{}]*'
_STRING = rb'"[^"\\]*(?:\\.[^"\\]*){,50}"'
_WHOLE = _STRING
for _level in range(5):  # those of a tool with the schema of a list's items
    _INNER = rb"[\[{]%b(?:%b%b){,50}[\]}]" % (_PLAIN, _WHOLE, _PLAIN)
    _WHOLE = rb"(?:%b|(?=(?P<l%d>%b))(?P=l%d))" % (_STRING, _level, _INNER, _level)
_OTHER = rb'"[^"\\]*|[\[\]{}]'  # a string up to its first escape, or a bracket
_IN_LIST = re.compile(rb"%b|%b|," % (_WHOLE, _OTHER))
_IN_ELEMENT = re.compile(rb"(?:%b%b){1,100}|%b" % (_WHOLE, _PLAIN, _OTHER))
_IN_STRING = re.compile(rb'(?:\\.[^"\\]*){1,1000}"?')


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
    depth, at, start, marks = 1, 1, 1, 0
    pattern = _IN_LIST
    while depth and (found := pattern.search(data, at)):
        begin, at = found.span()
        mark = bytes(data[begin : begin + 1])
        marks += 1
        if marks % _CHECK_EVERY == 0:
            check()
        if mark == b"," and depth == 1:
            yield bytes(data[start:begin]).strip()
            start = at
        elif at - begin == 1 and mark in b"[{":
            depth += 1
        elif mark in b"]}":
            depth -= 1
        pattern = _IN_LIST if depth == 1 else _IN_ELEMENT
        if bytes(data[at : at + 1]) == b"\\":
            pattern = _IN_STRING
    if not depth and (last := bytes(data[start : at - 1]).strip()):
        yield last
