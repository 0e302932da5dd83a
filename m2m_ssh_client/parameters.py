"""Connection parameters: plain data with their rules, checked once, no I/O.

A dataclass of the standard library holds them, because pydantic takes longer to load than it takes
to connect. `api.SSHServerParameters` is the same for Python programs, and checks types too.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from m2m_ssh_client.remote_command import quoted

# Those of m2m-mcp-server-ssh-server. With a remote command, ssh's defaults hold instead.
DEFAULT_PORT = 8022
DEFAULT_USERNAME = "mcp"
SSH_PORT = 22
DEFAULT_CLIENT_KEY = Path("~/.ssh/m2m_mcp_server_ssh_client")
DEFAULT_CONNECT_TIMEOUT = 25.0
DEFAULT_KEEPALIVE = 15.0
DEFAULT_KEEPALIVE_COUNT = 3
DEFAULT_KEEP = 600.0

# base64 of the 32 bytes of a SHA-256, without padding, as `ssh-keygen -l` prints it.
_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}=?")
_VARIABLE = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_NUL_OR_NEWLINE = re.compile(r"[\0\r\n]")
# Host and user can become part of a ProxyCommand, and so of a shell's command line. OpenSSH refuses
# the same characters since 9.6.
_UNFIT_HOST = re.compile(r"^-|[\s\0-\x1f\x7f'\"`$\\;&<>|(){}]")
_BRACKETED = re.compile(r"\[([^\]]*)\](?::(.*))?")
_UNFIT_URL = re.compile(r"[\s\0-\x1f\x7f\\?#]")
_UNFIT_USER = re.compile(r"^-|\s-|[\0-\x1f\x7f'\"`;&<>|(){}]|\\$")


class ParametersError(ValueError):
    """Invalid parameters: `problems` maps names to texts, "" to a problem of several together."""

    def __init__(self, problems: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name} {text}".lstrip() for name, text in problems.items()))
        self.problems = problems


@dataclass(frozen=True)
class Parameters:
    """A remote MCP server: the machine, the login, the trusted host keys, and the command to run.

    `host` may be an alias from the OpenSSH configuration, `user@host:port`, or
    `ssh://user@host:port`. Precedence: parameter, SSH configuration, default; None means not given.
    With a command or a subsystem, `port` and `username` default to those of ssh: 22 and the local
    user. Without one, and with a key server, they default to those of m2m-mcp-server-ssh-server:
    8022 and `mcp`. `ssh_config` is a file to read instead of ~/.ssh/config and the system's file,
    or `none`. `ssh_options` are `Keyword=value` lines, as for `ssh -o`. `key_fingerprint` selects a
    single client key. Encrypted keys are opened with `passphrase` or with the single line in
    `passphrase_file`, or with an answer of `passphrase_prompt`, which is called with a question in
    a worker thread; None as an answer gives up. `key_server_url` locates a key server that is not
    on `host`, and implies `use_key_server`; https:// never falls back to plain HTTP.

    Without a `command` and a `subsystem`, a shell is requested. A `command` of one element goes to
    the remote user's shell unchanged; several elements are quoted for any shell. `env` lists
    environment variables: `NAME=VALUE`, or `NAME` for the local value. The server may refuse them
    unless `env_in_command` puts them into the command line, which other users there can see. `cwd`
    is the working folder. With `login_shell` the user's login shell runs the command, and what the
    shell prints first is dropped; None means that it does if the program is not found otherwise.
    `via` is the command line of a program that carries in place of our own SSH, with places such as
    `{destination}` and `{command}`; `ssh` stands for OpenSSH with these parameters translated.
    `connect_timeout` covers everything up to the open channel, in
    seconds (default: 25). `max_message_size` limits a JSON-RPC line in either direction, in bytes.
    `tool` and `ignore_tool` are shell patterns for the names of tools to offer and to leave out.
    `bridge` says when to translate between the eras of the protocol: `auto`, `off` or `modern`.

    A keepalive is sent after `keepalive` idle seconds (default: 15; 0 disables). After
    `keepalive_count` unanswered ones in a row (default: 3) the connection counts as lost, as in ssh
    (ssh_config(5), ServerAliveCountMax). With `reconnect`, the client then reconnects for up to
    `reconnect_timeout` seconds (None: no limit), and requests wait up to `hold_timeout` seconds.
    With `share`, a process of its own holds the connection for all who share it; None means as
    ControlMaster says. `ping` is for `via` with another program than ssh: after so many silent
    seconds the server is asked for a sign of life, and after `keepalive_count` such requests the
    program is replaced.
    With `keep`, the remote server outlives a lost connection for so many seconds, and goes on where
    it was.

    Raises ParametersError.
    """

    host: str = "localhost"
    port: int | None = None
    username: str | None = None
    client_key: Path | None = None
    passphrase: str | None = field(default=None, repr=False)
    passphrase_file: Path | None = None
    passphrase_prompt: Callable[[str], str | None] | None = field(
        default=None, repr=False, compare=False
    )
    key_fingerprint: str | None = None
    ssh_config: str | None = None
    ssh_options: tuple[str, ...] = field(default=(), repr=False)
    known_hosts: Path | None = None
    host_key: str | None = None
    disable_host_key_checking: bool = False
    use_key_server: bool = False
    key_server_port: int = 8000
    key_server_url: str | None = None
    command: Sequence[str] = ()
    env: tuple[str, ...] = field(default=(), repr=False)
    env_in_command: bool = False
    cwd: str | None = None
    login_shell: bool | None = None
    subsystem: str | None = None
    connect_timeout: float | None = None
    keepalive: float | None = None
    keepalive_count: int | None = None
    via: str | None = field(default=None, repr=False)
    share: bool | None = None
    ping: float | None = None
    keep: float | None = None
    reconnect: bool = True
    reconnect_timeout: float | None = None
    hold_timeout: float = 20.0
    retry_tool_calls: bool = False
    tool: tuple[str, ...] = ()
    ignore_tool: tuple[str, ...] = ()
    bridge: str = "auto"
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

    @property
    def is_for_any_sshd(self) -> bool:
        """True if an ordinary SSH server is expected, not m2m-mcp-server-ssh-server."""
        return bool(self.command or self.subsystem) and not self.use_key_server

    def command_line(self) -> str | None:
        """Return the command line of the SSH exec request, or None if there is no command."""
        if not self.command:
            return None
        return self.command[0] if len(self.command) == 1 else " ".join(map(quoted, self.command))

    def _split_host(self) -> None:
        user, host, port = _destination(self.host)
        found = {"username": user, "port": int(port) if port.isdigit() else port or None}
        for name, value in found.items():
            if value is not None and getattr(self, name) not in (None, value):
                raise ValueError(f"{self.host!r} contradicts {name} {getattr(self, name)!r}")
            if value is not None:
                object.__setattr__(self, name, value)
        object.__setattr__(self, "host", host)

    def _contradiction(self) -> str:
        if self.command and self.subsystem is not None:
            return "a remote command and a subsystem exclude each other"
        if self.keep is not None and self.subsystem is not None:
            return "keep and a subsystem exclude each other: a keeper runs a command"
        if self.share and self.via is not None:
            return "share and via exclude each other: ssh has ControlMaster"
        if self.ping is not None and self.via in (None, "ssh"):
            return "ping is for via with another program than ssh: SSH has keepalive"
        if self.disable_host_key_checking and (
            self.use_key_server or self.key_server_url or self.host_key
        ):
            return "disable_host_key_checking excludes the key server and a pinned host key"
        return ""


def _destination(text: str) -> tuple[str | None, str, str]:
    """Split `[ssh://][user@]host[:port]`: user, host, port.

    ssh(1) knows the port only after `ssh://`. Without that, it is one here if the host is no IPv6
    address, or is in brackets.
    """
    uri = text.removeprefix("ssh://")
    user, at, host = uri.rpartition("@")
    port = ""
    if uri != text:
        host = host.rstrip("/")
    if bracketed := _BRACKETED.fullmatch(host):
        host, port = bracketed.groups("")
    elif uri != text or host.count(":") == 1:
        host, _, port = host.partition(":")
    return (user if at else None), host, port


def _problem(name: str, value: Any) -> str:
    rule = _RULES.get(name)
    return rule(value) if rule else ""


def _between(least: float, most: float, *, above: bool = False) -> Callable[[Any], str]:
    """Return the rule for a number within these bounds; `above` excludes the lower one."""

    def rule(value: Any) -> str:
        if (
            isinstance(value, (int, float))
            and least <= value <= most
            and not (above and value == least)
        ):
            return ""
        low = f"above {least:g}" if above else f"from {least:g}"
        if most == _MOST:
            return f"must be {low}" if above else f"must be at least {least:g}"
        return f"must be {low} to {most:g}"

    return rule


def _line(most: int, unfit: re.Pattern[str] | None, what: str) -> Callable[[str], str]:
    def rule(value: str) -> str:
        if not 0 < len(value) <= most:
            return f"must have 1 to {most} characters"
        if _NUL_OR_NEWLINE.search(value) or value != value.strip():
            return "must not contain line breaks or surrounding spaces"
        return f"is not a {what} name" if unfit is not None and unfit.search(value) else ""

    return rule


def _fingerprint(value: str) -> str:
    good = _FINGERPRINT.fullmatch(value)
    return "" if good else "must be a SHA256:… fingerprint as printed by `ssh-keygen -l`"


def _url(value: str) -> str:
    """Check an HTTP URL: it must hold no secrets, and nothing that parsers read differently."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(value)
        good = parts.scheme in ("http", "https") and parts.port != 0
    except ValueError:
        return "is not a URL"
    if "@" in parts.netloc:
        return "must not contain a user name or password"
    host = parts.hostname or ""
    if not good or not host or _UNFIT_HOST.search(host) or ("%" in host and ":" not in host):
        return "must be an http:// or https:// URL"
    return "must not contain blanks, ? or #" if _UNFIT_URL.search(value) else ""


def _variables(texts: tuple[str, ...]) -> str:
    for text in texts:
        name, _, value = text.partition("=")
        if not _VARIABLE.fullmatch(name) or "\0" in value:
            # Text without `=`, or without a name before it, may be the value of a secret.
            shown = f", not {name!r}" if "=" in text and name else ""
            return f"must be NAME or NAME=VALUE{shown}"
    return ""


def _patterns(texts: tuple[str, ...]) -> str:
    return "" if all(texts) else "must not be empty"


def _one_of(*words: str) -> Callable[[str], str]:
    return lambda value: "" if value in words else f"must be one of {', '.join(words)}"


_MOST = 1e300  # excludes infinity and NaN
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
    "via": _line(4096, None, ""),
    "ping": _between(0, 86400, above=True),
    "keep": _between(1, 30 * 86400),
    "reconnect_timeout": _between(0, _MOST, above=True),
    "hold_timeout": _between(0, _MOST, above=True),
    "tool": _patterns,
    "ignore_tool": _patterns,
    "bridge": _one_of("auto", "off", "modern"),
    "max_message_size": _between(1024, _MOST),
}
