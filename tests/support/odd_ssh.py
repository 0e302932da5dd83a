"""SSH servers on loopback that are odd, and keys for them."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import paramiko
from paramiko.common import AUTH_SUCCESSFUL, OPEN_SUCCEEDED

from m2m_ssh_client.ssh.login.key_files import ensure_client_key, load_client_key
from m2m_ssh_client.ssh.public_key import PublicKey

ENOUGH = 10.0  # seconds


def python(code: str) -> list[str]:
    """The argv that runs this code; without `site`, Python starts in half the time."""
    return [sys.executable, "-S", "-E", "-c", code]


CAT = python("import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)")


class Keys:
    """A key of each kind; made when first asked for, since RSA takes a while."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, paramiko.PKey] = {}

    def path(self, key: paramiko.PKey) -> Path:
        """The file of one of these keys."""
        (name,) = [name for name, made in self._made.items() if made is key]
        return self._folder / name

    def __getitem__(self, name: str) -> paramiko.PKey:
        """By kind; anything behind a space makes it another key of that kind."""
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def _make(self, name: str) -> paramiko.PKey:
        kind = name.partition(" ")[0]
        path = self._folder / name
        if kind == "ed25519":
            ensure_client_key(path)
            return load_client_key(path, None)
        if kind == "rsa":
            key: paramiko.PKey = paramiko.RSAKey.generate(2048)
        else:
            key = paramiko.ECDSAKey.generate(bits=int(kind.partition("-")[2] or 256))
        key.write_private_key_file(str(path))
        return key


def public(key: paramiko.PKey) -> PublicKey:
    return PublicKey(key.get_name(), key.asbytes())


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server: `serve` is called with each connection, in a thread, and closes it at its end."""
    connections: list[socket.socket] = []
    threads: list[threading.Thread] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def handle(sock: socket.socket) -> None:
        with sock, suppress(OSError, EOFError, paramiko.SSHException):
            serve(sock)

    def accept() -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                connections.append(sock)
                threads.append(threading.Thread(target=handle, args=(sock,), daemon=True))
                threads[-1].start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for sock in connections:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in (acceptor, *threads):
            thread.join(ENOUGH)


class Odd(paramiko.ServerInterface):
    """An SSH server that grants everything; tests override what is to be odd.

    `reached` is set when a step named in `freeze` begins, which then waits for `thaw`.
    """

    def __init__(self, freeze: str = "") -> None:
        self._freeze = freeze
        self.reached, self.thaw = threading.Event(), threading.Event()
        self.channel: paramiko.Channel | None = None
        self.transport: paramiko.Transport | None = None

    def _step(self, name: str) -> None:
        if name == self._freeze:
            self.reached.set()
            self.thaw.wait(ENOUGH * 2)

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002 - inherited
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:  # noqa: ARG002
        self._step("authentication")
        return AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:  # noqa: ARG002 - inherited
        self._step("channel")
        return OPEN_SUCCEEDED

    def check_channel_shell_request(self, channel: paramiko.Channel) -> bool:
        self._step("request")
        self.channel = channel
        self.reached.set()
        return True

    def serve(self, sock: socket.socket, *host_keys: paramiko.PKey) -> None:
        """Until the client goes away."""
        self.transport = transport = paramiko.Transport(sock)
        for key in host_keys:
            transport.add_server_key(key)
        try:
            self.configure(transport)
            transport.start_server(event=threading.Event(), server=self)
            transport.join()
        finally:
            transport.close()

    def configure(self, transport: paramiko.Transport) -> None:
        """For tests that want other algorithms."""


@contextmanager
def odd_server(server: Odd, *host_keys: paramiko.PKey) -> Iterator[int]:
    with listening(lambda sock: server.serve(sock, *host_keys)) as port:
        try:
            yield port
        finally:
            server.thaw.set()


class OneWay:
    """A socket that sends nothing any more once it is `closed`, and still receives."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.closed, self.tried = threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def send(self, data: bytes) -> int:
        if self.closed.is_set():
            self.tried.set()
            raise BrokenPipeError
        return self._sock.send(data)

    def close_before(self, farewell: Callable[[], object]) -> None:
        """Close it; the first attempt to send sets that off, in a thread."""
        self.closed.set()

        def work() -> None:
            if self.tried.wait(ENOUGH):
                farewell()

        threading.Thread(target=work, daemon=True).start()


def say_farewell(transport: Any, words: str) -> None:
    """End the connection with these words (RFC 4253 section 11.1)."""
    message = paramiko.Message()
    message.add_byte(paramiko.common.cMSG_DISCONNECT)
    message.add_int(2)
    message.add_string(words)
    message.add_string("")
    transport._send_message(message)
    transport.close()


def mute(sock: socket.socket) -> None:
    sock.recv(1 << 16)  # our greeting
    sock.recv(1)  # until the other end goes away


def speaks_http(sock: socket.socket) -> None:
    sock.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def hangs_up(_: socket.socket) -> None:
    """As a server does that has too many connections (sshd_config(5), MaxStartups)."""
