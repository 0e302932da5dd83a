"""Stray output of the remote: lines that are not messages, and answers that nobody asked for.

They are logged as far as a server without end cannot fill the log. The last lines are kept because
they may explain why the server ended. Sans-I/O.
"""

from __future__ import annotations

import logging
from collections import deque

from m2m_ssh_client.text import printable, shortened

logger = logging.getLogger(__name__)

_HINT = " (does its ~/.bashrc print, or its server log to stdout?)"
_MOST_LOGGED = 100  # lines per server: logging a line takes longer than skipping it


class StrayOutput:
    """The stray lines of one remote."""

    def __init__(self) -> None:
        self.last: deque[str] = deque(maxlen=3)
        """Printable excerpts of the last stray lines."""
        self._logged = 0
        self._answers = 0

    def begin(self) -> None:
        """Start to log again, for a fresh server."""
        self._logged = 0
        self._answers = 0

    def add_answer(self) -> None:
        """Count an answer to a request that is not open, and log the first, tenth, hundredth, …"""
        self._answers += 1
        count = str(self._answers)
        if count.strip("0") == "1":
            logger.info("skipped answers to requests that are not open: %s so far", count)

    def add(self, line: bytes) -> None:
        """Log a stray line and keep an excerpt; ignore a blank one."""
        if not line.strip():
            return
        hint = "" if self.last else _HINT
        # A line that is almost a message may contain the private data of a message.
        text = f"{len(line)} bytes" if b'"jsonrpc"' in line else shortened(printable(line[:400]))
        self.last.append(text)
        self._logged += 1
        if self._logged <= _MOST_LOGGED:
            logger.warning("skipped a line from the remote that is not JSON-RPC%s: %s", hint, text)
        if self._logged == _MOST_LOGGED:
            logger.warning("further lines like these are skipped silently")
