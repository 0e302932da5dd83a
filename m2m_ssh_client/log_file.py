"""The log file that there is unless somebody names another: in the user's state folder, private, bounded in size.

Written by several processes at a time, one for each server of each host; so each line has the number of its process.
No library for the folder: this is loaded at every start, before the connection is dialled.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from m2m_ssh_client import private

_NAME = "m2m-mcp-server-ssh-client"
_MOST = 5_000_000  # bytes, and as many again in the file before it


def default_path() -> Path:
    """By the XDG Base Directory Specification, or where the platform's own programs keep theirs."""
    if sys.platform == "win32":
        folder = Path(os.environ.get("LOCALAPPDATA") or Path("~/AppData/Local").expanduser())
        return folder / _NAME / "client.log"
    if sys.platform == "darwin":
        return Path("~/Library/Logs").expanduser() / _NAME / "client.log"
    folder = Path(os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser())
    return folder / _NAME / "client.log"


def opened(path: Path) -> TextIO:
    """To append to. Private from the first byte: it may hold host names, commands and what the remote says."""
    descriptor = private.opened(path, os.O_WRONLY | os.O_APPEND)
    try:
        private.refuse_others(descriptor)
    except OSError:
        os.close(descriptor)
        raise
    return os.fdopen(descriptor, "a", encoding="utf-8", errors="backslashreplace")


class RotatingFile(logging.Handler):
    """Appends to the file, and begins a new one when it is large. What cannot be written is nobody's trouble."""

    def __init__(self, path: Path, most: int = _MOST) -> None:
        super().__init__()
        self._path = path
        self._most = most
        self._stream: TextIO | None = None

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError):
            self._stream = self._stream or self._open()
            self._stream.write(self.format(record) + "\n")
            self._stream.flush()
            if self._stream.tell() > self._most:
                self._rotate()

    def close(self) -> None:
        if self._stream is not None:
            with suppress(OSError):
                self._stream.close()
        super().close()

    def _open(self) -> TextIO:
        private.make_folder(self._path.parent)
        stream = opened(self._path)
        private.set_mode(stream.fileno(), 0o600)  # it may have been there
        return stream

    def _rotate(self) -> None:
        assert self._stream is not None  # noqa: S101 - it was just written to
        # Unless another process has done so already: then ours is the old one.
        with suppress(OSError):  # Windows moves no file that another process has open
            if os.path.samestat(os.fstat(self._stream.fileno()), self._path.stat()):
                self._path.replace(self._path.with_suffix(".log.1"))
        self._stream.close()
        self._stream = None
