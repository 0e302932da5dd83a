"""A session channel: one remote process, as a `Carrier`."""

from __future__ import annotations

import select
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import paramiko
from paramiko.buffered_pipe import BufferedPipe

from m2m_ssh_client.errors import COMMAND_NOT_FOUND, RemoteExitError, SSHClientError
from m2m_ssh_client.ssh.library.packets import ChannelData
from m2m_ssh_client.ssh.process.aftermath import Aftermath
from m2m_ssh_client.ssh.process.output_marker import BehindMarker
from m2m_ssh_client.text import shortened

if TYPE_CHECKING:
    from m2m_ssh_client.flow.remote_stdio import Receiver
    from m2m_ssh_client.ssh.connection import Connection
    from m2m_ssh_client.ssh.library.transport import Transport

# How much of the window is used up before the far side is told that there is room again.
_GRANT_SIZE = paramiko.common.DEFAULT_WINDOW_SIZE // 10

# What a socket takes at once, if it takes anything. Linux calls it writable when a third of its buffer is free, which
# is 28 KiB at the least (tcp(7), tcp_wmem); elsewhere it need not be more than this.
_AT_ONCE = 16 * 1024 if sys.platform == "linux" else 2048

_MOST_AT_ONCE = 256 * 1024
_PACKET = 32 * 1024  # bytes of data, which every server takes (RFC 4253 section 6.1)

# A server that writes often fills many small packets: what one read brought of these goes on together. A packet of more
# bytes goes on as it comes.
_LARGE = 8 * 1024

# How long to wait, after the far side's output has ended, for word of how it ended.
_STATUS_TIMEOUT = 1.5


class ChannelCarrier:
    """A session channel as a `Carrier`: the remote command's stdin, stdout and stderr."""

    def __init__(
        self,
        connection: Connection,
        transport: Transport,
        channel: paramiko.Channel,
        marker: str = "",
    ) -> None:
        """The channel has been opened, and nothing was asked for on it yet. What comes before `marker` is dropped."""
        self._connection = connection
        self._packets = transport.packets
        self._marker = marker
        self._transport = transport
        self._channel = channel
        self._stdout = channel.in_buffer = _Inlet(self._count)
        self._stderr = channel.in_stderr_buffer = _Inlet(self._count)
        self._received = 0  # bytes, ever; of the transport's thread
        self._allowed = channel.in_window_size  # of these
        self._granted = 0  # bytes that the far side was not told of yet
        self._granting = threading.Condition()
        self._ended = False
        self._signal: str | None = (
            None  # that ended the process; empty for none; None before word of its end
        )
        self._aftermath = Aftermath(transport)
        transport.on_exit[channel.chanid] = self._exited

    def start(self, receiver: Receiver) -> None:
        threading.Thread(target=self._tell_grants, name="m2m-ssh-granter", daemon=True).start()

        stdout = receiver.stdout
        if self._marker:
            stdout = BehindMarker(self._marker, stdout, self.grant)
        gathered: list[bytes] = []

        def gather(data: bytes) -> None:
            gathered.append(data)
            if len(data) > _LARGE:
                pass_on()

        def pass_on() -> None:
            if gathered:
                data = b"".join(gathered)
                gathered.clear()
                stdout(data)

        def ended() -> None:
            if threading.current_thread() is self._transport:
                pass_on()
            self._packets.call_no_more(pass_on)
            self._packets.call_no_more(self._end_when_quiet)
            with self._granting:
                self._ended = True
                self._granting.notify()
            receiver.ended()

        self._packets.call_before_waiting(pass_on)
        self._stdout.start(stdout, gather, ended)
        self._stderr.start(receiver.stderr, receiver.stderr, lambda: None)

    def grant(self, size: int) -> None:
        with self._granting:
            self._granted += size
            if self._granted < _GRANT_SIZE:
                return
            # Only the transport's thread, which begins every key exchange, can know that none will hold it up.
            if threading.current_thread() is not self._transport or not self._can_send():
                self._granting.notify()
                return
            size, self._granted = self._granted, 0
        self._tell_grant(size)

    def write(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            self._wait_for_window()
            rest = rest[self._send_data(rest[:_MOST_AT_ONCE]) :]

    def write_now(self, data: bytes) -> bool:
        """As `Carrier` has it: only where the window and the socket have room, and keys are not exchanged."""
        if len(data) > min(self._channel.out_window_size, _AT_ONCE) or not self._can_send():
            return False
        self.write(data)
        return True

    def write_some(self, data: bytes) -> int:
        rest = memoryview(data)
        most = self._room_at_once()
        while rest and self._can_send():
            sent = self._send_data(rest[:most])
            if not sent:
                break
            rest = rest[sent:]
        return len(data) - len(rest)

    def close_write(self) -> None:
        with _as_os_error():
            self._channel.shutdown_write()

    def signal(self, name: str) -> None:
        """RFC 4254 section 6.9; OpenSSH obeys for exec and shell sessions. paramiko has no call for it."""
        message = self._message(paramiko.common.cMSG_CHANNEL_REQUEST)
        message.add_string("signal")
        message.add_boolean(False)
        message.add_string(name)
        with suppress(OSError):
            self._send(message)

    def ending(self) -> SSHClientError:
        self._channel.status_event.wait(_STATUS_TIMEOUT)
        status = self._channel.exit_status
        if status == -1 and not self._signal and not self._connection.alive:
            return self._connection.lost()
        return _exit_error(None if status == -1 else status, self._signal)

    def close(self) -> None:
        """End this process's channel; the connection stays for the next one."""
        self._transport.on_exit.pop(self._channel.chanid, None)
        with suppress(paramiko.SSHException, OSError, EOFError):
            self._channel.close()

    def _count(self, size: int) -> None:
        # RFC 4254 section 5.2 lets us ignore what is over the window. A server that sends it means no good.
        self._received += size
        if self._received > self._allowed:
            raise paramiko.SSHException("The server sent more than its window has room for")

    def _exited(self, signal: str) -> None:
        """The process has ended; its output may have, too. In the transport's thread."""
        self._signal = signal
        self._channel.status_event.set()
        if not self._channel.eof_received:
            self._packets.call_before_waiting(self._end_when_quiet)

    def _end_when_quiet(self) -> None:
        waits_for_us = self._allowed - self._received < _PACKET
        if self._aftermath.is_over(self._received, waits_for_us=waits_for_us):
            self._packets.call_no_more(self._end_when_quiet)
            self._stdout.close()
            self._stderr.close()

    def _tell_grants(self) -> None:
        """In a thread of its own, where sending could block: that must not block the transport's."""
        while True:
            with self._granting:
                self._granting.wait_for(lambda: self._granted >= _GRANT_SIZE or self._ended)
                size, self._granted = self._granted, 0
            if self._ended:
                return
            self._tell_grant(size)

    def _tell_grant(self, size: int) -> None:
        """RFC 4254 section 5.2."""
        with self._granting:
            self._allowed += size
        message = self._message(paramiko.common.cMSG_CHANNEL_WINDOW_ADJUST)
        message.add_int(size)
        with suppress(OSError):
            self._send(message)

    def _can_send(self) -> bool:
        """Whether a few packets can be sent without waiting."""
        sock = self._transport.sock
        if not self._transport.clear_to_send.is_set() or not isinstance(sock, socket.socket):
            return False
        return _is_writable(sock)

    # Not paramiko's send, which copies what it sends three times more, and sends packet for packet.

    def _wait_for_window(self) -> None:
        channel = self._channel
        with channel.lock:
            while not channel.out_window_size and not channel.closed:
                channel.out_buffer_cv.wait()

    def _send_data(self, data: memoryview) -> int:
        """Send as much as the window has room for; how many bytes that was."""
        channel = self._channel
        with channel.lock:
            if channel.closed or channel.eof_sent:
                raise OSError("the channel is closed")
            size = min(len(data), channel.out_window_size)
            channel.out_window_size -= size
        if size:
            most = min(channel.out_max_packet_size, _PACKET)
            self._send(ChannelData(channel.remote_chanid, data[:size], most))
        return size

    def _room_at_once(self) -> int:
        """What the socket takes, if it takes anything: a third of its buffer, where half is for the kernel's own."""
        sock = self._transport.sock
        if sys.platform != "linux" or not isinstance(sock, socket.socket):
            return _AT_ONCE
        room = sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) // 6
        return min(max(_AT_ONCE, room), _MOST_AT_ONCE)

    def _message(self, kind: bytes) -> paramiko.Message:
        message = paramiko.Message()
        message.add_byte(kind)
        message.add_int(self._channel.remote_chanid)
        return message

    def _send(self, message: paramiko.Message) -> None:
        with _as_os_error():
            self._transport._send_user_message(message)


class _Inlet(BufferedPipe):  # type: ignore[type-arg]  # generic in the stubs alone
    """Takes the place of a buffer of a paramiko channel: what comes is passed on, in the transport's thread.

    So no other thread has to wake up for it. What comes before `start` waits, one window of it at the most.
    """

    def __init__(self, count: Callable[[int], None]) -> None:
        """`count` is told of the size of all that comes, before it is passed on."""
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
        """What has come already is passed on here, in the calling thread, before anything later is."""
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
        if self._ended:  # whoever still writes is not the process
            return
        if self._pass_on is None:
            with self._starting:
                if self._pass_on is None:
                    self._early.append(data)
                    return
        self._pass_on(data)

    def close(self) -> None:
        """By any thread, more than once, and with the channel's lock held."""
        with self._starting:
            if self._ended:
                return
            self._ended, tell_end = True, self._tell_end
        tell_end()


if sys.platform == "win32":

    def _is_writable(sock: socket.socket) -> bool:
        with suppress(OSError, ValueError):  # it is closed: whoever writes will be told
            return bool(select.select([], [sock], [], 0)[1])
        return False

else:

    def _is_writable(sock: socket.socket) -> bool:
        poll = select.poll()  # select() knows no descriptor above 1023
        with suppress(OSError, ValueError):
            poll.register(sock, select.POLLOUT)
            return bool(poll.poll(0))
        return False


@contextmanager
def _as_os_error() -> Iterator[None]:
    """What paramiko raises, besides OSError, when the connection closes under a write."""
    try:
        yield
    except (EOFError, paramiko.SSHException) as exc:
        raise OSError("the SSH connection is closed") from exc


def _exit_error(status: int | None, signal: str | None) -> RemoteExitError:
    if status is None:
        if signal:
            return RemoteExitError(f"The remote server was ended by SIG{shortened(signal, 40)}")
        return RemoteExitError("The remote server closed its output without an exit status")
    if status == COMMAND_NOT_FOUND:
        return RemoteExitError(
            "The remote command was not found (exit status 127)",
            "A command over SSH runs without a login shell, so its PATH is short: give the absolute "
            "path after `--`, or let a login shell find it: --login-shell.",
            status,
        )
    return RemoteExitError(
        f"The remote server ended with exit status {status}",
        "Run the same command over ssh by hand to see what it says.",
        status,
    )
