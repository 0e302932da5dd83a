"""From parameters to a remote server's stdio: the client key, the key server if asked for, then SSH.

Blocking, for a worker thread. paramiko is imported here on the first `open()`, in that thread, so that the
process answers its host while it loads; requests only if the key server is used.
"""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from m2m_ssh_client.errors import ConnectionLostError, HostKeyError, SSHClientError
from m2m_ssh_client.parameters import DEFAULT_CLIENT_KEY, SSHServerParameters

if TYPE_CHECKING:
    import paramiko

    from m2m_ssh_client.bridge import Carrier
    from m2m_ssh_client.ssh.connection import Connection

logger = logging.getLogger(__name__)


class Remote:
    """The remote server that the parameters name. `open()` in a worker thread, `close()` from any."""

    def __init__(self, params: SSHServerParameters) -> None:
        self._params = params
        self._stop = threading.Event()
        self._connection: Connection | None = None
        self._known_hosts: list[Path] | None = None
        self._temporary = ExitStack()

    def open(self) -> Carrier:
        """A fresh remote server process: over the connection that there is, or else over a new one.

        Raises an SSHClientError. The key server, if one is used, is asked on the first call only.
        """
        if self._connection is not None and self._connection.alive:
            try:
                return self._connection.channel()
            except SSHClientError as exc:  # MaxSessions, or it is dying: a new one may do better
                logger.info("no further session on this connection: %s", exc.message)
        from m2m_ssh_client.ssh.connection import Connection

        key = self._client_key()
        if self._known_hosts is None:
            self._known_hosts = self._exchange_keys(key)
        if self._connection is not None:
            self._connection.close()  # it is dead, and its watch may not know it yet
        connection = self._connection = Connection(self._params, key, self._known_hosts)
        if self._stop.is_set():
            raise ConnectionLostError("Stopped while connecting")
        connection.open()
        return connection.channel()

    def close(self) -> None:
        """End the connection, also one that is being opened, and remove what was temporary."""
        self._stop.set()
        if self._connection is not None:
            self._connection.close()
        self._temporary.close()

    def _client_key(self) -> paramiko.PKey:
        from m2m_ssh_client.ssh.keys import ensure_client_key, load_client_key

        params = self._params
        path = params.client_key.expanduser()
        # Made on first use where the user named none (or the key server will be told of it): a missing file
        # that was named is far more often a slip of the pen.
        wanted = params.use_key_server or params.client_key == DEFAULT_CLIENT_KEY
        if wanted and ensure_client_key(path):
            logger.info("made a new client key: %s", path)
        secret = params.passphrase
        return load_client_key(path, None if secret is None else secret.get_secret_value())

    def _exchange_keys(self, key: paramiko.PKey) -> list[Path]:
        """Learn the host key from the key server and register ours: the known_hosts files to trust."""
        params = self._params
        if not params.use_key_server:
            return [params.known_hosts.expanduser()]
        from m2m_ssh_client.key_server import KeyServer, remember_or_refuse, temporary_known_hosts
        from m2m_ssh_client.ssh.keys import public_key_line
        from m2m_ssh_client.ssh.known_hosts import KnownHosts

        server = KeyServer(params.host, params.key_server_port, stop=self._stop)
        host_key = server.server_public_key()
        if params.host_key is not None and host_key.fingerprint != params.host_key:
            raise HostKeyError(
                f"Host key verification failed: the key server's key for {params.host} is "
                f"{host_key.fingerprint}, and --host-key demands {params.host_key}",
                "Do not connect before you know why they differ.",
            )
        own = KnownHosts.load([params.known_hosts.expanduser()])
        if own.names(
            params.host, params.port
        ):  # the user's own file knows this host: it must agree
            own.verify(params.host, params.port, host_key)
        if not server.verified:
            memory = params.client_key.expanduser()
            remember_or_refuse(
                params.host, params.port, host_key, memory.with_name(memory.name + ".known_hosts")
            )
        known_hosts = self._temporary.enter_context(
            temporary_known_hosts(params.host, params.port, host_key)
        )
        server.register(public_key_line(key))
        return [known_hosts]
