"""The proxy: a stdio MCP server for its host, and in truth the remote one.

One task carries lines from the host, one carries lines from the remote, and a third supervises the
connection. While all is well and nothing is queued, the threads that read do the work of the first
two themselves (`locked_session.py`).

Life cycle: connect, while the host's frames are held; relay; after a loss connect again, while the
host notices nothing; when the host closes its stdin, pass the end of file on, deliver the last
answers, and be gone within two seconds. If there can be no connection, answer every request with
the reason for a few seconds more, so that a person can read it in the host.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import anyio

from m2m_ssh_client.errors import (
    COMMAND_NOT_FOUND,
    RemoteExitError,
    SilentConnectionError,
    SSHClientError,
    UnreachableError,
    unexpected,
)
from m2m_ssh_client.flow.bridge import Bridge
from m2m_ssh_client.flow.hand_over import ToThread
from m2m_ssh_client.flow.host_stdio import HostStreams
from m2m_ssh_client.flow.splitting import Intake
from m2m_ssh_client.proxy.eras.crossing import Between
from m2m_ssh_client.proxy.eras.watch import EraWatch
from m2m_ssh_client.proxy.first_answer import FirstAnswer
from m2m_ssh_client.proxy.history import History
from m2m_ssh_client.proxy.locked_session import LockedSession, Watch
from m2m_ssh_client.proxy.memory.session import Session, State
from m2m_ssh_client.proxy.pinging import MakeWatch, watched
from m2m_ssh_client.proxy.recovery import Recovery
from m2m_ssh_client.text import shortened, shown

logger = logging.getLogger(__name__)

Dial = Callable[[Intake], AbstractAsyncContextManager[Bridge]]
"""Opens a connection to a fresh remote server, whose lines go to the intake.

Raises SSHClientError, and may be cancelled while it connects.
"""

# Seconds. All is to be gone two seconds after the host's end, also on a slow machine, so half a
# second is kept in reserve. The remote server gets the shutdown time; then both sides are closed,
# and a host that has not read everything gets what is left of the leave time.
SHUTDOWN_TIME = 1.1
_LEAVE_TIME = 1.3
_LATE_CONNECT_TIME = 0.7  # the part of the shutdown time for a connection that is still being made
# A remote that reads nothing for this time after the host's end, though more is queued for it, will
# not see that end.
_STALL_TIME = 0.6
_STALL_POLL = 0.05
_SIGNAL_TIME = 0.4  # for SIGTERM and SIGKILL then
# A proxy that cannot connect stays this long to say so. A host of both eras sends
# `server/discover`, and `initialize` after the error; its user reads the answer to the last one.
_LINGER_TIME = 4.0
_LATE_VERDICT_TIME = 0.5  # the attempt itself has the same time limit and a better message


class Settings(NamedTuple):
    """Behaviour of a proxy; times in seconds, sizes in bytes.

    `may_be_shell`: no command was named, or a shell, so that may answer. `answer_timeout` limits
    the wait for the first message of such a shell, and for a fresh server's answer to a repeated
    `initialize`. See `Parameters` for the others.
    """

    may_be_shell: bool = False
    answer_timeout: float = 25.0
    reconnect: bool = True
    reconnect_timeout: float = float("inf")
    hold_timeout: float = 20.0
    retry_tool_calls: bool = False
    tools: Sequence[str] = ()
    ignore_tools: Sequence[str] = ()
    bridge: str = "auto"
    max_message_size: int = 256 * 1024 * 1024
    log_file: Path | None = None


class Facts(NamedTuple):
    """A snapshot of a session, with the names of host and server as they gave them."""

    state: State
    answered: bool
    pending: int
    host: str
    server: str


class Proxy:
    """Relays between one host and one remote server.

    The host's lines go to `intake`. Call `run()` once, and `stop()` at any time, in the loop.
    """

    def __init__(
        self,
        dial: Dial,
        settings: Settings,
        watch: Watch | None = None,
        another_way: Callable[[int | None, list[str]], bool] = lambda _status, _stderr: False,
        history: History | None = None,
        pings: MakeWatch | None = None,
    ) -> None:
        """`another_way` is told exit status and last words of a command that has said nothing else.

        It returns whether the program was not found, and the next dial runs it in another way.
        `history` is one that others note something in, too. `pings` makes a watch over each
        connection, which asks a silent server for a sign of life, and ends a dead one.
        """
        self._dial = dial
        self._another_way = another_way
        self._pings = pings
        self._settings = settings
        prefix = f"m2m-{secrets.token_hex(4)}-"
        self._session = _session(settings, prefix)
        self._locked = LockedSession(
            self._session,
            settings.max_message_size,
            watch,
            _between(settings, prefix),
            self._changed,
        )
        self._stopping = anyio.Event()
        self._stop_deadline = float("inf")
        # Set, and replaced, whenever what is held may have changed.
        self._state_changed = anyio.Event()
        # Set when the host sends something while there is no connection.
        self._asked = anyio.Event()
        self._trouble = ""
        self.history = history or History()
        self._first_answer = FirstAnswer(
            self._session, settings.answer_timeout, may_be_shell=settings.may_be_shell
        )

    @property
    def intake(self) -> Intake:
        """The intake for what the host sends."""
        return self._locked.host_intake

    def first_words(self) -> bytes:
        """Return the input that the first server may get before it is connected. Any thread."""
        line = self._locked.first_line()
        return line and line + b"\n"

    @property
    def facts(self) -> Facts:
        """A snapshot of the session. Any thread may take it."""
        session = self._session
        return Facts(
            session.state,
            session.process_answered,
            self._locked.pending,
            session.host_name,
            session.server_name,
        )

    @property
    def _host(self) -> HostStreams:
        return self._locked.host

    async def run(self, host: HostStreams) -> SSHClientError | None:
        """Relay until one side ends. Return what failed, or None if the host ended the session.

        The host has been answered and the failure has been logged by then.
        """
        self._locked.attach_host(host)
        try:
            return await self._run_in_any_case()
        finally:
            host.leave_by = self._stop_deadline + _LEAVE_TIME - SHUTDOWN_TIME

    async def _run_in_any_case(self) -> SSHClientError | None:
        try:
            return await self._run(self._supervise)
        except Exception as exc:
            # A fault of this program, which has ended the tasks too. The host is still answered.
            logger.info("details", exc_info=exc)
            failure = unexpected(exc)

        async def failed() -> SSHClientError:
            return failure

        return await self._run(failed)

    async def _run(
        self, supervise: Callable[[], Awaitable[SSHClientError | None]]
    ) -> SSHClientError | None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._carry_from_host)
            tasks.start_soon(self._watch_host)
            tasks.start_soon(self._watch_stall)
            tasks.start_soon(self._answer_late)
            failure = await supervise()
            await self._tell(failure)
            tasks.cancel_scope.cancel()
        return failure

    def stop(self, time_left: float = SHUTDOWN_TIME) -> None:
        """Begin an orderly end: the remote server gets end of file and a moment to finish."""
        if not self._stopping.is_set():
            self._stop_deadline = anyio.current_time() + time_left
            self._stopping.set()

    async def _supervise(self) -> SSHClientError | None:
        """Connect, and connect again, while that makes sense. Return as `run`."""
        settings = self._settings
        recovery = Recovery(
            anyio.current_time(),
            enabled=settings.reconnect,
            start_time=settings.answer_timeout,
            lost_time=settings.reconnect_timeout,
        )
        while True:
            failure, bridge = await self._serve(recovery)
            if failure is None:
                return None
            if self._stopping.is_set():  # whoever pipes one request in wants to know why it failed
                return failure if self._session.state is State.CONNECTING else None
            if self._ended_on_discover(failure, bridge) or self._never_ran(failure, bridge):
                continue
            self._note(failure, bridge)
            delay = recovery.delay(failure, anyio.current_time())
            if delay is None:
                return failure
            self._trouble = f"The connection to the remote server is being made again ({failure.message.rstrip('.')})"
            self._log_retry(failure, delay, recovery.hurried)
            if self._session.state is not State.CONNECTING:
                ended = isinstance(failure, (RemoteExitError, SilentConnectionError))
                self._locked.lost(failure.message, bridge, ended=ended)
            self._changed()
            await self._pause(delay, recovery.hurried)
            if self._stopping.is_set():
                return None

    def _log_retry(self, failure: SSHClientError, delay: float, hurried: float) -> None:
        """Log that there will be another attempt, and why."""
        turned_away = isinstance(failure, UnreachableError) and failure.wait > 0
        shown = turned_away or self._session.process_answered
        logger.log(
            logging.WARNING if shown else logging.INFO,
            "%s: trying again in %.1f s%s%s",
            failure.message,
            delay,
            f", or {hurried:.1f} s while a request waits" if hurried < delay else "",
            f". {failure.hint}" if turned_away else "",
        )

    async def _pause(self, delay: float, hurried: float) -> None:
        """Wait for the next attempt: `delay`, or `hurried` while a request waits for it."""
        awaited = self._session.state is State.CONNECTING or self._locked.is_awaited
        self._asked = anyio.Event()
        with anyio.move_on_after(hurried):
            await self._stopping.wait()
        if not awaited:
            with anyio.move_on_after(delay - hurried):
                await _first_of(self._stopping, self._asked)

    async def _serve(self, recovery: Recovery) -> tuple[SSHClientError | None, Bridge | None]:
        """Make and relay one connection.

        Return what ended it, or None for the host; and its bridge, closed, if it got that far.
        """
        failure: SSHClientError | None = None
        bridge: Bridge | None = None
        connection = object()
        async with anyio.create_task_group() as tasks:
            deadline = recovery.first_deadline + _LATE_VERDICT_TIME
            tasks.start_soon(self._give_up_connecting, tasks.cancel_scope, deadline)
            try:
                async with self._dial(self._locked.remote_intake(connection)) as bridge:
                    self._locked.attach_remote(bridge, connection)
                    failure = await self._relay(bridge, recovery)
            except SSHClientError as exc:
                failure = exc
            tasks.cancel_scope.cancel()
        self._locked.detach_remote()
        if failure is None and bridge is None and not self._stopping.is_set():
            failure = UnreachableError(
                f"No connection within {self._settings.answer_timeout:g} s",
                "Is this machine on the network? More time: --connect-timeout SECONDS.",
            )
        return failure, bridge

    async def _give_up_connecting(self, connecting: anyio.CancelScope, deadline: float) -> None:
        with anyio.CancelScope(deadline=deadline):
            await self._stopping.wait()
            await anyio.sleep_until(self._stop_deadline - SHUTDOWN_TIME + _LATE_CONNECT_TIME)
        if self._locked.remote is None:
            connecting.cancel()

    async def _relay(self, bridge: Bridge, recovery: Recovery) -> SSHClientError | None:
        """Carry what the remote sends until one side ends.

        Return why, or None if the host ended.
        """
        ended = anyio.Event()
        judged = anyio.Event()
        verdict: SSHClientError | None = None

        async def judge() -> None:
            nonlocal verdict
            verdict = await self._first_answer.judge(lambda: bridge.stderr_tail)
            if verdict is not None:
                judged.set()

        async with anyio.create_task_group() as tasks:
            self._locked.step(self._session.connected, sent=bridge.ahead.removesuffix(b"\n"))
            self._changed()
            self.history.connected()
            tasks.start_soon(self._carry_from_remote, bridge, recovery, ended)
            tasks.start_soon(judge)
            with watched(self._pings, bridge, self._locked, self._session):
                await _first_of(ended, judged, self._stopping)
            if not ended.is_set():
                deadline = min(self._stop_deadline, anyio.current_time() + SHUTDOWN_TIME)
                await bridge.shut_down(ended, deadline)
            tasks.cancel_scope.cancel()
        if self._stopping.is_set():
            return None
        return verdict or self._with_last_words(await bridge.ending(), bridge)

    # Back pressure stops the source of its direction and nothing else. A task that waits for room
    # here does not read meanwhile, and what one side does not read must not keep us from reading
    # the other side.

    async def _carry_from_host(self) -> None:
        async for lines in self._host.inbound:
            output = self._locked.from_host(lines)
            remote = self._locked.remote
            if output.to_remote and remote is not None:
                await remote.room()
            if output.to_host:  # refusals, which the host itself has caused
                await self._host.outbound.room()
            del lines, output  # free long ones before waiting for the next
            if self._session.state is not State.OPEN:
                self._asked.set()
                self._changed()
            elif not self._locked.is_direct:
                self._changed()
            while self._session.full:
                await self._state_changed.wait()
        self.stop()

    async def _carry_from_remote(
        self, bridge: Bridge, recovery: Recovery, ended: anyio.Event
    ) -> None:
        async for lines in bridge.inbound:
            state = self._session.state
            output = self._locked.from_remote(lines)
            if output.to_host:
                await self._host.outbound.room()
            del lines, output  # as above
            if self._session.process_answered and recovery.answered():
                self.history.change()
            if self._session.state is not state or not self._locked.is_direct:
                self._changed()
        self._locked.step(partial(self._session.last_words, bridge.begun_line()))
        ended.set()

    def _note(self, failure: SSHClientError, bridge: Bridge | None) -> None:
        """Note a failure in the history: the loss of a connection if there was one."""
        note = self.history.failed if bridge is None else self.history.lost
        note(failure.message)

    def _changed(self) -> None:
        self._state_changed.set()
        self._state_changed = anyio.Event()

    async def _answer_late(self) -> None:
        """Answer the requests that were held for too long."""
        while True:
            changed = self._state_changed
            with anyio.CancelScope(deadline=self._locked.next_expiry):
                await changed.wait()
                continue
            self._locked.expire(self._trouble)
            self._changed()

    async def _watch_host(self) -> None:
        await self._host.gone.wait()
        self.stop()

    async def _watch_stall(self) -> None:
        """Stop once the host has closed its end and the remote does not read what is left.

        While the remote reads, it gets all of it, and the end of file after that.
        """
        await self._host.closed.wait()
        with anyio.move_on_after(_STALL_TIME) as stall:
            before: tuple[ToThread | None, int] | None = None
            while True:
                remote = self._locked.remote
                now = (remote, 0 if remote is None else remote.progress)
                if now != before:
                    before, stall.deadline = now, anyio.current_time() + _STALL_TIME
                await anyio.sleep(_STALL_POLL)
        self.stop(_SIGNAL_TIME)

    def _ended_on_discover(self, failure: SSHClientError, bridge: Bridge | None) -> bool:
        """Return whether `server/discover` may have ended the remote, and a fresh one may live."""
        if not isinstance(failure, RemoteExitError) or bridge is None:
            return False
        from m2m_ssh_client.proxy import early_end  # not needed to start

        printed = self._session.stray_output.last
        if not early_end.may_be_about_discover(failure.status, list(printed), bridge.stderr_tail):
            return False
        if not self._locked.ended_on_discover(bridge):
            return False
        logger.info("the remote server ended on server/discover; starting a fresh one")
        return True

    def _never_ran(self, failure: SSHClientError, bridge: Bridge | None) -> bool:
        """Return whether the command was not found, and is now run in another way."""
        if not isinstance(failure, RemoteExitError) or bridge is None:
            return False
        if self._session.process_answered or self._session.stray_output.last:
            return False
        said = failure.status, bridge.stderr_tail
        return self._another_way(*said) and self._locked.never_ran(bridge)

    async def _tell(self, failure: SSHClientError | None) -> None:
        """Answer all requests that are open; if there was no connection, stay to answer more."""
        reason = "The proxy was stopped by its host"
        if failure is not None:
            reason = str(failure)
            if self._settings.log_file is not None:
                end = "" if reason.endswith((".", "?", "!")) else "."
                reason = f"{reason}{end} Log: {shown(self._settings.log_file)}"
            logger.error("%s", reason)
            logger.debug("details", exc_info=failure)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._leave_after_stop, tasks.cancel_scope)
            with anyio.move_on_after(_LINGER_TIME):
                self._locked.failed(reason)
                if failure is not None:
                    self.history.change()
                await self._host.outbound.room()
                self._changed()
                if failure is not None and not self._session.process_answered:
                    await self._stopping.wait()
            tasks.cancel_scope.cancel()

    async def _leave_after_stop(self, telling: anyio.CancelScope) -> None:
        await self._stopping.wait()
        await anyio.sleep_until(self._stop_deadline)  # a host that does not read is left then
        telling.cancel()

    def _with_last_words(self, reason: SSHClientError, bridge: Bridge) -> SSHClientError:
        """Add what the remote command printed before it ended."""
        if not isinstance(reason, RemoteExitError):
            return reason
        from m2m_ssh_client.proxy import early_end  # not needed to start

        message, hint = reason.message, reason.hint
        if not self._session.process_answered:
            hint = early_end.hint(reason.status, bridge.stderr_tail) or hint
            if reason.status != COMMAND_NOT_FOUND:
                message += " before it answered"
            if self._session.stray_output.last:
                message += "; it printed: " + " | ".join(self._session.stray_output.last)
        if bridge.stderr_tail:
            message += "; its stderr: " + " | ".join(map(shortened, bridge.stderr_tail))
        return RemoteExitError(message, hint, reason.status)


def _session(settings: Settings, prefix: str) -> Session:
    make: Callable[..., Session] = Session
    if settings.tools or settings.ignore_tools:
        from m2m_ssh_client.proxy.memory.filtered_session import FilteredSession

        make = partial(FilteredSession, tools=settings.tools, ignore_tools=settings.ignore_tools)
    return make(
        prefix,
        may_be_shell=settings.may_be_shell,
        hold_time=settings.hold_timeout,
        retry_tool_calls=settings.retry_tool_calls,
    )


def _between(settings: Settings, prefix: str) -> Between | None:
    if settings.bridge == "off":
        return None
    return EraWatch(f"{prefix}b", settings.bridge, settings.hold_timeout)


async def _first_of(*events: anyio.Event) -> None:
    async def wait_for(event: anyio.Event) -> None:
        await event.wait()
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for event in events:
            tasks.start_soon(wait_for, event)
