"""The host's end: our stdin and stdout as streams of lines.

stdout belongs to the protocol. While the streams are open, file descriptor 1 is theirs alone, and
whatever else in this process writes to `sys.stdout` lands on stderr.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from functools import partial

import anyio

from m2m_ssh_client import descriptors, threads
from m2m_ssh_client.errors import reason
from m2m_ssh_client.flow.hand_over import (
    READ_SIZE,
    FromThread,
    ToThread,
    loop_caller,
)
from m2m_ssh_client.flow.splitting import Intake, Lines, Splitter

logger = logging.getLogger(__name__)

# Seconds in which a slow host can read the last answers, if the host did not end the session.
_FLUSH_TIME = 1.3
_LOOK_TIME = 0.1  # at least: a busy machine may be late, and the host have everything
_WATCH_INTERVAL = 1.0  # seconds between looks whether the host is gone
_LOOK_INTERVAL = 0.1  # the same for its end of file, while stdin is not read
_AT_ONCE = 100  # lines

# Errors of a file in the host's place. Any other error means that nobody reads any more.
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# The pipe is full, or the kernel cannot write to it without waiting.
_NOT_NOW = (errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


@dataclass
class HostStreams:
    """A host: the lines it sends, and a sink for the lines that it is sent."""

    inbound: FromThread
    outbound: FromThread | ToThread
    early: ToThread | None = None
    """The same sink, if it can be given a line in parts."""
    gone: anyio.Event = field(default_factory=anyio.Event)
    """Set once the host takes no more."""
    closed: anyio.Event = field(default_factory=anyio.Event)
    """Set once the host sends no more. Lines that it sent before may still be queued."""
    leave_by: float = float("inf")
    """Deadline for closing the streams, on the loop's clock, once the host has ended."""
    cut_off: bool = False
    """Set at the end if something was not written, though the host did not close its end."""


@asynccontextmanager
async def stdio(intake: Intake, stdin: int = 0, stdout: int = 1) -> AsyncIterator[HostStreams]:
    """Yield the streams of the process that started us, on these file descriptors.

    `inbound` ends with the host's end of file. At the end, what was sent is still written, if the
    host reads it soon.
    """
    if sys.platform == "win32":
        import msvcrt

        msvcrt.setmode(stdin, os.O_BINARY)
        msvcrt.setmode(stdout, os.O_BINARY)
    if sys.platform == "linux":
        _widen(stdin)
    python_stdout, sys.stdout = sys.stdout, sys.stderr
    async with anyio.create_task_group() as tasks:
        from_host = FromThread(intake.shortcut)
        to_host = ToThread(
            "host-writer",
            lambda data: descriptors.write(stdout, data),
            write_now=lambda data: _write_now(stdout, data),
            write_some=_some_writer(stdout),
        )
        host = HostStreams(from_host, to_host, to_host)
        closed = partial(loop_caller(), host.closed.set)
        threads.start("host-reader", lambda: _read(stdin, intake.splitter, from_host, closed))
        tasks.start_soon(_watch, stdout, to_host.failed, host.gone)
        try:
            with _watched_elsewhere(stdout, partial(loop_caller(), host.gone.set)):
                yield host
        finally:
            await _flush(host, to_host)
            from_host.close()
            tasks.cancel_scope.cancel()
            sys.stdout = python_stdout


async def _flush(host: HostStreams, to_host: ToThread) -> None:
    """Wait for the host to read the last lines, and note whether it did."""
    to_host.end()
    if not host.gone.is_set():
        now = anyio.current_time()
        deadline = max(min(host.leave_by, now + _FLUSH_TIME), now + _LOOK_TIME)
        with anyio.CancelScope(deadline=deadline, shield=True):
            await to_host.finished.wait()
        if not to_host.finished.is_set():
            logger.warning("the host did not read the end of what was sent to it")
            host.cut_off = True
    if to_host.failure is not None and to_host.failure.errno in _NO_SPACE:
        logger.error("stdout cannot be written: %s", reason(to_host.failure))
        host.cut_off = True


def _read(
    stdin: int, splitter: Splitter, from_host: FromThread, closed: Callable[[], None]
) -> None:
    try:
        while chunk := descriptors.read(stdin, READ_SIZE):
            if not _put(splitter.feed(chunk), stdin, from_host, closed):
                return
        closed()
        if splitter.pending:  # a last line may come without a line feed
            _put(splitter.feed(b"\n"), stdin, from_host, closed)
    except OSError as exc:
        logger.warning("stdin cannot be read: %s", reason(exc))
    closed()
    from_host.end()


def _put(lines: Lines, stdin: int, from_host: FromThread, closed: Callable[[], None]) -> bool:
    """Hand over the lines; return False if nobody wants any more.

    `closed` is called if the host closes its end meanwhile.
    """
    while lines:  # in groups, so that the server can begin with the first ones
        from_host.put(lines[:_AT_ONCE])
        del lines[:_AT_ONCE]  # free long ones before waiting
        while not from_host.wait_for_room(_LOOK_INTERVAL):
            if not from_host.is_open:
                return False
            if descriptors.has_no_writer(stdin):
                closed()
    return True


async def _watch(stdout: int, failed: anyio.Event, gone: anyio.Event) -> None:
    """Set `gone` once the host takes no more, even if another process holds our stdin open.

    A stdout pipe whose reading end is closed means the end. A changed parent process does not: a
    launcher may have started us and left, while the host holds both pipes. A host that died while
    a sibling process holds copies of both pipes looks the same, so we end when that sibling ends.
    (On Windows, `windows/host_watch.py` knows better.)
    """
    while not failed.is_set() and not descriptors.has_no_reader(stdout):
        with anyio.move_on_after(_WATCH_INTERVAL):
            await failed.wait()
    logger.info("the host is gone")
    gone.set()


if sys.platform == "win32":

    def _watched_elsewhere(stdout: int, gone: Callable[[], None]) -> AbstractContextManager[None]:
        from m2m_ssh_client.windows.host_watch import watching

        return watching(stdout, gone)

    def _write_now(_stdout: int, _data: bytes) -> bool:
        return False

else:

    def _watched_elsewhere(_stdout: int, _gone: Callable[[], None]) -> AbstractContextManager[None]:
        return nullcontext()

    def _write_now(stdout: int, data: bytes) -> bool:
        """Write all of it if a pipe takes it at once; return whether it did.

        A writable pipe has room for PIPE_BUF bytes (POSIX, write). A socket has room for more:
        Linux calls it writable only then (socket(7), SO_SNDBUF).
        """
        poll = select.poll()
        poll.register(stdout, select.POLLOUT)
        if len(data) > select.PIPE_BUF or not any(e & select.POLLOUT for _, e in poll.poll(0)):
            return False
        try:
            written = os.write(stdout, data)
        except BlockingIOError:  # another process that writes to it was faster
            return False
        descriptors.write(stdout, data[written:])
        return True


if sys.platform == "linux":
    import fcntl

    def _widen(stdin: int) -> None:
        """Enlarge the host's pipe to the size of one read, so that long calls come in few pieces.

        (fcntl(2), F_SETPIPE_SZ.)
        """
        with suppress(OSError):  # not a pipe, or the user's limit for large pipes is reached
            if fcntl.fcntl(stdin, fcntl.F_GETPIPE_SZ) < READ_SIZE:
                fcntl.fcntl(stdin, fcntl.F_SETPIPE_SZ, READ_SIZE)

    def _some_writer(stdout: int) -> Callable[[bytes], int] | None:
        if not hasattr(os, "RWF_NOWAIT"):  # this Python was built with an older C library
            return None

        def write_some(data: bytes) -> int:
            # Never waits, whether or not the descriptor blocks: pwritev2(2). -1: at the file's own
            # position.
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
