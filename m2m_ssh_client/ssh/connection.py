"""One SSH connection: reach the machine, verify its host key, log in, open channels for processes.

The way to the machine may lead through jump hosts. Each is a connection with settings and a
host-key check of its own.

Everything blocks, and one deadline bounds everything: a timer closes the connection, which ends
every wait in paramiko. `close()` does the same from any thread and at any time. Nothing is sent to
a machine before its host key is verified, beyond what the key exchange itself needs.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Protocol

import paramiko

from m2m_ssh_client.errors import (
    ChannelRefusedError,
    ConnectionLostError,
    SilentConnectionError,
    SSHClientError,
    UnreachableError,
)
from m2m_ssh_client.ssh import algorithms, failures, other_host_keys
from m2m_ssh_client.ssh.library.environment import asked_for
from m2m_ssh_client.ssh.library.ssh_transport import Transport
from m2m_ssh_client.ssh.login.login_record import LoginRecord
from m2m_ssh_client.ssh.process.carrier import ChannelCarrier
from m2m_ssh_client.ssh.public_key import CERTIFICATE_SUFFIX, PublicKey
from m2m_ssh_client.ssh.settings import HostSettings, Request
from m2m_ssh_client.ssh.trust.verifier import HostVerifier, key_type_of
from m2m_ssh_client.ssh.way import jump, sockets
from m2m_ssh_client.ssh.way.liveness import Liveness

if TYPE_CHECKING:
    from m2m_ssh_client.ssh.login.unlocked_keys import UnlockedKeys

logger = logging.getLogger(__name__)


class Link(Protocol):
    """The byte stream under a transport: a TCP socket, a jump host's channel, a ProxyCommand."""

    last_received: float
    exchange_by: float
    prompt: bool

    def close(self) -> None: ...

    def explain(self) -> str | None:
        """Return why it ended, if it knows more than that it did."""


class Stage(NamedTuple):
    """The state of the way to one machine.

    Without a `transport`, its SSH port was not reached; without a `login`, its host key was not
    accepted.
    """

    settings: HostSettings
    transport: Transport | None
    login: LoginRecord | None


class Connection:
    """A connection to one machine. Call `open()` once; `close()` from any thread.

    It carries any number of remote processes, one after the other or side by side, each on a
    channel. A jump host is a `Connection` inside this one, so closing the outermost ends every wait
    in the chain. Every failure becomes an SSHClientError that names the step and the machine.

    `unlocked` remembers opened keys from one connection to the next. `connect_timeout` (seconds)
    bounds `open` with all jump hosts, and each `channel` again. `keepalive` and `keepalive_count`
    are those of `Liveness`; `answered` gets the round-trip time of each keepalive, in seconds.
    `dialled` returns a socket to the first machine on the way that somebody has already begun to
    connect.
    """

    def __init__(
        self,
        settings: HostSettings,
        unlocked: UnlockedKeys,
        *,
        connect_timeout: float,
        keepalive: float = 0,
        keepalive_count: int = 3,
        answered: Callable[[float], None] = lambda _: None,
        dialled: Callable[[], sockets.LiveSocket] | None = None,
    ) -> None:
        self._settings = settings
        self._unlocked = unlocked
        self._connect_timeout = connect_timeout
        self._keepalive = keepalive
        self._keepalive_count = keepalive_count
        self._answered = answered
        self._dialled = dialled
        self._via: Connection | None = None
        self._link: Link | None = None
        self._transport: Transport | None = None
        self._verifier: HostVerifier | None = None
        self._login: LoginRecord | None = None
        self._liveness: Liveness | None = None
        self._closed = threading.Event()
        self._limit = failures.Limit(connect_timeout, "--connect-timeout SECONDS")
        self._timed_out: failures.Limit | None = None
        self._phase = "connecting"
        self._silence = 0.0  # seconds; not 0 if it ended the connection

    @property
    def alive(self) -> bool:
        """True while the connection is not known to have ended."""
        return self._transport is not None and self._transport.is_active()

    def open(self) -> None:
        """Connect, verify the host key, authenticate.

        Raises an SSHClientError that says which step failed, and where; the connection is closed
        then.
        """
        with self._bounded() as deadline:
            self._open(deadline)
            self._watch()

    def channel(self, request: Request, ahead: Callable[[], bytes] = lambda: b"") -> ChannelCarrier:
        """Start a new process on the machine. Raises as `open` does.

        If the server refuses just this one (ChannelRefusedError), the connection stays. `ahead`:
        see `ChannelCarrier.ask`.
        """
        with self._bounded(spared=ChannelRefusedError):
            if self._transport is None:
                raise ConnectionLostError("The SSH connection is not open")
            self._phase = "opening the session"
            channel = self._session(self._transport)
            carrier = ChannelCarrier(self, self._transport, channel, request)
            self._ask(channel, request, partial(carrier.ask, ahead))
            self._transport.settle()
            self._learn_host_keys()
            return carrier

    def offered_host_keys(self, fingerprints: Collection[str] = ()) -> list[PublicKey]:
        """Return the machine's own key, by a key exchange without a login there.

        It is of a type on file, if the machine has one. With `fingerprints`, further exchanges ask
        for keys of other types until all of those were seen: servers lock out who comes and leaves
        too often. Jump hosts on the way are verified and logged in to. Raises as `open` does.
        """
        found: list[PublicKey] = []
        with self._bounded() as deadline, self._in_words():
            names = [
                n for n in host_key_policy(self._settings)[1] if not n.endswith(CERTIFICATE_SUFFIX)
            ]
            while names and not (found and {key.fingerprint for key in found} >= {*fingerprints}):
                try:
                    transport = self._exchange_keys(names, deadline)
                except (paramiko.SSHException, OSError, EOFError) as exc:
                    if self._closed.is_set() or not found:
                        raise
                    # It has no other type; dropbear ends the connection where others refuse.
                    told = failures.explained(self._progress, exc, self._limit)
                    logger.info("asked for %s: %s", " or ".join(names), told.message)
                    break
                key = PublicKey.read_host_key(transport.host_key_blob)
                found.append(key)
                names = [name for name in names if key_type_of(name) != key.key_type]
                self._hang_up()
        return found

    def trail(self) -> list[Stage]:
        """Return a stage for each machine on the way, in the order of travel.

        Works after a failure, too.
        """
        before = self._via.trail() if self._via is not None else []
        return [*before, Stage(self._settings, self._transport, self._login)]

    def close(self) -> None:
        """End the connection at once, also while it is being opened."""
        self._closed.set()
        if self._liveness is not None:
            self._liveness.stop()
        self._hang_up()
        if self._via is not None:
            self._via.close()

    def lost(self) -> ConnectionLostError:
        """Return the reason why the connection is not alive any more."""
        if self._silence:
            host = self._settings.address.host
            return SilentConnectionError(
                f"The SSH connection was lost: no sign of life from {host} for "
                f"{self._silence:.0f} s"
            )
        return failures.lost(self._progress)

    @contextmanager
    def _bounded(self, spared: type[SSHClientError] | tuple[()] = ()) -> Iterator[float]:
        """Close the connection at the deadline and on failures but `spared`; translate them."""
        deadline = time.monotonic() + self._connect_timeout
        try:
            with self._ending_at(deadline, self._limit), self._in_words():
                yield deadline
        except spared:
            raise
        except SSHClientError:
            self.close()
            if self._timed_out:
                raise self._timeout_error(self._timed_out) from None
            raise

    @contextmanager
    def _ending_at(self, until: float, limit: failures.Limit) -> Iterator[None]:
        """Close the connection at that time, which ends every wait."""
        timer = threading.Timer(until - time.monotonic(), self._time_out, [limit])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    @contextmanager
    def _within_attempt(self, until: float) -> Iterator[None]:
        """Close the connection when the attempt must end (ConnectTimeout), if there is a limit."""
        seconds = self._settings.address.timeout
        if seconds is None:
            yield
        else:
            setting = "ConnectTimeout in your SSH configuration"
            with self._ending_at(until, failures.Limit(seconds, setting)):
                yield

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        try:
            yield
        except (paramiko.SSHException, OSError, EOFError) as exc:
            if self._timed_out:
                raise self._timeout_error(self._timed_out) from exc
            raise failures.explained(self._progress, self._cause(exc), self._limit) from exc

    def _cause(self, exc: Exception) -> Exception:
        """Return what ended the connection, where this is that nothing could be sent any more."""
        transport = self._transport
        if isinstance(exc, EOFError) and transport is not None and transport.heard_out():
            return transport.get_exception() or exc
        return exc

    def _open(self, deadline: float) -> None:
        """Reach, verify and log in: for the last machine and for each jump host."""
        settings = self._settings
        with self._in_words():
            self._verifier, names = host_key_policy(settings)
            transport = self._exchange_keys(names, deadline)
            self._verifier.verify(transport.host_key_blob)
            from m2m_ssh_client.ssh.login.authentication import authenticate  # loads meanwhile

            self._phase = "authenticating"
            self._login = LoginRecord()
            authenticate(
                transport,
                settings.login,
                settings.address,
                accepted=algorithms.public_keys(settings.algorithms.pubkey_accepted),
                unlocked=self._unlocked,
                record=self._login,
            )

    def _exchange_keys(self, host_key_algorithms: Sequence[str], deadline: float) -> Transport:
        self._phase = "connecting"
        link = self._link = self._reach(deadline)
        transport = self._transport = Transport(
            link, algorithms.offer(self._settings.algorithms), self._connect_timeout
        )
        self._check_not_closed()  # it may have been closed before there was a transport
        self._phase = "negotiating the encryption"
        with self._within_attempt(link.exchange_by):
            transport.exchange_keys(host_key_algorithms, deadline)
        return transport

    def _reach(self, deadline: float) -> Link:
        """Return a link to the machine's SSH port."""
        settings = self._settings
        address = settings.address
        if settings.proxy_command is not None:
            return self._by_command(settings.proxy_command, deadline)
        if settings.jump is None:
            if self._dialled is not None:
                dialled, self._dialled = self._dialled, None
                return dialled()
            return sockets.connect(address, deadline, self._closed.is_set)
        if self._via is None:
            self._via = Connection(
                settings.jump,
                self._unlocked,
                connect_timeout=self._connect_timeout,
                dialled=self._dialled,
            )
            self._check_not_closed()
            self._via._open(deadline)
        until = sockets.attempt_end(address)
        with self._within_attempt(until):
            tunnel = self._via._tunnel(address.host, address.port, deadline)
        tunnel.exchange_by = until
        return tunnel

    def _by_command(self, command: str, deadline: float) -> Link:
        until = sockets.attempt_end(self._settings.address)
        link: sockets.LiveSocket
        if sys.platform != "win32" and self._settings.passes_socket:
            from m2m_ssh_client.ssh.way import passed_socket

            link = passed_socket.receive(command, min(deadline, until), self._closed.is_set)
        else:
            from m2m_ssh_client.ssh.way import proxy_command

            link = proxy_command.start(command)
        link.exchange_by = until
        return link

    def _tunnel(self, host: str, port: int, deadline: float) -> Link:
        """Return a channel of this connection, a jump host's, to the next machine."""
        assert self._transport is not None  # noqa: S101 - it was opened just before
        self._phase = f"connecting on to {host} port {port}"
        name = self._settings.address.host
        return jump.tunnel(self._transport, host, port, deadline - time.monotonic(), name)

    def _hang_up(self) -> None:
        if self._transport is not None:
            self._transport.close()
        if self._link is not None:
            with suppress(OSError):
                self._link.close()

    def _check_not_closed(self) -> None:
        if self._closed.is_set():
            raise ConnectionLostError("Closed while connecting")

    def _watch(self) -> None:
        """Watch the whole chain: everything that the last machine sends passes through it."""
        transport = self._transport
        assert transport is not None  # noqa: S101 - it is open
        transport.answered = self._answered

        def dead(silence: float) -> None:
            self._silence = silence
            self.close()

        self._liveness = Liveness(
            self._keepalive,
            self._keepalive_count,
            lambda: transport.last_received,
            transport.probe,
            dead,
        )
        self._liveness.start()

    def _session(self, transport: Transport) -> paramiko.Channel:
        try:
            return transport.open_session()
        except paramiko.ChannelException as exc:
            raise failures.session_refused(exc) from exc

    def _ask(self, channel: paramiko.Channel, request: Request, ask: Callable[[], None]) -> None:
        for name, value in request.environment:
            channel.set_environment_variable(name, value)
        try:
            with asked_for(channel, request.variables) as refused:
                ask()
        except paramiko.SSHException as exc:
            if not self.alive:
                raise
            raise failures.request_refused(request) from exc
        if refused:
            logger.warning(
                "the SSH server refused the environment of --env: add `AcceptEnv %s` to its "
                "sshd_config, or pass --env-in-command",
                " ".join(refused),
            )

    def _learn_host_keys(self) -> None:
        if self._via is not None:
            self._via._learn_host_keys()
        if self._transport is not None and self._verifier is not None:
            other_host_keys.learn_later(
                self._settings, self._transport, self._verifier, self._closed, self._connect_timeout
            )

    def _time_out(self, limit: failures.Limit) -> None:
        self._timed_out = self._timed_out or limit
        self.close()

    def _timeout_error(self, limit: failures.Limit) -> UnreachableError:
        at = self
        while at._transport is None and at._via is not None:  # it did not get that far
            at = at._via
        return failures.timed_out(at._progress, limit)

    @property
    def _progress(self) -> failures.Progress:
        link = self._link
        by_proxy = None if link is None else link.explain()
        return failures.Progress(
            self._settings.address, self._phase, self._transport, self._login, by_proxy
        )


def host_key_policy(settings: HostSettings) -> tuple[HostVerifier, list[str]]:
    """Return the judge of the machine's host key, and the HostKeyAlgorithms to offer, in order.

    Raises ConfigError and KnownHostsError.
    """
    wanted = settings.algorithms
    verifier = HostVerifier(
        settings.trust, algorithms.ca_signatures(wanted.ca_signature), settings.trust.command
    )
    names = algorithms.host_keys(wanted.host_key)
    if not algorithms.order_is_given(wanted.host_key):
        names = verifier.key_algorithms(names)
    return verifier, names
