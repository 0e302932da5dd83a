"""Lines added to a file that several processes read and add to.

While `appending` lasts, no other process that uses it can add to the same file. `ssh` takes no
lock; one write in append mode protects from it: two lines never mix, and no reader sees half a
line.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from m2m_ssh_client import file_lock, user_only_files

_PATIENCE = 5.0  # seconds to wait for another process, which takes milliseconds
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL)


@contextmanager
def appending(path: Path) -> Iterator[Callable[[str], None]]:
    """Provide a function that adds a whole line, with its newline.

    It ends a last line without a newline first. The file (0600) and its folder (0700) are created
    if they are missing. Raises OSError, also if another process has held the lock for five seconds.
    """
    with _locked(path, os.O_RDWR | os.O_APPEND) as descriptor:
        yield lambda line: _append(descriptor, line)


def rewrite(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Replace the content by what `change` makes of it, under the same lock. Raises OSError.

    In place, since other processes may wait for the lock on this very file. The new content is
    there before the rest of the old is cut off, so no reader finds the file empty.
    """
    with _locked(path, os.O_RDWR) as descriptor:
        content = change(path.read_bytes())
        if os.write(descriptor, content) != len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.ftruncate(descriptor, len(content))


@contextmanager
def _locked(path: Path, flags: int) -> Iterator[int]:
    user_only_files.make_folder(path.parent)
    descriptor = user_only_files.opened(path, flags | getattr(os, "O_BINARY", 0))
    try:
        _lock(descriptor)
        try:
            yield descriptor
        finally:
            file_lock.unlock(descriptor)
    finally:
        os.close(descriptor)


def _append(descriptor: int, line: str) -> None:
    size = os.lseek(descriptor, 0, os.SEEK_END)
    content = line.encode("utf-8", "surrogateescape")
    if size and not _ends_a_line(descriptor, size):
        content = b"\n" + content
    if os.write(descriptor, content) != len(content):
        os.ftruncate(descriptor, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _ends_a_line(descriptor: int, size: int) -> bool:
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return os.read(descriptor, 1) == b"\n"


def _lock(descriptor: int) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not _try_lock(descriptor):
        if time.monotonic() > deadline:
            raise TimeoutError(errno.ETIMEDOUT, "locked by another process")
        time.sleep(0.02)


def _try_lock(descriptor: int) -> bool:
    try:
        return file_lock.try_lock(descriptor)
    except OSError as exc:
        if exc.errno in _NO_LOCKS:
            return True  # a network file system without locks: append mode must suffice
        raise
