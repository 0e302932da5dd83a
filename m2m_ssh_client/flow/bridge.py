"""The one place where the blocking SSH side and the anyio MCP side meet.

A `Carrier` brings bytes in a thread of its own. The bridge cuts them into lines there and offers
these to the loop as a memory stream. What is sent is written at once where that does not block, and
by a daemon thread otherwise.

Life cycle: `opened()`; use `inbound` and `outbound`; `shut_down()`, which ends `outbound` (all of
it is written, then the server sees end of file), waits for the server to end, and presses harder.
Leaving the context closes at once. Whichever side dies, `inbound` ends.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import anyio

from m2m_ssh_client import threads
from m2m_ssh_client.errors import MessageTooLongError, SSHClientError
from m2m_ssh_client.flow.hand_over import FromThread, ToThread, run_in_thread
from m2m_ssh_client.flow.remote_stdio import Carrier
from m2m_ssh_client.flow.splitting import Intake
from m2m_ssh_client.text import printable, shortened

logger = logging.getLogger(__name__)
remote_stderr = logging.getLogger("m2m_ssh_client.remote")
"""Logs what the remote server writes to its stderr, one record for each line."""

_TAIL_LINES = 5
_TAIL_LENGTH = 4000  # characters; some shells repeat the whole line that they do not understand
_STDERR_LINE_LIMIT = 8 * 1024  # bytes
# A call on the stack as Node.js, Java and .NET show it, below the reason; the marks that Python and
# Node.js put below a line of source; or an empty line.
_SAYS_LITTLE = re.compile(rb"\s+at .*|[\s^~]*", re.DOTALL)

_TERM_BEFORE = 0.4  # seconds before the deadline of a shutdown
_KILL_BEFORE = 0.15
_CLOSE_TIME = 0.3  # seconds; paramiko's close joins its thread, which ends soon or not at all
_CLOSE_TIME_AT_END = 0.1  # after a shutdown, in which the server has had its time


class Bridge:
    """A remote server's stdio as streams of lines, `inbound` and `outbound`.

    The bridge is the carrier's receiver: `stdout`, `stderr` and `ended` are called by the thread
    that reads the link. It allows the server to send more (`Carrier.grant`) while the loop keeps
    up, so that a host that does not read slows down the server instead of filling our memory.
    """

    def __init__(self, carrier: Carrier, intake: Intake, ahead: bytes = b"") -> None:
        """`ahead` is input that the server was sent before."""
        self.ahead = ahead
        self._carrier = carrier
        self._too_long: MessageTooLongError | None = None
        self._close_time = _CLOSE_TIME
        self._tail: deque[str] = deque(maxlen=_TAIL_LINES)
        self._stderr_rest = b""
        self._owed = 0  # bytes received and not granted again yet; guarded by the lock
        self._owing = threading.Lock()
        self._splitter = intake.splitter
        self.heard = time.monotonic()
        """The time of the server's last output (`time.monotonic`)."""
        self.inbound = FromThread(intake.shortcut, on_done=self._grant)
        self.outbound = ToThread(
            "ssh-writer",
            carrier.write,
            carrier.close_write,
            carrier.write_now,
            carrier.write_some,
        )

    @property
    def stderr_tail(self) -> list[str]:
        """The last lines of the server's stderr, printable, without those that say little."""
        return list(self._tail)

    @property
    def unsent(self) -> list[bytes]:
        """Lines put into `outbound` of which not a byte left this machine. After the end."""
        return self.outbound.unsent

    async def ending(self) -> SSHClientError:
        """Return why `inbound` ended. `stderr_tail` is complete by then if the process ended."""
        if self._too_long is not None:
            return self._too_long
        return await run_in_thread("ssh-ending", self._carrier.ending)

    def begun_line(self) -> bytes:
        """Remove and return a last line without a line feed. After the end of `inbound`."""
        return self._splitter.take_begun()

    async def shut_down(self, ended: anyio.Event, deadline: float) -> None:
        """Send end of file, then signals if the server stays (MCP's shutdown of a stdio server).

        Returns when `ended` is set, which the reader of `inbound` does at its end, or at the
        deadline (on the loop's clock). SIGTERM is sent 0.4 s and SIGKILL 0.15 s before that. The
        reader of `inbound` still gets the answers that come meanwhile.
        """
        self.outbound.end()
        self._close_time = _CLOSE_TIME_AT_END
        for before, name in ((_TERM_BEFORE, "TERM"), (_KILL_BEFORE, "KILL"), (0.0, None)):
            with anyio.CancelScope(deadline=deadline - before):
                await ended.wait()
                return
            if name is not None:
                logger.info("the remote server is still there: sending it SIG%s", name)
                threads.start("ssh-signal", partial(self._carrier.signal, name))

    async def aclose(self) -> None:
        self.inbound.close()
        self.outbound.close()
        with anyio.move_on_after(self._close_time, shield=True):
            await run_in_thread("ssh-close", self._carrier.close)
            await self.outbound.finished.wait()

    # Called by the carrier: see Receiver.

    def stdout(self, data: bytes) -> None:
        self.heard = time.monotonic()
        if self._too_long is not None:
            return
        try:
            lines = self._splitter.feed(data)
        except MessageTooLongError as exc:
            self._too_long = exc
            self.inbound.end()
            return
        if lines:
            self.inbound.put(lines)
        self._grant(len(data))

    def stderr(self, data: bytes) -> None:
        self.heard = time.monotonic()
        self._carrier.grant(len(data))
        *lines, rest = (self._stderr_rest + data).split(b"\n")
        for line in lines:
            self._show(line)
        if len(rest) > _STDERR_LINE_LIMIT:  # shown in pieces, so that memory stays bounded
            self._show(rest)
            rest = b""
        self._stderr_rest = rest

    def ended(self) -> None:
        if self._stderr_rest:
            self._show(self._stderr_rest)
            self._stderr_rest = b""
        self.inbound.end()

    def _grant(self, received: int = 0) -> None:
        """Grant as many bytes as were received, while the loop keeps up."""
        with self._owing:
            self._owed += received
            if not self._owed or not self.inbound.has_room:
                return
            size, self._owed = self._owed, 0
        self._carrier.grant(size)

    def _show(self, line: bytes) -> None:
        text = printable(line.rstrip(b"\r"))
        if not _SAYS_LITTLE.fullmatch(line):
            self._tail.append(shortened(text, _TAIL_LENGTH))
        remote_stderr.warning("%s", text)


@asynccontextmanager
async def opened(carrier: Carrier, intake: Intake, ahead: bytes = b"") -> AsyncIterator[Bridge]:
    """Yield the bridge to this carrier, and close both at the end. `ahead`: see `Bridge`."""
    bridge = Bridge(carrier, intake, ahead)
    try:
        carrier.start(bridge)
        yield bridge
    finally:
        await bridge.aclose()
