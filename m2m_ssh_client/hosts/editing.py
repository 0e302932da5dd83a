"""Edit a configuration file: read it, change it in memory, replace it and keep a backup."""

from __future__ import annotations

import codecs
import os
import secrets
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from m2m_ssh_client import user_only_files
from m2m_ssh_client.errors import AppConfigError, reason
from m2m_ssh_client.hosts.nodes import FormatError
from m2m_ssh_client.text import printable

_BY_HAND = "The file is unchanged. Fix it and try again, or edit it by hand."


class Edit(NamedTuple):
    """A planned edit: file, content (None if missing), text before and after, without a BOM."""

    file: Path
    content: bytes | None
    before: str
    after: str

    @property
    def changes(self) -> bool:
        return self.before != self.after

    def write(self) -> Path | None:
        """Replace the file atomically; return the path of the backup. Raises AppConfigError.

        A BOM is left out: JSON.parse, which hosts built on Node use, refuses it (RFC 8259, 8.1).
        """
        try:
            user_only_files.refuse_links_of_others(self.file)
            target = self.file.resolve()
            user_only_files.make_folder(target.parent)
            if _content(target) != self.content:
                raise AppConfigError(
                    f"{printable(str(self.file))} has changed meanwhile", "Try again."
                )
            backup = None if self.content is None else _backed_up(target, self.content)
            _replace(target, self.after.encode())
        except (OSError, RuntimeError) as exc:
            raise _problem(self.file, "written", exc) from exc
        return backup


def planned(file: Path, change: Callable[[str], str]) -> Edit:
    """Apply `change` to the text of a file, "" if it is missing; write nothing yet.

    Raises AppConfigError if the file is unreadable or read-only, behind a link of another user, or
    if `change` raises FormatError.
    """
    try:
        user_only_files.refuse_links_of_others(file)
    except OSError as exc:
        raise _problem(file, "read", exc) from exc
    content, text = read(file)
    try:
        after = change(text)
    except FormatError as exc:
        raise AppConfigError(f"{printable(str(file))}: {printable(str(exc))}", _BY_HAND) from exc
    # Replacing a file only needs permission for its folder, but a read-only file is meant to stay.
    if content is not None and after != text and not _is_writable(file):
        raise AppConfigError(f"{printable(str(file))} is read-only", _BY_HAND)
    return Edit(file, content, text, after)


def read(file: Path) -> tuple[bytes | None, str]:
    """Return content and text of a file; None and "" if it is missing. Raises AppConfigError."""
    try:
        content = _content(file)
        return content, (content or b"").removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as exc:
        raise AppConfigError(f"{printable(str(file))} is not UTF-8", _BY_HAND) from exc
    except (OSError, RuntimeError) as exc:  # RuntimeError: a loop of links, before Python 3.13
        raise _problem(file, "read", exc) from exc


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        return None


def _problem(file: Path, done: str, exc: Exception) -> AppConfigError:
    return AppConfigError(f"{printable(str(file))} cannot be {done}: {reason(exc)}", _BY_HAND)


def _is_writable(file: Path) -> bool:
    return os.access(file, os.W_OK) and bool(file.stat().st_mode & 0o222)


def _backed_up(target: Path, content: bytes) -> Path:
    """Copy the content next to the file, under a free name or that of an equal backup."""
    number = 0
    while True:
        backup = target.with_name(f"{target.name}.bak{number or ''}")
        with suppress(FileExistsError):
            with os.fdopen(user_only_files.made_like(backup, target), "wb") as file:
                file.write(content)
            return backup
        if backup.is_file() and backup.read_bytes() == content:
            return backup
        number += 1


def _replace(target: Path, content: bytes) -> None:
    """Replace the file by a new one that is complete on disk before it gets the name."""
    new = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    if target.exists():
        descriptor = user_only_files.made_like(new, target)
    else:
        descriptor = user_only_files.opened(new, os.O_WRONLY | os.O_EXCL)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        user_only_files.replace(new, target)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


if sys.platform == "win32":

    def _sync_folder(folder: Path) -> None:
        """Do nothing: Windows cannot sync folders."""

else:

    def _sync_folder(folder: Path) -> None:
        with suppress(OSError):  # some file systems cannot sync folders
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
