"""The step that tries whether a server can outlive its connection there (`--keep`)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from m2m_ssh_client.doctor.steps import Channels, Status, Step, failed
from m2m_ssh_client.errors import SSHClientError
from m2m_ssh_client.keeping.kept_carrier import KeptCarrier
from m2m_ssh_client.keeping.kept_servers import under_keeper
from m2m_ssh_client.keeping.link import GoneError
from m2m_ssh_client.proxy.history import History
from m2m_ssh_client.proxy.recovery import Recovery
from m2m_ssh_client.ssh.settings import Request

if TYPE_CHECKING:
    from m2m_ssh_client.flow.remote_stdio import Carrier

_SECONDS = 30.0  # for which the trial is kept
_PATIENCE = 15.0
_LOGOUT = 1.0  # seconds that a machine gets to clean up behind a login
_TRIAL = "cat"

_CLEANED_UP = (
    "The machine ends the processes of a login that has ended. Under systemd: "
    "`loginctl enable-linger` there, or KillUserProcesses=no in /etc/systemd/logind.conf. In a "
    "container, the keeper lives as long as the container."
)
_PLAIN = "Servers run there as without --keep, and end with their connection."


def step(connection: Channels, again: Callable[[], Channels], request: Request) -> Step:
    """Keep a small server over the end of this connection and of its login.

    `again` makes a connection like this one, which is closed. Blocking.
    """
    try:
        sent = under_keeper(request)._replace(environment=(), variables=())
    except SSHClientError as exc:
        return failed("keeping", exc)
    connections = [connection]

    def attached() -> Carrier:
        time.sleep(_LOGOUT)
        connections.append(again())
        return connections[-1].channel(sent)

    recovery = Recovery(time.monotonic(), enabled=True, start_time=_PATIENCE, lost_time=_PATIENCE)
    carrier = KeptCarrier(attached, recovery, _SECONDS, History())
    try:
        with closing(carrier):
            carrier.open(lambda: connection.channel(sent), lambda: Request(_TRIAL))
            echo = _Echo()
            carrier.start(echo)
            began = _round_trip(carrier, echo)
            connection.close()
            began = _round_trip(carrier, echo)
    except GoneError as exc:
        return Step("keeping", Status.WARNING, {"kept": False}, exc.message, _CLEANED_UP)
    except SSHClientError as exc:
        found = {"kept": False, "error": exc.message}
        return Step("keeping", Status.WARNING, found, exc.message, _PLAIN)
    finally:
        for each in connections:
            each.close()
    summary = f"a server outlives its login there; attached again in {began * 1000:.0f} ms"
    return Step("keeping", Status.OK, {"kept": True, "attached_ms": round(began * 1000)}, summary)


def _round_trip(carrier: KeptCarrier, echo: _Echo) -> float:
    """Return the seconds until the trial has answered once more. Raises an SSHClientError."""
    began = time.monotonic()
    with suppress(OSError):
        carrier.write(b"x")
    if not echo.came(_PATIENCE):
        raise carrier.ending()
    return time.monotonic() - began


class _Echo:
    """The receiver of the trial's answers."""

    def __init__(self) -> None:
        self._came = threading.Semaphore(0)
        self._ended = False

    def came(self, timeout: float) -> bool:
        return self._came.acquire(timeout=timeout) and not self._ended

    def stdout(self, data: bytes) -> None:
        for _ in data:
            self._came.release()

    def stderr(self, data: bytes) -> None:
        pass

    def ended(self) -> None:
        self._ended = True
        self._came.release()
