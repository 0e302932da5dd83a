"""A malicious SSH server: it speaks the protocol well enough to get where it wants to do harm."""

from __future__ import annotations

import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import paramiko
from paramiko.common import MSG_IGNORE
from paramiko.packet import Packetizer
from support.odd_ssh import ENOUGH, Odd, odd_server

VERSION = b"SSH-2.0-OpenSSH_9.9\r\n"
Field = bytes | str | int | bool
"""Of a message: a string, an integer of 32 bits, or a boolean."""

# Message numbers: RFC 4250 section 4.1.2, RFC 8308.
DISCONNECT, IGNORE, UNIMPLEMENTED, DEBUG, SERVICE_REQUEST, SERVICE_ACCEPT, EXT_INFO = range(1, 8)
KEXINIT, NEWKEYS = 20, 21
KEX_REQUEST, KEX_REPLY = 30, 31
USERAUTH_REQUEST, USERAUTH_FAILURE, USERAUTH_SUCCESS, USERAUTH_BANNER = range(50, 54)
USERAUTH_60 = 60
GLOBAL_REQUEST, REQUEST_SUCCESS, REQUEST_FAILURE = range(80, 83)
(
    CHANNEL_OPEN,
    CHANNEL_OPEN_CONFIRMATION,
    CHANNEL_OPEN_FAILURE,
    CHANNEL_WINDOW_ADJUST,
    CHANNEL_DATA,
    CHANNEL_EXTENDED_DATA,
    CHANNEL_EOF,
    CHANNEL_CLOSE,
    CHANNEL_REQUEST,
    CHANNEL_SUCCESS,
    CHANNEL_FAILURE,
) = range(90, 101)

NAMES = ("kex", "host key", "cipher", "cipher", "mac", "mac", "compression", "compression")
GOOD = {
    "kex": "curve25519-sha256,kex-strict-s-v00@openssh.com",
    "host key": "ssh-ed25519",
    "cipher": "aes128-ctr",
    "mac": "hmac-sha2-256",
    "compression": "none",
}


def message(kind: int, *fields: Field) -> bytes:
    parts = [bytes([kind])]
    for field in fields:
        if isinstance(field, bool):
            parts.append(bytes([field]))
        elif isinstance(field, int):
            parts.append(struct.pack(">I", field))
        else:
            data = field.encode() if isinstance(field, str) else field
            parts.append(struct.pack(">I", len(data)) + data)
    return b"".join(parts)


def packet(payload: bytes) -> bytes:
    """As it travels before there are keys (RFC 4253 section 6)."""
    padding = 8 - (5 + len(payload)) % 8
    padding += 8 if padding < 4 else 0
    head = struct.pack(">IB", 1 + len(payload) + padding, padding)
    return head + payload + bytes(padding)


def kexinit(**other: str) -> bytes:
    """The payload of a KEXINIT; `other` lists replace the good ones."""
    lists = {**GOOD, **{name.replace("_", " "): names for name, names in other.items()}}
    names = b"".join(message(0, lists[name])[1:] for name in NAMES)
    return bytes([KEXINIT]) + os.urandom(16) + names + message(0, "", "", False, 0)[1:]


def read_packet(stream: Any) -> bytes:
    """The payload of a packet that comes before there are keys."""
    size = struct.unpack(">I", stream.read(4))[0]
    body: bytes = stream.read(size)
    return body[1 : size - body[0]]


def lists_of(payload: bytes) -> dict[str, list[str]]:
    """The name-lists of a KEXINIT, those towards the server where there are two."""
    found: dict[str, list[str]] = {}
    reader = paramiko.Message(payload[17:])
    for name in NAMES:
        found.setdefault(name, reader.get_list())
    return found


class _Tapped(Packetizer):
    """Tells its server of each message before anything else sees it."""

    tap: Callable[[int], object] = staticmethod(lambda _: None)

    def read_message(self) -> tuple[int, paramiko.Message]:
        kind, received = super().read_message()
        if self.tap(kind) is SWALLOW:
            return MSG_IGNORE, paramiko.Message()
        return kind, received


SWALLOW = object()
"""What an attack returns, if the message that it waited for is to be left without an answer."""


class _Dripping:
    """A socket that sends one byte at a time, with pauses, from some moment on."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.drips = False
        self._over = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def send(self, data: bytes) -> int:
        if not self.drips:
            return self._sock.send(data)
        if self._over.wait(0.05):
            raise EOFError
        return self._sock.send(data[:1])

    def close(self) -> None:
        self._over.set()
        self._sock.close()


class Mallory(Odd):
    """An SSH server that does `attack` when a message of the kind `at` comes, once; else it serves.

    What it serves is an MCP server of few words, which echoes: it answers each request with its own line.
    """

    def __init__(
        self,
        at: int,
        attack: Callable[[Mallory], object],
        options: Mapping[str, Sequence[str]] = {},
    ) -> None:
        super().__init__()
        self._at = at
        self.attack: Callable[[Mallory], object] | None = attack
        """What is still to be done; may be set again."""
        self._options = options
        self.over = threading.Event()
        self.got: list[int] = []
        """The kinds of all messages that came."""
        self._talkers: list[threading.Thread] = []

    # Odd's

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:  # noqa: ARG002
        talker = threading.Thread(target=_converse, args=(channel,), daemon=True)
        talker.start()
        self._talkers.append(talker)
        return True

    def serve(self, sock: socket.socket, *host_keys: paramiko.PKey) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        dripping = self.sock = _Dripping(sock)
        tables: Any = paramiko.Transport(dripping, packetizer_class=_Tapped)  # type: ignore[arg-type]
        self.transport = self.everything = tables
        tables.packetizer.tap = self._tap
        for key in host_keys:
            tables.add_server_key(key)
        for name, value in self._options.items():
            setattr(tables.get_security_options(), name, value)
        try:
            tables.start_server(event=threading.Event(), server=self)
            tables.join(ENOUGH * 3)
        finally:
            self.over.set()
            dripping.close()
            tables.close()
            for talker in self._talkers:
                talker.join(ENOUGH)

    def _tap(self, kind: int) -> object:
        self.got.append(kind)
        if kind != self._at or self.attack is None:
            return None
        attack, self.attack = self.attack, None
        with suppress(OSError):
            return attack(self)
        raise EOFError

    # For attacks

    def send(self, kind: int, *fields: Field) -> None:
        """A message, in the protocol's wrapping of the moment, whether it is the time for it or not."""
        self.send_payload(message(kind, *fields))

    def send_payload(self, payload: bytes) -> None:
        self.everything._send_message(paramiko.Message(payload))

    def flood(self, kind: int, *fields: Field, limit: float = float("inf")) -> object:
        """The same message again and again until the other side goes away, or `limit` times."""
        payload = message(kind, *fields)
        sent = 0
        while sent < limit:
            self.send_payload(payload)
            sent += 1
        return None

    def beside(self, attack: Callable[[Mallory], object]) -> None:
        """Do that in a thread of its own, and serve meanwhile."""

        def work() -> None:
            with suppress(OSError, EOFError, paramiko.SSHException):
                attack(self)

        attacker = threading.Thread(target=work, daemon=True)
        attacker.start()
        self._talkers.append(attacker)

    def hang_up(self) -> None:
        self.sock.shutdown(socket.SHUT_RDWR)

    def drip(self) -> None:
        self.sock.drips = True

    def say_nothing_more(self) -> object:
        """Read nothing and send nothing, until the other side goes away."""
        deadline = time.monotonic() + ENOUGH * 2
        sock = self.sock  # another connection may come meanwhile
        while time.monotonic() < deadline and not self.over.is_set():
            sock.settimeout(0.1)
            try:
                if not sock.recv(1 << 16):
                    break
            except TimeoutError:
                continue
        raise EOFError


def _converse(channel: paramiko.Channel) -> None:
    import json

    with suppress(OSError, EOFError, paramiko.SSHException):
        for line in channel.makefile("rb"):
            asked = json.loads(line)
            if "id" in asked and "method" in asked:
                result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {}}
                answer = {"jsonrpc": "2.0", "id": asked["id"], "result": result}
                channel.sendall(json.dumps(answer).encode() + b"\n")
        channel.send_exit_status(0)
        channel.close()


@contextmanager
def mallory(server: Mallory, *host_keys: paramiko.PKey) -> Iterator[int]:
    with odd_server(server, *host_keys) as port:
        try:
            yield port
        finally:
            server.over.set()
