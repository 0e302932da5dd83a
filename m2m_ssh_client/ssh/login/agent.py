"""A client of ssh-agent: the keys that it holds, and its signatures (draft-ietf-sshm-ssh-agent).

paramiko's own client signs with the plain key when the agent holds a certificate, and knows only
the agent's usual place. Here an agent's key may have any type: certificates, security keys
(`sk-…`).

Each request runs in a daemon thread of its own, because not every platform can bound the wait in
place: a person may have to confirm a signature, and an agent may hang. The caller gets the answer,
or an AgentError as soon as the connection that the request is for has ended.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Protocol

from m2m_ssh_client.errors import reason
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.wire import Reader, strings
from m2m_ssh_client.text import printable, shortened
from m2m_ssh_client.threads import Background

# Messages of the protocol, §6.1
_FAILURE = 5
_REQUEST_IDENTITIES, _IDENTITIES_ANSWER = 11, 12
_SIGN_REQUEST, _SIGN_RESPONSE = 13, 14
_EXTENSION = 27
_SIGN_FLAGS = {"rsa-sha2-256": 2, "rsa-sha2-512": 4}

_LONGEST_ANSWER = 256 * 1024  # bytes, as in OpenSSH
_MOST_KEYS = 2048  # as in OpenSSH
# Seconds, for requests that ask nobody: a forwarded agent whose connection has died must not use up
# the whole time limit.
_PROMPT = 5.0
_POLL = 0.1  # seconds


class AgentError(Exception):
    """The agent cannot be reached or does not do what it was asked; the text says why."""


class AgentKey(NamedTuple):
    """A key that the agent holds; `comment` is foreign text, fit to be shown."""

    public: PublicKey
    comment: str


class _Stream(Protocol):
    """The methods that sockets and paramiko's connection to Pageant have in common."""

    def send(self, data: bytes, /) -> object: ...
    def recv(self, size: int, /) -> bytes | str: ...
    def close(self) -> None: ...


class Agent:
    """The agent at a UNIX socket's path, or a named pipe's on Windows.

    It connects on first use. Every call returns when `cancelled` returns true, at the latest. For
    one thread. `found` is the kind of agent at a place that nobody named, empty for one that was
    named. A request that asks nobody may take `patience` seconds.
    """

    def __init__(
        self,
        path: str,
        cancelled: Callable[[], bool],
        *,
        found: str = "",
        patience: float = _PROMPT,
    ) -> None:
        self.path = path
        self.found = found
        self._cancelled = cancelled
        self._patience = patience
        self._stream: _Stream | None = None
        self._hangs = False

    def __enter__(self) -> Agent:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect; a request under way fails."""
        stream, self._stream = self._stream, None
        if stream is not None:
            _end(stream)

    def bind(self, host_key: bytes, session_id: bytes, signature: bytes) -> None:
        """Tell the agent which server its signatures are for.

        Some of its keys may sign for certain servers only (`ssh-add -h`). `signature` is the
        server's under the first key exchange. An agent that does not know this request refuses it,
        which does no harm. Source: OpenSSH, PROTOCOL.agent, session-bind@openssh.com.
        """
        fields = strings(b"session-bind@openssh.com", host_key, session_id, signature)
        self._ask(bytes([_EXTENSION]) + fields + b"\0", self._patience)  # 0: not forwarded

    def keys(self) -> list[AgentKey]:
        """Return all keys and certificates, in the agent's order; none while it is locked.

        Raises AgentError.
        """
        kind, body = self._ask(bytes([_REQUEST_IDENTITIES]), self._patience)
        count = int.from_bytes(body[:4], "big")
        if kind != _IDENTITIES_ANSWER or len(body) < 4 or count > _MOST_KEYS:
            raise AgentError("it does not tell its keys")
        try:
            told = Reader(body[4:]).strings(2 * count)
        except ValueError as exc:
            raise AgentError("its answer is malformed") from exc
        keys = []
        for blob, comment in zip(told[::2], told[1::2], strict=True):
            with contextlib.suppress(ValueError):  # an invalid key must not hide the others
                keys.append(AgentKey(PublicKey.of(blob), shortened(printable(comment), 60)))
        return keys

    def sign(self, key: PublicKey, data: bytes, algorithm: str) -> bytes:
        """Sign by this algorithm and no other; return the signature as SSH sends it.

        RFC 4253 §6.6. May wait for a person: a confirmation, a touch. Raises AgentError.
        """
        flags = _SIGN_FLAGS.get(algorithm, 0).to_bytes(4, "big")
        kind, body = self._ask(
            bytes([_SIGN_REQUEST]) + strings(key.blob, data) + flags, float("inf")
        )
        if kind == _FAILURE:
            raise AgentError("it refuses to sign")
        try:
            signature = Reader(body).string()
            used = Reader(signature).string()
        except ValueError as exc:
            raise AgentError("its signature is malformed") from exc
        if kind != _SIGN_RESPONSE or used.decode("ascii", "replace") != algorithm:
            # Some agents overlook the flags and sign with SHA-1.
            raise AgentError(f"it signs with {shortened(printable(used), 60)}, not {algorithm}")
        return signature

    def _ask(self, message: bytes, patience: float) -> tuple[int, bytes]:
        if self._hangs:  # do not wait twice
            raise AgentError("it does not answer")
        exchange = Background("agent", lambda: self._exchange(message))
        deadline = time.monotonic() + patience
        while not exchange.wait(_POLL):
            if self._cancelled() or time.monotonic() > deadline:
                self._hangs = True
                self.close()
                raise AgentError("it does not answer")
        try:
            answer = exchange.result()
        except (OSError, ValueError) as exc:
            self.close()
            raise AgentError(printable(reason(exc))) from exc
        return answer[0], answer[1:]

    def _exchange(self, message: bytes) -> bytes:
        """Send one request and return its answer, each behind its length."""
        if self._stream is None:
            self._stream = _connect(self.path)
        stream = self._stream
        packet = strings(message)
        if isinstance(stream, socket.socket):
            stream.sendall(packet)
        else:
            stream.send(packet)
        size = int.from_bytes(_receive(stream, 4), "big")
        if not 0 < size <= _LONGEST_ANSWER:
            raise ValueError(f"its answer has an impossible length: {size} bytes")
        return _receive(stream, size)


def _receive(stream: _Stream, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = stream.recv(size - len(data))
        if not isinstance(piece, bytes) or not piece:
            raise ValueError("it hung up")
        data += piece
    return data


if sys.platform == "win32":
    from m2m_ssh_client import threads

    def _open(path: str) -> int:
        """Open the pipe; while another client has its only free place, wait for the next one.

        The C library reports a busy pipe as an invalid argument.
        """
        deadline = time.monotonic() + _PROMPT
        while True:
            try:
                return os.open(path, os.O_RDWR | os.O_BINARY)
            except OSError as exc:
                left = deadline - time.monotonic()
                if exc.errno != errno.EINVAL or left <= 0:
                    raise
                from m2m_ssh_client.windows import calls

                if not calls.wait_for_pipe(path, left):
                    raise TimeoutError(errno.ETIMEDOUT, "it is busy with other programs") from exc

    class _Pipe:
        """A named pipe as a stream."""

        def __init__(self, path: str) -> None:
            self._descriptor = _open(path)

        def send(self, data: bytes, /) -> None:
            while data:
                data = data[os.write(self._descriptor, data) :]

        def recv(self, size: int, /) -> bytes:
            return os.read(self._descriptor, size)

        def close(self) -> None:
            os.close(self._descriptor)

    def _connect(path: str) -> _Stream:
        """Connect to the pipe; without one, to PuTTY's agent, which has windows instead."""
        try:
            return _Pipe(path)
        except OSError:
            from m2m_ssh_client.ssh.library import pageant

            if (connection := pageant.connect()) is None:
                raise
            return connection

    def _end(stream: _Stream) -> None:
        # Closing waits for a read in progress, and nobody may wait for that.
        threads.start("agent", stream.close)

else:

    def _connect(path: str) -> _Stream:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(_PROMPT)
            connection.connect(path)
            connection.settimeout(None)
        except BaseException:
            connection.close()
            raise
        return connection

    def _end(stream: _Stream) -> None:
        if isinstance(stream, socket.socket):
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)  # ends a read in progress
        stream.close()
