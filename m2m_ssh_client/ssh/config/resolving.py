"""ssh_config(5) for one host: options and files, the canonical name, and the second pass."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

from m2m_ssh_client.errors import ConfigError
from m2m_ssh_client.ssh.config import canonical, result
from m2m_ssh_client.ssh.config import files as config_files
from m2m_ssh_client.ssh.config.lines import lower, shown
from m2m_ssh_client.ssh.config.reading import NO_HOST, NO_USER, Reading
from m2m_ssh_client.ssh.config.result import HostConfig

_SSH_PORT = 22
_FAMILIES = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}


def resolve(
    host: str,
    *,
    files: Sequence[Path] | None = None,
    options: Sequence[str] = (),
    user: str | None = None,
    port: int | None = None,
    default_user: str | None = None,
    default_port: int = 22,
    command: str = "",
) -> HostConfig:
    """Return what options (lines as for `ssh -o`) and files set for a host.

    The host is as typed, without `user@`. `files` None reads ~/.ssh/config and the system's file if
    they exist; named ones must be readable. `user` and `port` win over everything. Conditions and
    tokens see the defaults where nothing else is set (`default_user` None: the local user).
    `command` is the remote command, "" for a shell, for Match.

    Blocking: `Match exec` runs commands, and CanonicalizeHostname looks names up. Raises
    ConfigError, which names files and lines.
    """
    if NO_HOST.search(host):
        raise ConfigError(f"The host name {shown(host)} has characters that no host name may have")
    if user is not None:
        _check_user(user)
    reading = Reading(host, default_user, default_port, command)
    reading.give("user", user)
    reading.give("port", port)
    for option in options:
        reading.option(option)
    _check_user(reading.word("user") or "")  # before it reaches a `Match exec`
    sources = config_files.chosen(files)
    _read(reading, sources)
    try:
        reading.settle(_canonical(reading))
    except ValueError as exc:
        raise ConfigError(f"The host name for {shown(host)} cannot be made up: {exc}") from exc
    if reading.wants_final or _canonicalization(reading) != "no":
        _read(reading, sources)
    _check_jump(reading)
    reading.expand_user()
    _refuse(reading)
    return result.build(reading)


def _check_user(name: str) -> None:
    if name and NO_USER.search(name):
        raise ConfigError(f"The user name {shown(name)} has characters that no user name may have")


def _read(reading: Reading, sources: Sequence[config_files.File]) -> None:
    for source in sources:
        reading.file(source)


def _canonicalization(reading: Reading) -> str:
    return reading.word("canonicalizehostname") or "no"


def _canonical(reading: Reading) -> str:
    """Return the name to connect to, in lower case; the full one if canonicalization applies."""
    name = reading.hostname
    address = canonical.address(name)
    if address is not None:
        return address
    mode = _canonicalization(reading)
    is_direct = (
        reading.word("proxyjump") is None
        and lower(reading.word("proxycommand") or "none") == "none"
    )
    if mode == "no" or not (is_direct or mode == "always"):
        return lower(name)
    return canonical.canonical(lower(name), _rules(reading))


def _rules(reading: Reading) -> canonical.Rules:
    def words(keyword: str) -> tuple[str, ...]:
        value = reading.values.get(keyword)
        return () if value is None or lower(value.words[0]) == "none" else value.words

    return canonical.Rules(
        domains=words("canonicaldomains"),
        most_dots=int(reading.word("canonicalizemaxdots") or 1),
        falls_back=reading.word("canonicalizefallbacklocal") != "no",
        cnames=words("canonicalizepermittedcnames"),
        family=_FAMILIES.get(reading.word("addressfamily") or "any", socket.AF_UNSPEC),
    )


def _check_jump(reading: Reading) -> None:
    """Expand the name of a jump host, which may hold tokens, so that a bad one shows here."""
    try:
        _ = reading.tokens
    except ValueError as exc:
        raise ConfigError(f"{reading.values['proxyjump'].origin}: ProxyJump: {exc}") from exc


def _refuse(reading: Reading) -> None:
    """Raise for what OpenSSH refuses after reading everything; RefuseConnection is new in 10.0."""
    refusal = reading.values.get("refuseconnection")
    if refusal is not None:
        raise ConfigError(f"{refusal.origin}: the connection is refused: {shown(refusal.words[0])}")
    attempts = reading.values.get("connectionattempts")
    if attempts is not None and attempts.words == ("0",):
        raise ConfigError(f"{attempts.origin}: ConnectionAttempts must be 1 at least")
    if reading.jumps:
        jump = reading.jumps[-1]
        here = (reading.host, reading.port, reading.user)
        if (jump.host, jump.port or _SSH_PORT, jump.user or reading.user) == here:
            origin = reading.values["proxyjump"].origin
            raise ConfigError(
                f"{origin}: ProxyJump: {shown(jump.host)} would be reached through itself"
            )
