"""The stdio of a remote server, as the bridge needs it: a paramiko channel, or pipes in tests."""

from __future__ import annotations

from typing import Protocol

from m2m_ssh_client.errors import SSHClientError


class Receiver(Protocol):
    """The receiver of what a remote server writes.

    Called in one thread at a time, which must not be held up.
    """

    def stdout(self, data: bytes) -> None: ...

    def stderr(self, data: bytes) -> None: ...

    def ended(self) -> None:
        """Neither stdout nor stderr brings any more.

        Any thread; it may hold the carrier's locks.
        """


class Carrier(Protocol):
    """The stdio of one remote server process, with flow control.

    Each method has one thread that calls it, except `grant` and `close`, which any thread may call.
    """

    def start(self, receiver: Receiver) -> None:
        """Bring the receiver what has come already, and then what comes. Once."""

    def grant(self, size: int) -> None:
        """Allow the server to send that many bytes more. Never blocks."""

    def write(self, data: bytes | memoryview) -> None:
        """Write everything to stdin. Raises OSError."""

    def write_now(self, data: bytes) -> bool:
        """Write everything and return True, or nothing if that could block.

        Raises OSError. Any thread.
        """

    def write_some(self, data: bytes) -> int:
        """Write as many bytes as do not block; return their number. Raises OSError. Any thread."""

    def close_write(self) -> None:
        """Send end of file to stdin."""

    def signal(self, name: str) -> None:
        """Ask for this signal (`TERM`, `KILL`) to be sent to the process, without waiting."""

    def ending(self) -> SSHClientError:
        """Return why it ended: the process did, or the link was lost.

        Bounded. What the process wrote to stderr has come by then.
        """

    def close(self) -> None:
        """Give up everything, in bounded time; every other call returns soon."""
