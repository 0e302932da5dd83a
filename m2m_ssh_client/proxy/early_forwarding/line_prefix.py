"""How a long line begins: as much of a message as tells what it is, up to a string that is still open.

RFC 8259 is the grammar. Nothing here decides what is JSON: `frames.parse` does.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass

import msgspec

from m2m_ssh_client.proxy.frames.frame import (
    Message,
    NotJSONError,
    NotJSONRPCError,
    parse,
    raw_json,
)

_LONGEST = 4096
"""Bytes in which a string has to begin that is worth waiting for."""

_TOKEN = re.compile(rb'[ \t\r]*(?:"((?:[^"\\]|\\.)*)"|([{}\[\]:,])|[-+.\w]+)', re.DOTALL)
_SPACE = b" \t\r"
_CLOSERS = {b"{": b"}", b"[": b"]"}

_LONGEST_ESCAPE = 12  # bytes: a pair of surrogates
_HIGH = rb"u[dD][89abAB][0-9a-fA-F]{2}"
_WHOLE = re.compile(
    rb"(?:[^\\]|\\(?:%b\\u|u(?![dD][89abAB]))[0-9a-fA-F]{4}|\\[^u])*" % _HIGH, re.DOTALL
)
_PART = re.compile(rb"\\(?:u[0-9a-fA-F]{0,3}|%b(?:\\(?:u[0-9a-fA-F]{0,3})?)?)?" % _HIGH)

_read_raw = msgspec.json.Decoder(msgspec.Raw).decode


@dataclass(frozen=True)
class Opening:
    """A message that ends within a string.

    `line` ends with the quote that opens this string. `message` is what the message would be if it ended here.
    `nesting` is what has to be closed, from the outside: the closing bracket, and in an object the name of the member.
    """

    line: bytes
    message: Message
    nesting: tuple[tuple[bytes, bytes | None], ...]

    @property
    def path(self) -> tuple[bytes | None, ...]:
        """The names of the members that the string is in, from the outside; None for the place in an array."""
        return tuple(name for _, name in self.nesting)

    def failing(self, reason: str) -> bytes:
        """What makes a failed tool call's result of one whose content is cut off here: without the line feed.

        (modelcontextprotocol.io, "Tools", error handling: `isError`, and the reason as a text.)
        """
        end = [b'"']
        if self.path[3:] == (b"data",) and b'"mimeType"' not in self.line:  # of an image or a sound
            end.append(b',"mimeType":"application/octet-stream"')
        for depth in reversed(range(len(self.nesting))):
            if depth == 2:  # the array of the content
                end.append(b"," + bytes(raw_json({"type": "text", "text": reason})))
            elif depth == 1:  # the result
                end.append(b',"isError":true')
            end.append(self.nesting[depth][0])
        return b"".join(end)


def read_opening(begun: bytes) -> tuple[Opening, bytes] | None:
    """The opening of a line of which this much has come, and what has come of the string, which goes on."""
    found = _walk(begun[:_LONGEST])
    if found is None:
        return None
    at, nesting = found
    line = begun[:at]
    message = _message_of(line + b'"' + b"".join(closer for closer, _ in reversed(nesting)))
    if message is None:
        return None
    content = begun[at:]
    _, rest = StringReader().read(content)
    return None if rest else (Opening(line, message, nesting), content)


def read_head(text: bytes) -> dict[bytes, bytes]:
    """Read the members of an object of which the text has at least the beginning, as far as its first 4 KiB tell.

    Names are as they are written. Values are JSON text, empty for objects, arrays, and what may go on behind the text.
    """
    members: dict[bytes, bytes] = {}
    text = text[:_LONGEST]
    at = depth = 0
    last, name = b"", None
    while match := _TOKEN.match(text, at):
        string, mark = match.groups()
        at = match.end()
        if mark in (b",", b"}") and depth == 1 and name is not None:
            members[name], name = last, None
        if mark in _CLOSERS:
            depth += 1
        elif mark in (b"}", b"]"):
            depth -= 1
        elif mark == b":" and depth == 1 and string is None:
            name, last = last[1:-1], b""
            members[name] = b""
        if depth == 0:
            break
        if depth == 1:
            last = b"" if mark else match.group().strip()
    return members


def _message_of(line: bytes) -> Message | None:
    """The message; a request may have its `jsonrpc` later, where SDKs write it."""
    with suppress(NotJSONError, NotJSONRPCError):
        return parse(line).messages[0]
    with suppress(NotJSONError, NotJSONRPCError):
        message = parse(line.replace(b"{", b'{"jsonrpc":"2.0",', 1)).messages[0]
        return None if message.is_response else message
    return None


def _walk(text: bytes) -> tuple[int, tuple[tuple[bytes, bytes | None], ...]] | None:
    """Where in the text the string begins that does not end in it, and the nesting there."""
    nesting: list[tuple[bytes, bytes | None]] = []
    at, name = 0, b""
    while match := _TOKEN.match(text, at):
        string, mark = match.groups()
        at = match.end()
        if mark in _CLOSERS:
            nesting.append((_CLOSERS[mark], None))
        elif mark in (b"}", b"]"):
            if not nesting:
                return None
            nesting.pop()
        elif mark == b":" and nesting:
            nesting[-1] = nesting[-1][0], name
        name = string or b""
    rest = text[at:].lstrip(_SPACE)
    if not nesting or nesting[0][0] != b"}" or not rest.startswith(b'"'):
        return None
    return len(text) - len(rest) + 1, tuple(nesting)


class StringReader:
    """Reads on in an open string, chunk for chunk."""

    def __init__(self) -> None:
        self._part = b""  # of an escape or a character

    def read(self, chunk: bytes) -> tuple[bytes, bytes]:
        """What belongs to the string, complete characters; and if the string may end in the chunk, the rest of it.

        Of a chunk that is not all within the string nothing is taken, and reading is over.
        """
        data = self._part + chunk if self._part else chunk
        end = _end_of_whole(data)
        whole, self._part = (data[:end], data[end:]) if end < len(data) else (data, b"")
        return (whole, b"") if _is_within_string(whole) else (b"", data)


def _is_within_string(data: bytes) -> bool:
    try:
        _read_raw(b'"%b"' % data)
        return data.isascii() or bool(data.decode())
    except ValueError:
        return False


def _end_of_whole(data: bytes) -> int:
    """Behind the last whole character; or behind all, where it is none that begins."""
    end = len(data)
    escape = data.find(b"\\", max(end - _LONGEST_ESCAPE, 0))
    if escape >= 0:
        match = _WHOLE.match(data, len(data[:escape].rstrip(b"\\")))
        if match is not None and match.end() < end:
            return match.end() if _PART.fullmatch(data, match.end()) else end
    # UTF-8: four bytes at the most, of which all but the first one begin with the bits 10.
    for first in range(end - 1, max(end - 4, -1), -1):
        if data[first] & 0xC0 != 0x80:
            size = 1 + (data[first] >= 0xC0) + (data[first] >= 0xE0) + (data[first] >= 0xF0)
            return first if first + size > end else end
    return end
