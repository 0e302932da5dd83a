"""What a remote server's stdio travels on: a paramiko channel, a few pipes in tests. The bridge makes streams of it."""

from __future__ import annotations

from typing import Protocol

from m2m_ssh_client.errors import SSHClientError


class Receiver(Protocol):
    """Whoever a carrier brings its bytes to: in one thread at a time, which must not be held up."""

    def stdout(self, data: bytes) -> None: ...

    def stderr(self, data: bytes) -> None: ...

    def ended(self) -> None:
        """Neither of them brings anything more. Any thread; it may hold the carrier's locks."""


class Carrier(Protocol):
    """A remote server's stdio. Each method is called from one thread of its own, `grant` and `close` from any."""

    def start(self, receiver: Receiver) -> None:
        """Bring what there is and what will come; once."""

    def grant(self, size: int) -> None:
        """So many of the bytes that were brought have found a place: as many more may come. Never blocks."""

    def write(self, data: bytes | memoryview) -> None:
        """Write everything to its stdin; OSError if that cannot be."""

    def write_now(self, data: bytes) -> bool:
        """Write everything if that does not block; False if nothing was written. OSError as `write`. Any thread."""

    def write_some(self, data: bytes) -> int:
        """Write what does not block, and return how many bytes that was. OSError as `write`. Any thread."""

    def close_write(self) -> None:
        """End of file on its stdin."""

    def signal(self, name: str) -> None:
        """Ask for a signal (`TERM`, `KILL`) to be sent to it, without waiting."""

    def ending(self) -> SSHClientError:
        """Why it ended: the process ended, or the link was lost. Bounded; what it wrote to stderr has come by then."""

    def close(self) -> None:
        """Give up everything, bounded; every other call returns soon."""
