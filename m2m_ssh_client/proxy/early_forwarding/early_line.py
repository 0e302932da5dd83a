"""One long line that is forwarded while it still comes."""

from __future__ import annotations

import re
import threading
from collections import deque

from m2m_ssh_client.flow.hand_over import ToThread
from m2m_ssh_client.proxy.early_forwarding.line_prefix import LinePrefix, StringReader

_SMALL = 4096  # bytes

_BRACE = re.compile(rb"\{ *\Z")
_LONGEST_BRACE = 8  # bytes


class EarlyLine:
    """A line that goes to `sink` while it still comes.

    It has got as far as a long string. The string's chunks are checked and forwarded by the thread
    that reads; the end of the line is added by whoever completes it, which may be another thread.
    """

    def __init__(self, prefix: LinePrefix, sink: ToThread, *, keep: bool) -> None:
        """`sink` has begun this line. `keep`: keep what is forwarded, for `whole_line`."""
        self.prefix = prefix
        self.sink = sink
        self.brace = b""
        """The end of the string so far, if a message may begin with it: the line is torn there."""
        self._reader = StringReader()
        self._unwritten = deque([prefix.line])
        self._kept: deque[bytes] | None = deque() if keep else None
        self._completed = False
        self._lock = threading.Lock()

    def add(self, chunk: bytes) -> bytes:
        """Forward the next chunk of the string. Return the rest of the line's bytes, if any."""
        whole, rest = self._reader.read(chunk)
        if whole:
            brace = _BRACE.search(whole, max(len(whole) - _LONGEST_BRACE, 0))
            self.brace = brace.group() if brace else b""
        with self._lock:
            if whole and not self._completed:
                _append(self._unwritten, whole)
                if self._kept is not None:
                    _append(self._kept, whole)
                self._write()
        return rest

    def whole_line(self, end: bytes) -> bytes:
        """Return the complete line; requires `keep`."""
        return b"".join([self.prefix.line, *(self._kept or ()), end])

    def complete(self, end: bytes) -> None:
        """Send the end of the line. Any thread, once."""
        with self._lock:
            self._completed = True
            self.sink.complete([*self._unwritten, end])

    def _write(self) -> None:
        while self._unwritten:
            data = self._unwritten[0]
            written = self.sink.more(data)
            if written < len(data):
                self._unwritten[0] = data[written:]
                return
            self._unwritten.popleft()


def _append(pieces: deque[bytes], piece: bytes) -> None:
    """Append a piece, joining small ones: each bytes object costs some fifty bytes more."""
    if pieces and len(pieces[-1]) + len(piece) <= _SMALL:
        pieces[-1] += piece
    else:
        pieces.append(piece)
