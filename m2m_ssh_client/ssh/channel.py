"""A session channel: one remote process, as a `bridge.Carrier`."""

from __future__ import annotations

import select
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import paramiko

from m2m_ssh_client.errors import RemoteExitError, SSHClientError

if TYPE_CHECKING:
    from m2m_ssh_client.ssh.connection import Connection

# The most bytes in one read: all that the window lets come. paramiko's buffer moves what stays in it, at each read.
_READ_SIZE = paramiko.common.DEFAULT_WINDOW_SIZE

# How long to wait, after the far side's output has ended, for word of how it ended.
_STATUS_TIMEOUT = 1.5
_COMMAND_NOT_FOUND = 127  # POSIX: Shell Command Language, exit status for commands


class ChannelCarrier:
    """A session channel as a `bridge.Carrier`: the remote command's stdin, stdout and stderr."""

    def __init__(
        self, connection: Connection, transport: paramiko.Transport, channel: paramiko.Channel
    ) -> None:
        self._connection = connection
        self._transport = transport
        self._channel = channel

    def read(self) -> bytes:
        # Reading writes too (it tells the far side that there is room again), and so can fail like a write.
        with suppress(OSError), _as_os_error():
            return self._channel.recv(_READ_SIZE)
        return b""

    def read_stderr(self) -> bytes:
        with suppress(OSError), _as_os_error():
            return self._channel.recv_stderr(_READ_SIZE)
        return b""

    def write(self, data: bytes) -> None:
        # Not sendall, which copies all that is left for each packet of 32 KiB.
        rest = memoryview(data)
        with _as_os_error():
            while rest:
                sent = self._channel.send(rest)  # type: ignore[arg-type]  # takes any buffer that has slices
                if not sent:
                    raise OSError("the channel is closed")
                rest = rest[sent:]

    def write_now(self, data: bytes) -> bool:
        """As `bridge.Carrier` has it: only where the window and the socket have room, and keys are not exchanged."""
        channel, sock = self._channel, self._transport.sock
        if len(data) > min(channel.out_window_size, channel.out_max_packet_size - 64):
            return False
        if not self._transport.clear_to_send.is_set() or not isinstance(sock, socket.socket):
            return False
        if not _is_writable(sock):
            return False
        self.write(data)
        return True

    def close_write(self) -> None:
        with _as_os_error():
            self._channel.shutdown_write()

    def signal(self, name: str) -> None:
        """RFC 4254 section 6.9; OpenSSH obeys for exec and shell sessions. paramiko has no call for it."""
        message = paramiko.Message()
        message.add_byte(paramiko.common.cMSG_CHANNEL_REQUEST)
        message.add_int(self._channel.remote_chanid)
        message.add_string("signal")
        message.add_boolean(False)
        message.add_string(name)
        with suppress(OSError), _as_os_error():
            self._transport._send_user_message(message)  # type: ignore[attr-defined]  # not in the stubs

    def ending(self) -> SSHClientError:
        self._channel.status_event.wait(_STATUS_TIMEOUT)
        status = self._channel.exit_status
        if status == -1 and not self._connection.alive:
            return self._connection.lost()
        return _exit_error(None if status == -1 else status)

    def close(self) -> None:
        """End this process's channel; the connection stays for the next one."""
        with suppress(paramiko.SSHException, OSError, EOFError):
            self._channel.close()


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


def _exit_error(status: int | None) -> RemoteExitError:
    if status is None:
        return RemoteExitError("The remote server closed its output without an exit status")
    if status == _COMMAND_NOT_FOUND:
        return RemoteExitError(
            "The remote command was not found (exit status 127)",
            "A command over SSH runs without a login shell, so its PATH is short: give the absolute "
            "path after `--`, or run it through a login shell: -- \"bash -lc 'your command'\".",
            status,
        )
    return RemoteExitError(
        f"The remote server ended with exit status {status}",
        "Run the same command over ssh by hand to see what it says.",
        status,
    )
