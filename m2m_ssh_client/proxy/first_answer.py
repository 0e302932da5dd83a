"""The first answer of a far side: how long it is waited for, and what speaks against one that does not give it.

A login shell where an MCP server should be complains of the first request, or prints something else. Silence is no
sign of it: a server may take its time, and its host decides for how long.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import anyio

from m2m_ssh_client.errors import NotMCPError, SilentConnectionError, SSHClientError
from m2m_ssh_client.proxy.login_shell import shell_complains, shell_error
from m2m_ssh_client.proxy.memory.session import Session, State

logger = logging.getLogger(__name__)

_POLL = 0.2  # seconds


class FirstAnswer:
    """What one proxy expects of each far side. `patience` in seconds; it grows with what a far side has taken."""

    def __init__(self, session: Session, patience: float, *, may_be_shell: bool) -> None:
        self._session = session
        self._patience = patience
        self._may_be_shell = may_be_shell

    async def judge(self, stderr_tail: Callable[[], list[str]]) -> SSHClientError | None:
        """Wait for the first answer of the present far side. Why that will not come, or None when it has."""
        asked_at: float | None = None
        told = False
        while self._is_due():
            now = anyio.current_time()
            if asked_at is None and self._is_asked():
                asked_at = now
            late = asked_at is not None and now > asked_at + self._patience
            verdict = self._verdict(stderr_tail(), late=late)
            if verdict is not None:
                return verdict
            if late and not told:
                told = True
                self._tell()
            await anyio.sleep(_POLL)
        if asked_at is not None:  # what started slowly once will do so again
            self._patience = max(self._patience, 2 * (anyio.current_time() - asked_at))
        return None

    def _is_due(self) -> bool:
        waits = self._session.state in (State.GUARDED, State.REPLAYING)
        return waits or not self._session.process_answered

    def _is_asked(self) -> bool:
        return self._session.state is State.REPLAYING or self._session.pending > 0

    def _verdict(self, stderr: list[str], *, late: bool) -> SSHClientError | None:
        if self._session.refused_replay:
            return NotMCPError(self._session.refused_replay, "Start the host's session anew.")
        printed = late and bool(self._session.noise.last)
        waits = self._session.state is not State.OPEN
        if waits and self._may_be_shell and (printed or shell_complains(stderr)):
            return shell_error()
        if late and self._session.state is State.REPLAYING:
            return SilentConnectionError("The remote server does not answer after the reconnect")
        return None

    def _tell(self) -> None:
        hint = ""
        if self._may_be_shell:
            hint = (
                ". If it is a login shell, pass the command that starts the MCP server after `--`"
            )
        logger.warning(
            "no answer of the remote server within %g s; still waiting%s", self._patience, hint
        )
