"""What a key server answers: as HTTP, byte for byte, and as an answer that HTTP has brought."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from typing import Any

import urllib3.util.connection
from fuzz.target import is_showable, replaced

from m2m_ssh_client.errors import KeyServerError
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.trust.closable_session import ClosableSession
from m2m_ssh_client.ssh.trust.key_server import KeyServer, _Answer, _http_exchange

_URL = "http://127.0.0.1:8000/server_pub_key"
_MOST = 60 * 1024  # bytes: what a socket takes without anybody reading


class _NoWait(threading.Event):
    """Never set, and waited for in no time."""

    def wait(self, _: float | None = None) -> bool:
        return False


class _Scripted(KeyServer):
    """Gets this answer to everything, several times if it asks for that."""

    def __init__(self, answer: _Answer) -> None:
        super().__init__("127.0.0.1", 8000, _NoWait())
        self._answer = answer
        self.asked = 0

    def _exchange(self, *_: object) -> _Answer:
        self.asked += 1
        return self._answer


def check_answer(data: bytes) -> None:
    """Status and Retry-After on the first line, and then the body."""
    head, _, body = data.partition(b"\n")
    status, _, retry_after = head.decode("latin-1").partition(" ")
    code = int(status) if re.fullmatch("[1-9][0-9]{2}", status) else 200
    server = _Scripted(_Answer(code, retry_after, body))
    try:
        key = server.server_public_key()
    except KeyServerError as exc:
        is_showable(exc)
    else:
        assert code == 200
        assert PublicKey.parse_host_key(f"{key.key_type} {key.base64}") == key
    with contextlib.suppress(KeyServerError):
        server.register("ssh-ed25519 AAAA")
        assert b"success" in body or b"\\u" in body or b"\0" in body
    assert server.asked < 250  # once a second at most, while its patience lasts


def check_http(data: bytes) -> None:
    """All that the server sends before it closes the connection. What may come out is documented there."""

    def connect(*_: Any, **__: Any) -> socket.socket:
        ours, theirs = socket.socketpair()
        theirs.sendall(data[:_MOST])
        theirs.shutdown(socket.SHUT_WR)
        connections.append(theirs)
        return ours

    connections: list[socket.socket] = []
    session = ClosableSession()
    with replaced((urllib3.util.connection, "create_connection", connect)):
        try:
            answer = _http_exchange("GET", _URL, None, time.monotonic() + 5, True, session)
        except (OSError, ValueError):  # as `_exchange` takes them
            answer = None
        finally:
            session.cut()
            for each in connections:
                each.close()
    if answer is not None:
        assert len(connections) == 1  # no redirect was followed
        assert 100 <= answer.status < 1000
        assert len(answer.body) <= 64 * 1024
