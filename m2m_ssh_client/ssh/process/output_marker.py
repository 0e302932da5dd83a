"""The line after which a remote server's output begins.

A login shell's start-up files may print something before it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from m2m_ssh_client.text import printable, shortened

logger = logging.getLogger(__name__)

_MOST_KEPT = 2048  # bytes of what precedes the marker


class BehindMarker:
    """Passes on everything after the line that ends with `marker`, and logs the rest.

    `dropped` gets the size of what is not passed on.
    """

    def __init__(
        self, marker: str, pass_on: Callable[[bytes], None], dropped: Callable[[int], None]
    ) -> None:
        self._marker = marker.encode()
        self._pass_on = pass_on
        self._dropped = dropped
        self._rest = b""
        self._before = b""
        self._found = False

    def end(self) -> None:
        """Pass on the last of what came, if the marker never did: it says what went wrong."""
        if not self._found and self._before:
            self._pass_on(self._before)

    def __call__(self, data: bytes) -> None:
        if self._found:
            self._pass_on(data)
            return
        self._before = (self._before + data)[-_MOST_KEPT:]
        *lines, rest = (self._rest + data).split(b"\n")
        for i, line in enumerate(lines):
            if line.rstrip(b"\r").endswith(self._marker):
                self._found = True
                behind = b"\n".join([*lines[i + 1 :], rest])
                self._drop(len(data) - len(behind))
                if behind:
                    self._pass_on(behind)
                return
            logger.info("before the remote command: %s", shortened(printable(line.rstrip(b"\r"))))
        # This bounds a line without an end. A terminal may put several carriage returns at its end.
        text = rest.rstrip(b"\r")
        self._rest = text[-len(self._marker) :] + rest[len(text) : len(text) + 1]
        self._drop(len(data))

    def _drop(self, size: int) -> None:
        if size > 0:
            self._dropped(size)
