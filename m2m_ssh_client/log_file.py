"""The default log file: in the user's state folder, private, bounded in size.

Several processes write it at a time, one for each server of each host, so each line has a process
id, and what a remote server says has a bound in each: it cannot push out the others' lines. Other
state of this user is beside it. No library finds the folder, because this module loads at
every start, before the dial.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from m2m_ssh_client import descriptors, user_only_files
from m2m_ssh_client._version import PROGRAM

OLD_SUFFIX = ".log.1"
"""The suffix of the old file that is kept, instead of `.log`."""

_NO_WAITING: int = getattr(os, "O_NONBLOCK", 0)  # Windows has no FIFOs among its files
_MOST = 5_000_000  # bytes; the old file has the same size
_SHARE = 1_000_000  # bytes an hour of one remote server's stderr
_HOUR = 3600.0  # seconds

REMOTE_STDERR = "m2m_ssh_client.remote"
"""Logger of the remote server's stderr."""


def default_path() -> Path:
    """Return the path by the XDG Base Directory Specification or the platform's own convention.

    Raises RuntimeError if the home folder is unknown.
    """
    if sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA") or Path("~/AppData/Local").expanduser())
        return folder / PROGRAM / "client.log"
    if sys.platform == "darwin":
        return Path("~/Library/Logs").expanduser() / PROGRAM / "client.log"
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser())
    return folder / PROGRAM / "client.log"


class AppendedFile(logging.Handler):
    """Appends each record to a file at once.

    A record that cannot be written is lost; `failed` is called with the first such error.
    """

    def __init__(self, path: Path, failed: Callable[[OSError], None] = lambda _: None) -> None:
        super().__init__()
        self._path = path
        self._failed: Callable[[OSError], None] | None = failed
        self._descriptor: int | None = None

    def open(self) -> int:
        """Open the file, private from the first byte, and return its descriptor. Raises OSError.

        It may hold host names, commands and the remote's output. A FIFO without a reader is refused
        instead of waited for.
        """
        flags = os.O_WRONLY | os.O_APPEND
        descriptor = user_only_files.opened(self._path, flags | _NO_WAITING)
        try:
            user_only_files.refuse_others(descriptor)
        except OSError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return descriptor

    def emit(self, record: logging.LogRecord) -> None:
        self._write(self._encoded(record))

    def _encoded(self, record: logging.LogRecord) -> bytes:
        return (self.format(record) + "\n").encode("utf-8", "backslashreplace")

    def _write(self, line: bytes) -> None:
        try:
            descriptor = self.open() if self._descriptor is None else self._descriptor
            descriptors.write(descriptor, line)
        except OSError as exc:  # a full disk may have room again later
            failed, self._failed = self._failed, None
            if failed is not None:
                failed(exc)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with suppress(OSError):
                os.close(descriptor)
        super().close()


class RotatingFile(AppendedFile):
    """Rotates the file when it is large. Records that cannot be written are dropped silently.

    The remote's stderr may fill `share` bytes an hour. What is beyond is left out, with a note in
    its place. All other records are few, whatever a server does.
    """

    def __init__(
        self,
        path: Path,
        most: int = _MOST,
        share: int = _SHARE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(path)
        self._most = most
        self._remote = _Share(share, clock)

    def open(self) -> int:
        user_only_files.make_folder(self._path.parent)
        descriptor = super().open()
        user_only_files.set_mode(descriptor, 0o600)  # it may have existed
        return descriptor

    def emit(self, record: logging.LogRecord) -> None:
        line = self._encoded(record)
        if record.name == REMOTE_STDERR:
            note = self._remote.take(len(line))
            if note:
                self._write(self._encoded(_warning(note)))
            if self._remote.left_out:
                return
        self._write(line)
        descriptor = self._descriptor
        if descriptor is not None:
            with suppress(OSError):
                if os.lseek(descriptor, 0, os.SEEK_CUR) > self._most:
                    self._rotate(descriptor)

    def _rotate(self, descriptor: int) -> None:
        # If another process has rotated already, ours is the old file.
        with suppress(OSError):  # on Windows, a program that reads the file can prevent it
            if os.path.samestat(os.fstat(descriptor), self._path.stat()):
                self._path.replace(self._path.with_suffix(OLD_SUFFIX))
        self._descriptor = None
        os.close(descriptor)


class _Share:
    """The part of a log that a remote server may fill in an hour."""

    def __init__(self, most: int, clock: Callable[[], float]) -> None:
        self.left_out = 0
        """The lines left out in this hour."""
        self._most = most
        self._clock = clock
        self._began = clock()
        self._used = 0  # bytes

    def take(self, size: int) -> str:
        """Take room for a line, or leave it out; return what the log should say first, or ""."""
        note = ""
        if self._clock() - self._began >= _HOUR:
            if self.left_out:
                note = f"{self.left_out} lines of the server's stderr were left out above"
            self._began, self._used, self.left_out = self._clock(), 0, 0
        if self.left_out or self._used + size > self._most:
            self.left_out += 1
            if self.left_out == 1:
                note = "the server's stderr is left out for the rest of the hour: too much of it"
        else:
            self._used += size
        return note


def _warning(text: str) -> logging.LogRecord:
    return logging.makeLogRecord(
        {"name": __name__, "levelno": 30, "levelname": "WARNING", "msg": text}
    )
