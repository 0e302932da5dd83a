"""The files of a configuration: their names, their owners, their lines."""

from __future__ import annotations

import codecs
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from m2m_ssh_client.errors import ConfigError, reason
from m2m_ssh_client.ssh.config.lines import shown as shown_text
from m2m_ssh_client.ssh.config.tokens import expand_home
from m2m_ssh_client.text import printable

HINT = "Correct it there; `ssh -G HOST` shows what OpenSSH makes of it."


class File(NamedTuple):
    """A file to read; relative includes are relative to the system's folder if `system` is set.

    `private` says that the owner must be checked.
    """

    path: Path
    system: bool = False
    private: bool = False
    required: bool = False


def chosen(paths: Sequence[Path] | None) -> list[File]:
    """Return the named files, or the two standard ones if none is named."""
    if paths is not None:
        return [File(path, required=True) for path in paths]
    user = File(Path.home() / ".ssh" / "config", private=True)
    return [user, File(_system_folder() / "ssh_config", system=True)]


def lines(file: File) -> list[str]:
    """Read the lines of a file.

    Raises ConfigError if it cannot be read, or if others could have written it.
    """
    try:
        with file.path.open("rb") as stream:
            if file.private:
                _check(file.path, os.fstat(stream.fileno()))
            data = stream.read()
    except IsADirectoryError as exc:
        # An Include of a folder is an empty file to OpenSSH.
        if file.required:
            raise _unreadable(file.path, exc) from exc
        return []
    except FileNotFoundError as exc:
        if file.required:
            raise _unreadable(file.path, exc) from exc
        return []
    except (OSError, ValueError) as exc:
        raise _unreadable(file.path, exc) from exc
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ConfigError(
            f"The SSH configuration {shown(file.path)} is UTF-16, which ssh does not read either",
            "Save it as UTF-8; in PowerShell: `(Get-Content FILE) | Set-Content -Encoding utf8 FILE`",
        )
    text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    return text.split("\n")


def included(pattern: str, by: File) -> list[File]:
    """Return the files of an Include, in lexical order; ValueError if a `~` cannot be expanded."""
    from glob import glob

    if pattern.startswith("~") and by.system:
        raise ValueError(f"Include {shown_text(pattern)}: no ~ in a system-wide file")
    pattern = expand_home(pattern)
    folder = _system_folder() if by.system else Path.home() / ".ssh"
    # The folder is not part of the pattern: the name of a home may contain a bracket.
    found = glob(pattern, root_dir=folder)  # noqa: PTH207 - Path.glob takes no absolute pattern
    return [
        File(folder / path, system=by.system, private=True)
        for path in sorted(found, key=os.fsencode)
    ]


def refused(problems: Sequence[str]) -> ConfigError:
    """Return the error for lines (`path:line: reason`) that make no sense."""
    most = 5
    more = [f"and {len(problems) - most} more"] if len(problems) > most else []
    return ConfigError("; ".join([*problems[:most], *more]), HINT)


def shown(path: Path) -> str:
    return printable(os.fsencode(path))


def _unreadable(path: Path, exc: Exception) -> ConfigError:
    return ConfigError(f"The SSH configuration {shown(path)} cannot be read: {reason(exc)}")


def _system_folder() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("PROGRAMDATA", r"C:\ProgramData")) / "ssh"
    return Path("/etc/ssh")


if sys.platform == "win32":

    def _check(path: Path, _status: os.stat_result) -> None:
        """Require that nobody else can change the file; to read it is in order, as for OpenSSH."""
        from m2m_ssh_client.windows import access

        if others := access.others(path, access.CHANGE):
            raise ConfigError(
                f"The SSH configuration {shown(path)} can be changed by others "
                f"({', '.join(others.values())})",
                f"As ssh, we do not read it then. {access.mending(path)}",
            )

else:

    def _check(path: Path, status: os.stat_result) -> None:
        """Require that the file is ours or root's and that nobody else can write it.

        A group without other members may have write access, as on Debian.
        """
        user = os.getuid()
        writable = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if writable == stat.S_IWGRP and _is_alone(user, status.st_gid):
            writable = 0
        if status.st_uid not in (0, user) or writable:
            raise ConfigError(
                f"The SSH configuration {shown(path)} belongs to somebody else, "
                "or others may write to it",
                f"As ssh, we do not read it then: chmod 600 {shown(path)}",
            )

    def _is_alone(user: int, group: int) -> bool:
        """Return whether the group is the user's own, without other members."""
        import grp
        import pwd

        try:
            name, members = pwd.getpwuid(user).pw_name, grp.getgrgid(group).gr_mem
        except KeyError:
            return False
        others = (
            entry for entry in pwd.getpwall() if entry.pw_gid == group and entry.pw_uid != user
        )
        return set(members) <= {name} and next(others, None) is None
