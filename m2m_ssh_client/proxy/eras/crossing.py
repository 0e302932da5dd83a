"""The way of lines through what stands between the host and the session. Sans-I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from m2m_ssh_client.proxy.memory.session import Output

_NOTHING = float("inf")


class Between(Protocol):
    """A translator between the host and the session, or a watch; see `EraBridge`."""

    next: Between | None
    """Itself, or what takes its place after this step."""

    @property
    def is_awaited(self) -> bool: ...
    @property
    def next_expiry(self) -> float: ...
    def from_host(self, lines: Iterable[bytes], now: float, /) -> Output: ...
    def from_session(self, lines: Iterable[bytes], now: float, /) -> Output: ...
    def sent(self, now: float, /) -> None: ...
    def lost(self, now: float, /) -> None: ...
    def expire(self, now: float, reason: str, /) -> Output: ...
    def failed(self, reason: str, /) -> Output: ...


class Crossing:
    """Passes lines on until each of them is for the host or for the remote.

    What a bridge says to the session makes the session say something, and so on.
    """

    def __init__(
        self, between: Between | None, to_session: Callable[[list[bytes]], Output]
    ) -> None:
        """`to_session` gives lines of the host to the session."""
        self.between = between
        self._to_session = to_session

    @property
    def next_expiry(self) -> float:
        """The time at which `expire` must be called; infinite if there is none."""
        return _NOTHING if self.between is None else self.between.next_expiry

    def from_host(self, lines: list[bytes], now: float) -> Output:
        """Return all that follows from lines of the host."""
        between = self.between
        if between is None:
            return self._to_session(lines)
        return self._passed(between.from_host(lines, now), now)

    def from_session(self, output: Output, now: float) -> Output:
        """Return all that follows from what the session says."""
        between = self.between
        if between is None:
            return output
        done = Output(to_remote=output.to_remote)
        if output.to_remote:
            between.sent(now)
        if output.to_host:
            done += self._passed(between.from_session(output.to_host, now), now)
        return done

    @property
    def is_awaited(self) -> bool:
        """Return whether a request of the host waits here for a connection."""
        return self.between is not None and self.between.is_awaited

    def lost(self, now: float) -> None:
        """Note that the connection is lost. The session has more to say of that."""
        if self.between is not None:
            self.between.lost(now)

    def expire(self, now: float, reason: str) -> Output:
        """Return all that follows from the time; `reason` says why requests wait."""
        between = self.between
        if between is None or between.next_expiry > now:
            return Output()
        return self._passed(between.expire(now, reason), now)

    def failed(self, reason: str, now: float) -> Output:
        """Return the answers to what waits here, because there will be no server."""
        between = self.between
        return Output() if between is None else self._passed(between.failed(reason), now)

    def _passed(self, said: Output, now: float) -> Output:
        if self.between is not None:
            self.between = self.between.next
        done = Output(to_host=said.to_host)
        if said.to_remote:
            done += self.from_session(self._to_session(said.to_remote), now)
        return done
