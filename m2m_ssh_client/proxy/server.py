"""The proxy: a stdio MCP server for its host, and in truth the remote one.

One task carries lines from the host, one from the remote; a third supervises the connection. While all is well and
nothing waits, the threads that read do the work of the first two themselves: a lock makes each step of the session one
with the handing on of what it gave out. Life cycle: connect while the host's frames are held; relay; when the
connection is lost, make it again while the host sees nothing of it; when the host closes its stdin, end of file goes
on to the remote, whose last answers are still delivered, and everything is gone within two seconds. When there can be
no connection, every request is answered with the reason, for a few seconds more, so that a person can read it in the
host.
"""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio

from m2m_ssh_client.errors import (
    RemoteExitError,
    SilentConnectionError,
    SSHClientError,
    UnreachableError,
    unexpected,
)
from m2m_ssh_client.flow.bridge import Bridge
from m2m_ssh_client.flow.hand_over import Lines, ToThread
from m2m_ssh_client.flow.host_stdio import HostStreams
from m2m_ssh_client.proxy.early_forwarding.forwarding import CutThrough, LongLines
from m2m_ssh_client.proxy.early_forwarding.line_prefix import Opening
from m2m_ssh_client.proxy.first_answer import FirstAnswer
from m2m_ssh_client.proxy.memory.session import Output, Session, State
from m2m_ssh_client.proxy.recovery import Recovery
from m2m_ssh_client.text import shortened, shown

logger = logging.getLogger(__name__)

Dial = Callable[[], AbstractAsyncContextManager[Bridge]]
"""Opens a connection to a fresh remote server; raises SSHClientError, and may be cancelled while it does."""

# Everything is to be gone two seconds after the host's end, on a slow machine too: half a second is kept in reserve.
# So much of the rest is the remote server's; then both sides are closed, and a host that has not read all has a moment.
_SHUTDOWN_TIME = 1.1
_LEAVE_TIME = 1.3
_LATE_CONNECT_TIME = 0.7  # of which a connection that is still being made gets this much
# A remote that has read nothing for so long behind the host's end, though there is more for it, will not see that end.
_STALL_TIME = 0.6
_STALL_POLL = 0.05
_SIGNAL_TIME = 0.4  # left for SIGTERM and SIGKILL then
# How long a proxy that could not connect stays to say so: a host of both eras sends `server/discover`, and
# `initialize` after the error; a person is told by the answer to the last request, not by a closed pipe.
_LINGER_TIME = 4.0
_LATE_VERDICT_TIME = 0.5  # a connection attempt has the same time limit, and better words for it
_SHORT_PAUSE = 0.3  # between attempts while a request waits for one of them
_COMMAND_NOT_FOUND = 127
_STEP_TIME = 0.01  # many times what a step takes


@dataclass(frozen=True)
class Settings:
    """How a proxy behaves; times in seconds.

    `may_be_shell`: no command was named, so a login shell may answer. `answer_timeout` is for the first message of what
    may be one, and for a fresh server's answer to a repeated `initialize`. See `Parameters` for the rest.
    """

    may_be_shell: bool = False
    answer_timeout: float = 25.0
    reconnect: bool = True
    reconnect_timeout: float = float("inf")
    hold_timeout: float = 20.0
    retry_tool_calls: bool = False
    log_file: Path | None = None


class Proxy:
    """Relays between one host and one remote server. `run()` once; `stop()` at any time, in the loop."""

    cuts_through = True

    def __init__(self, host: HostStreams, dial: Dial, settings: Settings) -> None:
        self._host = host
        self._dial = dial
        self._settings = settings
        self._session = Session(
            f"m2m-{secrets.token_hex(4)}-",
            may_be_shell=settings.may_be_shell,
            hold_time=settings.hold_timeout,
            retry_tool_calls=settings.retry_tool_calls,
        )
        # Held for each step of the session until what it gave out is handed on: no line overtakes another.
        self._stepping = threading.Lock()
        self._lines = LongLines(self._session)
        self._to_remote: ToThread | None = None
        self._undelivered: Lines = []  # what was for the remote while there was none
        self._clock_offset = 0.0
        self._stopping = anyio.Event()
        self._stop_deadline = float("inf")
        # Set, and replaced, whenever what is held may have changed.
        self._state_changed = anyio.Event()
        # The host sent something while there is no connection.
        self._asked = anyio.Event()
        self._trouble = ""
        self._first_answer = FirstAnswer(
            self._session, settings.answer_timeout, may_be_shell=settings.may_be_shell
        )

    async def run(self) -> SSHClientError | None:
        """Relay until one side ends: what failed, or None if it was the host's end.

        A failure has been told to the host and logged by then.
        """
        self._clock_offset = anyio.current_time() - time.monotonic()
        self._host.inbound.take = self._take_from_host
        if self.cuts_through and self._host.splitter is not None:
            self._host.splitter.begin = self._begin_request
        try:
            return await self._run(self._supervise)
        except Exception as exc:
            # A fault of ours, which has ended the tasks too. Whoever asked is told nevertheless.
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

    def stop(self, time_left: float = _SHUTDOWN_TIME) -> None:
        """End orderly: the remote server gets its end of file and a moment to finish."""
        if not self._stopping.is_set():
            self._stop_deadline = anyio.current_time() + time_left
            self._host.leave_by = self._stop_deadline + _LEAVE_TIME - _SHUTDOWN_TIME
            self._stopping.set()

    async def _supervise(self) -> SSHClientError | None:
        """Connect, and connect again, for as long as it makes sense. What ended it, or None if that was the host."""
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
            if (
                self._stopping.is_set()
            ):  # a person who pipes one request in wants to know why it failed
                return failure if self._session.state is State.CONNECTING else None
            if self._ended_on_discover(failure, bridge):
                continue
            delay = recovery.delay(failure, anyio.current_time())
            if delay is None:
                return failure
            self._trouble = f"The connection to the remote server is being made again ({failure.message.rstrip('.')})"
            logger.log(
                logging.WARNING if self._session.process_answered else logging.INFO,
                "%s: trying again in %.1f s",
                failure.message,
                delay,
            )
            if self._session.state is not State.CONNECTING:
                self._step(partial(self._lose, failure, bridge))
            self._changed()
            await self._pause(delay, may_hurry=recovery.may_hurry)
            if self._stopping.is_set():
                return None

    async def _pause(self, delay: float, *, may_hurry: bool) -> None:
        """Wait for the next attempt, and if it may be hurried, not for long where somebody waits for it."""
        awaited = self._session.state is State.CONNECTING or self._session.next_expiry < float(
            "inf"
        )
        self._asked = anyio.Event()
        with anyio.move_on_after(min(delay, _SHORT_PAUSE) if may_hurry else delay):
            await self._stopping.wait()
        if may_hurry and not awaited:
            with anyio.move_on_after(delay - _SHORT_PAUSE):
                await _first_of(self._stopping, self._asked)

    async def _serve(self, recovery: Recovery) -> tuple[SSHClientError | None, Bridge | None]:
        """One connection: what ended it (None: the host), and its bridge, closed, if it came so far."""
        failure: SSHClientError | None = None
        bridge: Bridge | None = None
        async with anyio.create_task_group() as tasks:
            deadline = recovery.first_deadline + _LATE_VERDICT_TIME
            tasks.start_soon(self._give_up_connecting, tasks.cancel_scope, deadline)
            try:
                async with self._dial() as bridge:
                    self._to_remote = bridge.outbound
                    failure = await self._relay(bridge, recovery)
            except SSHClientError as exc:
                failure = exc
            tasks.cancel_scope.cancel()
        with self._stepping:
            self._to_remote = None
        if failure is None and bridge is None and not self._stopping.is_set():
            failure = UnreachableError(
                f"No connection within {self._settings.answer_timeout:g} s",
                "Is this machine on the network? More time: --connect-timeout SECONDS.",
            )
        return failure, bridge

    def _lose(self, failure: SSHClientError, bridge: Bridge | None) -> Output:
        ended = isinstance(failure, (RemoteExitError, SilentConnectionError))
        unsent = self._take_unsent(bridge)
        return self._lines.lost(failure.message, unsent, self._now(), ended=ended)

    def _take_unsent(self, bridge: Bridge | None) -> Lines:
        """What never left for a remote that is gone; a part of a step."""
        unsent = (bridge.unsent if bridge is not None else []) + self._undelivered
        self._undelivered = []
        return unsent

    async def _give_up_connecting(self, connecting: anyio.CancelScope, deadline: float) -> None:
        with anyio.CancelScope(deadline=deadline):
            await self._stopping.wait()
            await anyio.sleep_until(self._stop_deadline - _SHUTDOWN_TIME + _LATE_CONNECT_TIME)
        if self._to_remote is None:
            connecting.cancel()

    async def _relay(self, bridge: Bridge, recovery: Recovery) -> SSHClientError | None:
        """Carry what the remote sends, until one side ends. The reason, if it was not the host's end."""
        ended = anyio.Event()
        judged = anyio.Event()
        verdict: SSHClientError | None = None

        async def judge() -> None:
            nonlocal verdict
            verdict = await self._first_answer.judge(lambda: bridge.stderr_tail)
            if verdict is not None:
                judged.set()

        async with anyio.create_task_group() as tasks:
            self._step(self._session.connected)
            self._changed()
            tasks.start_soon(self._carry_from_remote, bridge, recovery, ended)
            tasks.start_soon(judge)
            await _first_of(ended, judged, self._stopping)
            if not ended.is_set():
                deadline = min(self._stop_deadline, anyio.current_time() + _SHUTDOWN_TIME)
                await bridge.shut_down(ended, deadline)
            tasks.cancel_scope.cancel()
        if self._stopping.is_set():
            return None
        return verdict or self._with_last_words(await bridge.ending(), bridge)

    # The back pressure of a direction stops the source of that direction and nothing else: whoever waits here for room
    # is not read from meanwhile, and what one side does not read must not keep the other side from being read.

    async def _carry_from_host(self) -> None:
        async for lines in self._host.inbound:
            output = self._step(partial(self._from_host, lines))
            remote = self._to_remote
            if output.to_remote and remote is not None:
                await remote.room()
            if output.to_host:  # refusals, of which it is the source itself
                await self._host.outbound.room()
            del lines, output  # they may be long, and the next ones long in coming
            if self._session.state is not State.OPEN:
                self._asked.set()
                self._changed()
            while self._session.full:
                await self._state_changed.wait()
        self.stop()

    async def _carry_from_remote(
        self, bridge: Bridge, recovery: Recovery, ended: anyio.Event
    ) -> None:
        bridge.inbound.take = partial(self._take_from_remote, bridge)
        if self.cuts_through:
            bridge.splitter.begin = partial(self._begin_answer, bridge)
        async for lines in bridge.inbound:
            state = self._session.state
            output = self._step(partial(self._lines.from_remote, lines))
            if output.to_host:
                await self._host.outbound.room()
            del lines, output  # as above
            if self._session.process_answered:
                recovery.answered()
            if self._session.state is not state:
                self._changed()
        self._step(partial(self._session.last_words, bridge.begun_line()))
        ended.set()

    def _take_from_host(self, lines: Lines) -> bool:
        """What `_carry_from_host` would do, in the thread that read the lines; False if that must do it."""
        with self._stepping:
            remote = self._to_remote
            if remote is None or not remote.has_room or not self._host.outbound.has_room:
                return False
            if self._session.state is not State.OPEN:
                return False
            self._hand_on(self._from_host(lines))
        return True

    def _take_from_remote(self, bridge: Bridge, lines: Lines) -> bool:
        """The same for `_carry_from_remote`, once the remote has answered. (In the open state it is sent nothing.)

        Does not wait for long: whoever takes a step may be waiting for keys that this very thread exchanges.
        """
        if not self._stepping.acquire(timeout=_STEP_TIME):
            return False
        try:
            if self._to_remote is not bridge.outbound or not self._host.outbound.has_room:
                return False
            if self._session.state is not State.OPEN or not self._session.process_answered:
                return False
            self._hand_on(self._lines.from_remote(lines))
        finally:
            self._stepping.release()
        return True

    def _from_host(self, lines: Lines) -> Output:
        return self._lines.from_host(lines, self._now(), self._to_remote)

    def _begin_request(self, opening: Opening) -> CutThrough | None:
        with self._stepping:
            remote = self._to_remote
            return None if remote is None else self._lines.begin_request(opening, remote)

    def _begin_answer(self, bridge: Bridge, opening: Opening) -> CutThrough | None:
        """Does not wait for long, as `_take_from_remote`."""
        host = self._host.outbound
        if not isinstance(host, ToThread) or not self._stepping.acquire(timeout=_STEP_TIME):
            return None
        try:
            here = self._to_remote is bridge.outbound
            return self._lines.begin_answer(opening, host) if here else None
        finally:
            self._stepping.release()

    def _now(self) -> float:
        """The loop's time, in any thread."""
        return time.monotonic() + self._clock_offset

    def _changed(self) -> None:
        self._state_changed.set()
        self._state_changed = anyio.Event()

    async def _answer_late(self) -> None:
        """Answer the requests that have waited too long for a lost connection."""
        while True:
            changed = self._state_changed
            with anyio.CancelScope(deadline=self._session.next_expiry):
                await changed.wait()
                continue
            self._step(partial(self._session.expire, self._now(), self._trouble))
            self._changed()

    async def _watch_host(self) -> None:
        await self._host.gone.wait()
        self.stop()

    async def _watch_stall(self) -> None:
        """Stop if the host has closed its end, and the remote does not take what was sent before.

        All of it is for the remote, as long as that reads: the end of file comes behind it.
        """
        await self._host.closed.wait()
        with anyio.move_on_after(_STALL_TIME) as stall:
            before: tuple[ToThread | None, int] | None = None
            while True:
                remote = self._to_remote
                now = (remote, 0 if remote is None else remote.progress)
                if now != before:
                    before, stall.deadline = now, anyio.current_time() + _STALL_TIME
                await anyio.sleep(_STALL_POLL)
        self.stop(_SIGNAL_TIME)

    def _step(self, step: Callable[[], Output]) -> Output:
        """Let the session take a step, and hand on what it gives out."""
        with self._stepping:
            output = step()
            self._hand_on(output)
        return output

    def _hand_on(self, output: Output) -> None:
        if output.to_remote:
            if self._to_remote is not None:
                self._to_remote.put(output.to_remote)
            else:
                self._undelivered += output.to_remote
        if output.to_host and self._host.outbound.is_open:
            self._host.outbound.put(output.to_host)

    def _ended_on_discover(self, failure: SSHClientError, bridge: Bridge | None) -> bool:
        """Whether the remote only could not bear `server/discover`, and a fresh process is worth it."""
        if not isinstance(failure, RemoteExitError) or failure.status == _COMMAND_NOT_FOUND:
            return False
        with self._stepping:
            output = None if self._session.process_answered else self._session.ended_on_discover()
            if output is None:
                return False
            self._take_unsent(bridge)
            self._hand_on(output)
        logger.info("the remote server ended on server/discover; starting a fresh one")
        return True

    async def _tell(self, failure: SSHClientError | None) -> None:
        """Answer all that still wait; if there was no getting through, stay to answer whoever asks again."""
        reason = "The proxy was stopped by its host"
        if failure is not None:
            reason = str(failure)
            if self._settings.log_file is not None:
                end = "" if reason.endswith((".", "?", "!")) else "."
                reason = f"{reason}{end} Log: {shown(self._settings.log_file)}"
            logger.error("Error running MCP SSH client: %s", reason)
            logger.debug("details", exc_info=failure)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._leave_after_stop, tasks.cancel_scope)
            with anyio.move_on_after(_LINGER_TIME):
                self._step(partial(self._lines.failed, reason))
                await self._host.outbound.room()
                self._changed()
                if failure is not None and not self._session.process_answered:
                    await self._stopping.wait()
            tasks.cancel_scope.cancel()

    async def _leave_after_stop(self, telling: anyio.CancelScope) -> None:
        await self._stopping.wait()
        await anyio.sleep_until(self._stop_deadline)  # the host may not read any more
        telling.cancel()

    def _with_last_words(self, reason: SSHClientError, bridge: Bridge) -> SSHClientError:
        """What the remote command said before it ended belongs to the reason."""
        if not isinstance(reason, RemoteExitError):
            return reason
        message = reason.message
        if not self._session.process_answered:
            message += " before it answered"
            if self._session.noise.last:
                message += "; it printed: " + " | ".join(self._session.noise.last)
        if bridge.stderr_tail:
            message += "; its stderr: " + " | ".join(map(shortened, bridge.stderr_tail))
        return RemoteExitError(message, reason.hint, reason.status)


async def _first_of(*events: anyio.Event) -> None:
    async def wait_for(event: anyio.Event) -> None:
        await event.wait()
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for event in events:
            tasks.start_soon(wait_for, event)
