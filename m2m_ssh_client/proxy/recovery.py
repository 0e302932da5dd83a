"""The policy for reconnecting: whether to try again, and when.

Sans-I/O. Times are in seconds, on any steady clock.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator

from m2m_ssh_client.errors import (
    ConnectionLostError,
    RemoteExitError,
    SSHClientError,
    UnreachableError,
)

_FIRST_DELAY = 0.5
_LONGEST_DELAY = 30.0
# While a request waits for the attempt, the pauses grow from and to these.
_FIRST_HURRY = 0.3
_LONGEST_HURRY = 3.0
# An sshd that takes connections counts those that end before the login (PerSourcePenalties): one a
# second makes it lock this machine out, and one in two seconds does not.
_LEAST_DELAY_WHEN_REACHED = 2.0
_RESTARTS = 3
_RESTART_WINDOW = 60.0
# While a machine or a container starts, a command that has worked before may end before it answers.
# Such an end is treated as temporary for this long.
_EARLY_END_TIME = 300.0


class Recovery:
    """Decides after each failure how long to wait before the next attempt, or to give up.

    A failure that time cannot mend (`SSHClientError.permanent`) ends the attempts. A first
    connection is tried again only if it broke or if this machine has no network yet: most other
    failures are mistakes, which the user should see at once. After the first answer, nearly all
    failures are temporary, so the attempts continue with growing pauses. The pauses are shorter
    while a request waits, unless the server counts the attempts. A remote process that ends after
    an answer is started again at once, but at most three times a minute.
    """

    def __init__(
        self,
        now: float,
        *,
        enabled: bool,
        start_time: float,
        lost_time: float,
        rng: Callable[[], float] = random.random,
    ) -> None:
        """`start_time` limits the attempts for a first connection, `lost_time` for a lost one."""
        self._enabled = enabled
        self._give_up = now + start_time
        self._early_ends_until: float | None = None
        self._lost_time = lost_time
        self._rng = rng
        self._delays = delays(rng)
        self._working = False  # the current connection has carried an answer
        self._worked = False  # any connection has carried an answer
        self._restarts: deque[float] = deque(maxlen=_RESTARTS)
        self._hurry = _FIRST_HURRY
        self.hurried = 0.0
        """The current delay if a request waits for the attempt."""

    @property
    def first_deadline(self) -> float:
        """The time at which a first connection is given up; infinite once there was one."""
        return float("inf") if self._worked else self._give_up

    def answered(self) -> bool:
        """Note an answer of the remote server; return whether it is the connection's first."""
        if self._working:
            return False
        self._working = self._worked = True
        self._delays = delays(self._rng)
        self._hurry = _FIRST_HURRY
        self._early_ends_until = None
        return True

    def delay(self, reason: SSHClientError, now: float) -> float | None:
        """Return how long to wait before the next attempt; None to give up."""
        was_working, self._working = self._working, False
        if not self._enabled or reason.permanent:
            return None
        if was_working:
            self._give_up = now + self._lost_time
        ended = isinstance(reason, RemoteExitError)
        if was_working and ended:
            return self._restart_delay(now)
        if not self._worked and not _may_pass(reason):
            return None
        give_up = self._give_up
        if ended:
            if self._early_ends_until is None:
                self._early_ends_until = now + _EARLY_END_TIME
            give_up = min(give_up, self._early_ends_until)
        delay = next(self._delays)
        self.hurried = min(delay, self._hurry)
        self._hurry = min(self._hurry * 1.5, _LONGEST_HURRY)
        if isinstance(reason, UnreachableError) and reason.reached:
            least = max(reason.wait, _LEAST_DELAY_WHEN_REACHED) * (1 + self._rng() / 4)
            self.hurried = delay = max(delay, least)
        return delay if now + delay < give_up else None

    def _restart_delay(self, now: float) -> float:
        """Return 0 for up to three restarts a minute, else the time until the next one is due."""
        delay = 0.0
        if len(self._restarts) == _RESTARTS:
            delay = max(self._restarts[0] + _RESTART_WINDOW - now, 0.0)
        self.hurried = delay
        self._restarts.append(now + delay)
        return delay


def _may_pass(reason: SSHClientError) -> bool:
    """Return whether a first connection is worth another attempt after this failure."""
    if isinstance(reason, UnreachableError):
        return reason.network_down or reason.wait > 0
    return isinstance(reason, ConnectionLostError)


def delays(rng: Callable[[], float]) -> Iterator[float]:
    """Yield no delay, then exponential ones with full jitter.

    The jitter keeps clients that lost the same server from coming back at the same moment.
    """
    yield 0.0
    longest = _FIRST_DELAY
    while True:
        yield longest * rng()
        longest = min(2 * longest, _LONGEST_DELAY)
