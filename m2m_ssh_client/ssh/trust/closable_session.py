"""A session of requests that another thread can end, at any point of a request.

No timeout of requests covers a handshake or headers that arrive one byte at a time, and closing a
`requests.Session` leaves a connection in use alone.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Any, cast

import requests
from requests.adapters import HTTPAdapter


class ClosableSession(requests.Session):
    """A session that ignores redirects. `cut` may be called by any thread.

    To find out where one leads, `requests` reads its body to the end, whatever its size, even if
    told not to follow.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._cut = False
        for scheme in ("http://", "https://"):
            self.mount(scheme, _Adapter(self))

    def get_redirect_target(self, _: requests.Response) -> None:
        return None

    def cut(self) -> None:
        """End what is under way, and let nothing begin."""
        with self._lock:
            self._cut = True
            for each in self._sockets:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)  # which wakes a thread that reads
                each.close()
            self._sockets.clear()

    def opened(self, connection: socket.socket) -> None:
        """Take note of a new connection. Raises InterruptedError after `cut`."""
        with self._lock:
            if self._cut:
                connection.close()
                raise InterruptedError("interrupted")
            self._sockets.append(connection.dup())  # TLS will detach the given one


class _Adapter(HTTPAdapter):
    """Tells a session of each new connection, before TLS begins on it."""

    def __init__(self, session: ClosableSession) -> None:
        self._session = session
        super().__init__()

    def get_connection_with_tls_context(self, *args: Any, **options: Any) -> Any:
        """Return the pool that will make the connection, directly or by way of a proxy."""
        pool = cast("Any", super().get_connection_with_tls_context(*args, **options))
        made, session = pool.ConnectionCls, self._session

        def _new_conn(connection: Any) -> socket.socket:
            # Nothing public is called this early.
            new: socket.socket = made._new_conn(connection)
            session.opened(new)
            return new

        pool.ConnectionCls = type("Connection", (made,), {"_new_conn": _new_conn})
        return pool
