"""The files that relays report in: one for each process, private, gone with the process.

They are beside the log, and not in XDG_RUNTIME_DIR: many hosts start servers with a handful of
variables, and that is not among them, so a relay and the `status` command would not meet.

A relay holds a lock on its file as long as it lives. The system releases the lock when the process
ends, even if it is killed; whoever can lock such a file removes it. The name begins with that of
the machine, because a home folder may be shared, and locks need not reach across a network.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from m2m_ssh_client import file_lock, user_only_files
from m2m_ssh_client.log_file import default_path

_MOST = 64 * 1024  # bytes of a report; ours have a few kilobytes
_MOST_FILES = 1000
_TRIES = 3
_BINARY = getattr(os, "O_BINARY", 0)
# Another user's link or pipe must neither lead elsewhere nor hold up who reads.
_READING = os.O_RDONLY | _BINARY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


def folder() -> Path:
    """Return the folder of the files. Raises RuntimeError if the home folder is unknown."""
    return default_path().with_name("relays")


class ReportFile:
    """The file of this process, from the first `write` to `close`. For one thread."""

    def __init__(self) -> None:
        self._path = Path()
        self._descriptor: int | None = None
        self._size = 0

    def write(self, content: bytes) -> None:
        """Replace the content by this one, a line. Raises OSError, RuntimeError.

        One write does it, and blanks cover what is left of a longer line: a file that is replaced
        by another would have to be locked before it has its name, which Windows does not allow.
        """
        if self._descriptor is None:
            self._path, self._descriptor = _made()
        padded = content.rstrip(b"\n").ljust(self._size) + b"\n"
        os.lseek(self._descriptor, 0, os.SEEK_SET)
        if os.write(self._descriptor, padded) != len(padded):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._size = len(padded) - 1

    def close(self) -> None:
        """Remove the file if there is one."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        if sys.platform == "win32":  # removes no file that is open
            os.close(descriptor)
        with suppress(OSError):
            self._path.unlink()
        if sys.platform != "win32":
            os.close(descriptor)


def contents() -> Iterator[bytes]:
    """Yield the content of the file of each living relay; remove the files of others.

    Files that no relay of this user can have made are ignored. Raises OSError if the folder cannot
    be read, RuntimeError if the home folder is unknown.
    """
    try:
        names = os.listdir(folder())  # noqa: PTH208 - a folder of thousands costs little so
    except FileNotFoundError:
        return
    for name in sorted(filter(_is_of_this_machine, names))[:_MOST_FILES]:
        with suppress(OSError):
            content = _read(folder() / name)
            if content is not None:
                yield content


def _made() -> tuple[Path, int]:
    """Make the file, locked; return its path and descriptor."""
    user_only_files.make_folder(folder())
    for _ in range(_TRIES):
        path = folder() / f"{_machine()}-{os.getpid()}-{secrets.token_hex(4)}.json"
        descriptor = user_only_files.opened(path, os.O_RDWR | os.O_EXCL | _BINARY)
        try:
            # A reader may have found it before it was locked, and removed it.
            if file_lock.try_lock(descriptor) and path.exists():
                return path, descriptor
        except OSError:  # a network file system without locks
            os.close(descriptor)
            path.unlink()
            raise
        os.close(descriptor)
    raise OSError(errno.EAGAIN, "each new file was removed at once")


def _read(path: Path) -> bytes | None:
    """Return the content if a process holds the lock; else remove the file. Raises OSError."""
    descriptor = os.open(path, _READING)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MOST:
            return None
        user_only_files.refuse_others(descriptor)
        if not file_lock.try_lock(descriptor, shared=True):
            return _settled(descriptor)
    finally:
        os.close(descriptor)
    path.unlink()
    return None


def _settled(descriptor: int) -> bytes | None:
    """Return the content once two reads find the same: a write may be under way."""
    before = None
    for _ in range(_TRIES):
        os.lseek(descriptor, 0, os.SEEK_SET)
        content = os.read(descriptor, _MOST)
        if content == before:
            return content
        before = content
    return None


def _is_of_this_machine(name: str) -> bool:
    return re.fullmatch(rf"{re.escape(_machine())}-\d+-[0-9a-f]+\.json", name) is not None


def _machine() -> str:
    return re.sub(r"[^\w.-]", "_", socket.gethostname())
