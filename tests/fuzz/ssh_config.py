"""OpenSSH client configurations, resolved; nothing that they name is run, looked up or read."""

from __future__ import annotations

import glob
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import NoReturn

from fuzz.target import folder, is_showable, replaced

from m2m_ssh_client.errors import ConfigError
from m2m_ssh_client.ssh import algorithms
from m2m_ssh_client.ssh.config import HostConfig, resolve
from m2m_ssh_client.ssh.config import shell as config_shell

_HOST = "alias"
_INCLUDED = ("more", "most")


def check(content: bytes) -> None:
    """A file for one host, and then its first line as an option before it."""
    path = folder() / "config"
    path.write_bytes(content)
    option = content.split(b"\n")[0].decode("utf-8", "surrogateescape")
    for options in ((), (option,)):
        with _nothing_outside() as commands:
            try:
                config = resolve(_HOST, files=[path], options=options, user="me", command="server")
            except ConfigError as exc:
                is_showable(exc)
                continue
            finally:
                assert not commands or b"exec" in content.lower()
        _look_at(config)


def _look_at(config: HostConfig) -> None:
    assert config.user == "me"
    assert config.port is None or 0 < config.port < 65536
    assert not set("\0\n") & set(config.hostname)
    assert all(keyword == keyword.lower() for keyword in config.origins)
    for text in (*config.origins.values(), *config.warnings):
        is_showable(text)
    for number in (config.connect_timeout, config.connection_attempts, config.required_rsa_size):
        assert number is None or 0 <= number < 2**31
    assert config.proxy_jump is None or not config.proxy_command
    assert all(jump.host and jump.port != 0 for jump in config.proxy_jump or ())
    for command in (config.proxy_command, config.remote_command):
        assert command is None or not set("\0\n") & set(command)
    for chosen, spec in (
        (algorithms.host_keys, config.host_key_algorithms),
        (algorithms.public_keys, config.pubkey_accepted_algorithms),
        (algorithms.ca_signatures, config.ca_signature_algorithms),
    ):
        try:
            assert all(name.isascii() for name in chosen(spec))
        except ConfigError as exc:
            is_showable(exc)


@contextmanager
def _nothing_outside() -> Iterator[list[str]]:
    """No command runs, no name is known, no network is there, two files may be included; gives the commands."""
    commands: list[str] = []
    for name in _INCLUDED:
        (folder() / name).write_bytes(b"Port 2022\nMatch final\n User other\n")

    def run(command: str) -> bool:
        commands.append(command)
        return len(command) % 2 == 0

    def find(pattern: str, **_: object) -> list[str]:
        return [str(folder() / name) for name in _INCLUDED if fnmatchcase(name, pattern)]

    def nobody(*_: object, **__: object) -> NoReturn:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with replaced(
        (config_shell, "succeeds", run),
        (glob, "glob", find),
        (socket, "getaddrinfo", nobody),
        (socket, "socket", nobody),
    ):
        yield commands
