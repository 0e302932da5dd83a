"""The host's end: stdin and stdout as streams of lines.

stdout belongs to the protocol: while the streams are open, file descriptor 1 is theirs alone, and whatever else in
this process writes to `sys.stdout` lands on stderr.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial

import anyio

from m2m_ssh_client import descriptors
from m2m_ssh_client.flow.hand_over import (
    READ_SIZE,
    FromThread,
    Lines,
    ToThread,
    loop_caller,
    start_thread,
)
from m2m_ssh_client.proxy.early_forwarding.forwarding import LongLineSplitter

logger = logging.getLogger(__name__)

# Seconds for a host that does not read just now to take the last answers, if it was not the host who ended the session.
_FLUSH_TIME = 1.3
_WATCH_INTERVAL = 1.0
_LOOK_INTERVAL = 0.1  # while the host is not read, and so its end of file neither
_AT_ONCE = 100  # lines

# Of a file in the host's place; anything else means that nobody reads any more.
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# The pipe is full; or the kernel cannot write without waiting, to this or at all.
_NOT_NOW = (errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


@dataclass
class HostStreams:
    """A host: lines it sent, lines to send it.

    `gone` is set once it takes no more, `closed` once it sends no more, though what it sent may still wait.
    """

    inbound: FromThread
    outbound: FromThread | ToThread
    gone: anyio.Event
    splitter: LongLineSplitter | None = None
    """What makes lines of what the host sends, unless it sends lines."""
    closed: anyio.Event = field(default_factory=anyio.Event)
    leave_by: float = float("inf")
    """When the streams are to be gone, on the loop's clock, once the host has ended."""
    cut_off: bool = False
    """Afterwards: whether the host, or the file in its place, has not got all that was sent and would have taken it."""


@asynccontextmanager
async def stdio(max_line: int, stdin: int = 0, stdout: int = 1) -> AsyncIterator[HostStreams]:
    """The streams of the process that started us, on these file descriptors.

    `inbound` ends with the host's end of file. On leaving, what was sent is still written, if the host takes it in a
    moment.
    """
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(stdin, os.O_BINARY)
        msvcrt.setmode(stdout, os.O_BINARY)
    if sys.platform == "linux":
        _widen(stdin)
    python_stdout, sys.stdout = sys.stdout, sys.stderr
    async with anyio.create_task_group() as tasks:
        from_host = FromThread()
        to_host = ToThread(
            "host-writer",
            lambda data: descriptors.write(stdout, data),
            write_now=lambda data: _write_now(stdout, data),
            write_some=_some_writer(stdout),
        )
        splitter = LongLineSplitter(max_line, from_host, from_host=True)
        gone = anyio.Event()
        host = HostStreams(from_host, to_host, gone, splitter)
        closed = partial(loop_caller(), host.closed.set)
        start_thread("host-reader", lambda: _read(stdin, splitter, from_host, closed))
        tasks.start_soon(_watch, stdout, to_host.failed, gone)
        try:
            yield host
        finally:
            await _flush(host, to_host)
            from_host.close()
            tasks.cancel_scope.cancel()
            sys.stdout = python_stdout


async def _flush(host: HostStreams, to_host: ToThread) -> None:
    """Wait for the host to take the last of what was sent, and note whether it did."""
    to_host.end()
    if not host.gone.is_set():
        deadline = min(host.leave_by, anyio.current_time() + _FLUSH_TIME)
        with anyio.CancelScope(deadline=deadline, shield=True):
            await to_host.finished.wait()
        if not to_host.finished.is_set():
            logger.warning("the host did not read the end of what was sent to it")
            host.cut_off = True
    if to_host.failure is not None and to_host.failure.errno in _NO_SPACE:
        logger.error("stdout cannot be written: %s", to_host.failure.strerror)
        host.cut_off = True


def _read(
    stdin: int, splitter: LongLineSplitter, from_host: FromThread, closed: Callable[[], None]
) -> None:
    try:
        while chunk := descriptors.read(stdin, READ_SIZE):
            if not _put(splitter.feed(chunk), stdin, from_host, closed):
                return
        closed()
        if (
            splitter.pending
        ):  # a host that writes a last line and leaves may spare itself the line feed
            _put(splitter.feed(b"\n"), stdin, from_host, closed)
    except OSError as exc:
        logger.warning("stdin cannot be read: %s", exc)
    closed()
    from_host.end()


def _put(lines: Lines, stdin: int, from_host: FromThread, closed: Callable[[], None]) -> bool:
    """Hand over the lines; False if nobody wants any more. `closed` is called if the host closes its end meanwhile."""
    while (
        lines
    ):  # the first ones on their way while the next ones are looked at: the remote can begin
        from_host.put(lines[:_AT_ONCE])
        del lines[:_AT_ONCE]  # they may be long, and the next ones long in coming
        while not from_host.wait_for_room(_LOOK_INTERVAL):
            if not from_host.is_open:
                return False
            if descriptors.has_no_writer(stdin):
                closed()
    return True


async def _watch(stdout: int, failed: anyio.Event, gone: anyio.Event) -> None:
    """Set `gone` once the host takes no more, though another process may hold our stdin open.

    A pipe whose other end is closed is the end. That our parent has changed is none: what started us may have left,
    and the host hold both pipes (a launcher). If a sibling of ours has inherited both from a host that died, the two
    cases are the same, and that sibling's end is ours.
    """
    while not failed.is_set() and not descriptors.has_no_reader(stdout):
        with anyio.move_on_after(_WATCH_INTERVAL):
            await failed.wait()
    logger.info("the host is gone")
    gone.set()


if sys.platform == "win32":

    def _write_now(_stdout: int, _data: bytes) -> bool:
        return False

else:

    def _write_now(stdout: int, data: bytes) -> bool:
        """Write all of it if a pipe takes it at once (POSIX, write: a pipe that is writable has room for PIPE_BUF).

        A socket takes it, too: Linux calls it writable while it has room for much more (socket(7), SO_SNDBUF).
        """
        poll = select.poll()
        poll.register(stdout, select.POLLOUT)
        if len(data) > select.PIPE_BUF or not any(e & select.POLLOUT for _, e in poll.poll(0)):
            return False
        try:
            written = os.write(stdout, data)
        except (
            BlockingIOError
        ):  # it does not block, and another process that writes to it was faster
            return False
        descriptors.write(stdout, data[written:])
        return True


if sys.platform == "linux":
    import fcntl

    def _widen(stdin: int) -> None:
        """Let the host's pipe hold what one read takes, and a long call come in few pieces: fcntl(2)."""
        with suppress(OSError):  # it is no pipe, or the user has too many large ones
            if fcntl.fcntl(stdin, fcntl.F_GETPIPE_SZ) < READ_SIZE:
                fcntl.fcntl(stdin, fcntl.F_SETPIPE_SZ, READ_SIZE)

    def _some_writer(stdout: int) -> Callable[[bytes], int] | None:
        if not hasattr(os, "RWF_NOWAIT"):  # Python was built where the C library had none
            return None

        def write_some(data: bytes) -> int:
            # Without waiting, whatever the host's end of the pipe is set to: pwritev2(2). At -1: as write does.
            try:
                return os.pwritev(stdout, [data], -1, os.RWF_NOWAIT)
            except OSError as exc:
                if exc.errno in _NOT_NOW:
                    return 0
                raise

        return write_some

else:

    def _some_writer(_stdout: int) -> Callable[[bytes], int] | None:
        return None
