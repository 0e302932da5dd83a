"""A program that the short PATH of a remote command lacks: the user's login shell may find it.

sshd runs a command in the user's shell, but not in a login shell, so what ~/.profile adds to PATH
is missing: ~/.local/bin with uvx, for one. A second attempt must not run anything twice. So the
command has to be a simple one, and the shell has to name its program as the one that is missing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from m2m_ssh_client import remote_command
from m2m_ssh_client.errors import COMMAND_NOT_FOUND
from m2m_ssh_client.ssh.settings import Request

_NOT_FOUND_BY_CSH = 1

_QUOTED = re.compile(r"\\.|'[^']*'", re.DOTALL)
_MORE_THAN_ONE_COMMAND = re.compile(r"[;&|<>()`\r\n]")
# `env` and assignments in front of the program run nothing.
_PROGRAM = re.compile(r"\s*(?:(?:exec|env|[A-Za-z_]\w*=[^\s'\"\\]*)\s+)*([\w.+][\w.+-]*)(?:\s|$)")


def program_of(request: Request) -> str:
    """Return the program that the shell looks up in PATH.

    Empty if it is a path, or if the command may run more than that program.
    """
    command = request.inner or request.command or ""
    if _MORE_THAN_ONE_COMMAND.search(_QUOTED.sub("", command)):
        return ""
    found = _PROGRAM.match(command)
    return found.group(1) if found else ""


def is_missed(program: str, status: int, stderr: Iterable[str]) -> bool:
    """Return whether a shell (or `env`) names this program as one that it does not find.

    It does so behind its own name: `bash: line 1: uvx: command not found`, `env: 'uvx': No such
    file or directory`, `zsh:1: command not found: uvx`. The words vary with the language there.
    csh names only the program, and its status is one that any program may end with, so its words
    have to be the usual ones.
    """
    if status == COMMAND_NOT_FOUND:
        named = rf".*(?:: |['\"`\u2018]){re.escape(program)}(?![\w./+-]).*"
    elif status == _NOT_FOUND_BY_CSH:
        named = rf"{re.escape(program)}: Command not found\."
    else:
        return False
    return bool(program) and any(re.fullmatch(named, line) for line in stderr)


def in_login_shell(request: Request) -> Request:
    """Return the request for the same command, run by the user's login shell."""
    marker = f"m2m-start-{os.urandom(8).hex()}"
    command = request.command or ""
    return request._replace(
        command=remote_command.in_login_shell(command, marker),
        shown=request.shown or command,
        inner=request.inner or command,
        marker=marker,
    )


def second_way(request: Request, status: int | None, stderr: Iterable[str]) -> Request | None:
    """Return the request for a second attempt if the program was not found, else None.

    `status` and `stderr` are the end and the last words of the first one, which has written nothing
    to stdout.
    """
    if request.marker or status is None or not is_missed(program_of(request), status, stderr):
        return None
    return in_login_shell(request)
