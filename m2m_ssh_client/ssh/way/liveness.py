"""Detection of dead connections: a frozen peer, a forgotten NAT entry, a machine that slept.

The rules are OpenSSH's (ssh_config(5), ServerAliveInterval): after an interval without anything
received, a request that wants a reply is sent through the encrypted channel, and another after each
further interval; any reply counts as life. An interval after the last of ServerAliveCountMax
requests the connection is dead, so after interval × (count + 1) of silence. paramiko's own
set_keepalive sends too, and never looks for an answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from m2m_ssh_client import threads

_LONGEST_STEP = 2.0  # seconds between looks at the clocks, so that the end of a sleep is noticed
_SLEEP = 5.0  # seconds that the wall clock jumps ahead when the machine has slept
_AFTER_SLEEP = 5.0  # seconds for a sign of life then: most connections are dead


class Liveness:
    """Watches a connection in a thread of its own, from `start()` to `stop()`.

    It looks at clocks only, at least every two seconds: so it also notices that the machine slept,
    and then gives the connection a few seconds to prove that it survived.

    `heard` returns the time of the last arrival (`time.monotonic`); `probe` asks for a sign of
    life, and may block; `dead` is called once, with the seconds of silence. `interval` is in
    seconds.
    """

    def __init__(
        self,
        interval: float,
        count: int,
        heard: Callable[[], float],
        probe: Callable[[], object],
        dead: Callable[[float], None],
    ) -> None:
        self._interval = interval
        self._count = count
        self._heard = heard
        self._probe = probe
        self._dead = dead
        self._stopped = threading.Event()
        self._probing: threading.Thread | None = None

    def start(self) -> None:
        """Begin, unless the interval is 0."""
        if self._interval > 0:
            threads.start("ssh-liveness", self._watch)

    def stop(self) -> None:
        """Stop watching: the connection is closed. Any thread."""
        self._stopped.set()

    def _watch(self) -> None:
        heard = self._heard()
        unanswered, due = 0, heard + self._interval
        awake_until = float("inf")  # unless something is heard
        drift = time.time() - time.monotonic()
        while not self._stopped.wait(self._step(due)):
            now = time.monotonic()
            if self._heard() > heard:
                heard = self._heard()
                unanswered, due, awake_until = 0, heard + self._interval, float("inf")
            if time.time() - now - drift > _SLEEP:
                unanswered, due, awake_until = 0, now, now + _AFTER_SLEEP
            drift = time.time() - now
            if now >= awake_until or (now >= due and unanswered == self._count):
                self._dead(now - heard)
                return
            if now >= due:
                unanswered, due = unanswered + 1, now + self._interval
                self._ask()

    @staticmethod
    def _step(due: float) -> float:
        return min(max(due - time.monotonic(), 0.01), _LONGEST_STEP)

    def _ask(self) -> None:
        # In a thread: if the socket's buffer is full, sending waits for the very peer that may be
        # dead.
        if self._probing is None or not self._probing.is_alive():
            self._probing = threads.start("ssh-probe", self._probe)
