"""Whether and when to try again after a connection or a remote process has ended. Sans-I/O; times in seconds."""

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
_RESTARTS = 3
_RESTART_WINDOW = 60.0
# A machine that boots, a container that is not up yet: how long a command that has worked may end before it answers.
_EARLY_END_TIME = 300.0


class Recovery:
    """The patience of one proxy.

    `start_time` is how long a first connection may be tried for; `lost_time` how long a lost one (infinite: for ever).
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
        self._enabled = enabled
        self._give_up = now + start_time
        self._early_ends_until: float | None = None
        self._lost_time = lost_time
        self._rng = rng
        self._delays = delays(rng)
        self._working = False  # the present connection has carried an answer
        self._worked = False  # so has any connection
        self._restarts: deque[float] = deque(maxlen=_RESTARTS)
        self.may_hurry = True
        """Whether the present delay may be cut short, as somebody waits for the attempt."""

    @property
    def first_deadline(self) -> float:
        """Until when a first connection may be tried for; infinite once there was one."""
        return float("inf") if self._worked else self._give_up

    def answered(self) -> None:
        """The remote server has answered on the present connection."""
        if not self._working:
            self._working = self._worked = True
            self._delays = delays(self._rng)
            self._early_ends_until = None

    def delay(self, reason: SSHClientError, now: float) -> float | None:
        """How long to wait before the next attempt; None to give up."""
        was_working, self._working = self._working, False
        self.may_hurry = True
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
        return delay if now + delay < give_up else None

    def _restart_delay(self, now: float) -> float:
        """At once, but three times a minute at most."""
        delay = 0.0
        if len(self._restarts) == _RESTARTS:
            delay = max(self._restarts[0] + _RESTART_WINDOW - now, 0.0)
            self.may_hurry = not delay
        self._restarts.append(now + delay)
        return delay


def _may_pass(reason: SSHClientError) -> bool:
    """Whether a first connection is worth another attempt: it broke, or this machine has no network yet."""
    if isinstance(reason, UnreachableError):
        return reason.network_down
    return isinstance(reason, ConnectionLostError)


def delays(rng: Callable[[], float]) -> Iterator[float]:
    """At once, then exponential with full jitter: whoever lost the same server comes back at another moment."""
    yield 0.0
    longest = _FIRST_DELAY
    while True:
        yield longest * rng()
        longest = min(2 * longest, _LONGEST_DELAY)
