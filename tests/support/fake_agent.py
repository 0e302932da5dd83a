"""An agent that a test scripts: it holds what it is given, a security key among it, and answers as it is told."""

from __future__ import annotations

import hashlib
import socket
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

FAILURE = b"\x05"
IDENTITIES, IDENTITIES_ANSWER = 11, b"\x0c"
SIGN, SIGN_RESPONSE = 13, b"\x0e"


def wire(*fields: bytes) -> bytes:
    return b"".join(len(field).to_bytes(4, "big") + field for field in fields)


class SecurityKey:
    """`sk-ssh-ed25519@openssh.com` in software (PROTOCOL.u2f): no device, and as good a signature."""

    key_type = "sk-ssh-ed25519@openssh.com"
    _application = b"ssh:"

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        public = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.blob = wire(self.key_type.encode(), public, self._application)

    def sign(self, data: bytes) -> bytes:
        flags_and_counter = b"\1" + (7).to_bytes(4, "big")  # 1: somebody touched it
        application, message = (hashlib.sha256(each).digest() for each in (self._application, data))
        signature = self._key.sign(application + flags_and_counter + message)
        return wire(self.key_type.encode(), signature) + flags_and_counter


Answer = Callable[[bytes], bytes | None]


class FakeAgent:
    """Answers each request with `answer(request)`, without the length; None hangs up. A context manager."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._folder = tempfile.TemporaryDirectory(prefix="agent-")
        self.path = str(Path(self._folder.name) / "socket")
        self.requests: list[bytes] = []
        self._listener = _listening_at(self.path)
        self._connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> FakeAgent:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in (self._listener, *self._connections):
            with _ignoring():
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._thread.join(5)
        self._folder.cleanup()

    def _serve(self) -> None:
        with _ignoring():
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                with _ignoring(), connection:
                    self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        with stream:
            while size := stream.read(4):
                request = stream.read(int.from_bytes(size, "big"))
                self.requests.append(request)
                answer = self._answer(request)
                if answer is None:
                    return
                connection.sendall(answer if answer.startswith(b"raw") else wire(answer))


class _ignoring:  # noqa: N801 - reads as a phrase
    """contextlib.suppress for what a closed socket raises in a thread."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        return kind is not None and issubclass(kind, (OSError, ValueError))


def _listening_at(path: str) -> socket.socket:
    if sys.platform == "win32":
        raise NotImplementedError
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    listener.listen()
    return listener


def holding(*keys: SecurityKey) -> Answer:
    """The answers of an agent that holds these."""

    def answer(request: bytes) -> bytes:
        if request[0] == IDENTITIES:
            listed = b"".join(wire(key.blob, b"a security key") for key in keys)
            return IDENTITIES_ANSWER + len(keys).to_bytes(4, "big") + listed
        for key in keys:
            prefix = bytes([SIGN]) + wire(key.blob)
            if request.startswith(prefix):
                data = request[len(prefix) + 4 : -4]
                return SIGN_RESPONSE + wire(key.sign(data))
        return FAILURE

    return answer
