"""Lines of the remote that are no messages: told to people, and kept for the reason why it ended. Sans-I/O."""

from __future__ import annotations

import logging
from collections import deque

from m2m_ssh_client.text import printable, shortened

logger = logging.getLogger(__name__)

_HINT = " (does its ~/.bashrc print, or its server log to stdout?)"
_MOST_TOLD = 100  # lines of one server: to log one takes longer than to skip it


class Noise:
    """What the remote printed."""

    def __init__(self) -> None:
        self.last: deque[str] = deque(maxlen=3)
        """The last of these lines, as excerpts fit to be shown."""
        self._told = 0

    def begin(self) -> None:
        """A fresh server's lines are told again."""
        self._told = 0

    def take(self, line: bytes) -> None:
        if not line.strip():
            return
        hint = "" if self.last else _HINT
        # What is nearly a message may hold what messages hold.
        text = f"{len(line)} bytes" if b'"jsonrpc"' in line else shortened(printable(line[:400]))
        self.last.append(text)
        self._told += 1
        if self._told <= _MOST_TOLD:
            logger.warning("skipped a line of the remote that is not JSON-RPC%s: %s", hint, text)
        if self._told == _MOST_TOLD:
            logger.warning("further lines like these are skipped without a word")
