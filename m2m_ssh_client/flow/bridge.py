"""The one place where the blocking SSH side and the anyio MCP side meet.

What a `Carrier` brings comes in a thread of its own; the bridge makes lines of it there, and a memory stream of these
for the loop. What is sent is written by a daemon thread, unless it can be written at once. Life cycle:
`opened()`, use `inbound` and `outbound`, then `shut_down()`: end `outbound` (everything sent is written, then the far
side sees end of file), wait for the far side to end, press harder, close the carrier. Leaving the context closes at
once. Whichever side dies, `inbound` ends.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio

from m2m_ssh_client.errors import MessageTooLongError, SSHClientError
from m2m_ssh_client.flow.hand_over import FromThread, ToThread, run_in_thread, start_thread
from m2m_ssh_client.flow.remote_stdio import Carrier
from m2m_ssh_client.proxy.early_forwarding.forwarding import LongLineSplitter
from m2m_ssh_client.text import printable, shortened

logger = logging.getLogger(__name__)
remote_stderr = logging.getLogger("m2m_ssh_client.ssh.opener")
"""What the far side writes to its stderr, a record a line."""

_TAIL_LINES = 5
_TAIL_LENGTH = 4000  # some shells repeat the whole line that they do not understand
_STDERR_LINE_LIMIT = 8 * 1024

_TERM_BEFORE = 0.4  # seconds before the deadline of a shutdown
_KILL_BEFORE = 0.15
_CLOSE_TIME = 0.3  # paramiko's close joins its thread; it is done in a moment or not at all
_CLOSE_TIME_AT_END = 0.1  # the far side has had its time


class Bridge:
    """A carrier as streams of lines. Made by `opened()`."""

    def __init__(self, carrier: Carrier, max_line: int) -> None:
        self._carrier = carrier
        self._too_long: MessageTooLongError | None = None
        self._close_time = _CLOSE_TIME
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._stderr_rest = b""
        self._owed = 0  # bytes that came and were not granted yet; guarded by the lock
        self._owing = threading.Lock()
        self.inbound = FromThread(on_taken=self._grant)
        self.splitter = LongLineSplitter(max_line, self.inbound, from_host=False)
        self.outbound = ToThread(
            "ssh-writer",
            carrier.write,
            carrier.close_write,
            carrier.write_now,
            carrier.write_some,
        )

    @property
    def stderr_tail(self) -> list[str]:
        """The last lines of the far side's stderr, printable."""
        return list(self._tail)

    @property
    def unsent(self) -> list[bytes]:
        """After the end: the lines put into `outbound` of which not a byte left for the far side."""
        return self.outbound.unsent

    async def ending(self) -> SSHClientError:
        """Why `inbound` ended. When this returns, `stderr_tail` is complete if the far side ended too."""
        if self._too_long is not None:
            return self._too_long
        return await run_in_thread("ssh-ending", self._carrier.ending)

    def begun_line(self) -> bytes:
        """Take the last line if the far side ended without ending it. After the end of `inbound`."""
        return self.splitter.take_begun()

    async def shut_down(self, ended: anyio.Event, deadline: float) -> None:
        """End of file to the far side, then signals if it stays (MCP's shutdown of a stdio server).

        Returns when `ended` is set, which the reader of `inbound` does at its end, or at the deadline (on the loop's
        clock), with SIGTERM 0.4 s and SIGKILL 0.15 s before it. Answers that still come are for that reader.
        """
        self.outbound.end()
        self._close_time = _CLOSE_TIME_AT_END
        for before, name in ((_TERM_BEFORE, "TERM"), (_KILL_BEFORE, "KILL"), (0.0, None)):
            with anyio.CancelScope(deadline=deadline - before):
                await ended.wait()
                return
            if name is not None:
                logger.info("the remote server is still there: sending it SIG%s", name)
                start_thread("ssh-signal", partial(self._carrier.signal, name))

    async def aclose(self) -> None:
        self.inbound.close()
        self.outbound.close()
        with anyio.move_on_after(self._close_time, shield=True):
            await run_in_thread("ssh-close", self._carrier.close)
            await self.outbound.finished.wait()

    # What the carrier calls, as its receiver.

    def stdout(self, data: bytes) -> None:
        if self._too_long is not None:
            return
        try:
            lines = self.splitter.feed(data)
        except MessageTooLongError as exc:
            self._too_long = exc
            self.inbound.end()
            return
        if lines:
            self.inbound.put(lines)
        self._grant(len(data))

    def stderr(self, data: bytes) -> None:
        self._carrier.grant(len(data))
        *lines, rest = (self._stderr_rest + data).split(b"\n")
        for line in lines:
            self._show(line)
        if len(rest) > _STDERR_LINE_LIMIT:  # nothing grows, and nothing is lost
            self._show(rest)
            rest = b""
        self._stderr_rest = rest

    def ended(self) -> None:
        if self._stderr_rest:
            self._show(self._stderr_rest)
            self._stderr_rest = b""
        self.inbound.end()

    def _grant(self, received: int = 0) -> None:
        """Let more come, as much as has come, while what came is dealt with in time."""
        with self._owing:
            self._owed += received
            if not self._owed or not self.inbound.has_room:
                return
            size, self._owed = self._owed, 0
        self._carrier.grant(size)

    def _show(self, line: bytes) -> None:
        text = printable(line.rstrip(b"\r"))
        self._tail.append(shortened(text, _TAIL_LENGTH))
        remote_stderr.warning("%s", text)


@asynccontextmanager
async def opened(carrier: Carrier, max_line: int) -> AsyncIterator[Bridge]:
    """The bridge, for as long as the context lasts."""
    bridge = Bridge(carrier, max_line)
    try:
        carrier.start(bridge)
        yield bridge
    finally:
        await bridge.aclose()
