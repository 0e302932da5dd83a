"""Lines: cut from a stream of bytes, and on their way from the thread that reads them.

MCP's stdio framing is one JSON-RPC message a line, ended by a line feed (modelcontextprotocol.io,
"Transports", stdio). Lines are cut at 0x0A in bytes and are not decoded, so U+2028 and its like,
legal inside a JSON string, cannot split a message.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import NamedTuple, Protocol

from m2m_ssh_client.errors import MessageTooLongError

Lines = list[bytes]
"""Lines without their line feeds, in order."""


class Splitter(Protocol):
    """Cuts chunks of bytes into lines. Used by one thread, the one that reads."""

    @property
    def pending(self) -> int:
        """Bytes of the line that has begun and not ended."""

    def feed(self, chunk: bytes) -> Lines:
        """Return the lines that the chunk completes. Raises MessageTooLongError."""

    def take_begun(self) -> bytes:
        """Remove and return the line that has begun and not ended."""


Shortcut = Callable[[Lines], bool]
"""Deals with lines at once, in the thread that read them.

False if they have to go through the event loop.
"""


class Intake(NamedTuple):
    """The destination of one side's lines. The thread that reads that side uses both."""

    splitter: Splitter
    shortcut: Shortcut


class LineSplitter:
    """Cuts a stream of chunks into lines, in time linear in their bytes however they are cut.

    Lines come without their line feed, and empty ones not at all.
    A line longer than `limit` bytes raises MessageTooLongError as soon as
    that is known, so no more than `limit` and one chunk are ever held.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        # Grows in place and gives its bytes away without a copy, so that a long line is in memory
        # once.
        self._begun = io.BytesIO()

    @property
    def pending(self) -> int:
        """Bytes of a line whose end has not come yet."""
        return self._begun.tell()

    def feed(self, chunk: bytes) -> list[bytes]:
        lines = self.cut(chunk)
        if max(self.pending, max(map(len, lines), default=0)) > self._limit:
            raise MessageTooLongError.over(self._limit)
        return lines

    def cut(self, chunk: bytes) -> list[bytes]:
        """Return the lines that the chunk completes, of any length."""
        lines = chunk.split(b"\n")
        rest = lines.pop()
        if lines and self.pending:
            self._begun.write(lines[0])
            lines[0] = self._begun.getvalue()
            self._begun = io.BytesIO()
        if b"" in lines:  # which is no message, and there may be thousands of them in a chunk
            lines = [line for line in lines if line]
        if rest:
            self._begun.write(rest)
        return lines

    def take_begun(self) -> bytes:
        """Take away the line whose end has not come yet."""
        begun, self._begun = self._begun.getvalue(), io.BytesIO()
        return begun
