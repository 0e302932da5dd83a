"""An SSH server on loopback that runs one local command per channel, for the demo and for tests.

paramiko's server mode speaks the protocol. A listener thread accepts connections; paramiko gives
each a thread, in which requests are decided; each granted channel becomes a `_Session` with its own
threads. On exit, the context stops accepting, cuts the connections, which closes their channels and
ends their children, and waits for all of it.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import IO, Any

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_SUCCEEDED,
)

from m2m_ssh_client.errors import reason
from m2m_ssh_client.ssh.library.packets import Packets

logger = logging.getLogger(__name__)

CommandFor = Callable[[str, "str | None"], "Sequence[str] | None"]
"""Map the kind of request (shell, exec, subsystem) and its text to an argv, or None to refuse."""

# Seconds between SIGTERM and SIGKILL for a child whose channel is gone.
_GRACE = 1.0
# Seconds to wait for each thread on exit; normally all of them end at once.
_JOIN = 5.0
# Less than the usual largest packet: Channel.sendall would slice, and copy the rest each time.
_CHUNK = 32 * 1024


class SSHServer:
    """A context manager; within it the server is at 127.0.0.1, port `port`.

    `authorized` gets the user name and a public key; `command_for` chooses the command; `env`
    replaces the children's environment; `events` is called with a text for each event. All
    callbacks run in threads of the server. Passwords, terminals, forwarding and environment
    requests are refused.
    """

    def __init__(
        self,
        host_key: paramiko.PKey,
        authorized: Callable[[str, paramiko.PKey], bool],
        command_for: CommandFor,
        *,
        port: int = 0,
        env: Mapping[str, str] | None = None,
        events: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.host_key = host_key
        self.authorized = authorized
        self.command_for = command_for
        self.env = env
        self.events = events
        self._lock = threading.Lock()  # guards the two lists
        self._transports: list[paramiko.Transport] = []
        self._sessions: list[_Session] = []
        self._listener = _Listener(port, self._connected)
        self._thread = threading.Thread(
            target=self._listener.serve_forever, args=(0.05,), name="demo-ssh-listener", daemon=True
        )

    @property
    def port(self) -> int:
        return int(self._listener.server_address[1])

    def __enter__(self) -> SSHServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown()
        self._listener.server_close()
        self._thread.join(_JOIN)
        self.close_connections()
        with self._lock:
            sessions = self._sessions
        for session in sessions:
            session.join()

    def close_connections(self) -> None:
        """Cut every connection like a broken network, without a message in SSH."""
        with self._lock:
            transports, self._transports = self._transports, []
        for transport in transports:
            transport.close()
            transport.join(_JOIN)

    def _connected(self, connection: socket.socket, address: tuple[str, int]) -> None:
        self.events(f"connection from {address[0]} port {address[1]}")
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport = paramiko.Transport(connection, packetizer_class=Packets)
        transport.add_server_key(self.host_key)
        # With an event, this returns at once; the transport's thread negotiates.
        transport.start_server(event=threading.Event(), server=_Connection(self, transport))
        with self._lock:
            self._transports = [known for known in self._transports if known.is_active()]
            self._transports.append(transport)

    def start_session(self, session: _Session) -> None:
        with self._lock:
            self._sessions = [known for known in self._sessions if known.is_alive()]
            self._sessions.append(session)
        session.start()


class _Listener(socketserver.TCPServer):
    # On Windows this option would let a second program take the port.
    allow_reuse_address = sys.platform != "win32"
    request_queue_size = 64

    def __init__(
        self, port: int, connected: Callable[[socket.socket, tuple[str, int]], None]
    ) -> None:
        self._connected = connected
        super().__init__(("127.0.0.1", port), socketserver.BaseRequestHandler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Hand the connection to paramiko, instead of to a handler."""
        self._connected(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - inherited
        logger.warning("A connection from %s failed: %s", client_address, sys.exc_info()[1])


class _Connection(paramiko.ServerInterface):
    """Answers paramiko's questions about one connection, always in that connection's thread."""

    def __init__(self, server: SSHServer, transport: paramiko.Transport) -> None:
        self._server = server
        self._transport = transport
        self._offered: dict[tuple[str, bytes], bool] = {}
        self._in_use: set[int] = set()
        self._barrier = threading.Lock()

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002 - inherited
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        """Decide about a key; called twice, because a client first asks and then signs."""
        offer = (username, key.asbytes())
        first = offer not in self._offered
        self._offered[offer] = self._server.authorized(username, key)
        verdict = "authorized" if self._offered[offer] else "not authorized"
        if first:
            self._server.events(f"{username!r} offers key {key.fingerprint}: {verdict}")
        return AUTH_SUCCESSFUL if self._offered[offer] else AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:  # noqa: ARG002 - inherited
        if kind != "session":
            return OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        self._server.events(f"{self._transport.get_username()!r} is authenticated, opens a channel")
        return OPEN_SUCCEEDED

    def check_channel_shell_request(self, channel: paramiko.Channel) -> bool:
        return self._run(channel, "shell", None)

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        return self._run(channel, "exec", command.decode("utf-8", "replace"))

    def check_channel_subsystem_request(self, channel: paramiko.Channel, name: str) -> bool:
        return self._run(channel, "subsystem", name)

    def _run(self, channel: paramiko.Channel, kind: str, text: str | None) -> bool:
        """Start the child at once, so that the answer to the request tells if that worked."""
        wish = kind if text is None else f"{kind} {text!r}"
        # RFC 4254, 6.5: only one of these requests can succeed per channel.
        argv = None if channel.get_id() in self._in_use else self._server.command_for(kind, text)
        if argv is None:
            self._server.events(f"refused: {wish}")
            return False
        try:
            child = _start(argv, self._server.env)
        except OSError as exc:
            self._server.events(f"refused: {wish}: {argv[0]}: {reason(exc)}")
            return False
        self._in_use.add(channel.get_id())
        self._server.events(f"granted: {wish}, runs process {child.pid}")
        self._server.start_session(_Session(channel, child, self._answered, self._server.events))
        return True

    def _answered(self) -> None:
        """Wait until all channel requests so far are answered. Not for paramiko's own thread.

        paramiko sends the answer after our method has returned, without a notification. But the
        same thread reads the client's reply to a global request (RFC 4254, 4: a failure is a reply
        too), so that comes later.
        """
        with self._barrier:  # paramiko expects one such answer at a time
            self._transport.global_request("keepalive@openssh.com", wait=True)


class _Session(threading.Thread):
    """A channel and its child, until both have ended. `join` is bounded."""

    def __init__(
        self,
        channel: paramiko.Channel,
        child: subprocess.Popen[bytes],
        answered: Callable[[], None],
        events: Callable[[str], None],
    ) -> None:
        super().__init__(name=f"demo-ssh-session-{child.pid}", daemon=True)
        self._channel = channel
        self._child = child
        self._answered = answered
        self._events = events

    def run(self) -> None:
        self._answered()
        outputs = [
            self._thread(self._drain, self._child.stdout, self._channel.sendall),
            self._thread(self._drain, self._child.stderr, self._channel.sendall_stderr),
        ]
        others = [self._thread(self._feed), self._thread(self._finish, outputs)]
        self._channel.recv_exit_status()  # in a server, it returns at the end of the channel
        # Only then: the id of a process already waited for may have been reused.
        if self._child.poll() is None or any(thread.is_alive() for thread in outputs):
            _stop(self._child)
        for thread in (*outputs, *others):
            thread.join(_JOIN)
        for stream in (self._child.stdin, self._child.stdout, self._child.stderr):
            _close(stream)
        self._events(f"process {self._child.pid} has ended with status {self._child.returncode}")

    def _thread(self, target: Callable[..., None], *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=target, args=arguments, name=self.name, daemon=True)
        thread.start()
        return thread

    def join(self, timeout: float | None = None) -> None:
        super().join(_JOIN if timeout is None else timeout)

    def _feed(self) -> None:
        """Pass the client's data and its end of file to the child."""
        stdin = self._child.stdin
        with suppress(OSError):  # the child has ended, or the connection
            while stdin is not None and (data := self._channel.recv(_CHUNK)):
                rest = memoryview(data)
                while rest:
                    rest = rest[stdin.write(rest) :]
        _close(stdin)

    @staticmethod
    def _drain(source: IO[bytes], send: Callable[[bytes], object]) -> None:
        # Raised when the channel or its connection is closed.
        with suppress(OSError, EOFError, paramiko.SSHException):
            while data := source.read(_CHUNK):
                send(data)

    def _finish(self, outputs: Sequence[threading.Thread]) -> None:
        """Send the child's exit status after its output, then close the channel."""
        status = self._child.wait()
        for thread in outputs:
            thread.join()
        with suppress(OSError, EOFError, paramiko.SSHException):
            # 128 + the signal, like a shell; paramiko has no API for exit-signal.
            self._channel.send_exit_status(status if status >= 0 else 128 - status)
            self._channel.close()


def _start(argv: Sequence[str], env: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
    """Start a child in its own process group, so that its children can be ended with it."""
    return subprocess.Popen(  # noqa: S603 - the argv is the embedding program's
        list(argv),
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(env) if env is not None else None,
        start_new_session=sys.platform != "win32",
    )


def _close(stream: IO[bytes] | None) -> None:
    if stream is not None:
        with suppress(OSError):
            stream.close()


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Terminate the child and its children, then kill them."""
    _signal(child, forced=False)
    with suppress(subprocess.TimeoutExpired):
        child.wait(_GRACE)
    _signal(child, forced=True)
    with suppress(subprocess.TimeoutExpired):
        child.wait(_GRACE)


def _signal(child: subprocess.Popen[bytes], *, forced: bool) -> None:
    with suppress(OSError):  # all of them have ended
        if sys.platform == "win32":
            child.kill()
        else:
            os.killpg(child.pid, signal.SIGKILL if forced else signal.SIGTERM)
