"""When all has come that a remote process wrote before it ended, although its output stays open.

The exit status, or signal, is the end of the process (RFC 4254 section 6.10). The end of its output follows at once,
unless somebody else has it open: a child that it leaves behind. What it wrote itself may still be on its way: in its
pipe (64 KiB on Linux), in the server's buffers, which wait for our window, or on a network that stands still.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from m2m_ssh_client import threads

# Seconds. A server only has to read a pipe; what holds up the network holds up the answer as well.
_QUIET = 0.5
_QUIET_WITHOUT_AN_ANSWER = 10.0  # some never give one
# The child may go on writing for ever. What the process itself left fits into a pipe and a window, two mebibytes.
_LONGEST = 30.0


class Aftermath:
    """Of one process, from its end on. For the transport's thread.

    `heard` tells when something was last received (`time.monotonic`); `probe` asks for a sign of life, and may block.
    """

    def __init__(self, heard: Callable[[], float], probe: Callable[[], None]) -> None:
        self._heard = heard
        self._probe = probe
        self._received = -1
        self._open_since = self._quiet_since = 0.0
        self._asked: float | None = None

    def is_over(self, received: int, *, waits_for_us: bool) -> bool:
        """Whether nothing has come for a while, and the server has then given a sign of life; or it takes too long.

        To be asked repeatedly. `received` bytes have come so far; `waits_for_us` tells that more could not, as our
        window is full.
        """
        now = time.monotonic()
        if waits_for_us or self._received < 0:
            self._open_since = now
        if waits_for_us or received != self._received:
            self._received, self._quiet_since, self._asked = received, now, None
        if now - self._open_since >= _LONGEST:
            return True
        quiet = now - self._quiet_since
        if quiet < _QUIET:
            return False
        if self._asked is None:
            self._asked = now
            # In a thread: to send it may block, and this one must not.
            threads.start("ssh-probe", self._probe)
        return self._heard() > self._asked or quiet >= _QUIET_WITHOUT_AN_ANSWER
