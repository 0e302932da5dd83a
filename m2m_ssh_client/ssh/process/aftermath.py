"""The end of a remote process's output, when the process has ended and its output stays open.

The exit status or signal marks the end of the process (RFC 4254 section 6.10). The end of its
output follows at once, unless a child of the process keeps it open. The last output of the process
itself may still be on its way: in its pipe (64 KiB on Linux), in the server's buffers, which wait
for our window, or on a network that stands still.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from m2m_ssh_client import threads

# Seconds. A server only has to read a pipe; a network that delays output delays the reply, too.
_QUIET = 0.5
_QUIET_WITHOUT_AN_ANSWER = 10.0  # some servers never reply
# The child may write for ever. The output of the process itself fits into a pipe and a window, two
# mebibytes.
_LONGEST = 30.0


class Aftermath:
    """Decides when the output of an ended process is complete. For the transport's thread.

    There is no message for it, so the rule is: nothing has arrived for a while, and the server has
    then answered a probe, so that neither the network nor the server can hold anything back.

    `heard` returns the time of the last arrival (`time.monotonic`); `probe` asks for a sign of
    life, and may block.
    """

    def __init__(self, heard: Callable[[], float], probe: Callable[[], None]) -> None:
        self._heard = heard
        self._probe = probe
        self._received = -1
        self._open_since = self._quiet_since = 0.0
        self._asked: float | None = None

    def is_over(self, received: int, *, waits_for_us: bool) -> bool:
        """Return whether all output has arrived, or it takes too long. Call it repeatedly.

        `received` is the number of bytes so far; `waits_for_us` says that our full window holds
        more back.
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
            # In a thread: sending may block, and the transport's thread must not.
            threads.start("ssh-probe", self._probe)
        return self._heard() > self._asked or quiet >= _QUIET_WITHOUT_AN_ANSWER
