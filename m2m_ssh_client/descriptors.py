"""Blocking I/O on the descriptors of a host, which may have set them to non-blocking.

The flag belongs to the open file that host and client share (fcntl(2), F_SETFL), so it is not
changed here: these functions wait instead. Hosts written in Node pass such pipes; sockets, files
and terminals may be non-blocking too.
"""

from __future__ import annotations

import os
import select
import sys
import time

_RETRY = 0.01  # seconds


def read(descriptor: int, size: int) -> bytes:
    """Wait for data and return up to `size` bytes; empty at the end. Raises OSError."""
    while True:
        try:
            return os.read(descriptor, size)
        except BlockingIOError:
            _wait(descriptor, to_write=False)


def write(descriptor: int, data: bytes | memoryview) -> None:
    """Write all data, however long that takes. Raises OSError."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:
            _wait(descriptor, to_write=True)


def _wait(descriptor: int, *, to_write: bool) -> None:
    if sys.platform == "win32":
        time.sleep(_RETRY)  # select() only knows sockets there
        return
    # poll() refuses terminals on macOS.
    wanted = [descriptor]
    select.select([] if to_write else wanted, wanted if to_write else [], [])


if sys.platform == "win32":

    def has_no_reader(_descriptor: int) -> bool:
        """Return False: asking would wait for a write, so `windows/host_watch.py` has a thread."""
        return False

    def has_no_writer(_descriptor: int) -> bool:
        """Return False: PeekNamedPipe only reports the end of an empty pipe."""
        return False

else:
    # Linux has a separate flag for a peer that has shut down its writing side: poll(2).
    _WRITER_GONE = select.POLLHUP | getattr(select, "POLLRDHUP", 0)
    _READER_GONE = select.POLLERR | select.POLLHUP

    def has_no_reader(descriptor: int) -> bool:
        """Return True if the reading end is closed, so that writing is pointless."""
        return bool(_events(descriptor, select.POLLOUT) & _READER_GONE)

    def has_no_writer(descriptor: int) -> bool:
        """Return True if the writing end is closed: only data already there can follow."""
        return bool(_events(descriptor, select.POLLIN | _WRITER_GONE) & _WRITER_GONE)

    def _events(descriptor: int, asked: int) -> int:
        # macOS reports a hang-up only together with reading or writing.
        poll = select.poll()
        poll.register(descriptor, asked)
        return sum(event for _, event in poll.poll(0))
