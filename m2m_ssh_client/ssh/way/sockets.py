"""A TCP connection to a host name: every address is tried, and the fastest wins."""

from __future__ import annotations

import errno
import os
import selectors
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from m2m_ssh_client.errors import UnreachableError, reason
from m2m_ssh_client.ssh import settings
from m2m_ssh_client.text import quoted

# Seconds that one attempt has for itself before the next address is tried beside it (RFC 8305
# section 5).
_HEAD_START = 0.25

_LOOK = 1.0  # seconds to look at another port
_PAUSE = 1.0  # seconds between two attempts, as in `ssh` (ssh_config(5), ConnectionAttempts)

_NETWORK_DOWN = frozenset(
    {errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.ETIMEDOUT, errno.EADDRNOTAVAIL}
)

Target = tuple[socket.AddressFamily, Any]
"""A family and an address as that family writes it."""


_FAMILIES = {
    "any": socket.AF_UNSPEC,
    "inet": socket.AF_INET,
    "inet6": socket.AF_INET6,
}
_AS_WHAT = {"inet": " to an IPv4 address", "inet6": " to an IPv6 address"}


class LiveSocket(socket.socket):
    """A TCP socket that remembers when it last received something (`time.monotonic`).

    Keys must be exchanged over it by `exchange_by`, on the same clock. While it is `prompt`, it
    acknowledges at once what it receives.
    """

    last_received = 0.0
    exchange_by = float("inf")
    prompt = False

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        data = super().recv(size, flags)
        self.last_received = time.monotonic()
        if sys.platform == "linux" and self.prompt:
            with suppress(OSError):  # another thread has closed it
                self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)  # once: tcp(7)
        return data

    def hurry(self) -> None:
        """Send small packets at once, and where possible make the other side do so.

        A request is small and waits for its answer, and paramiko leaves Nagle's algorithm on. So
        does sshd until it starts a process: its second small packet waits for our acknowledgement
        of the first, which the kernel sends 40 ms later if we have nothing to send.
        """
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.prompt = sys.platform == "linux"

    def explain(self) -> str | None:
        """Return why it ended, if it knows more than that it did."""
        return None


class _CannotBindError(OSError):
    """The local address cannot be used."""


class _Bind(NamedTuple):
    """The local address to connect from (ssh_config(5), BindAddress), for each of its families."""

    name: str
    addresses: dict[socket.AddressFamily, Any]

    def apply(self, sock: socket.socket) -> None:
        try:
            sock.bind(self.addresses[sock.family])
        except OSError as exc:
            raise _CannotBindError(exc.errno, exc.strerror) from exc


def connect(
    address: settings.Address,
    deadline: float,
    cancelled: Callable[[], bool],
    only: Target | None = None,
) -> LiveSocket:
    """Return a connected, blocking socket with TCP_NODELAY to any of the `targets`.

    `only` names one of them. `deadline` is on the monotonic clock; `cancelled` is called every
    tenth of a second. Nothing can interrupt a name look-up. Raises UnreachableError.
    """
    bind = _bind(address)
    found = _targets(address, bind) if only is None else [only]
    for attempts_left in reversed(range(max(address.attempts, 1))):
        until = attempt_end(address)
        try:
            sock = LiveSocket(fileno=_race(found, bind, min(until, deadline), cancelled).detach())
            sock.exchange_by = until
            break
        except UnreachableError as exc:
            if not attempts_left or not _paused(deadline, cancelled):
                _look_at_other_port(address, found, exc, min(deadline, time.monotonic() + _LOOK))
                raise
    sock.last_received = time.monotonic()
    sock.setblocking(True)
    sock.hurry()
    if address.tcp_keepalive:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return sock


def attempt_end(address: settings.Address) -> float:
    """Return the time on the monotonic clock at which an attempt that begins now must end."""
    return float("inf") if address.timeout is None else time.monotonic() + address.timeout


def _look_at_other_port(
    address: settings.Address, targets: list[Target], refusal: UnreachableError, deadline: float
) -> None:
    """Make the hint for a refused default port name it, and the other port if that answers."""
    cause = refusal.__cause__
    if address.other_port is None or getattr(cause, "errno", None) != errno.ECONNREFUSED:
        return
    other = address.other_port
    refusal.hint = (
        f"Nothing listens on port {address.port}, which is only the default; "
        f"an SSH server answers on port {other}: add --port {other}."
        if any(_is_ssh_server(target, other, deadline) for target in targets)
        else f"Port {address.port} is only the default, as no port was named. Is the SSH server "
        "running? If it listens on another port, add --port."
    )


def _is_ssh_server(target: Target, port: int, deadline: float) -> bool:
    """Return whether the machine begins to speak SSH on this port (RFC 4253 section 4.2)."""
    family, (host, _, *rest) = target
    with suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(max(deadline - time.monotonic(), 0.01))
        sock.connect((host, port, *rest))
        return sock.recv(4) == b"SSH-"
    return False


def targets(address: settings.Address) -> list[Target]:
    """Return the addresses of the host name in the order of trying. Raises UnreachableError.

    Nothing can interrupt it.
    """
    return _targets(address, _bind(address))


def _targets(address: settings.Address, bind: _Bind | None) -> list[Target]:
    try:
        found = _resolve(address.host, address.port, address.family)
    except (socket.gaierror, UnicodeError) as exc:
        as_what = _AS_WHAT.get(address.family, "")
        raise UnreachableError(
            f"The host name {address.host!r} cannot be resolved{as_what}: {_reason(exc)}",
            f"Check --host, and the network or VPN that knows this name.{_other_home()}",
            network_down=isinstance(exc, socket.gaierror) and exc.errno == socket.EAI_AGAIN,
        ) from exc
    by_family: dict[socket.AddressFamily, list[Target]] = {}
    for each in found:
        if bind is None or each[0] in bind.addresses:
            by_family.setdefault(each[0], []).append(each)
    if bind is not None and not by_family:
        raise _cannot_bind(bind.name, f"{address.host} has only addresses of another family")
    # Families in turn (RFC 8305 section 4), so that a broken IPv6 costs one head start, not one for
    # each address.
    interleaved = chain.from_iterable(zip_longest(*by_family.values()))
    return [address for address in interleaved if address is not None]


def _other_home() -> str:
    """Return where `ssh` has its configuration, if HOME leads this program elsewhere.

    `ssh` takes the home folder of the account. A name that only its configuration knows cannot be
    resolved then.
    """
    if sys.platform == "win32":
        return ""
    import pwd

    try:
        home = Path(pwd.getpwuid(os.getuid()).pw_dir)
        config = home / ".ssh" / "config"
        if home == Path.home() or not config.exists():
            return ""
    except (KeyError, RuntimeError, OSError):
        return ""
    return (
        f" HOME is {quoted(Path.home())} here, but `ssh` reads {quoted(config)}: "
        f"--ssh-config {quoted(config)} does that, too."
    )


def _bind(address: settings.Address) -> _Bind | None:
    if address.bind is None:
        return None
    try:
        return _Bind(address.bind, dict(reversed(_resolve(address.bind, 0, address.family))))
    except (socket.gaierror, UnicodeError) as exc:
        raise _cannot_bind(address.bind, _reason(exc)) from exc


def _resolve(host: str, port: int, family: settings.AddressFamily) -> list[Target]:
    found = socket.getaddrinfo(host, port, _FAMILIES[family], socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


def _reason(exc: socket.gaierror | UnicodeError) -> str:
    return reason(exc) if isinstance(exc, socket.gaierror) else "not a host name"


def _paused(deadline: float, cancelled: Callable[[], bool]) -> bool:
    """Pause before another attempt; return whether there is time for it."""
    until = time.monotonic() + _PAUSE
    if until >= deadline:
        return False
    while (left := until - time.monotonic()) > 0:
        if cancelled():
            return False
        time.sleep(min(0.1, left))
    return True


def _race(
    addresses: list[Target],
    bind: _Bind | None,
    deadline: float,
    cancelled: Callable[[], bool],
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
                        _start(waiting.popleft(), bind, selector)
                    if winner := _connected(selector, min(0.1, deadline - time.monotonic())):
                        return winner
                except OSError as exc:
                    failure, next_start = exc, 0.0
        finally:
            for key in list(selector.get_map().values()):
                _socket(key).close()
    if bind is not None and isinstance(failure, _CannotBindError):
        raise _cannot_bind(bind.name, reason(failure)) from failure
    raise _unreachable(failure, addresses) from failure


def _start(address: Target, bind: _Bind | None, selector: selectors.BaseSelector) -> None:
    sock = socket.socket(address[0], socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if bind is not None:
            bind.apply(sock)
        _begin(sock, address[1])
    except OSError:
        sock.close()
        raise
    selector.register(sock, selectors.EVENT_WRITE)


def _begin(sock: socket.socket, target: Any) -> None:
    code = sock.connect_ex(target)
    if code not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
        raise OSError(code, os.strerror(code))


def _connected(selector: selectors.BaseSelector, timeout: float) -> socket.socket | None:
    """Return a socket that has connected, within `timeout` seconds; OSError if one has failed."""
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


def _unreachable(failure: OSError, addresses: list[Target]) -> UnreachableError:
    tried = ", ".join(f"{address[0]} port {address[1]}" for _, address in addresses)
    hint = {
        errno.ECONNREFUSED: (
            "Nothing listens there: is the SSH server running, and is --port right?"
        ),
        errno.EHOSTUNREACH: "Is the machine up and on this network or VPN?",
        errno.ENETUNREACH: "Is this machine on the network or VPN that leads there?",
    }.get(failure.errno or 0, "Is the machine up, and do its firewall and --port let you in?")
    return UnreachableError(
        f"{reason(failure)} (tried {tried})",
        hint,
        network_down=failure.errno in _NETWORK_DOWN,
    )


def _cannot_bind(name: str, why: str) -> UnreachableError:
    return UnreachableError(
        f"The local address {name!r} cannot be used: {why}",
        "Check BindAddress, and whether the network or VPN that has this address is up.",
        network_down=True,
    )
