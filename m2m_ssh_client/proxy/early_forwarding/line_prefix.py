"""The prefix of a long line: enough of a message to tell its kind, up to a string that is open.

RFC 8259 is the grammar. Nothing here decides what is JSON: `frame.parse` does.
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
from m2m_ssh_client.proxy.frames.head import TOKEN

_LONGEST = 4096
"""Bytes of a line in which the long string has to begin."""

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
class LinePrefix:
    """A message up to a string that has not ended.

    `line` ends with the quote that opens the string. `message` is the message as if it ended here.
    `nesting` has one entry for each bracket that is open, from the outside: the bracket that closes
    it, and in an object the name of the member.
    """

    line: bytes
    message: Message
    nesting: tuple[tuple[bytes, bytes | None], ...]

    @property
    def path(self) -> tuple[bytes | None, ...]:
        """Names of the members that the string is in, from the outside.

        None stands for an array.
        """
        return tuple(name for _, name in self.nesting)

    def failing(self, reason: str) -> bytes:
        """Return an end for this line that makes it the result of a failed tool call.

        (modelcontextprotocol.io, "Tools", error handling: `isError`, and the reason as a text.)
        """
        end = [b'"']
        if self.path[3:] == (b"data",) and b'"mimeType"' not in self.line:  # an image or audio
            end.append(b',"mimeType":"application/octet-stream"')
        for depth in reversed(range(len(self.nesting))):
            if depth == 2:  # the array of the content
                end.append(b"," + bytes(raw_json({"type": "text", "text": reason})))
            elif depth == 1:  # the result
                end.append(b',"isError":true')
            end.append(self.nesting[depth][0])
        return b"".join(end)


def read_prefix(begun: bytes) -> tuple[LinePrefix, bytes] | None:
    """Return the prefix of a line that has begun and the bytes of its open string, if any."""
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
    return None if rest else (LinePrefix(line, message, nesting), content)


def _message_of(line: bytes) -> Message | None:
    """Return the message. A request's `jsonrpc` may follow later: SDKs write it last."""
    with suppress(NotJSONError, NotJSONRPCError):
        return parse(line).messages[0]
    with suppress(NotJSONError, NotJSONRPCError):
        message = parse(line.replace(b"{", b'{"jsonrpc":"2.0",', 1)).messages[0]
        return None if message.is_response else message
    return None


def _walk(text: bytes) -> tuple[int, tuple[tuple[bytes, bytes | None], ...]] | None:
    """Return where the string begins that does not end in the text, and the nesting there."""
    nesting: list[tuple[bytes, bytes | None]] = []
    at, name = 0, b""
    while match := TOKEN.match(text, at):
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
    """Reads an open string, chunk by chunk."""

    def __init__(self) -> None:
        self._part = b""  # the beginning of an escape or a character

    def read(self, chunk: bytes) -> tuple[bytes, bytes]:
        """Return the complete characters of the string, or all bytes if it may end in the chunk.

        The second value is empty while the string goes on. After that, reading is over.
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
    """Return the end of the last whole character, or of the data if no character is cut."""
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
