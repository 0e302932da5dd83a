"""Three pipes as a `Carrier`: the stdio of a remote server that some other process brings."""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from io import RawIOBase
from typing import TYPE_CHECKING

from m2m_ssh_client import threads
from m2m_ssh_client.errors import SSHClientError
from m2m_ssh_client.ssh.process.output_marker import BehindMarker
from m2m_ssh_client.ssh.settings import Request

if TYPE_CHECKING:
    from m2m_ssh_client.flow.remote_stdio import Receiver

SURELY = 4096
"""Bytes that a pipe with room takes at once (POSIX, PIPE_BUF; Linux, pipe(7))."""

_WINDOW = 2 * 1024 * 1024  # bytes that may come before they are granted
_CHUNK = 64 * 1024
_F_SETPIPE_SZ = 1031  # Linux
_PIPE = 1024 * 1024

_LAST_OUTPUT = 0.5  # seconds between the server's end and that of pipes which others may hold open


class PipeCarrier(ABC):
    """A `Carrier` of pipes; what brings them says how the server is signalled and how it ended."""

    def __init__(
        self, stdin: RawIOBase, stdout: RawIOBase, stderr: RawIOBase, request: Request
    ) -> None:
        self._stdin, self._stdout, self._stderr, self._request = stdin, stdout, stderr, request
        for pipe in (stdin, stdout):
            _widen(pipe.fileno())
        self._window = _WINDOW
        self._granted = threading.Condition()
        self._closing = threading.Lock()
        self._stdin_open = True
        self._closed = False
        self._behind: BehindMarker | None = None

    @abstractmethod
    def signal(self, name: str) -> None: ...

    @abstractmethod
    def ending(self) -> SSHClientError: ...

    @abstractmethod
    def has_ended(self) -> bool:
        """Return whether the server has ended, though others may hold its pipes open."""

    def start(self, receiver: Receiver) -> None:
        self._receiver = receiver
        stdout = self.output
        if self._request.marker:
            stdout = self._behind = BehindMarker(self._request.marker, stdout, self.grant)
        readers = (
            threads.start("pipe-out", lambda: self._read(self._stdout.fileno(), stdout)),
            threads.start("pipe-err", lambda: self._read(self._stderr.fileno(), self.complaint)),
        )
        threads.start("pipe-end", lambda: self._tell_end(readers))

    def output(self, data: bytes) -> None:
        """Pass on what the server writes to stdout."""
        self._receiver.stdout(data)

    def complaint(self, data: bytes) -> None:
        """Pass on what comes on stderr."""
        self._receiver.stderr(data)

    def grant(self, size: int) -> None:
        with self._granted:
            self._window += size
            self._granted.notify_all()

    def write(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._writable(), rest) :]

    def write_now(self, data: bytes) -> bool:
        if len(data) > SURELY or not takes_more(self._writable()):
            return False
        os.write(self._writable(), data)
        return True

    def write_some(self, data: bytes) -> int:
        piece = data[:SURELY]
        return len(piece) if piece and self.write_now(piece) else 0

    def close_write(self) -> None:
        with self._closing, suppress(OSError):
            self._stdin_open = False
            self._stdin.close()

    def stop_reading(self) -> None:
        """End the waits for a grant."""
        with self._granted:
            self._closed = True
            self._granted.notify_all()

    def _writable(self) -> int:
        if not self._stdin_open:
            raise OSError("the program's stdin is closed")
        return self._stdin.fileno()

    def _read(self, descriptor: int, pass_on: Callable[[bytes], None]) -> None:
        with suppress(OSError, ValueError):
            while True:
                with self._granted:
                    self._granted.wait_for(lambda: self._window > 0 or self._closed)
                    if self._closed:
                        return
                data = os.read(descriptor, _CHUNK)
                if not data:
                    return
                with self._granted:
                    self._window -= len(data)
                pass_on(data)

    def _tell_end(self, readers: tuple[threading.Thread, ...]) -> None:
        """Tell the end: behind all output, unless what the server has left holds its pipes."""
        out, err = readers
        while out.is_alive() and not self.has_ended() and not self._closed:
            out.join(_LAST_OUTPUT)
        deadline = time.monotonic() + _LAST_OUTPUT
        for each in (out, err):
            each.join(max(deadline - time.monotonic(), 0))
        if self._behind is not None:
            self._behind.end()
        self._receiver.ended()
        for reader, pipe in ((out, self._stdout), (err, self._stderr)):
            if not reader.is_alive():
                pipe.close()


if sys.platform == "win32":

    def takes_more(_descriptor: int) -> bool:
        """Return whether a pipe has room."""
        return False  # a pipe cannot be asked

else:

    def takes_more(descriptor: int) -> bool:
        """Return whether a pipe has room."""
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        return any(event == select.POLLOUT for _, event in poll.poll(0))


def _widen(descriptor: int) -> None:
    if sys.platform == "linux":
        import fcntl

        with suppress(OSError):  # beyond the user's limit
            fcntl.fcntl(descriptor, _F_SETPIPE_SZ, _PIPE)
