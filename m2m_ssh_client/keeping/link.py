"""One connection to a keeper: its greeting, then its stream. The next one is another link."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Protocol

from m2m_ssh_client.errors import ConnectionLostError, SSHClientError
from m2m_ssh_client.flow.remote_stdio import Carrier
from m2m_ssh_client.keeping.stream import ATTACHED, GONE, READY
from m2m_ssh_client.text import printable, shortened

logger = logging.getLogger(__name__)

_MOST_BEGUN = 16 * 1024  # bytes of a line of the greeting
_TAIL_LINES = 5


class GoneError(ConnectionLostError):
    """Nothing is kept under this name any more."""


class NoKeeperError(SSHClientError):
    """The command ran, and no keeper answered. The reason is the message."""

    permanent = False


class Reader(Protocol):
    """The receiver of the keeper's stream, in the thread that reads the link."""

    def stream(self, link: Link, data: bytes) -> None: ...

    def ended(self, link: Link) -> None: ...


class Link:
    """The receiver of one carrier, on which the keeper's command runs."""

    def __init__(self, carrier: Carrier, reader: Reader) -> None:
        self.carrier = carrier
        self._reader = reader
        self._begun = b""
        self._ready = self._is_stream = False
        self.has_ended = False
        self._offset: int | None = None
        self._refusal = ""
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._changed = threading.Condition()
        self._granting = threading.Lock()
        self._owed = 0

    def start(self) -> None:
        """Begin to read. The reader knows this link by then."""
        self.carrier.start(self)

    def wait_until_ready(self, timeout: float) -> None:
        """Return when the keeper reads our order. Raises NoKeeperError, ConnectionLostError."""
        self._wait(lambda: self._ready, timeout)

    def wait_for_offset(self, timeout: float) -> int:
        """Return how much of our stream has arrived there. Raises as above, and GoneError."""
        self._wait(lambda: self._offset is not None or bool(self._refusal), timeout)
        if self._offset is None:
            if self._refusal == GONE.decode():
                raise GoneError("The remote server that was kept there is gone")
            raise NoKeeperError(f"The keeper there refuses: {self._refusal}")
        return self._offset

    def grant(self, size: int) -> None:
        """Allow that many bytes more, if so many have come on this link. Any thread."""
        with self._granting:
            size = min(size, self._owed)
            self._owed -= size
        if size:
            self.carrier.grant(size)

    # The carrier calls these.

    def stdout(self, data: bytes) -> None:
        with self._granting:
            self._owed += len(data)
        if self._is_stream:
            self._reader.stream(self, data)
        else:
            self._greeting(data)

    def stderr(self, data: bytes) -> None:
        self.carrier.grant(len(data))
        for line in filter(None, data.splitlines()):
            self._tail.append(shortened(printable(line), 200))
            logger.info("the keeper's stderr: %s", self._tail[-1])

    def ended(self) -> None:
        with self._changed:
            self.has_ended = True
            self._changed.notify_all()
        self._reader.ended(self)

    def _greeting(self, data: bytes) -> None:
        """Look for the keeper's two lines; a shell may have printed others before them."""
        data = self._begun + data
        while not self._is_stream and b"\n" in data:
            line, _, data = data.partition(b"\n")
            with self._changed:
                self._take(line)
                self._changed.notify_all()
            self.grant(len(line) + 1)
        if self._is_stream:
            self._begun = b""
            if data:
                self._reader.stream(self, data)
        else:
            self._begun = data[-_MOST_BEGUN:]
            self.grant(len(data) - len(self._begun))

    def _take(self, line: bytes) -> None:
        if line == READY:
            self._ready = True
        elif self._ready and line.startswith(ATTACHED):
            said = line[len(ATTACHED) :]
            if said.isdigit():
                self._offset, self._is_stream = int(said), True
            else:
                self._refusal = printable(said.lstrip(b"- "))
        else:
            logger.info("before the keeper: %s", shortened(printable(line)))

    def _wait(self, arrived: Callable[[], bool], timeout: float) -> None:
        with self._changed:
            self._changed.wait_for(lambda: arrived() or self.has_ended, timeout)
            if arrived():
                return
            ended = self.has_ended
        if not ended:
            raise NoKeeperError(f"Nothing answered for {timeout:g} s; is there a forced command?")
        failure = self.carrier.ending()
        if isinstance(failure, ConnectionLostError):
            raise failure
        said = "; ".join(self._tail)
        raise NoKeeperError(f"{failure.message}{f'; its stderr: {said}' if said else ''}")
