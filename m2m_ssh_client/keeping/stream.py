"""The stream between a keeper and its client: records, and what was sent but may be lost.

Each direction is a stream of records: one letter, four bytes of length, data. Offsets count the
bytes of a stream. Whoever attaches says how many bytes have arrived, and the other end goes on
there. What has been dealt with is acknowledged, and the rest can be sent again.

Both ends use this module: here, and on the remote machine, where it goes with `keeper.py`.
"""

import struct
from collections import deque

READY = b"m2m-keeper 1"
"""The line that says, with the version of all this, that the keeper is there."""
ATTACHED = b"m2m-kept "
"""Begins the line after which the streams go on: the offset, or `-` and the reason why not."""
GONE = b"gone"
UNKNOWN_OFFSET = b"offset"

# From the client. CLOSE ends the server's stdin, QUIT the server.
STDIN, CLOSE, SIGNAL, QUIT = b"i", b"c", b"s", b"q"
# From the keeper: EXIT has the status or the name of a signal; END ends the output before that.
STDOUT, STDERR, EXIT, END, REPLACED = b"o", b"e", b"x", b"f", b"n"
# From both: an offset of the other stream.
ACKNOWLEDGED = b"a"

# Orders: to start and attach to a server, to list them, and to end one or all.
START, ATTACH, LIST, END_SERVER = b"start", b"attach", b"list", b"end"

MOST = 64 * 1024 * 1024
"""Most bytes that wait for an acknowledgement; the writer has to wait then."""
STEP = 1024 * 1024
"""Bytes after which they are acknowledged."""

HEAD = struct.Struct(">cI")
OFFSET = struct.Struct(">Q")

_LONGEST_RECORD = 256  # bytes, of those that are not data


class Sent:
    """The part of a stream that was sent and is not acknowledged."""

    def __init__(self) -> None:
        self.start = 0
        self.end = 0
        self._chunks: deque[bytes | memoryview] = deque()

    def __len__(self) -> int:
        return self.end - self.start

    def add(self, chunk: "bytes | memoryview") -> None:
        self._chunks.append(chunk)
        self.end += len(chunk)

    def acknowledge(self, offset: int) -> None:
        """Forget what lies before the offset, as far as whole chunks do."""
        while self._chunks and self.start + len(self._chunks[0]) <= offset:
            self.start += len(self._chunks.popleft())

    def since(self, offset: int) -> "list[bytes | memoryview]":
        """Return the chunks from the offset on. Raises ValueError if these are not known."""
        if not self.start <= offset <= self.end:
            raise ValueError("offset")
        found: list[bytes | memoryview] = []
        at = self.start
        for chunk in self._chunks:
            if at + len(chunk) > offset:
                found.append(memoryview(chunk)[max(offset - at, 0) :])
            at += len(chunk)
        return found


class Records:
    """Cuts a stream into records. Data is passed on as it comes, other records when complete."""

    def __init__(self, data: bytes) -> None:
        """`data` has the letters of the records that carry data."""
        self._data = data
        self._kind = b""
        self._left = 0
        self._begun = b""

    def feed(self, stream: bytes) -> "list[tuple[bytes, bytes]]":
        """Return (letter, data) for what has come. Raises ValueError."""
        if self._begun:
            stream, self._begun = self._begun + stream, b""
        elif self._left > len(stream):  # a piece of a long record
            self._left -= len(stream)
            return [(self._kind, stream)]
        elif not self._left and len(stream) >= HEAD.size:
            kind, size = HEAD.unpack_from(stream)
            if size == len(stream) - HEAD.size and kind in self._data:  # most are whole
                return [(kind, stream[HEAD.size :])]
        return self._cut(stream)

    def _cut(self, stream: bytes) -> "list[tuple[bytes, bytes]]":
        found = []
        at, end = 0, len(stream)
        while at < end:
            if not self._left:
                if end - at < HEAD.size:
                    break
                kind, size = HEAD.unpack_from(stream, at)
                body = at + HEAD.size
                if kind not in self._data:
                    if size > _LONGEST_RECORD:
                        raise ValueError("record")
                    if end < body + size:
                        break
                    at = body + size
                    found.append((kind, stream[body:at]))
                    continue
                self._kind, self._left, at = kind, size, body
                continue
            piece = stream[at : at + self._left]
            at += len(piece)
            self._left -= len(piece)
            found.append((self._kind, piece))
        self._begun = stream[at:]
        return found


def record(kind: bytes, data: "bytes | memoryview" = b"") -> bytes:
    """Return one record of a stream."""
    return b"".join((HEAD.pack(kind, len(data)), data))


def order(*fields: bytes) -> bytes:
    """Return what the client writes after the READY line."""
    text = b"\0".join(fields)
    return OFFSET.pack(len(text)) + text
