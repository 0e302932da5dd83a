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
from dataclasses import dataclass

import anyio

from m2m_ssh_client.errors import MessageTooLongError
from m2m_ssh_client.proxy.cut_through import LongLineSplitter
from m2m_ssh_client.threads import READ_SIZE, FromThread, ToThread, start_thread

logger = logging.getLogger(__name__)

# Seconds for a host that still reads to take the last answers.
_FLUSH_TIME = 0.25
_WATCH_INTERVAL = 1.0
_AT_ONCE = 100  # lines

# The pipe is full; or the kernel cannot write without waiting, to this or at all.
_NOT_NOW = (errno.EAGAIN, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


@dataclass(frozen=True)
class HostStreams:
    """A host: lines it sent, lines to send it. `gone` is set once it takes no more."""

    inbound: FromThread
    outbound: FromThread | ToThread
    gone: anyio.Event
    splitter: LongLineSplitter | None = None
    """What makes lines of what the host sends, unless it sends lines."""


@asynccontextmanager
async def stdio(max_line: int, stdin: int = 0, stdout: int = 1) -> AsyncIterator[HostStreams]:
    """The streams of the process that started us, on these file descriptors.

    `inbound` ends with the host's end of file, or with a line longer than `max_line` bytes. On leaving, what was
    sent is still written if the host takes it at once.
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
            lambda data: _write(stdout, data),
            write_now=lambda data: _write_now(stdout, data),
            write_some=_some_writer(stdout),
        )
        splitter = LongLineSplitter(max_line, from_host)
        gone = anyio.Event()
        start_thread("host-reader", lambda: _read(stdin, splitter, from_host))
        tasks.start_soon(_watch, stdout, to_host.failed, gone)
        try:
            yield HostStreams(from_host, to_host, gone, splitter)
        finally:
            to_host.end()
            if not gone.is_set():
                with anyio.move_on_after(_FLUSH_TIME, shield=True):
                    await to_host.finished.wait()
            from_host.close()
            tasks.cancel_scope.cancel()
            sys.stdout = python_stdout


def _read(stdin: int, splitter: LongLineSplitter, from_host: FromThread) -> None:
    try:
        while chunk := os.read(stdin, READ_SIZE):
            lines = splitter.feed(chunk)
            while lines:  # the first ones on their way while the next ones are looked at: the remote can begin
                from_host.put(lines[:_AT_ONCE])
                del lines[:_AT_ONCE]  # they may be long, and the next ones long in coming
                if not from_host.wait_for_room():
                    return
    except MessageTooLongError as exc:
        logger.error("from the host: %s", exc)  # noqa: TRY400 - the message says it all
    except OSError as exc:
        logger.warning("stdin cannot be read: %s", exc)
    else:
        if splitter.pending:
            logger.warning("dropped half a line at the end of stdin (%d bytes)", splitter.pending)
    from_host.end()


def _write(stdout: int, data: bytes) -> None:
    written = os.write(stdout, data)
    while written < len(data):
        written += os.write(stdout, memoryview(data)[written:])


async def _watch(stdout: int, failed: anyio.Event, gone: anyio.Event) -> None:
    """Set `gone` once the host takes no more, or has died though another process holds our stdin open."""
    parent = os.getppid()
    while not failed.is_set() and os.getppid() == parent and not _has_no_reader(stdout):
        with anyio.move_on_after(_WATCH_INTERVAL):
            await failed.wait()
    logger.info("the host is gone")
    gone.set()


if sys.platform == "win32":

    def _has_no_reader(_stdout: int) -> bool:
        return False  # a pipe cannot be asked; the next write will tell

    def _write_now(_stdout: int, _data: bytes) -> bool:
        return False

else:

    def _has_no_reader(stdout: int) -> bool:
        poll = select.poll()
        poll.register(stdout, 0)  # POLLERR is always reported: the reading end of a pipe was closed
        return any(event & select.POLLERR for _, event in poll.poll(0))

    def _write_now(stdout: int, data: bytes) -> bool:
        """Write all of it if a pipe takes it at once (POSIX, write: a pipe that is writable has room for PIPE_BUF)."""
        poll = select.poll()
        poll.register(stdout, select.POLLOUT)
        if len(data) > select.PIPE_BUF or not any(e & select.POLLOUT for _, e in poll.poll(0)):
            return False
        _write(stdout, data)
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
