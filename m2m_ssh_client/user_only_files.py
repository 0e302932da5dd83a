"""What is the user's alone: files and folders, made so whatever the umask and not where somebody else's link leads; and
the passphrase, which the programs that we start do not inherit."""

from __future__ import annotations

import errno
import os
import stat
import sys
from pathlib import Path

PASSPHRASE_VARIABLE = "M2M_SSH_PASSPHRASE"  # noqa: S105 - a name # nosec B105


def environment() -> dict[str, str]:
    """Our environment, for others: without the passphrase."""
    return {name: value for name, value in os.environ.items() if name != PASSPHRASE_VARIABLE}


def make_folder(path: Path) -> None:
    """The folder and those above it, as far as they are missing, with mode 0700. Raises OSError."""
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except FileNotFoundError:
        if path.parent == path:
            raise
        make_folder(path.parent)
        path.mkdir(mode=0o700, exist_ok=True)


def opened(path: Path, flags: int) -> int:
    """A descriptor of the file, which is made with mode 0600 if it is missing. Raises OSError.

    A link at its end is followed only if it is ours or root's, as Linux does in /tmp by itself: with one of somebody
    else, what we write would go where they want it.
    """
    flags |= os.O_CREAT
    if sys.platform == "win32":
        return os.open(path, flags, 0o600)
    try:
        return os.open(path, flags | os.O_NOFOLLOW, 0o600)
    except OSError:
        status = path.lstat()
        if not stat.S_ISLNK(status.st_mode):
            raise
        if status.st_uid not in (0, os.geteuid()):
            raise PermissionError(errno.EPERM, "it is a link of another user") from None
        return os.open(path, flags, 0o600)


def refuse_others(descriptor: int) -> None:
    """PermissionError for a file that belongs to another user, who could read what we write there."""
    if sys.platform == "win32":
        return
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "it belongs to another user")


def set_mode(descriptor: int, mode: int) -> None:
    """Of an open file, which no name can be exchanged for; Windows has no such modes. Raises OSError."""
    if sys.platform != "win32":
        os.fchmod(descriptor, mode)
