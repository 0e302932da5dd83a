"""The argv of the program that carries: a template with its places filled, or that of `ssh`.

No shell reads the template. A place in it becomes one argument, whatever is in the value.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from m2m_ssh_client.errors import UsageError
from m2m_ssh_client.parameters import DEFAULT_KEEPALIVE, DEFAULT_KEEPALIVE_COUNT, Parameters
from m2m_ssh_client.ssh.settings import Request
from m2m_ssh_client.ssh.way.program_environment import environment

SSH = "ssh"
"""The template that stands for OpenSSH's client with our options translated."""

COMMAND, WORDS = "{command}", "{words}"
_FOR_SSH_ALONE = ("client_key", "known_hosts", "ssh_options", "subsystem")
_OF_OUR_OWN_SSH = (
    *("host_key", "key_fingerprint", "passphrase_file", "use_key_server", "key_server_url"),
)


class ProgramLine(NamedTuple):
    """The argv and the environment of a program."""

    argv: list[str]
    env: Mapping[str, str]

    @property
    def name(self) -> str:
        """The program's name, without folder and suffix."""
        return os.path.basename(self.argv[0]).removesuffix(".exe")  # noqa: PTH119 - not a path yet


def program_line(params: Parameters, request: Request) -> ProgramLine:
    """Return what to start for this request. Raises UsageError."""
    template = params.via or ""
    _check(params, is_ssh=template == SSH)
    env = {**environment(), **dict(request.environment), **dict(request.variables)}
    if template == SSH:
        return ProgramLine(_ssh(params, request), env)
    words = split(template)
    if not words:
        raise UsageError("--via names no program")
    if request.command is not None and not {COMMAND, WORDS} & set(words):
        raise UsageError(
            "--via has no place for the remote command",
            f"Put {COMMAND} there, which is one argument, or {WORDS}, which is one for each word.",
        )
    return ProgramLine([part for word in words for part in _filled(word, params, request)], env)


def split(template: str) -> list[str]:
    """Split as a shell does, without its expansions; on Windows, as programs there do."""
    if sys.platform == "win32":
        from m2m_ssh_client.windows.calls import split_command_line

        return split_command_line(template)
    try:
        return shlex.split(template)
    except ValueError as exc:
        raise UsageError(f"--via is no command line: {exc}") from None


def _filled(word: str, params: Parameters, request: Request) -> Sequence[str]:
    user, host = params.username, params.host
    values = {
        "{destination}": f"{user}@{host}" if user else host,
        "{host}": host,
        "{user}": user or "",
        "{port}": str(params.port or 22),
        COMMAND: request.command or "",
    }
    if word == WORDS:
        return params.command if len(params.command) > 1 else [request.command or ""]
    return [values.get(word, word)]


def _ssh(params: Parameters, request: Request) -> list[str]:
    """Return the argv of ssh(1): it reads its own configuration, as it does in a terminal."""
    given: tuple[tuple[str, object], ...] = (
        ("-F", params.ssh_config),
        *(("-o", line) for line in params.ssh_options),
        ("-p", params.port),
        ("-l", params.username),
        ("-i", params.client_key and params.client_key.expanduser()),
        *(("-o", line) for line in _lines(params)),
    )
    options = [word for flag, value in given if value is not None for word in (flag, str(value))]
    # The values are in its environment, not on its command line.
    if names := [name for name, _ in (*request.environment, *request.variables)]:
        options += ["-o", f"SendEnv={' '.join(names)}"]
    if request.subsystem is not None:
        return [_program(), "-T", *options, "-s", "--", params.host, request.subsystem]
    command = [] if request.command is None else [request.command]
    return [_program(), "-T", *options, "--", params.host, *command]


def _program() -> str:
    """Return the path of ssh. Windows looks for a bare name in the current folder first."""
    if sys.platform == "win32":
        system = os.environ.get("SYSTEMROOT", r"C:\Windows")
        own = Path(rf"{system}\System32\OpenSSH\ssh.exe")
        if own.exists():
            return str(own)
    return shutil.which(SSH) or SSH


def _lines(params: Parameters) -> Iterator[str]:
    """Yield our options as lines of a configuration, which come behind the person's own."""
    if params.disable_host_key_checking:
        yield "StrictHostKeyChecking=no"
        yield f"UserKnownHostsFile={os.devnull}"
    elif params.known_hosts is not None:
        yield f'UserKnownHostsFile="{params.known_hosts.expanduser()}"'
    if params.connect_timeout is not None:
        yield f"ConnectTimeout={max(round(params.connect_timeout), 1)}"
    every = DEFAULT_KEEPALIVE if params.keepalive is None else params.keepalive
    yield f"ServerAliveInterval={max(round(every), 1) if every else 0}"
    yield f"ServerAliveCountMax={params.keepalive_count or DEFAULT_KEEPALIVE_COUNT}"


def _check(params: Parameters, *, is_ssh: bool) -> None:
    given = [name for name in _OF_OUR_OWN_SSH if getattr(params, name)]
    if not is_ssh:
        given += [name for name in _FOR_SSH_ALONE if getattr(params, name)]
    if given:
        option = "--" + given[0].replace("_", "-").removesuffix(
            "s" if "options" in given[0] else ""
        )
        raise UsageError(
            f"{option} has no meaning with --via",
            "It is for the SSH of this program. Tell the other program what it needs in its own way.",
        )
