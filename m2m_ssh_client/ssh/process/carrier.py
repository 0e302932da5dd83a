"""A remote process as a `Carrier`: stdin, stdout, stderr and its end, over a session channel."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

import paramiko

from m2m_ssh_client import threads
from m2m_ssh_client.errors import SSHClientError
from m2m_ssh_client.ssh.library.channel import WINDOW_SIZE, SessionChannel
from m2m_ssh_client.ssh.library.ssh_transport import Transport
from m2m_ssh_client.ssh.process.aftermath import Aftermath
from m2m_ssh_client.ssh.process.exit_error import exit_error
from m2m_ssh_client.ssh.process.output_marker import BehindMarker
from m2m_ssh_client.ssh.settings import Request

if TYPE_CHECKING:
    from m2m_ssh_client.flow.remote_stdio import Receiver

# This much of the window is used up before the far side gets more.
_GRANT_SIZE = WINDOW_SIZE // 10

# A server that writes often fills many small packets: those that one read brought go on together. A
# packet with more bytes goes on as it arrives.
_LARGE = 8 * 1024

# Seconds to wait for the exit status after the far side's output has ended.
_STATUS_TIMEOUT = 1.5


class Way(Protocol):
    """The connection under a channel, asked only when the channel has ended."""

    @property
    def alive(self) -> bool: ...

    def lost(self) -> SSHClientError:
        """Return the reason why it is not alive any more."""


class ChannelCarrier:
    """A remote process's stdio, over one channel of a connection that may carry others.

    Output is passed on in the transport's thread as it arrives, so no thread of ours has to wake
    up. Input is sent in the thread that writes. Only grants, which could block, have a thread. The
    output ends with an end of file, or when `Aftermath` finds it complete after the process has
    ended.
    """

    def __init__(
        self, way: Way, transport: Transport, channel: paramiko.Channel, request: Request
    ) -> None:
        """The channel is open, and nothing was requested on it yet: `ask` does that.

        Output up to the line with the request's marker is dropped.
        """
        self._way = way
        self._request = request
        self._granted = 0  # bytes that have not been sent to the far side yet
        self._granting = threading.Condition()
        self._started = self._ended = False
        self._signal: str | None = None  # the one that ended the process, "" for an exit status
        self._pass_on: Callable[[], None] = lambda: None
        self._winding_up = False  # whether the process has ended and its output has not
        self._aftermath = Aftermath(lambda: transport.last_received, transport.probe)
        self.ahead = b""
        """Input that was sent with the request."""
        self._channel = SessionChannel(transport, channel)
        self._channel.attach(self)

    def ask(self, ahead: Callable[[], bytes]) -> None:
        """Make the request and wait for the reply. Raises paramiko's SSHException.

        `ahead` returns input for the process that does no harm if it is sent more than once.
        """
        request = self._request
        if request.command is not None:
            kind, argument = "exec", request.command
        elif request.subsystem is not None:
            kind, argument = "subsystem", request.subsystem
        else:
            kind, argument = "shell", None
        self.ahead = self._channel.request(kind, argument, ahead)

    def start(self, receiver: Receiver) -> None:
        threads.start("ssh-granter", self._tell_grants)

        stdout = receiver.stdout
        behind_marker: BehindMarker | None = None
        if self._request.marker:
            stdout = behind_marker = BehindMarker(self._request.marker, stdout, self.grant)
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
            if self._channel.is_in_transports_thread or not self._started:
                pass_on()
                if behind_marker is not None:
                    behind_marker.end()
            with self._granting:
                self._ended = True
                self._granting.notify()
            receiver.ended()

        self._pass_on = pass_on
        # First, because all may have come already: the end of stdout is that of both.
        self._channel.stderr.start(receiver.stderr, receiver.stderr, lambda: None)
        self._channel.stdout.start(stdout, gather, ended)
        self._started = True

    def grant(self, size: int) -> None:
        with self._granting:
            self._granted += size
            if self._granted < _GRANT_SIZE:
                return
            # Only the transport's thread, which begins every key exchange, knows that none will
            # delay it.
            if not self._channel.is_in_transports_thread or not self._channel.can_send():
                self._granting.notify()
                return
            size, self._granted = self._granted, 0
        self._channel.grant(size)

    def write(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while rest:
            self._channel.wait_for_window()
            rest = rest[self._channel.send(rest) :]

    def write_now(self, data: bytes) -> bool:
        """Write only if the window and the socket have room and no keys are exchanged."""
        if len(data) > self._channel.surely_at_once() or not self._channel.can_send():
            return False
        self.write(data)
        return True

    def write_some(self, data: bytes) -> int:
        rest = memoryview(data)
        most = self._channel.at_once()
        while rest and self._channel.can_send():
            sent = self._channel.send(rest[:most])
            if not sent:
                break
            rest = rest[sent:]
        return len(data) - len(rest)

    def close_write(self) -> None:
        self._channel.send_end()

    def signal(self, name: str) -> None:
        """Send a signal; OpenSSH obeys for exec and shell sessions."""
        self._channel.send_signal(name)

    def ending(self) -> SSHClientError:
        status = self._channel.exit_status(_STATUS_TIMEOUT)
        if status is None and not self._signal and not self._way.alive:
            return self._way.lost()
        return exit_error(status, self._signal, self._request)

    def close(self) -> None:
        """End this process's channel; the connection stays for the next one."""
        self._channel.close()

    # The transport calls these, in its thread.

    def caught_up(self) -> None:
        self._pass_on()
        if self._winding_up and not self._ended:
            self._end_when_quiet()

    def exited(self, signal: str) -> None:
        if self._signal is not None:  # it counts once
            return
        self._signal = signal
        self._channel.stop_waiting_for_status()
        self._winding_up = not self._channel.output_has_ended

    def _end_when_quiet(self) -> None:
        channel = self._channel
        if self._aftermath.is_over(channel.received, waits_for_us=channel.far_side_waits):
            self._winding_up = False
            channel.stdout.close()
            channel.stderr.close()

    def _tell_grants(self) -> None:
        """Send grants, in a thread of its own: sending could block the transport's."""
        while True:
            with self._granting:
                self._granting.wait_for(lambda: self._granted >= _GRANT_SIZE or self._ended)
                size, self._granted = self._granted, 0
            if self._ended:
                return
            self._channel.grant(size)
