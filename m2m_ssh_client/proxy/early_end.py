"""The end of a remote process before its first message: what its last words say of the cause."""

from __future__ import annotations

import re
from collections.abc import Sequence

from m2m_ssh_client.errors import COMMAND_NOT_FOUND

# Servers built on rmcp before 3.0 print `Error: ExpectedInitializeRequest(Some(…"server/discover"…`
# or "expect initialized request" on stderr; those that cannot read the request, "connection closed:
# initialize request".
_ABOUT_DISCOVER = re.compile(
    r"server/discover|init\w*[ _]?request|before init|not (yet )?initiali[sz]ed", re.IGNORECASE
)

# sshd, if it cannot start the account's shell: its path, and the system's reason. Other programs
# begin with their path, too: `/usr/bin/python3: No module named x`.
_NO_SHELL = re.compile(r"/[^\s:]+: (No such file or directory|Permission denied|Exec format error)")
_RESTRICTED = re.compile(r": restricted\b")  # bash(1), RESTRICTED SHELL
_NOT_FOUND_BY_CSH = re.compile(r"[^\s:]+: Command not found\.")

# Erlang/OTP's ssh, which evaluates a command as Erlang, or has that switched off.
_ERLANG = re.compile(r"\*\*Error\*\* .+|Prohibited\.")

# Programs on the Python SDK that allow any version of it, and get one from 2.0 on.
_FOR_AN_OLDER_SDK = re.compile(
    r"AttributeError: 'Server' object has no attribute '\w+'"
    r"|ImportError: cannot import name '\w+' from 'mcp[.'].*"
)

# What OpenSSH's sftp-server ends with if it gets something else than its protocol (sftp-server.c).
_SFTP_SERVER = 11

_NEVER_RAN = (126, COMMAND_NOT_FOUND)  # POSIX, Shell Command Language, 2.8.2


def may_be_about_discover(status: int | None, stdout: Sequence[str], stderr: Sequence[str]) -> bool:
    """Return whether `server/discover` may have ended the process, so that a fresh one may live.

    A command that fails by itself says so in other words, or on stdout; it is not run twice. An
    exit status of 0 says that nothing failed, whatever the server has logged.
    """
    if status in _NEVER_RAN:
        return False
    words = [*stdout, *stderr] if status else stdout
    return not words or any(map(_ABOUT_DISCOVER.search, words))


def hint(status: int | None, stderr: Sequence[str]) -> str:
    """Return what to do if the command itself may not be what failed; empty if it may well be."""
    if status is None or status == COMMAND_NOT_FOUND:
        return ""
    last = stderr[-1] if stderr else ""
    if status == _SFTP_SERVER and not last:
        return (
            "That may be OpenSSH's sftp-server, which only transfers files. Name another subsystem or "
            "a command; if you did, the server allows nothing else (ForceCommand internal-sftp in "
            "sshd_config, command= in authorized_keys): ask its administrator."
        )
    if not last:
        return (
            "If the command does not end like that by itself, this account may not run commands "
            "(its shell is nologin or false), or the server runs another one in its place "
            "(ForceCommand in sshd_config, command= in authorized_keys): ask its administrator."
        )
    if _ERLANG.fullmatch(last):
        return (
            "A server in Erlang says so. It has no programs to run unless its `exec` option brings "
            "them: ask its administrator."
        )
    if _RESTRICTED.search(last):
        return (
            "This account has a restricted shell: give the program's name alone, without a path, "
            "and leave out --cwd; or ask the machine's administrator for another shell."
        )
    if _NOT_FOUND_BY_CSH.fullmatch(last):
        return "Is the program installed there, for this user? If so, give its absolute path after `--`."
    if _FOR_AN_OLDER_SDK.fullmatch(last):
        return (
            "The program needs an MCP SDK before 2.0: run it with `uvx --with 'mcp<2' …`, or "
            "install `mcp<2` beside it."
        )
    if len(stderr) == 1 and _NO_SHELL.fullmatch(last):
        return (
            "The server cannot start the account's shell, perhaps because of ChrootDirectory in its "
            "sshd_config: ask its administrator."
        )
    return ""
