"""A TCP connection to a host name: every address tried, the fastest wins."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable
from itertools import chain, zip_longest
from typing import Any

from m2m_ssh_client.errors import UnreachableError

# RFC 8305 section 5: how long one attempt has the line for itself before the next address is tried beside it.
_HEAD_START = 0.25

_NETWORK_DOWN = frozenset(
    {errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.ETIMEDOUT, errno.EADDRNOTAVAIL}
)

_Address = tuple[socket.AddressFamily, Any]
"""A family and an address as that family writes it."""


class LiveSocket(socket.socket):
    """A TCP socket that remembers when it last received something (`time.monotonic`)."""

    last_received = 0.0

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        data = super().recv(size, flags)
        self.last_received = time.monotonic()
        return data


def connect(host: str, port: int, deadline: float, cancelled: Callable[[], bool]) -> LiveSocket:
    """A connected, blocking socket with TCP_NODELAY.

    `deadline` is on the monotonic clock; `cancelled` is asked every tenth of a second, and while the name is
    being looked up nothing can interrupt. Raises UnreachableError.
    """
    addresses = _resolve(host, port)
    sock = LiveSocket(fileno=_race(addresses, deadline, cancelled).detach())
    sock.last_received = time.monotonic()
    sock.setblocking(True)
    # A request is small and waits for its answer: Nagle's algorithm would hold it back. paramiko leaves it on.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def _resolve(host: str, port: int) -> list[_Address]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as exc:
        reason = exc.strerror if isinstance(exc, socket.gaierror) else "not a host name"
        raise UnreachableError(
            f"The host name {host!r} cannot be resolved: {reason}",
            "Check --host, and the network or VPN that knows this name.",
            network_down=isinstance(exc, socket.gaierror) and exc.errno == socket.EAI_AGAIN,
        ) from exc
    by_family: dict[socket.AddressFamily, list[_Address]] = {}
    for family, _, _, _, address in found:
        by_family.setdefault(family, []).append((family, address))
    # Families in turn (RFC 8305 section 4), so that a broken IPv6 costs one head start, not one for each address.
    interleaved = chain.from_iterable(zip_longest(*by_family.values()))
    return [address for address in interleaved if address is not None]


def _race(
    addresses: list[_Address], deadline: float, cancelled: Callable[[], bool]
) -> socket.socket:
    failure = OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
    waiting = deque(addresses)
    next_start = 0.0
    with selectors.DefaultSelector() as selector:
        try:
            while (waiting or selector.get_map()) and time.monotonic() < deadline:
                if cancelled():
                    break
                try:
                    if waiting and (time.monotonic() >= next_start or not selector.get_map()):
                        next_start = time.monotonic() + _HEAD_START
                        _start(waiting.popleft(), selector)
                    if winner := _connected(selector, min(0.1, deadline - time.monotonic())):
                        return winner
                except OSError as exc:
                    failure, next_start = exc, 0.0
        finally:
            for key in list(selector.get_map().values()):
                _socket(key).close()
    raise _unreachable(failure, addresses) from failure


def _start(address: _Address, selector: selectors.BaseSelector) -> None:
    sock = socket.socket(address[0], socket.SOCK_STREAM)
    sock.setblocking(False)
    code = sock.connect_ex(address[1])
    if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
        sock.close()
        raise OSError(code, os.strerror(code))
    selector.register(sock, selectors.EVENT_WRITE)


def _connected(selector: selectors.BaseSelector, timeout: float) -> socket.socket | None:
    """One that has connected, within `timeout` seconds; OSError if one has failed."""
    for key, _ in selector.select(max(timeout, 0)):
        sock = _socket(key)
        selector.unregister(sock)
        if code := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            sock.close()
            raise OSError(code, os.strerror(code))
        return sock
    return None


def _socket(key: selectors.SelectorKey) -> socket.socket:
    assert isinstance(key.fileobj, socket.socket)  # noqa: S101 - nothing else is ever registered
    return key.fileobj


def _unreachable(failure: OSError, addresses: list[_Address]) -> UnreachableError:
    tried = ", ".join(f"{address[0]} port {address[1]}" for _, address in addresses)
    hint = {
        errno.ECONNREFUSED: "Nothing listens there: is the SSH server running, and is --port right?",
        errno.EHOSTUNREACH: "Is the machine up and on this network or VPN?",
        errno.ENETUNREACH: "Is this machine on the network or VPN that leads there?",
    }.get(failure.errno or 0, "Is the machine up, and do its firewall and --port let you in?")
    return UnreachableError(
        f"[Errno {failure.errno}] {failure.strerror} (tried {tried})",
        hint,
        network_down=failure.errno in _NETWORK_DOWN,
    )
