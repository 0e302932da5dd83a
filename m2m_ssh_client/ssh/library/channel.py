"""The bytes of a session channel, moved without paramiko's buffers and copies."""

from __future__ import annotations

import select
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import paramiko
from paramiko.buffered_pipe import BufferedPipe

from m2m_ssh_client.ssh.library.packets import ChannelData
from m2m_ssh_client.ssh.library.ssh_transport import ChannelUser, Transport

WINDOW_SIZE = paramiko.common.DEFAULT_WINDOW_SIZE
"""Bytes that the far side may send before it is granted more."""

# Bytes that a writable socket takes at once. Linux calls it writable when a third of its buffer is
# free, which is 28 KiB at the least (tcp(7), tcp_wmem); elsewhere it need not be more than this.
_AT_ONCE = 16 * 1024 if sys.platform == "linux" else 2048

_MOST_AT_ONCE = 256 * 1024
_PACKET = 32 * 1024  # bytes of data, which every server takes (RFC 4253 section 6.1)


class SessionChannel:
    """One channel of a `Transport`: open, with nothing requested on it yet.

    Output is passed on by `stdout` and `stderr` in the transport's thread. Input goes to the link
    at once, without paramiko's `send`, which copies it three more times and sends packet by packet.
    The user of the channel grants the window.
    """

    def __init__(self, transport: Transport, channel: paramiko.Channel) -> None:
        self._transport = transport
        self._channel = channel
        self.stdout = channel.in_buffer = Inlet(self._count)
        self.stderr = channel.in_stderr_buffer = Inlet(self._count)
        self.received = 0
        """Bytes that have ever come. Written in the transport's thread."""
        self._allowed = channel.in_window_size  # limit for `received`
        self._granting = threading.Lock()

    def request(self, kind: str, argument: str | None, ahead: Callable[[], bytes]) -> bytes:
        """Ask for a command, subsystem or shell (RFC 4254 section 6.5), and wait for the reply.

        Input need not wait for it if the window has room, and that of `ssh` does not: `ahead`
        returns bytes to send behind the request. They are returned if all of them were sent.
        Raises paramiko's SSHException.
        """
        channel: Any = self._channel  # the stubs leave its events out
        with channel.lock:
            if channel.closed:
                raise paramiko.SSHException("Channel closed.")
            channel._event_pending()
        message = self._message(paramiko.common.cMSG_CHANNEL_REQUEST)
        message.add_string(kind)
        message.add_boolean(True)
        if argument is not None:
            message.add_string(argument)
        self._transport._send_user_message(message)
        data = ahead()
        if len(data) > self.surely_at_once():
            data = b""
        with suppress(OSError):  # it is closed: the reply says more
            self.send(memoryview(data))
        channel._wait_for_event()
        return data

    def attach(self, user: ChannelUser) -> None:
        """Notify the user of events, until `close`."""
        self._transport.attach(self._channel.get_id(), user)

    @property
    def far_side_waits(self) -> bool:
        """True if the far side may have more to send than our window has room for."""
        return self._allowed - self.received < _PACKET

    @property
    def output_has_ended(self) -> bool:
        """True once the far side has sent an end of file."""
        return bool(self._channel.eof_received)

    @property
    def is_in_transports_thread(self) -> bool:
        """True in the thread that receives, which must not block."""
        return threading.current_thread() is self._transport

    def can_send(self) -> bool:
        """Return whether a few packets can be sent without waiting."""
        sock = self._transport.sock
        if not self._transport.clear_to_send.is_set() or not isinstance(sock, socket.socket):
            return False
        return _is_writable(sock)

    def send(self, data: memoryview) -> int:
        """Send as much as the window has room for; return the number of bytes. Raises OSError."""
        channel = self._channel
        with channel.lock:
            if channel.closed or channel.eof_sent:
                raise OSError("the channel is closed")
            size = min(len(data), channel.out_window_size, _MOST_AT_ONCE)
            channel.out_window_size -= size
        if size:
            most = min(channel.out_max_packet_size, _PACKET)
            self._send(ChannelData(channel.remote_chanid, data[:size], most))
        return size

    def wait_for_window(self) -> None:
        """Wait until there is room in the window, or the channel is closed."""
        channel = self._channel
        with channel.lock:
            while not channel.out_window_size and not channel.closed:
                channel.out_buffer_cv.wait()

    def at_once(self) -> int:
        """Return how many bytes a writable socket takes."""
        # A third of its buffer, half of which the kernel keeps for itself.
        sock = self._transport.sock
        if sys.platform != "linux" or not isinstance(sock, socket.socket):
            return _AT_ONCE
        room = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 6
        return min(max(_AT_ONCE, room), _MOST_AT_ONCE)

    def surely_at_once(self) -> int:
        """Return how many bytes both a writable socket and the far side's window take."""
        return min(self._channel.out_window_size, _AT_ONCE)

    def grant(self, size: int) -> None:
        """Let the far side send that many more bytes (RFC 4254 section 5.2). May block."""
        with self._granting:
            self._allowed += size
        message = self._message(paramiko.common.cMSG_CHANNEL_WINDOW_ADJUST)
        message.add_int(size)
        with suppress(OSError):
            self._send(message)

    def send_signal(self, name: str) -> None:
        """Ask for a signal (RFC 4254 section 6.9), for which paramiko has no call."""
        message = self._message(paramiko.common.cMSG_CHANNEL_REQUEST)
        message.add_string("signal")
        message.add_boolean(False)
        message.add_string(name)
        with suppress(OSError):
            self._send(message)

    def send_end(self) -> None:
        """Send an end of file. Raises OSError."""
        with _as_os_error():
            self._channel.shutdown_write()

    def exit_status(self, timeout: float) -> int | None:
        """Wait that many seconds for the process's end; None if it had no exit status."""
        self._channel.status_event.wait(timeout)
        status = self._channel.exit_status
        return None if status == -1 else status

    def stop_waiting_for_status(self) -> None:
        """Make `exit_status` return: nothing more will be heard of the process's end."""
        self._channel.status_event.set()

    def close(self) -> None:
        """Close the channel; the transport stays."""
        self._transport.detach(self._channel.get_id())
        with suppress(paramiko.SSHException, OSError, EOFError):
            self._channel.close()

    def _count(self, size: int) -> None:
        # RFC 4254 section 5.2 allows us to ignore data beyond the window. Only a hostile server
        # sends it.
        self.received += size
        if self.received > self._allowed:
            raise paramiko.SSHException("The server sent more than its window has room for")

    def _message(self, kind: bytes) -> paramiko.Message:
        message = paramiko.Message()
        message.add_byte(kind)
        message.add_int(self._channel.remote_chanid)
        return message

    def _send(self, message: paramiko.Message) -> None:
        with _as_os_error():
            self._transport._send_user_message(message)


class Inlet(BufferedPipe):  # type: ignore[type-arg]  # generic in the stubs alone
    """A channel's buffer that keeps nothing: it passes data on in the transport's thread.

    It takes the place of paramiko's, so no other thread has to wake up. Data that arrives before
    `start` is kept, at most one window.
    """

    def __init__(self, count: Callable[[int], None]) -> None:
        """`count` gets the size of all data, before it is passed on."""
        super().__init__()
        self._count = count
        self._starting = threading.Lock()
        self._early: list[bytes] = []
        self._ended = False
        self._pass_on: Callable[[bytes], object] | None = None
        self._tell_end: Callable[[], object] = lambda: None

    def start(
        self,
        pass_on_early: Callable[[bytes], None],
        pass_on: Callable[[bytes], None],
        tell_end: Callable[[], None],
    ) -> None:
        """Pass on what has arrived, in the calling thread, and from then on what arrives."""
        while True:
            with self._starting:
                early, self._early = self._early, []
                if not early:
                    self._pass_on, self._tell_end, ended = pass_on, tell_end, self._ended
                    break
            for data in early:
                pass_on_early(data)
        if ended:
            tell_end()

    def feed(self, data: bytes) -> None:
        self._count(len(data))
        if self._ended:  # a child writes, not the process
            return
        if self._pass_on is None:
            with self._starting:
                if self._pass_on is None:
                    self._early.append(data)
                    return
        self._pass_on(data)

    def close(self) -> None:
        """End it: from any thread, more than once, and with the channel's lock held."""
        with self._starting:
            if self._ended:
                return
            self._ended, tell_end = True, self._tell_end
        tell_end()


if sys.platform == "win32":

    def _is_writable(sock: socket.socket) -> bool:
        with suppress(OSError, ValueError):  # it is closed: the next write fails
            return bool(select.select([], [sock], [], 0)[1])
        return False

else:

    def _is_writable(sock: socket.socket) -> bool:
        poll = select.poll()  # select() has no descriptors above 1023
        with suppress(OSError, ValueError):
            poll.register(sock, select.POLLOUT)
            return bool(poll.poll(0))
        return False


@contextmanager
def _as_os_error() -> Iterator[None]:
    """Turn paramiko's other exceptions for a connection that closes under a write into OSError."""
    try:
        yield
    except (EOFError, paramiko.SSHException) as exc:
        raise OSError("the SSH connection is closed") from exc
