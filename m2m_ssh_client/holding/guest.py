"""One who shares the connection: asks for a session, and has its stdio in three pipes."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

if sys.platform == "win32":
    raise ImportError("Windows passes no descriptors on")

from m2m_ssh_client import threads
from m2m_ssh_client.errors import ChannelRefusedError, RemoteExitError, SSHClientError
from m2m_ssh_client.ssh.process.pipe_carrier import SURELY, takes_more
from m2m_ssh_client.ssh.settings import Request
from m2m_ssh_client.ssh.sharing import mux
from m2m_ssh_client.ssh.sharing.mux import Message, MuxSocket
from m2m_ssh_client.ssh.sharing.told_error import told

if TYPE_CHECKING:
    from m2m_ssh_client.ssh.connection import Connection
    from m2m_ssh_client.ssh.process.carrier import ChannelCarrier

logger = logging.getLogger(__name__)

_SESSION = 1  # each guest has one
_CHUNK = 64 * 1024


class Guest:
    """A client of the multiplexing protocol, on a thread of its own."""

    def __init__(self, sock: socket.socket, connection: Connection) -> None:
        self._link = MuxSocket(sock)
        self._connection = connection
        self._session: SharedSession | None = None
        self._is_ours = False

    def serve(self) -> None:
        """Serve it until it goes, or its session has ended."""
        try:
            self._is_ours = mux.OURS in self._link.greet(mux.OURS)
            while True:
                self._take(self._link.receive())
        except (OSError, EOFError, ValueError) as exc:
            logger.debug("one who shared the connection has gone: %s", exc)
        finally:
            if self._session is not None:
                self._session.close()
            self._link.close()

    def _take(self, message: Message) -> None:
        request = message.number(4)
        if message.kind == mux.NEW_SESSION and self._session is None:
            self._open(request, message)
        elif message.kind == mux.ALIVE_CHECK:
            self._link.send(mux.ALIVE, request, os.getpid())
        elif message.kind == mux.SIGNAL and self._session is not None:
            self._session.carrier.signal(message.text())
        else:
            self._link.send(mux.FAILURE, request, "there is only one session for each")

    def _open(self, request: int, message: Message) -> None:
        wanted = message.session()
        descriptors = self._link.descriptors()
        try:
            carrier = self._connection.channel(_request(wanted))
        except SSHClientError as exc:
            for each in descriptors:
                os.close(each)
            if not isinstance(exc, ChannelRefusedError):
                raise EOFError(exc.message) from exc  # noqa: TRY004 - it looks for another holder
            self._link.send(mux.FAILURE, request, exc.message)
            return
        self._session = SharedSession(carrier, descriptors, self._ended)
        self._link.send(mux.OPENED, request, _SESSION)
        self._session.start()

    def _ended(self, error: SSHClientError) -> None:
        status = error.status if isinstance(error, RemoteExitError) else None
        with suppress(OSError):
            if status is not None:
                self._link.send(mux.EXIT, _SESSION, status)
            elif self._is_ours:
                self._link.send(mux.ENDED, _SESSION, told(error))
        self._link.close()


def _request(wanted: mux.Session) -> Request:
    subsystem = wanted.command if wanted.is_subsystem else None
    command = None if wanted.is_subsystem else wanted.command or None
    return Request(command, subsystem, wanted.environment)


class SharedSession:
    """A process on the connection, and the three pipes of the guest that has started it."""

    def __init__(
        self,
        carrier: ChannelCarrier,
        descriptors: list[int],
        ended: Callable[[SSHClientError], None],
    ) -> None:
        self.carrier = carrier
        self._stdin, stdout, stderr = descriptors
        self._outlets = Outlet(stdout, carrier.grant), Outlet(stderr, carrier.grant)
        self._tell_end = ended

    def start(self) -> None:
        self.carrier.start(self)
        threads.start("holder-in", self._send)
        threads.start("holder-end", self._finish)

    def close(self) -> None:
        self.carrier.close()
        self.ended()

    # Called by the carrier: see Receiver.

    def stdout(self, data: bytes) -> None:
        self._outlets[0].write(data)

    def stderr(self, data: bytes) -> None:
        self._outlets[1].write(data)

    def ended(self) -> None:
        for outlet in self._outlets:
            outlet.end()

    def _send(self) -> None:
        with suppress(OSError):
            while data := os.read(self._stdin, _CHUNK):
                self.carrier.write(data)
            self.carrier.close_write()
        os.close(self._stdin)

    def _finish(self) -> None:
        for outlet in self._outlets:
            outlet.finished.wait()
        self._tell_end(self.carrier.ending())
        self.carrier.close()


class Outlet:
    """A pipe of a guest: a short piece is written at once if it has room, the rest by a thread.

    `written` gets the size of what has gone out, so that a guest that does not read slows down its
    server alone.
    """

    def __init__(self, descriptor: int, written: Callable[[int], None]) -> None:
        self.finished = threading.Event()
        self._descriptor = descriptor
        self._written = written
        self._queue: deque[bytes] = deque()
        self._busy = self._over = False
        self._changed = threading.Condition()
        threads.start("holder-out", self._work)

    def write(self, data: bytes) -> None:
        """Write without blocking: one thread at a time."""
        with self._changed:
            if self._queue or self._busy or len(data) > SURELY or not takes_more(self._descriptor):
                self._queue.append(data)
                self._changed.notify()
                return
            self._put(data)
        self._written(len(data))

    def end(self) -> None:
        """Close the pipe behind what was written. Any thread, any number of times."""
        with self._changed:
            self._over = True
            self._changed.notify()

    def _put(self, data: bytes) -> None:
        with suppress(OSError):  # the guest has gone
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]

    def _work(self) -> None:
        while True:
            with self._changed:
                self._busy = False
                self._changed.wait_for(lambda: self._queue or self._over)
                if not self._queue:
                    break
                data = self._queue.popleft()
                self._busy = True
            self._put(data)
            self._written(len(data))
        os.close(self._descriptor)
        self.finished.set()
