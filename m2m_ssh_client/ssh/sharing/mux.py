"""OpenSSH's protocol between a process that holds an SSH connection and those that share it.

A client asks for a session (OpenSSH, PROTOCOL.mux, version 4). Each message is a string, as in
SSH's wire format, with a type, mostly a request id, and fields. Three descriptors follow the
request: stdin, stdout and stderr of the client, each with one byte.
"""

from __future__ import annotations

import array
import os
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

if sys.platform == "win32":
    raise ImportError("Windows passes no descriptors on")

from m2m_ssh_client.ssh.wire import Reader

VERSION = 4
HELLO = 0x00000001
NEW_SESSION, ALIVE_CHECK = 0x10000002, 0x10000004
DENIED, FAILURE, EXIT, ALIVE, OPENED = (
    *(0x80000002, 0x80000003, 0x80000004, 0x80000005, 0x80000006),
)

OURS = "m2m-mcp-server-ssh-client"
"""An extension, announced in the greeting, with these messages: to the holder, to the client."""

SIGNAL = 0x10006D01
"""The session's id, and the name of a signal for the process."""

ENDED = 0x80006D01
"""The session's id, and an error (`told_error`): the end of a process without an exit status."""

_MOST = 256 * 1024  # bytes of a message, as in OpenSSH
_NO_ESCAPE = 0xFFFFFFFF


class Session(NamedTuple):
    """A session to open: a command line for the shell there, a subsystem, or "" for a shell."""

    command: str
    is_subsystem: bool = False
    environment: tuple[tuple[str, str], ...] = ()


class Message(Reader):
    """A message that came; its fields are taken one after the other. Raises ValueError."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.kind = self.number(4)

    def text(self) -> str:
        return self.string().decode("utf-8", "surrogateescape")

    def session(self) -> Session:
        """Take what follows the request id of NEW_SESSION."""
        self.text()  # reserved
        wants_terminal, _x11, _agent, is_subsystem, _escape = (self.number(4) for _ in range(5))
        if wants_terminal:
            raise ValueError("there are no terminals here")
        self.text()  # TERM
        command, environment = self.text(), []
        while not self.ended:
            name, _, value = self.text().partition("=")
            environment.append((name, value))
        return Session(command, bool(is_subsystem), tuple(environment))


class MuxSocket:
    """A connected socket with whole messages: one thread receives, any sends short ones.

    Everything raises OSError (a time-out of the socket included), EOFError at the end, and
    ValueError for what is not of this protocol.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def send(self, kind: int, *fields: int | str) -> None:
        body = b"".join(map(_encoded, (kind, *fields)))
        self._sock.sendall(struct.pack(">I", len(body)) + body)

    def receive(self) -> Message:
        size = int.from_bytes(self._exactly(4), "big")
        if size > _MOST:
            raise ValueError("a message is too long")
        return Message(self._exactly(size))

    def greet(self, *extensions: str) -> set[str]:
        """Exchange greetings, and return the extensions of the other side."""
        self.send(HELLO, VERSION, *(field for name in extensions for field in (name, "")))
        hello = self.receive()
        if hello.kind != HELLO or hello.number(4) != VERSION:
            raise ValueError("it speaks another version of the protocol")
        return {name.decode("utf-8", "replace") for name in hello.strings()[::2]}

    def ask_for(self, session: Session, request: int, descriptors: Sequence[int]) -> None:
        """Ask for a session without a terminal, and pass its three descriptors on."""
        flags = (0, 0, 0, int(session.is_subsystem), _NO_ESCAPE)
        variables = ("=".join(each) for each in session.environment)
        self.send(NEW_SESSION, request, "", *flags, "", session.command, *variables)
        for each in descriptors:
            rights = array.array("i", [each])
            self._sock.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])

    def descriptors(self) -> list[int]:
        """Receive the three descriptors behind a request, which are the caller's to close."""
        found: list[int] = []
        while len(found) < 3:
            _, came, _, _ = socket.recv_fds(self._sock, 1, 1)
            found += came
            if not came:
                for each in found:
                    os.close(each)
                raise ValueError("a descriptor is missing")
        return found

    def wait_for_ever(self) -> None:
        """Have no time-out any more."""
        self._sock.settimeout(None)

    def close(self) -> None:
        """End it, and every wait for it. Any thread."""
        with suppress(OSError):  # the other side may have done it
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            part = self._sock.recv(size)
            if not part:
                raise EOFError("the connection has ended")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def _encoded(field: int | str) -> bytes:
    if isinstance(field, int):
        return struct.pack(">I", field)
    data = field.encode("utf-8", "surrogateescape")
    return struct.pack(">I", len(data)) + data
