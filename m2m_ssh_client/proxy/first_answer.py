"""The wait for the first answer of a far side, which may turn out not to be an MCP server."""

from __future__ import annotations

import logging
from collections.abc import Callable

import anyio

from m2m_ssh_client.errors import NotMCPError, SilentConnectionError, SSHClientError
from m2m_ssh_client.proxy.login_shell import (
    echo_error,
    greets,
    runs_requests,
    shell_complains,
    shell_error,
)
from m2m_ssh_client.proxy.memory.session import Session, State

logger = logging.getLogger(__name__)

_POLL = 0.2  # seconds


class FirstAnswer:
    """Judges each new far side until it has answered.

    A login shell in place of an MCP server complains about the first request, or prints something
    else; that ends the session. Silence does not: a server may start slowly, and the host decides
    how long to wait. A fresh server after a reconnect, however, must answer in time.
    """

    def __init__(self, session: Session, patience: float, *, may_be_shell: bool) -> None:
        """`patience` is in seconds, and grows if a far side needs longer for its first answer."""
        self._session = session
        self._patience = patience
        self._may_be_shell = may_be_shell

    async def judge(self, stderr_tail: Callable[[], list[str]]) -> SSHClientError | None:
        """Wait for the first answer; return None then, or an error if it will not come."""
        asked_at: float | None = None
        logged = False
        while self._is_due():
            now = anyio.current_time()
            if asked_at is None and self._is_asked():
                asked_at = now
            late = asked_at is not None and now > asked_at + self._patience
            verdict = self._verdict(stderr_tail(), late=late)
            if verdict is not None:
                return verdict
            if late and not logged:
                logged = True
                self._log()
            await anyio.sleep(_POLL)
        if asked_at is not None:  # a far side that starts slowly will do so again
            self._patience = max(self._patience, 2 * (anyio.current_time() - asked_at))
        return None

    def _is_due(self) -> bool:
        waits = self._session.state in (State.GUARDED, State.REPLAYING)
        return waits or not self._session.process_answered

    def _is_asked(self) -> bool:
        return self._session.state is State.REPLAYING or self._session.pending > 0

    def _verdict(self, stderr: list[str], *, late: bool) -> SSHClientError | None:
        if self._session.refused_replay:
            return NotMCPError(self._session.refused_replay, "Restart the session in the host.")
        if self._session.echoes:
            return echo_error()
        if not self._session.process_answered and runs_requests(stderr):
            return shell_error()
        said = self._session.stray_output.last
        printed = (late and bool(said)) or greets(said)
        waits = self._session.state is not State.OPEN
        if waits and self._may_be_shell and (printed or shell_complains(stderr)):
            return shell_error()
        if late and self._session.state is State.REPLAYING:
            return SilentConnectionError("The remote server does not answer after the reconnect")
        return None

    def _log(self) -> None:
        hint = ""
        if self._may_be_shell:
            hint = (
                ". If it is a login shell, pass the command that starts the MCP server after `--`"
            )
        logger.warning(
            "no answer from the remote server within %g s; still waiting%s", self._patience, hint
        )
