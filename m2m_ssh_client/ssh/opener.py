"""From parameters to a remote server's stdio: client key, key server if asked for, then SSH.

Blocking, for a worker thread. paramiko is imported on the first `open()`; requests only if the key
server is used.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from m2m_ssh_client.errors import ConnectionLostError, SSHClientError
from m2m_ssh_client.parameters import DEFAULT_CLIENT_KEY, Parameters
from m2m_ssh_client.ssh.destination import Destination, resolve
from m2m_ssh_client.ssh.library.loading import load_paramiko
from m2m_ssh_client.ssh.public_key import PublicKey
from m2m_ssh_client.ssh.settings import HostSettings, Login, Request, Trust
from m2m_ssh_client.ssh.way import sockets
from m2m_ssh_client.ssh.way.sockets import LiveSocket
from m2m_ssh_client.threads import Background

if TYPE_CHECKING:
    from m2m_ssh_client.flow.remote_stdio import Carrier
    from m2m_ssh_client.ssh.connection import Connection
    from m2m_ssh_client.ssh.login.unlocked_keys import UnlockedKeys
    from m2m_ssh_client.ssh.via.process_carrier import ProcessCarrier

logger = logging.getLogger(__name__)

_END_TIME = 1.0  # seconds
_MOST_ROUND_TRIPS = 40  # ten minutes of keepalives, by default


SentAs = Callable[[Request], Request]
"""Makes the request to send of that for the server."""


def unchanged(request: Request) -> Request:
    return request


class Opener:
    """The remote server that the parameters name. `open()` in a worker thread, `close()` from any.

    One connection serves as many `open()` calls as it can: a new process on it costs one round
    trip. A new connection is made only if there is none, or it is dead or refuses. `begin()`
    overlaps the first one with the caller's imports, since both take about as long.
    """

    def __init__(self, params: Parameters) -> None:
        self.params = params
        self.destination: Destination | None = None  # as last resolved
        self.round_trips: deque[tuple[float, float]] = deque(maxlen=_MOST_ROUND_TRIPS)
        """The last keepalives: when they were answered (`time.time`), after how many seconds."""
        self.first_words: Callable[[], bytes] = lambda: b""
        """Returns the server's first input, for `ChannelCarrier.ask`, if there is any yet.

        To be set at any time before `open`, also after `begin`. Called in the thread that opens.
        """
        self.sent_ahead = b""
        """The input that the last `open` has sent."""
        self._deadline = float("inf")  # of the present attempt, on the monotonic clock
        self._stop = threading.Event()
        self._early: Background[Carrier] | None = None  # until `open` takes its result
        self._begun: Background[Carrier] | None = None
        self._loaded = threading.Event()
        self._logs_in = False
        self._connection: Connection | None = None
        self._program: ProcessCarrier | None = None  # the last one of `--via`
        self.request = Request()
        """The server's, as last resolved."""
        self._in_login_shell = False
        self._key_server_trust: Trust | None = None
        self._temporary = ExitStack()

    def begin(self, sent_as: SentAs = unchanged) -> None:
        """Start the first `open()` in a thread, while the caller loads what else it needs.

        Returns when that thread exchanges keys and what the login needs is loaded: two threads that
        import at once slow each other down. Not for a process in which others use paramiko.
        """

        def early() -> Carrier:
            try:
                return self._open(sent_as, load_paramiko)
            finally:
                self._loaded.set()

        self._early = self._begun = Background("ssh-connect", early)
        self._loaded.wait()
        if self._logs_in:
            import m2m_ssh_client.ssh.login.authentication  # noqa: F401 - it is needed next

    def open(self, sent_as: SentAs = unchanged) -> Carrier:
        """Start a remote server process: over the present connection, or else over a new one.

        `sent_as` counts unless `begin` had one. Raises an SSHClientError. The configuration is read
        again for each connection; the key server, if one is used, is asked on the first call only.
        """
        early, self._early = self._early, None
        return self._open(sent_as) if early is None else early.result()

    def _open(self, sent_as: SentAs, load_first: Callable[[], None] = lambda: None) -> Carrier:
        self.sent_ahead = b""
        if self._connection is not None and self._connection.alive:
            try:
                return self._channel(self._connection, sent_as)
            except SSHClientError as exc:  # MaxSessions, or it is dying: try a new one
                logger.info("no further session on this connection: %s", exc.message)
        if self.params.via is not None:
            return self._open_via(sent_as)
        destination = self.destination = resolve(self.params)
        self._deadline = time.monotonic() + destination.connect_timeout
        if destination.sharing.is_wanted:
            self._take_request(destination.request)
            shared = self._open_shared(destination, sent_as(self.request))
            if shared is not None:
                return shared
        connection = self._connect(destination, load_first)
        try:
            return self._channel(connection, sent_as)
        except SSHClientError:
            connection.close()
            raise

    def connect(self) -> Connection:
        """Make a connection of our own, without a process on it. Raises as `open` does."""
        destination = self.destination = resolve(self.params)
        self._deadline = time.monotonic() + destination.connect_timeout
        return self._connect(destination)

    def _connect(
        self, destination: Destination, load_first: Callable[[], None] = lambda: None
    ) -> Connection:
        dialled = self._dial(destination)
        try:
            load_first()
            connection = self._made(destination, dialled)
        except BaseException:
            if dialled is not None:
                with suppress(SSHClientError):
                    dialled.result().close()
            raise
        connection.open()
        return connection

    def _open_shared(self, destination: Destination, request: Request) -> Carrier | None:
        """Start the server on a connection that another process holds, if there can be one."""
        if sys.platform == "win32":
            if self.params.share:
                logger.warning(
                    "--share does nothing on Windows, so this is a connection of its own"
                )
            return None
        from m2m_ssh_client.ssh.sharing import held_connections

        self._loaded.set()
        waiting = held_connections.Waiting(self._deadline, self._stop.is_set)
        control_path, wanted, persist = destination.sharing
        carrier = control_path and held_connections.of_openssh(control_path, request, waiting)
        if carrier or not wanted:
            return carrier or None
        return held_connections.of_ours(
            self.params, destination.settings, persist, request, waiting
        )

    def _channel(self, connection: Connection, sent_as: SentAs) -> Carrier:
        carrier = connection.channel(sent_as(self.request), lambda: self.first_words())
        self.sent_ahead = carrier.ahead
        return carrier

    def _open_via(self, sent_as: SentAs) -> Carrier:
        """Start the program that carries in place of a connection of ours."""
        from m2m_ssh_client.ssh.via.programs import Programs, without_ssh_configuration

        self.destination = resolve(without_ssh_configuration(self.params))
        self._take_request(self.destination.request)
        self._program = Programs(self.params).channel(sent_as(self.request))
        return self._program

    def give_up_program(self, silence: float) -> None:
        """End the program of `--via`: the server has been silent for so many seconds."""
        if self._program is not None:
            self._program.give_up(silence)

    def _take_request(self, request: Request) -> None:
        self.request = request
        if self._in_login_shell and request.command is not None:
            from m2m_ssh_client.ssh.missing_program import in_login_shell

            self.request = in_login_shell(request)

    def _dial(self, destination: Destination) -> Background[LiveSocket] | None:
        """Connect while other things load: sshd takes as long to start as paramiko."""
        settings = destination.settings
        if self.params.use_key_server or settings.jump or settings.proxy_command:
            return None
        address = settings.address
        if self._connection is not None:  # the port was right before
            address = address._replace(other_port=None)
        dial = partial(sockets.connect, address, self._deadline, self._stop.is_set)
        return Background("ssh-dial", dial)

    def _made(self, destination: Destination, dialled: Background[LiveSocket] | None) -> Connection:
        from m2m_ssh_client.ssh.connection import Connection

        self._logs_in = True
        self._loaded.set()
        settings = self._prepared(destination.settings)
        if self._connection is not None:
            self._connection.close()  # it is dead, but `Liveness` may not know yet
        self._connection = Connection(
            settings,
            self._unlocked,
            connect_timeout=destination.connect_timeout,
            keepalive=destination.keepalive,
            keepalive_count=destination.keepalive_count,
            answered=lambda seconds: self.round_trips.append((time.time(), seconds)),
            dialled=None if dialled is None else dialled.result,
        )
        self._take_request(destination.request)
        if self._stop.is_set():
            raise ConnectionLostError("Stopped while connecting")
        return self._connection

    def use_login_shell(self, status: int | None, stderr: Sequence[str]) -> bool:
        """Let the login shell run the command from the next `open()` on, if that may help.

        To be called when a process has ended with this exit status and without output; `stderr` has
        its last words. Return False if it makes no difference, or is not allowed.
        """
        from m2m_ssh_client.ssh.missing_program import program_of, second_way

        second = second_way(self.request, status, stderr)
        if second is None or self.params.login_shell is not None:
            return False
        logger.warning(
            "%s is not in the short PATH of remote commands, so the login shell looks for it now; "
            "with its absolute path after `--`, the start is faster",
            program_of(self.request),
        )
        self._in_login_shell, self.request = True, second
        return True

    def close(self) -> None:
        """End the connection, even if it is being opened, and remove temporary files."""
        self._stop.set()
        if self._connection is not None:
            self._connection.close()
        self._temporary.close()

    def give_up(self) -> None:
        """Close, and wait a moment for the thread that `begin` started.

        An interpreter may abort if it ends while a thread runs compiled code, such as
        cryptography's.
        """
        self.close()
        if self._begun is not None:
            self._begun.wait(_END_TIME)

    @cached_property
    def _unlocked(self) -> UnlockedKeys:
        """The opened keys, so that reconnects ask nobody again."""
        from m2m_ssh_client.ssh.login.unlocked_keys import UnlockedKeys

        return UnlockedKeys()

    def _prepared(self, settings: HostSettings) -> HostSettings:
        """Create what must exist before a connection: a client key, the key server's answer."""
        if self.params.use_key_server:
            return self._with_key_server(settings)
        if missing := key_to_make(settings.login):
            _make_key(missing)
        return settings

    def _with_key_server(self, settings: HostSettings) -> HostSettings:
        path = (self.params.client_key or DEFAULT_CLIENT_KEY).expanduser()
        _make_key(path)
        if self._key_server_trust is None:
            self._key_server_trust = self._exchange_keys(settings, path)
        login = settings.login
        return settings._replace(
            trust=self._key_server_trust,
            login=login._replace(files=(path, *login.files), required=path),
        )

    def _exchange_keys(self, settings: HostSettings, client_key: Path) -> Trust:
        """Learn the host key from the key server and register ours; return whom to trust."""
        from m2m_ssh_client.ssh.trust.key_server import KeyServer
        from m2m_ssh_client.ssh.trust.told_host_key import (
            checked_host_key,
            temporary_known_hosts,
            trust_in,
        )

        params = self.params
        host, port = settings.address.host, settings.address.port
        own_key = self._public_key(client_key, settings.login)
        server = KeyServer(
            host,
            params.key_server_port,
            self._stop,
            url=params.key_server_url,
            deadline=self._deadline,
        )
        host_key = checked_host_key(server, host, port, settings.trust, client_key)
        known_hosts = self._temporary.enter_context(temporary_known_hosts(host, port, host_key))
        server.register(own_key.line)
        return trust_in(known_hosts, host, port, settings.trust)

    def _public_key(self, path: Path, login: Login) -> PublicKey:
        """Read the public half; an encrypted key may need its passphrase. Raises KeyFileError."""
        from m2m_ssh_client.ssh.login.key_files import read_key_file

        file = read_key_file(path)
        return file.public or PublicKey.of(
            self._unlocked.open(file, login, self._stop.is_set).asbytes()
        )


def key_to_make(login: Login) -> Path | None:
    """Return the client key that is created on first use, if there is no other key.

    A missing key that was named is not created: most likely its name is misspelt.
    """
    if any(map(Path.exists, (*login.files, *login.default_files))):
        return None
    return next(iter(login.default_files), None)


def _make_key(path: Path) -> None:
    from m2m_ssh_client.ssh.login.key_files import ensure_client_key

    if ensure_client_key(path):
        logger.info("made a new client key: %s", path)
