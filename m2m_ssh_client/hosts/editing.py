"""A configuration file edited: read, changed in memory, written as a whole beside a backup, or left as it is."""

from __future__ import annotations

import codecs
import os
import stat
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from m2m_ssh_client import user_only_files
from m2m_ssh_client.errors import AppConfigError
from m2m_ssh_client.hosts.jsonc import JSONCError
from m2m_ssh_client.text import printable

_BY_HAND = "It was left as it is. Mend it and try again, or edit it by hand."


class Edit(NamedTuple):
    """A file, what it holds (None: it is missing), and its text before and after, without a byte order mark."""

    file: Path
    content: bytes | None
    before: str
    after: str

    @property
    def changes(self) -> bool:
        return self.before != self.after

    def write(self) -> Path | None:
        """Replace the file, at once or not at all; returns where the backup is. Raises AppConfigError."""
        try:
            target = self.file.resolve()
            user_only_files.make_folder(target.parent)
            if _content(target) != self.content:
                raise AppConfigError(
                    f"{printable(str(self.file))} has changed meanwhile", "Try it once more."
                )
            backup = None if self.content is None else _backed_up(target, self.content)
            mark = codecs.BOM_UTF8 if (self.content or b"").startswith(codecs.BOM_UTF8) else b""
            _replace(target, mark + self.after.encode())
        except (OSError, RuntimeError) as exc:
            raise _problem(self.file, "written", exc) from exc
        return backup


def planned(file: Path, change: Callable[[str], str]) -> Edit:
    """What `change` makes of the file's text, which is empty if the file is missing; nothing is written yet.

    Raises AppConfigError where it cannot be read, or must not be written, or `change` raises JSONCError.
    """
    content, text = read(file)
    try:
        after = change(text)
    except JSONCError as exc:
        raise AppConfigError(f"{printable(str(file))}: {printable(str(exc))}", _BY_HAND) from exc
    # Replacing a file asks only for its folder's permission; its own says that somebody wants it to stay.
    if content is not None and after != text and not _is_writable(file):
        raise AppConfigError(f"{printable(str(file))} is read-only", _BY_HAND)
    return Edit(file, content, text, after)


def read(file: Path) -> tuple[bytes | None, str]:
    """What the file holds, and its text; None and "" if it is missing. Raises AppConfigError."""
    try:
        content = _content(file)
        return content, (content or b"").removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as exc:
        raise AppConfigError(f"{printable(str(file))} is not UTF-8", _BY_HAND) from exc
    except (
        OSError,
        RuntimeError,
    ) as exc:  # RuntimeError: a loop of symbolic links, before Python 3.13
        raise _problem(file, "read", exc) from exc


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def _problem(file: Path, done: str, exc: Exception) -> AppConfigError:
    reason = getattr(exc, "strerror", None) or exc
    return AppConfigError(f"{printable(str(file))} cannot be {done}: {reason}", _BY_HAND)


def _is_writable(file: Path) -> bool:
    return os.access(file, os.W_OK) and bool(file.stat().st_mode & 0o222)


def _backed_up(target: Path, content: bytes) -> Path:
    """A copy beside the file, under a name that no other content has."""
    number = 0
    while True:
        backup = target.with_name(f"{target.name}.bak{number or ''}")
        with suppress(FileExistsError):
            descriptor = os.open(backup, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                user_only_files.set_mode(descriptor, stat.S_IMODE(target.stat().st_mode))
                file.write(content)
            return backup
        if backup.is_file() and backup.read_bytes() == content:
            return backup
        number += 1


def _replace(target: Path, content: bytes) -> None:
    """By a file that is complete, also on the disk, before it gets the name."""
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o600
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            user_only_files.set_mode(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


if sys.platform == "win32":
    _BINARY = os.O_BINARY

    def _sync_folder(folder: Path) -> None:
        """Windows has no such thing."""

else:
    _BINARY = 0

    def _sync_folder(folder: Path) -> None:
        with suppress(OSError):  # some file systems cannot
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
