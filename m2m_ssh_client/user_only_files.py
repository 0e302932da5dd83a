"""Files and folders for the user alone, by mode or ACL, whatever the umask and others' links.

Also an environment for child processes without the passphrase.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
import sys
import time
from contextlib import suppress
from pathlib import Path

PASSPHRASE_VARIABLE = "M2M_SSH_PASSPHRASE"  # noqa: S105 - a name # nosec B105
_PATIENCE = 2.0  # seconds
_RETRY = 0.05  # seconds


def environment() -> dict[str, str]:
    """Return the environment for child processes: ours without the passphrase."""
    return {name: value for name, value in os.environ.items() if name != PASSPHRASE_VARIABLE}


def make_folder(path: Path) -> None:
    """Make the folder and its missing parents for the user alone. Raises OSError."""
    try:
        _make_one_folder(path)
    except FileNotFoundError:
        if path.parent == path:
            raise
        make_folder(path.parent)
        _make_one_folder(path)


def _make_one_folder(path: Path) -> None:
    if sys.platform != "win32":
        path.mkdir(mode=0o700, exist_ok=True)
        return
    from m2m_ssh_client.windows import access

    try:
        access.make_folder(path)
    except OSError:
        if not path.is_dir():
            raise


def opened(path: Path, flags: int) -> int:
    """Open the file, made for the user alone if missing; return its descriptor. Raises OSError.

    A symbolic link is followed only if this user or root owns it, as Linux does in /tmp by itself.
    Another user's link could redirect what we write. On Windows, the file is binary, and may be
    renamed while it is open.
    """
    flags |= os.O_CREAT
    if sys.platform == "win32":
        from m2m_ssh_client.windows import access

        return access.opened(path, flags)
    try:
        return os.open(path, flags | os.O_NOFOLLOW, 0o600)
    except OSError:
        status = path.lstat()
        if not stat.S_ISLNK(status.st_mode):
            raise
        if status.st_uid not in (0, os.geteuid()):
            raise PermissionError(errno.EPERM, "it is a link owned by another user") from None
        return os.open(path, flags, 0o600)


def made_like(path: Path, model: Path) -> int:
    """Make a file with the mode or ACL of another; return its descriptor. Raises OSError.

    FileExistsError if there is one, or a link. On Windows, the file is binary, as above.
    """
    if sys.platform == "win32":
        from m2m_ssh_client.windows import access

        return access.made_like(path, model)
    mode = stat.S_IMODE(model.stat().st_mode)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.fchmod(descriptor, mode)
    return descriptor


def refuse_links_of_others(path: Path, most: int = 40) -> None:
    """Raise PermissionError if a link on this path, at any place, is not root's or this user's.

    Raises OSError after `most` links in a row, like Linux itself (path_resolution(7)).
    """
    if not most:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if sys.platform == "win32":
        return
    path = path.absolute()
    for part in (*reversed(path.parents), path):
        try:
            status = part.lstat()
        except FileNotFoundError:
            return
        if stat.S_ISLNK(status.st_mode):
            if status.st_uid not in (0, os.geteuid()):
                raise PermissionError(errno.EPERM, "it is behind a link owned by another user")
            refuse_links_of_others(part.parent / part.readlink(), most - 1)


def refuse_others(descriptor: int) -> None:
    """Raise PermissionError for a file of another user, who could read what we write there.

    Devices of root, such as /dev/null, are fine: who could replace them has this user's rights. So
    are the terminal and the pipes that this process was started with (/dev/stderr), whoever made
    them.
    """
    if sys.platform == "win32":
        return
    status = os.fstat(descriptor)
    if status.st_uid == os.geteuid() or (stat.S_ISCHR(status.st_mode) and status.st_uid == 0):
        return
    if not any(_is_open_as(given, status) for given in (1, 2)):
        raise PermissionError(errno.EPERM, "it belongs to another user")


def _is_open_as(descriptor: int, status: os.stat_result) -> bool:
    try:
        return not stat.S_ISREG(status.st_mode) and os.path.samestat(os.fstat(descriptor), status)
    except OSError:
        return False


def others(path: Path, mode: int) -> tuple[str, str] | None:
    """Return who else may read or change the file of this mode, and what mends it, as a hint.

    None if nobody else may. On Windows the ACL tells, and SYSTEM and administrators do not count.
    """
    if sys.platform != "win32":
        mode = stat.S_IMODE(mode)
        mending = f"Run: chmod 600 {shlex.quote(str(path))}"
        return (f"mode {mode:04o}", mending) if mode & 0o077 else None
    from m2m_ssh_client.windows import access

    with suppress(OSError):  # as for the file of another user elsewhere
        if names := access.others(path):
            return ", ".join(names.values()), access.mending(path)
    return None


def replace(new: Path, target: Path) -> None:
    """Give a file the name of another, which is gone then. Raises OSError.

    On Windows, no program may have either open. An antivirus and what synchronizes a folder
    (OneDrive) open what is new or has changed, for a moment, which is waited for.
    """
    deadline = time.monotonic() + (_PATIENCE if sys.platform == "win32" else 0)
    while True:
        try:
            new.replace(target)
        except PermissionError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_RETRY)
        else:
            return


def set_mode(descriptor: int, mode: int) -> None:
    """Set the mode of an open file, except on Windows. Raises OSError.

    A descriptor cannot be swapped for another file, as a name can.
    """
    if sys.platform != "win32":
        os.fchmod(descriptor, mode)
