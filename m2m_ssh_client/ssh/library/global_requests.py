"""Global requests (RFC 4254 section 4): ours, whose replies come in order, and a server's keys."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

import paramiko
from paramiko.common import cMSG_GLOBAL_REQUEST

from m2m_ssh_client.ssh.wire import Reader

_MOST_WAITING = 1000  # requests; a server that answers none of them is given up long before
_POLL = 0.1  # seconds until the end of a connection is noticed

Answered = Callable[[bytes | None], None]
"""Called with the data of a success, or None for any other reply; in the transport's thread."""


class GlobalRequests:
    """Our requests. Any thread may send one; the transport's thread reports the replies."""

    def __init__(self, send: Callable[[paramiko.Message], None]) -> None:
        self._send = send
        self._sending = threading.Lock()
        self._waiting: deque[Answered] = deque(maxlen=_MOST_WAITING)

    def send(self, kind: str, data: bytes, answered: Answered) -> None:
        """Send a request that wants a reply, without waiting for that. Sending may block."""
        message = paramiko.Message()
        message.add_byte(cMSG_GLOBAL_REQUEST)
        message.add_string(kind)
        message.add_boolean(True)
        message.add_bytes(data)
        with self._sending:
            self._waiting.append(answered)
            self._send(message)

    def ask(
        self, kind: str, data: bytes, deadline: float, is_alive: Callable[[], bool]
    ) -> bytes | None:
        """Send a request; return the data of its success, None if there is none in time."""
        done = threading.Event()
        replies: list[bytes | None] = []

        def answered(reply: bytes | None) -> None:
            replies.append(reply)
            done.set()

        self.send(kind, data, answered)
        while not done.wait(_POLL):
            if not is_alive() or time.monotonic() > deadline:
                return None
        return replies[0]

    def replied(self, data: bytes | None) -> None:
        """Take a reply, which is to the oldest request that has had none."""
        if self._waiting:
            self._waiting.popleft()(data)


def announced_host_keys(request: bytes) -> list[bytes] | None:
    """Return the keys in a request of the server, None if it is about something else.

    OpenSSH's PROTOCOL, section 2.5. Raises ValueError if it is malformed.
    """
    reader = Reader(request)
    if reader.string() != b"hostkeys-00@openssh.com":
        return None
    reader.take(1)  # whether it wants a reply
    return reader.strings()
