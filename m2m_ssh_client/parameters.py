"""What to reach and how: plain data, checked once, no I/O.

The rules are in a dataclass of the standard library, as the command needs nothing else: pydantic takes longer to load
than a connection to be made. `api.SSHServerParameters` is the same for Python programs, with types checked too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from m2m_ssh_client.remote_command import quoted

DEFAULT_PORT = 8022
DEFAULT_USERNAME = "mcp"
DEFAULT_CLIENT_KEY = Path("~/.ssh/m2m_mcp_server_ssh_client")
DEFAULT_CONNECT_TIMEOUT = 25.0
DEFAULT_KEEPALIVE = 15.0
DEFAULT_KEEPALIVE_COUNT = 3

# base64 of the 32 bytes of a SHA-256, without padding, as `ssh-keygen -l` prints it.
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}=?")
_VARIABLE = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_NUL_OR_NEWLINE = re.compile(r"[\0\r\n]")
# Both can become part of a ProxyCommand, and so of a shell's command line. ssh(1) refuses the same since 9.6.
_UNFIT_HOST = re.compile(r"^-|[\s\0-\x1f\x7f'\"`$\\;&<>|(){}]")
_UNFIT_URL = re.compile(r"[\s\0-\x1f\x7f\\?#]")
_UNFIT_USER = re.compile(r"^-|\s-|[\0-\x1f\x7f'\"`;&<>|(){}]|\\$")


class ParametersError(ValueError):
    """`problems` has what is wrong with each parameter, under "" what is wrong with several together."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__(
            "; ".join(f"{name}: {text}".lstrip(": ") for name, text in problems.items())
        )
        self.problems = problems


@dataclass(frozen=True)
class Parameters:
    """A remote MCP server: which machine, who we are there, whom we trust, what to run.

    `host` may be an alias of the OpenSSH configuration, and may be written `user@host` or `ssh://user@host:port`. What
    is given wins over that configuration, which wins over the defaults here; None is not given. `ssh_config` is
    a file to read in the place of ~/.ssh/config and the system's, or `none`; `ssh_options` are `Keyword=value` as
    for `ssh -o`. `key_fingerprint` leaves only the client key that has it. `passphrase` opens encrypted keys, and so
    does the one line in `passphrase_file`. `key_server_url` is where the key server is if not at `host`, and implies
    `use_key_server`; with https:// it is never asked over plain HTTP.

    `command` empty and `subsystem` unset means a shell request. A `command` of one element is a command
    line for the remote user's shell as it stands; of several, each is quoted for a POSIX shell.
    `env` has environment variables for it, each `NAME=VALUE`, or `NAME` with our value of that; the server may refuse
    them, unless `env_in_command` makes them a part of the command line, which other users there can see. `cwd` is
    the folder it runs in. `login_shell` has the user's login shell run it, and drops what that prints before.
    `connect_timeout` is in seconds and covers everything up to the open channel (default: 25).
    `max_message_size` is in bytes, for one JSON-RPC line in either direction.

    After `keepalive` seconds (default: 15; 0: never) without anything heard, the server is asked for a sign of life.
    When `keepalive_count` of these (default: 3) in a row went unanswered, each for as long, the link is lost, as in ssh
    (ssh_config(5), ServerAliveCountMax). A lost link is made again, for `reconnect_timeout` seconds (None: for ever)
    unless `reconnect` is off; requests wait for it for `hold_timeout` seconds.

    Raises ParametersError.
    """

    host: str = "localhost"
    port: int | None = None
    username: str | None = None
    client_key: Path | None = None
    passphrase: str | None = field(default=None, repr=False)
    passphrase_file: Path | None = None
    key_fingerprint: str | None = None
    ssh_config: str | None = None
    ssh_options: tuple[str, ...] = field(default=(), repr=False)
    known_hosts: Path | None = None
    host_key: str | None = None
    disable_host_key_checking: bool = False
    use_key_server: bool = False
    key_server_port: int = 8000
    key_server_url: str | None = None
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = field(default=(), repr=False)
    env_in_command: bool = False
    cwd: str | None = None
    login_shell: bool = False
    subsystem: str | None = None
    connect_timeout: float | None = None
    keepalive: float | None = None
    keepalive_count: int | None = None
    reconnect: bool = True
    reconnect_timeout: float | None = None
    hold_timeout: float = 20.0
    retry_tool_calls: bool = False
    max_message_size: int = 256 * 1024 * 1024

    def __post_init__(self) -> None:
        problems: dict[str, str] = {}
        try:
            self._split_host()
        except ValueError as exc:
            problems["host"] = str(exc)
        for each in fields(self):
            value = getattr(self, each.name)
            problem = _problem(each.name, value) if value is not None else ""
            if problem:
                problems.setdefault(each.name, problem)
        if together := self._contradiction():
            problems[""] = together
        if problems:
            raise ParametersError(problems)
        if self.key_server_url is not None:
            object.__setattr__(self, "use_key_server", True)
        for name in ("host_key", "key_fingerprint"):
            if value := getattr(self, name):
                object.__setattr__(self, name, value.rstrip("="))

    def command_line(self) -> str | None:
        """What an SSH exec request carries, or None if none is to be made."""
        if not self.command:
            return None
        return self.command[0] if len(self.command) == 1 else " ".join(map(quoted, self.command))

    def _split_host(self) -> None:
        user, host, port = _destination(self.host)
        found = {"username": user, "port": int(port) if port.isdigit() else port or None}
        for name, value in found.items():
            if value is not None and getattr(self, name) not in (None, value):
                raise ValueError(f"{self.host!r} says another {name} than {getattr(self, name)!r}")
            if value is not None:
                object.__setattr__(self, name, value)
        object.__setattr__(self, "host", host)

    def _contradiction(self) -> str:
        if self.command and self.subsystem is not None:
            return "a remote command and a subsystem exclude one another"
        if self.disable_host_key_checking and (
            self.use_key_server or self.key_server_url or self.host_key
        ):
            return "disable_host_key_checking excludes the key server and a pinned host key"
        return ""


def _destination(text: str) -> tuple[str | None, str, str]:
    """User, host and port of `[user@]host` or `ssh://[user@]host[:port]`, as ssh(1) takes its destination."""
    uri = text.removeprefix("ssh://")
    user, at, host = uri.rpartition("@")
    port = ""
    if uri != text:
        host = host.rstrip("/")
        if host.startswith("["):
            host, _, port = host[1:].partition("]")
            port = port.removeprefix(":")
        else:
            host, _, port = host.partition(":")
    return (user if at else None), host, port


def _problem(name: str, value: Any) -> str:
    rule = _RULES.get(name)
    return rule(value) if rule else ""


def _between(least: float, most: float, *, above: bool = False) -> Callable[[Any], str]:
    """A number within these bounds; `above` the lower one, where that itself is too small."""

    def rule(value: Any) -> str:
        if (
            isinstance(value, (int, float))
            and least <= value <= most
            and not (above and value == least)
        ):
            return ""
        return f"a number {'above' if above else 'from'} {least:g}{'' if most == _MOST else f' to {most:g}'}, please"

    return rule


def _line(most: int, unfit: re.Pattern[str] | None, what: str) -> Callable[[str], str]:
    def rule(value: str) -> str:
        if not 0 < len(value) <= most:
            return f"1 to {most} characters, please"
        if _NUL_OR_NEWLINE.search(value) or value != value.strip():
            return "no line breaks and no spaces around it, please"
        return f"not a {what} name" if unfit is not None and unfit.search(value) else ""

    return rule


def _fingerprint(value: str) -> str:
    good = _FINGERPRINT.fullmatch(value)
    return "" if good else "not a SHA256:… fingerprint as `ssh-keygen -l` prints it"


def _url(value: str) -> str:
    """Of an HTTP server; with nothing in it that is secret, or that one parser reads otherwise than the next."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:
        return "not a URL"
    if "@" in parts.netloc:
        return "no user name and no password in it, please"
    host = parts.hostname or ""
    if not good or not host or _UNFIT_HOST.search(host) or ("%" in host and ":" not in host):
        return "an http:// or https:// URL, please"
    return "no blanks, ? or # in it, please" if _UNFIT_URL.search(value) else ""


def _variables(texts: tuple[str, ...]) -> str:
    for text in texts:
        name, _, value = text.partition("=")
        if not _VARIABLE.fullmatch(name) or "\0" in value:
            # What has no `=`, or no name before it, may be the value.
            shown = f"{name!r} is not" if "=" in text and name else "one is not"
            return f"{shown} NAME or NAME=VALUE"
    return ""


_MOST = 1e300  # excludes what is infinite or no number
_PORT = _between(1, 65535)
_RULES: dict[str, Callable[[Any], str]] = {
    "host": _line(255, _UNFIT_HOST, "host"),
    "port": _PORT,
    "username": _line(255, _UNFIT_USER, "user"),
    "ssh_config": _line(4096, None, ""),
    "key_fingerprint": _fingerprint,
    "host_key": _fingerprint,
    "key_server_port": _PORT,
    "key_server_url": _url,
    "env": _variables,
    "cwd": _line(4096, None, ""),
    "subsystem": _line(255, None, ""),
    "connect_timeout": _between(0, 3600, above=True),
    "keepalive": _between(0, 86400),
    "keepalive_count": _between(1, 1000),
    "reconnect_timeout": _between(0, _MOST, above=True),
    "hold_timeout": _between(0, _MOST, above=True),
    "max_message_size": _between(1024, _MOST),
}
