"""A channel through a jump host (direct-tcpip, RFC 4254 section 7.2) that serves as a socket."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import paramiko
from paramiko.buffered_pipe import BufferedPipe
from paramiko.common import MSG_CHANNEL_OPEN_FAILURE

from m2m_ssh_client import threads


class TunnelRefusedError(Exception):
    """The jump host did not open the channel.

    Holds the code of RFC 4254 section 5.1 and the jump host's words.
    """

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class ChannelSocket:
    """The part of a socket that paramiko needs. One thread may receive; all may send and close.

    A send that waits for the jump host's own connection ends only with that connection.
    """

    def __init__(self, channel: paramiko.Channel, peer: tuple[str, int]) -> None:
        self._channel = channel
        self._peer = peer
        self._closing = threading.Lock()
        self._closed = False  # paramiko reads this name
        self.last_received = time.monotonic()
        # As for `way.sockets.LiveSocket`.
        self.exchange_by = float("inf")
        self.prompt = False

    def getpeername(self) -> tuple[str, int]:
        return self._peer

    def settimeout(self, timeout: float | None) -> None:
        self._channel.settimeout(timeout)

    def recv(self, size: int) -> bytes:
        """Return up to `size` bytes; none at the end or once it is closed. Raises TimeoutError."""
        if self._closed:
            return b""
        data: bytes = self._channel.recv(size)
        self.last_received = time.monotonic()
        return b"" if self._closed else data

    def send(self, data: bytes) -> int:
        """Send some of the data. Raises OSError when the channel is closed, and TimeoutError."""
        sent = 0 if self._closed else self._channel.send(data)
        if not sent:
            raise BrokenPipeError("the channel through the jump host is closed")
        return sent

    def explain(self) -> None:
        """Return nothing: the jump host's connection knows why it ended."""

    def close(self) -> None:
        """Close at once and wake readers. A thread tells the jump host, which may take time."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        if not self._channel.closed:
            with suppress(RuntimeError):  # the interpreter is shutting down
                threads.start("tunnel-close", self._say_goodbye)

    def _say_goodbye(self) -> None:
        with suppress(paramiko.SSHException, OSError, EOFError):
            self._channel.close()


def open_tunnel(
    transport: paramiko.Transport, host: str, port: int, timeout: float
) -> ChannelSocket:
    """Make the jump host connect to `host`, a name that it looks up; `timeout` in seconds.

    Raises TunnelRefusedError; paramiko's exceptions if the connection ends meanwhile.
    """
    with _reasons(transport) as reasons:
        try:
            channel = transport.open_channel(
                "direct-tcpip", (host, port), ("127.0.0.1", 0), timeout=timeout
            )
        except paramiko.ChannelException as exc:
            reason = reasons[-1] if reasons else exc.text
            raise TunnelRefusedError(exc.code, reason) from exc
    for pipe in (channel.in_buffer, channel.in_stderr_buffer):
        _bound(pipe, transport.default_window_size)
    return ChannelSocket(channel, (host, port))


def _bound(pipe: BufferedPipe[bytes], size: int) -> None:
    """Hold the other end to a window of `size` unread bytes. paramiko does not.

    RFC 4254 section 5.2. The pipe itself stays: it may already hold something.
    """
    feed = pipe.feed

    def feed_bounded(data: bytes) -> None:
        if len(pipe) + len(data) > size:
            raise paramiko.SSHException("The jump host sent more than its window has room for")
        feed(data)

    pipe.feed = feed_bounded  # type: ignore[method-assign]


@contextmanager
def _reasons(transport: paramiko.Transport) -> Iterator[list[str]]:
    """Collect the server's words for refusing a channel; paramiko's exception has only a number."""
    handlers: Any = transport._handler_table  # type: ignore[attr-defined]  # not in the stubs
    handle = handlers[MSG_CHANNEL_OPEN_FAILURE]
    reasons: list[str] = []

    def listen(message: paramiko.Message) -> None:
        copy = paramiko.Message(message.asbytes())
        copy.get_int()  # the channel
        copy.get_int()  # the reason's number
        reasons.append(copy.get_string().decode("utf-8", "backslashreplace"))
        handle(message)

    handlers[MSG_CHANNEL_OPEN_FAILURE] = listen
    try:
        yield reasons
    finally:
        handlers[MSG_CHANNEL_OPEN_FAILURE] = handle
