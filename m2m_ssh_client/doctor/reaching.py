"""The steps name resolution and TCP: try each address of the first machine."""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from m2m_ssh_client.doctor.steps import Status, Step, failed
from m2m_ssh_client.errors import UnreachableError, reason
from m2m_ssh_client.ssh.settings import Address
from m2m_ssh_client.ssh.way import sockets
from m2m_ssh_client.text import printable

_MOST_AT_ONCE = 16
_PATIENCE = 10.0  # seconds for each address; sshd drops connections that wait longer for others


class _Attempt(NamedTuple):
    shown: str
    seconds: float
    sock: sockets.LiveSocket | None = None
    error: UnreachableError | None = None

    @property
    def reason(self) -> str:
        """The operating system's reason for a failure."""
        if self.error is None:
            return ""
        cause = self.error.__cause__
        return printable(reason(cause) if isinstance(cause, OSError) else self.error.message)


def resolution(address: Address) -> tuple[Step, list[sockets.Target]]:
    """Return the step, and the addresses in the order of trying; none if it failed."""
    started = time.monotonic()
    try:
        targets = sockets.targets(address)
    except UnreachableError as exc:
        return failed("name_resolution", exc, {"name": address.host}), []
    shown = [_shown(target) for target in targets]
    found = {"name": address.host, "addresses": shown, "ms": _ms(time.monotonic() - started)}
    return Step("name_resolution", Status.OK, found, ", ".join(shown)), targets


def tcp(
    address: Address, targets: Sequence[sockets.Target], timeout: float
) -> tuple[Step, sockets.LiveSocket | None]:
    """Return the step, and a socket to the first reachable address; the caller closes it."""
    attempts = _all_tried(address, targets, timeout)
    reached = [each for each in attempts if each.sock is not None]
    for each in reached[1:]:
        if each.sock is not None:
            each.sock.close()
    found = {
        "port": address.port,
        "addresses": [
            {
                "address": each.shown,
                "reachable": each.sock is not None,
                "ms": _ms(each.seconds),
                **({"reason": each.reason} if each.reason else {}),
            }
            for each in attempts
        ],
    }
    details = tuple(
        f"{each.shown}: {each.reason or 'reachable'}, {_ms(each.seconds):g} ms" for each in attempts
    )
    if not reached:
        first = attempts[0]
        error = first.error or UnreachableError("No address")
        advice = _local_network(first) if _is_kept_from_local_network(first) else ""
        return failed("tcp", error, found, advice=advice, details=details), None
    summary = (
        f"port {address.port} answers at {reached[0].shown} after {_ms(reached[0].seconds):g} ms"
    )
    shown = details if len(attempts) > 1 else ()
    sock = reached[0].sock
    assert sock is not None  # noqa: S101 - as above
    sock.exchange_by = sockets.attempt_end(address)  # the other addresses were tried meanwhile
    return Step("tcp", Status.OK, found, summary, details=shown), sock


def _all_tried(
    address: Address, targets: Sequence[sockets.Target], timeout: float
) -> list[_Attempt]:
    """Try all addresses at once, so that several silent ones take only one timeout."""
    stop = threading.Event()

    def attempt(target: sockets.Target) -> _Attempt:
        started = time.monotonic()
        try:
            deadline = started + min(timeout, _PATIENCE)
            sock = sockets.connect(address, deadline, stop.is_set, target)
        except UnreachableError as exc:
            return _Attempt(_shown(target), time.monotonic() - started, error=exc)
        return _Attempt(_shown(target), time.monotonic() - started, sock)

    with ThreadPoolExecutor(_MOST_AT_ONCE, "m2m-doctor") as pool:
        try:
            return list(pool.map(attempt, targets))
        finally:
            stop.set()


def _shown(target: sockets.Target) -> str:
    """Return the address, with its zone if needed."""
    family, (host, _, *more) = target
    zone = more[1] if family == socket.AF_INET6 and len(more) > 1 else 0
    return f"{host}%{zone}" if zone and "%" not in host else str(host)


def _is_kept_from_local_network(attempt: _Attempt) -> bool:
    cause = attempt.error and attempt.error.__cause__
    host = ipaddress.ip_address(attempt.shown.partition("%")[0])
    unreachable = isinstance(cause, OSError) and cause.errno == errno.EHOSTUNREACH
    return sys.platform == "darwin" and unreachable and host.is_private and not host.is_loopback


def _local_network(attempt: _Attempt) -> str:
    return (
        f"If this machine is on the network of {attempt.shown}, macOS may block the app that starts "
        "this command: allow that app (the terminal, or the MCP host) in System Settings → Privacy "
        "& Security → Local Network, and restart it."
    )


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)
