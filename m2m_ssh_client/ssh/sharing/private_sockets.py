"""Unix sockets of this user alone, at paths of any length."""

from __future__ import annotations

import os
import socket
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform == "win32":
    raise ImportError("Windows passes no descriptors on")

_LONGEST = 100  # bytes; the path of a socket has 104 at least, with the NUL (unix(4), unix(7))


def connected(path: Path, timeout: float) -> socket.socket:
    """Return a connection to whoever listens there, with this timeout. Raises OSError.

    The socket must belong to this user: nobody else can have put it into a folder of ours, but a
    ControlPath can be anywhere.
    """
    status = path.lstat()
    if not stat.S_ISSOCK(status.st_mode) or status.st_uid != os.geteuid():
        raise OSError(f"{path} is no socket of yours")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        with _short(path) as short:
            sock.connect(short)
    except BaseException:
        sock.close()
        raise
    return sock


def listening(path: Path) -> socket.socket:
    """Return a socket that listens there, in a folder of this user alone. Raises OSError."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(path) as short:
            sock.bind(short)
        sock.listen(16)
    except BaseException:
        sock.close()
        raise
    return sock


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Yield a path to the same place that a socket's address has room for."""
    if len(os.fsencode(path)) <= _LONGEST or sys.platform != "linux":
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
