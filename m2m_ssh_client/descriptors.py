"""The descriptors that a host gave us, which it may have set not to block.

That flag belongs to what both of us have open (fcntl(2), F_SETFL), so nothing here changes it: what cannot be done yet
is waited for. The pipes of hosts written in Node are such; sockets, files and terminals may be.
"""

from __future__ import annotations

import os
import select
import sys
import time

_RETRY = 0.01  # seconds


def read(descriptor: int, size: int) -> bytes:
    """What is there, up to `size` bytes, as soon as there is anything; empty at the end. Raises OSError."""
    while True:
        try:
            return os.read(descriptor, size)
        except BlockingIOError:
            _wait(descriptor, to_write=False)


def write(descriptor: int, data: bytes | memoryview) -> None:
    """All of it, however long that takes. Raises OSError."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            _wait(descriptor, to_write=True)


def _wait(descriptor: int, *, to_write: bool) -> None:
    if sys.platform == "win32":
        time.sleep(_RETRY)  # select() knows only sockets there
        return
    # Not poll(), which refuses terminals on macOS.
    wanted = [descriptor]
    select.select([] if to_write else wanted, wanted if to_write else [], [])


if sys.platform == "win32":

    def has_no_reader(_descriptor: int) -> bool:
        """Whether nobody will take what is written here. A pipe cannot be asked: the next write will tell."""
        return False

    def has_no_writer(_descriptor: int) -> bool:
        """Whether no more will come than what is there. A pipe tells only when it is empty (PeekNamedPipe)."""
        return False

else:
    # Linux tells of a socket's peer that has shut down its writing side by a flag of its own: poll(2).
    _WRITER_GONE = select.POLLHUP | getattr(select, "POLLRDHUP", 0)
    _READER_GONE = select.POLLERR | select.POLLHUP

    def has_no_reader(descriptor: int) -> bool:
        """Whether nobody will take what is written here: the reading end was closed."""
        return bool(_events(descriptor, select.POLLOUT) & _READER_GONE)

    def has_no_writer(descriptor: int) -> bool:
        """Whether no more will come than what is there: the writing end was closed."""
        return bool(_events(descriptor, select.POLLIN | _WRITER_GONE) & _WRITER_GONE)

    def _events(descriptor: int, asked: int) -> int:
        # macOS tells of a hang-up only who asks about reading or writing, too.
        poll = select.poll()
        poll.register(descriptor, asked)
        return sum(event for _, event in poll.poll(0))
