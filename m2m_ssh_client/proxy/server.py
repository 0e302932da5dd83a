"""The proxy: a stdio MCP server for its host, and in truth the remote one.

One task carries lines from the host, one from the remote; a third supervises the connection. Life cycle: connect
while the host's frames are held; relay; when the host closes its stdin, end of file goes on to the remote, whose
last answers are still delivered, and everything is gone within two seconds. When the connection cannot be made,
every request is answered with the reason, for a few seconds more, so that a person can read it in the host.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import anyio
from anyio.streams.memory import MemoryObjectSendStream

from m2m_ssh_client.bridge import Bridge
from m2m_ssh_client.errors import NotMCPError, RemoteExitError, SSHClientError
from m2m_ssh_client.proxy.session import Output, Session, State
from m2m_ssh_client.proxy.stdio import HostStreams
from m2m_ssh_client.text import shortened
from m2m_ssh_client.threads import Lines

logger = logging.getLogger(__name__)

Dial = Callable[[], AbstractAsyncContextManager[Bridge]]
"""Opens a connection to the remote server; raises SSHClientError, and may be cancelled while it does."""

# Everything is to be gone two seconds after the host's end; what these leave over is for closing the streams.
_SHUTDOWN_TIME = 1.4
_LATE_CONNECT_TIME = 0.7  # of which a connection that is still being made gets this much
# How long a proxy that could not connect stays to say so: a host of both eras sends `server/discover`, and
# `initialize` after the error; a person is told by the answer to the last request, not by a closed pipe.
_LINGER_TIME = 4.0
_LAST_WORDS_TIME = 0.2
_GUARD_POLL = 0.2


class Proxy:
    """Relays between one host and one remote server. `run()` once; `stop()` at any time, in the loop.

    `answer_timeout` is for a far side that was asked for a shell: seconds for its first JSON-RPC message.
    """

    def __init__(
        self, host: HostStreams, dial: Dial, *, may_be_shell: bool, answer_timeout: float
    ) -> None:
        self._host = host
        self._dial = dial
        self._session = Session(may_be_shell=may_be_shell)
        self._answer_timeout = answer_timeout
        self._to_remote: MemoryObjectSendStream[Lines] | None = None
        self._stopping = anyio.Event()
        self._stop_deadline = float("inf")
        self._state_changed = anyio.Event()  # set, and replaced, whenever what is held may pass

    async def run(self) -> SSHClientError | None:
        """Relay until one side ends: what failed, or None if it was the host's end.

        A failure has been told to the host and logged by then.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._carry_from_host)
            tasks.start_soon(self._watch_host)
            failure = await self._serve()
            await self._tell(failure)
            tasks.cancel_scope.cancel()
        return failure

    def stop(self) -> None:
        """End orderly: the remote server gets its end of file and a moment to finish."""
        if not self._stopping.is_set():
            self._stop_deadline = anyio.current_time() + _SHUTDOWN_TIME
            self._stopping.set()

    async def _serve(self) -> SSHClientError | None:
        """Connect and relay. What ended it, or None if that was the host."""
        failure: SSHClientError | None = None
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._give_up_connecting, tasks.cancel_scope)
            try:
                async with self._dial() as bridge:
                    self._to_remote = bridge.outbound
                    failure = await self._relay(bridge)
            except SSHClientError as exc:
                failure = exc
            tasks.cancel_scope.cancel()
        return None if self._stopping.is_set() else failure

    async def _give_up_connecting(self, connecting: anyio.CancelScope) -> None:
        await self._stopping.wait()
        await anyio.sleep(_LATE_CONNECT_TIME)
        if self._to_remote is None:
            connecting.cancel()

    async def _relay(self, bridge: Bridge) -> SSHClientError | None:
        """Carry what the remote sends, until one side ends. The reason, if it was not the host's end."""
        ended, refused = anyio.Event(), anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._send_held)
            tasks.start_soon(self._carry_from_remote, bridge, ended)
            tasks.start_soon(self._guard, bridge, refused)
            await _first_of(ended, refused, self._stopping)
            if not ended.is_set():
                deadline = min(self._stop_deadline, anyio.current_time() + _SHUTDOWN_TIME)
                await bridge.shut_down(ended, deadline)
            tasks.cancel_scope.cancel()
        if refused.is_set():
            return _shell_error()
        if self._stopping.is_set():
            return None
        return self._with_last_words(await bridge.ending(), bridge)

    async def _guard(self, bridge: Bridge, refused: anyio.Event) -> None:
        """Watch a far side that may be a login shell until it has answered as an MCP server does."""
        asked_at = float("inf")
        while self._session.state is State.GUARDED:
            now = anyio.current_time()
            if asked_at > now and self._session.pending:
                asked_at = now
            if now > asked_at + self._answer_timeout or _shell_complains(bridge.stderr_tail):
                refused.set()
            await anyio.sleep(_GUARD_POLL)

    async def _send_held(self) -> None:
        await self._emit(self._session.connected())
        self._changed()

    async def _carry_from_host(self) -> None:
        async for lines in self._host.inbound:
            await self._emit(self._session.from_host(lines))
            while self._session.full:
                await self._state_changed.wait()
        self.stop()

    async def _carry_from_remote(self, bridge: Bridge, ended: anyio.Event) -> None:
        async for lines in bridge.inbound:
            state = self._session.state
            await self._emit(self._session.from_remote(lines))
            if self._session.state is not state:
                self._changed()
        ended.set()

    def _changed(self) -> None:
        self._state_changed.set()
        self._state_changed = anyio.Event()

    async def _watch_host(self) -> None:
        await self._host.gone.wait()
        self.stop()

    async def _emit(self, output: Output) -> None:
        # The remote's lines first, with no await since the session gave them out: whoever comes here next queues
        # behind, and so no line overtakes another.
        if output.to_remote and self._to_remote is not None:
            try:
                await self._to_remote.send(output.to_remote)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                logger.debug("the connection is ending; its end answers what was to be sent")
        if output.to_host:
            try:
                await self._host.outbound.send(output.to_host)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                logger.debug("the host takes no more")

    async def _tell(self, failure: SSHClientError | None) -> None:
        """Answer all that still wait; if the start failed, stay to answer whoever asks again."""
        if failure is not None:
            logger.error("Error running MCP SSH client: %s", failure)
            logger.debug("details", exc_info=failure)
        reason = "The proxy was stopped by its host" if failure is None else str(failure)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._leave_after_stop, tasks.cancel_scope)
            with anyio.move_on_after(_LINGER_TIME):
                await self._emit(self._session.failed(reason))
                self._changed()
                if failure is not None and not self._session.answered:
                    await self._stopping.wait()
            tasks.cancel_scope.cancel()

    async def _leave_after_stop(self, telling: anyio.CancelScope) -> None:
        await self._stopping.wait()
        await anyio.sleep(_LAST_WORDS_TIME)  # the host may not read any more
        telling.cancel()

    def _with_last_words(self, reason: SSHClientError, bridge: Bridge) -> SSHClientError:
        """What the remote command said before it ended belongs to the reason."""
        if not isinstance(reason, RemoteExitError):
            return reason
        message = reason.message
        if not self._session.answered:
            message += " before it answered"
            if self._session.noise:
                message += "; it printed: " + " | ".join(self._session.noise)
        if bridge.stderr_tail:
            message += "; its stderr: " + " | ".join(map(shortened, bridge.stderr_tail))
        return RemoteExitError(message, reason.hint, reason.status)


def _shell_complains(stderr: list[str]) -> bool:
    """Whether a shell tried to run the first request: it names it as a command that it does not know."""
    return any(
        "jsonrpc" in line and ("not found" in line.lower() or "unknown command" in line.lower())
        for line in stderr
    )


def _shell_error() -> NotMCPError:
    return NotMCPError(
        "The far side does not answer as an MCP server: it looks like a login shell",
        "Pass the command that starts the MCP server there after `--`, for example: "
        "m2m-mcp-server-ssh-client --host HOST -- uvx mcp-server-git",
    )


async def _first_of(*events: anyio.Event) -> None:
    async def wait_for(event: anyio.Event) -> None:
        await event.wait()
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for event in events:
            tasks.start_soon(wait_for, event)
