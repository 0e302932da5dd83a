"""Long lines of a remote that are no messages: a progress bar, a file printed by mistake.

Nothing of such a line can become a message until one begins in it. So until then, its bytes are
counted and not kept, but for an excerpt for the log.
"""

from __future__ import annotations

import re

# As salvage looks for messages in an invalid line.
BEGINNING = re.compile(rb'\{\s*"(?:jsonrpc|id|method|params|result|error)"\s*:')

_BLANK = b"\xef\xbb\xbf \t\r"  # what may precede a message on its line, with a byte order mark
_EXCERPT = 4096  # bytes
_OVERLAP = 256  # bytes, in which the beginning of a message may be cut


def is_noise(begun: bytes) -> bool:
    """Return whether a line that begins so is no message, and has none in it yet."""
    start = begun.lstrip(_BLANK)[:1]
    return start not in (b"{", b"[", b"") and BEGINNING.search(begun) is None


class Noise:
    """A line for which `is_noise` holds. `add` each chunk of it."""

    def __init__(self, begun: bytes) -> None:
        self.size = len(begun)
        """Bytes of the line so far."""
        self._excerpt = begun[:-_OVERLAP][:_EXCERPT]
        self._last = begun[-_OVERLAP:]

    def add(self, chunk: bytes) -> bool:
        """Add a chunk of the line. Return whether a message may have begun in it."""
        self.size += len(chunk)
        seen = self._last + chunk
        found = BEGINNING.search(seen)
        self._last = seen[found.start() :] if found is not None else seen[-_OVERLAP:]
        return found is not None

    def line(self) -> bytes:
        """Return what was kept: an excerpt, and the line from the beginning of a message on."""
        return self._excerpt + self._last
