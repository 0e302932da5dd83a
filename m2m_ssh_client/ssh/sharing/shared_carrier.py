"""A process on a connection that another process holds, as a `Carrier`."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import suppress
from io import FileIO
from pathlib import Path

if sys.platform == "win32":
    raise ImportError("Windows passes no descriptors on")

from m2m_ssh_client import threads
from m2m_ssh_client.errors import ChannelRefusedError, ConnectionLostError, SSHClientError
from m2m_ssh_client.ssh.process.exit_error import exit_error
from m2m_ssh_client.ssh.process.pipe_carrier import PipeCarrier
from m2m_ssh_client.ssh.settings import Request
from m2m_ssh_client.ssh.sharing import mux
from m2m_ssh_client.ssh.sharing.mux import Message, MuxSocket
from m2m_ssh_client.ssh.sharing.private_sockets import connected
from m2m_ssh_client.ssh.sharing.told_error import heard
from m2m_ssh_client.text import printable, shortened

_REQUEST = 0
_STATUS_TIMEOUT = 1.5  # seconds


class NobodyError(Exception):
    """Nobody holds a connection there, or not any more."""


def join(path: Path, request: Request, timeout: float) -> SharedCarrier:
    """Start the process on the connection that is held behind this socket. Blocks.

    Raises NobodyError, and ChannelRefusedError where the server or the holder allows no further
    session. `timeout` in seconds.
    """
    ours, theirs = _pipes()
    try:
        link = MuxSocket(connected(path, timeout))
        try:
            extensions = link.greet(mux.OURS)
            link.ask_for(_session(request), _REQUEST, theirs)
            session = _opened(link.receive())
            link.wait_for_ever()
        except BaseException:
            link.close()
            raise
    except BaseException as exc:
        for pipe in ours:
            pipe.close()
        if isinstance(exc, (OSError, EOFError, ValueError)):
            raise NobodyError(printable(str(exc))) from exc
        raise
    finally:
        for descriptor in theirs:
            os.close(descriptor)
    return SharedCarrier(link, session, ours, request, signals=mux.OURS in extensions)


class SharedCarrier(PipeCarrier):
    """The stdio of one session of a connection that is held by another process."""

    def __init__(
        self,
        link: MuxSocket,
        session: int,
        pipes: tuple[FileIO, FileIO, FileIO],
        request: Request,
        *,
        signals: bool,
    ) -> None:
        super().__init__(*pipes, request)
        self._link, self._session, self._signals = link, session, signals
        self._status: int | None = None
        self._error: SSHClientError | None = None
        self._over = threading.Event()
        threads.start("shared-end", self._listen)

    def has_ended(self) -> bool:
        return self._over.is_set()

    def signal(self, name: str) -> None:
        if self._signals:
            with suppress(OSError):
                self._link.send(mux.SIGNAL, self._session, name)

    def ending(self) -> SSHClientError:
        self._over.wait(_STATUS_TIMEOUT)
        if self._error is not None:
            return self._error
        if self._status is not None or not self._over.is_set():
            return exit_error(self._status, None, self._request)
        return ConnectionLostError("The process that held the shared SSH connection has ended")

    def close(self) -> None:
        """End the session; the connection stays for others."""
        self.stop_reading()
        self._link.close()
        self.close_write()

    def _listen(self) -> None:
        with suppress(OSError, EOFError, ValueError):
            while True:
                message = self._link.receive()
                if message.kind in (mux.EXIT, mux.ENDED) and message.number(4) == self._session:
                    self._take_end(message)
        self._over.set()

    def _take_end(self, message: Message) -> None:
        if message.kind == mux.EXIT:
            self._status = message.number(4)
        else:
            self._error = heard(message.text())


def _session(request: Request) -> mux.Session:
    variables = {**dict(request.environment), **dict(request.variables)}
    if request.command is None and request.subsystem is not None:
        return mux.Session(request.subsystem, True, tuple(variables.items()))
    return mux.Session(request.command or "", False, tuple(variables.items()))


def _opened(answer: Message) -> int:
    """Return the session's id. Raises ChannelRefusedError, ValueError."""
    if answer.number(4) != _REQUEST:
        raise ValueError("it answers another request")
    if answer.kind in (mux.FAILURE, mux.DENIED):
        said = shortened(printable(answer.text()))
        raise ChannelRefusedError(f"No further session on the shared connection: {said}")
    if answer.kind != mux.OPENED:
        raise ValueError("it does not answer the request")
    return answer.number(4)


def _pipes() -> tuple[tuple[FileIO, FileIO, FileIO], list[int]]:
    """Return our ends of stdin, stdout and stderr, and the ends to pass on."""
    (theirs_in, ours_in), (ours_out, theirs_out), (ours_err, theirs_err) = (
        os.pipe() for _ in range(3)
    )
    ours = FileIO(ours_in, "wb"), FileIO(ours_out, "rb"), FileIO(ours_err, "rb")
    return ours, [theirs_in, theirs_out, theirs_err]
