"""What has to be known about one machine to connect to it: plain data, each part for the module that acts on it.

Named tuples, since dataclasses take several times as long to define, at every start. Every value is final: options,
configuration files and defaults have been put together by then, tokens and `~` are expanded. Jump hosts are machines
with settings of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

AddressFamily = Literal["any", "inet", "inet6"]
LEAST_RSA_BITS = 1024
"""ssh_config(5), RequiredRSASize."""

StrictHostKeyChecking = Literal["yes", "accept-new", "no"]


class Address(NamedTuple):
    """Where the machine listens, for `sockets`. Times in seconds."""

    host: str
    port: int
    family: AddressFamily = "any"
    bind: str | None = None
    attempts: int = 1
    tcp_keepalive: bool = True


class Trust(NamedTuple):
    """Which host keys are right, for `host_keys`.

    Nothing is ever added to the files where `read_only` is set: an unknown key that would be is taken as known.
    `name` is what the machine is called in the files: the host name (with the port, unless 22), or HostKeyAlias as it
    stands, and then `port` is None. `pin` decides alone. The first of `user_files` is where new keys go. `command` is
    what the error for an unknown machine tells to run. RSA keys have `rsa_bits` at least.
    """

    name: str
    port: int | None
    user_files: tuple[Path, ...] = ()
    global_files: tuple[Path, ...] = ()
    strict: StrictHostKeyChecking = "yes"
    hash_names: bool = False
    pin: str | None = None
    unchecked: bool = False
    revoked_file: Path | None = None
    command: str = ""
    rsa_bits: int = LEAST_RSA_BITS
    read_only: bool = False


class Login(NamedTuple):
    """Who we are there, for `authentication`.

    `files`, the configured keys, come first and may be public halves of keys that only the agent has; then the
    agent's, unless `identities_only`; then those of `default_files` that exist. A missing file of `files` is an
    error only where `required` names it. `agent` is the path of its socket (on Windows its pipe), None for no
    agent. `fingerprint` leaves only the key that has it.
    """

    user: str
    files: tuple[Path, ...] = ()
    certificates: tuple[Path, ...] = ()
    default_files: tuple[Path, ...] = ()
    required: Path | None = None
    identities_only: bool = False
    agent: str | None = None
    fingerprint: str | None = None
    passphrase: str | None = None
    passphrase_file: Path | None = None
    batch: bool = False

    def __repr__(self) -> str:
        return f"Login(user={self.user!r}, …)"  # the passphrase is nobody's business


class Algorithms(NamedTuple):
    """As ssh_config(5) writes them (`+`, `-`, `^`, wildcards), None for our defaults; for `algorithms`."""

    ciphers: str | None = None
    macs: str | None = None
    kex: str | None = None
    host_key: str | None = None
    pubkey_accepted: str | None = None
    ca_signature: str | None = None
    compression: bool = False


class HostSettings(NamedTuple):
    """One machine and the way to it: through `jump`, or through a `proxy_command`, or straight.

    `origins` tells the place in the configuration (`path:line`, `-o`) of each keyword, in lower case.
    """

    address: Address
    trust: Trust
    login: Login
    algorithms: Algorithms = Algorithms()
    jump: HostSettings | None = None
    proxy_command: str | None = None
    origins: Mapping[str, str] = MappingProxyType({})

    def __repr__(self) -> str:
        return f"HostSettings({self.address!r}, …)"  # people write passwords into a ProxyCommand


class Request(NamedTuple):
    """What is to run there: a command line for the remote user's shell, a subsystem, or a shell where both are None.

    `environment` is what the configuration wishes for, `variables` what somebody asked for and is to hear of if it is
    refused. The command says `marker`, if there is one, before its output begins. `shown` is the command as it may be
    told, where values are in it.
    """

    command: str | None = None
    subsystem: str | None = None
    environment: tuple[tuple[str, str], ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    marker: str = ""
    shown: str | None = None

    def __repr__(self) -> str:
        names = [name for name, _ in (*self.environment, *self.variables)]
        command = None if self.command is None else "…"
        return (
            f"Request({command}, {self.subsystem!r}, {names})"  # commands and values may be secrets
        )

    @property
    def is_shell(self) -> bool:
        return self.command is None and self.subsystem is None
