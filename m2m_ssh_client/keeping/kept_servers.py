"""Remote servers that outlive their connections, or plain ones where none can be kept."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from m2m_ssh_client.errors import RemoteExitError, SSHClientError, UsageError
from m2m_ssh_client.keeping.keeper_command import keeper_command
from m2m_ssh_client.keeping.kept_carrier import KeptCarrier
from m2m_ssh_client.keeping.link import NoKeeperError
from m2m_ssh_client.proxy.recovery import Recovery
from m2m_ssh_client.ssh.opener import Opener
from m2m_ssh_client.ssh.settings import Request

if TYPE_CHECKING:
    from m2m_ssh_client.flow.remote_stdio import Carrier
    from m2m_ssh_client.proxy.history import History

logger = logging.getLogger(__name__)


def under_keeper(request: Request) -> Request:
    """Return the request that runs a keeper, with the environment of the server's request."""
    if request.command is None:
        raise UsageError(
            "--keep needs a remote command",
            "A subsystem and a login shell are started by the SSH server itself. Name the command "
            "after `--`.",
        )
    return Request(keeper_command(), None, request.environment, request.variables, shown="python3")


class KeptServers:
    """Opens servers on the machine of this opener. Blocking, for worker threads."""

    def __init__(self, remote: Opener, seconds: float, history: History) -> None:
        self._remote = remote
        self._seconds = seconds
        self._history = history
        self._warned = False
        self._opening = threading.Lock()  # the opener serves one thread at a time

    def open(self) -> Carrier:
        """Start a server: kept, or else as it is without a keeper. Raises an SSHClientError."""
        carrier = KeptCarrier(self._again, self._recovery(), self._seconds, self._history)
        try:
            carrier.open(self._start, lambda: self._remote.request)
        except (NoKeeperError, RemoteExitError) as exc:
            self._warn(exc)
            with self._opening:
                return self._remote.open()
        return carrier

    def _start(self) -> Carrier:
        with self._opening:
            return self._remote.open(under_keeper)

    def _again(self) -> Carrier:
        with self._opening:
            return self._remote.open(lambda _request: Request(keeper_command(), shown="python3"))

    def _recovery(self) -> Recovery:
        params = self._remote.params
        return Recovery(
            time.monotonic(),
            enabled=params.reconnect,
            start_time=float("inf"),
            lost_time=min(self._seconds, params.reconnect_timeout or float("inf")),
        )

    def _warn(self, reason: SSHClientError) -> None:
        level = logging.INFO if self._warned else logging.WARNING
        self._warned = True
        logger.log(
            level,
            "the remote server cannot be kept there, so it ends with its connection: %s. --keep "
            "needs Python 3.6 or later as `python3` on the remote machine",
            reason.message.rstrip("."),
        )
