"""The one place where the blocking SSH side and the anyio MCP side meet.

A `Carrier` is whatever a remote server's stdio travels on: a paramiko channel, a pair of pipes in tests. The
bridge runs it in three daemon threads (stdout, stderr, stdin of the far side) and gives the loop a pair of
memory streams of lines. Life cycle: `opened()`, use `inbound` and `outbound`, then `shut_down()`: close `outbound`
(everything sent is written, then the far side sees end of file), wait for the far side to end, press harder,
close the carrier. Leaving the context closes at once. Whichever side dies, `inbound` ends.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol

import anyio
from anyio.abc import TaskGroup

from m2m_ssh_client.errors import MessageTooLongError, SSHClientError
from m2m_ssh_client.proxy.frames import LineSplitter
from m2m_ssh_client.text import printable, shortened
from m2m_ssh_client.threads import FromThread, ToThread, run_in_thread, start_thread

logger = logging.getLogger(__name__)
remote_stderr = logging.getLogger("m2m_ssh_client.remote")
"""What the far side writes to its stderr, a record a line."""

_TAIL_LINES = 5
_TAIL_LENGTH = 4000  # some shells repeat the whole line that they do not understand
_STDERR_LINE_LIMIT = 8 * 1024

_TERM_BEFORE = 0.4  # seconds before the deadline of a shutdown
_KILL_BEFORE = 0.15
_STDERR_TIME = (
    0.5  # for the last lines of stderr, which has ended by then or stays open in some grandchild
)
_CLOSE_TIME = 0.3  # paramiko's close joins its thread; it is done in a moment or not at all


class Carrier(Protocol):
    """A remote server's stdio, blocking. Each method is called from one thread of its own, `close` from any."""

    def read(self) -> bytes:
        """Some bytes of its stdout; empty at the end, however it came."""

    def read_stderr(self) -> bytes:
        """Some bytes of its stderr; empty at the end."""

    def write(self, data: bytes) -> None:
        """Write everything to its stdin; OSError if that cannot be."""

    def write_now(self, data: bytes) -> bool:
        """Write everything if that does not block; False if nothing was written. OSError as `write`."""

    def close_write(self) -> None:
        """End of file on its stdin."""

    def signal(self, name: str) -> None:
        """Ask for a signal (`TERM`, `KILL`) to be sent to it, without waiting."""

    def ending(self) -> SSHClientError:
        """Why `read` came to its end: the process ended, or the link was lost. Bounded."""

    def close(self) -> None:
        """Give up everything, bounded; every other call returns soon."""


class Bridge:
    """A carrier as a pair of memory streams of lines. Made by `opened()`."""

    def __init__(self, carrier: Carrier, tasks: TaskGroup, max_line: int) -> None:
        self._carrier = carrier
        self._max_line = max_line
        self._from_remote = FromThread()
        self._to_remote = ToThread(
            "ssh-writer", carrier.write, carrier.close_write, carrier.write_now
        )
        self.inbound = self._from_remote.receive
        self.outbound = self._to_remote.send
        self._too_long: MessageTooLongError | None = None
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._reader = start_thread("ssh-reader", self._read)
        self._stderr_reader = start_thread("ssh-stderr", self._read_stderr)
        tasks.start_soon(self._from_remote.pump)
        tasks.start_soon(self._to_remote.pump)

    @property
    def stderr_tail(self) -> list[str]:
        """The last lines of the far side's stderr, printable."""
        return list(self._tail)

    @property
    def unsent(self) -> list[bytes]:
        """After the end: the lines taken from `outbound` of which not a byte left for the far side."""
        return self._to_remote.unsent

    async def ending(self) -> SSHClientError:
        """Why `inbound` ended. When this returns, `stderr_tail` is complete if the far side ended too."""
        if self._too_long is not None:
            return self._too_long
        return await run_in_thread("ssh-ending", self._ending)

    def _ending(self) -> SSHClientError:
        reason = self._carrier.ending()
        self._stderr_reader.join(_STDERR_TIME)
        return reason

    async def shut_down(self, ended: anyio.Event, deadline: float) -> None:
        """End of file to the far side, then signals if it stays (MCP's shutdown of a stdio server).

        Returns when `ended` is set, which the reader of `inbound` does at its end, or at the deadline (on the loop's
        clock), with SIGTERM 0.4 s and SIGKILL 0.15 s before it. Answers that still come are for that reader.
        """
        self.outbound.close()
        for before, name in ((_TERM_BEFORE, "TERM"), (_KILL_BEFORE, "KILL"), (0.0, None)):
            with anyio.CancelScope(deadline=deadline - before):
                await ended.wait()
                return
            if name is not None:
                logger.info("the remote server is still there: sending it SIG%s", name)
                start_thread("ssh-signal", partial(self._carrier.signal, name))

    async def aclose(self) -> None:
        self._from_remote.close()
        self._to_remote.close()
        self.outbound.close()
        with anyio.move_on_after(_CLOSE_TIME, shield=True):
            await run_in_thread("ssh-close", self._carrier.close)
            await self._to_remote.finished.wait()

    def _read(self) -> None:
        splitter = LineSplitter(self._max_line)
        try:
            while chunk := self._carrier.read():
                lines = splitter.feed(chunk)
                if lines and not self._from_remote.put(lines):
                    return
        except MessageTooLongError as exc:
            self._too_long = exc
        finally:
            if splitter.pending:
                logger.warning("the remote ended within a line (%d bytes)", splitter.pending)
            self._from_remote.end()

    def _read_stderr(self) -> None:
        rest = b""
        while chunk := self._carrier.read_stderr():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._show(line)
            if len(rest) > _STDERR_LINE_LIMIT:  # nothing grows, and nothing is lost
                self._show(rest)
                rest = b""
        if rest:
            self._show(rest)

    def _show(self, line: bytes) -> None:
        text = printable(line.rstrip(b"\r"))
        self._tail.append(shortened(text, _TAIL_LENGTH))
        remote_stderr.warning("%s", text)


@asynccontextmanager
async def opened(carrier: Carrier, max_line: int) -> AsyncIterator[Bridge]:
    """Run the carrier's threads for as long as the context lasts."""
    async with anyio.create_task_group() as tasks:
        bridge = Bridge(carrier, tasks, max_line)
        try:
            yield bridge
        finally:
            await bridge.aclose()
            tasks.cancel_scope.cancel()
