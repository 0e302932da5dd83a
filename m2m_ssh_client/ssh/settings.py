"""Everything to know about a machine before connecting: plain data, one part for each user.

Named tuples, because defining a dataclass takes several times as long, at every start. Every value
is final: options, configuration files and defaults have been put together; tokens and `~` are
expanded. Jump hosts are machines with settings of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

_SHELLS = frozenset({"ash", "bash", "csh", "dash", "fish", "ksh", "sh", "tcsh", "zsh"})
AddressFamily = Literal["any", "inet", "inet6"]
LEAST_RSA_BITS = 1024
"""ssh_config(5), RequiredRSASize."""

StrictHostKeyChecking = Literal["yes", "accept-new", "no"]


class Address(NamedTuple):
    """The machine's address, for `way.sockets`. Times in seconds.

    `timeout` is for each attempt to connect together with the key exchange that follows it
    (ssh_config(5), ConnectTimeout).
    `other_port` is set where nobody named a port, and `port` is a default. If that port refuses,
    the error says whether an SSH server answers on the other one.
    """

    host: str
    port: int
    family: AddressFamily = "any"
    bind: str | None = None
    attempts: int = 1
    timeout: float | None = None
    tcp_keepalive: bool = True
    other_port: int | None = None


class Trust(NamedTuple):
    """The host keys to accept, for `trust.verifier`.

    `name` is the machine's name in the files: the host name (with the port, unless 22), or
    HostKeyAlias literally, and then `port` is None. `pin` decides if it is set; with `unchecked`
    any key will do, but a revoked key is always refused. New keys go into the first of
    `user_files`. With `read_only`, nothing is added, and an unknown key that would be counts as
    known. With `learns`, other keys that the machine proves to hold are added, and keys that it has
    no more are removed. The error for an unknown machine suggests `command`. RSA keys must
    have at least `rsa_bits`.
    """

    name: str
    port: int | None
    user_files: tuple[Path, ...] = ()
    global_files: tuple[Path, ...] = ()
    strict: StrictHostKeyChecking = "yes"
    hash_names: bool = False
    pin: str | None = None
    unchecked: bool = False
    revoked_files: tuple[Path, ...] = ()
    command: str = ""
    rsa_bits: int = LEAST_RSA_BITS
    read_only: bool = False
    learns: bool = False


class Login(NamedTuple):
    """The user and the keys, for `login`.

    `files`, the configured keys, come first and may be public halves of keys that only the agent
    has; then the agent's, unless `identities_only`; then those of `default_files` that exist. A
    missing file of `files` is an error only if it is `required`. `agent` is the path of its socket
    (a pipe on Windows), None for no agent; `agent_by` is the setting that names it. With
    `seek_agent`, one that listens at a usual place will do if this one does not answer.
    `fingerprint` selects one key. `keyboard_interactive` allows that method, as far as it asks
    nothing.
    """

    user: str
    files: tuple[Path, ...] = ()
    certificates: tuple[Path, ...] = ()
    default_files: tuple[Path, ...] = ()
    required: Path | None = None
    identities_only: bool = False
    agent: str | None = None
    agent_by: str = ""
    seek_agent: bool = False
    fingerprint: str | None = None
    passphrase: str | None = None
    passphrase_file: Path | None = None
    passphrase_prompt: Callable[[str], str | None] | None = None
    batch: bool = False
    keyboard_interactive: bool = True

    def __repr__(self) -> str:
        return f"Login(user={self.user!r}, …)"  # it may hold a passphrase


class Algorithms(NamedTuple):
    """Lists as ssh_config(5) writes them (`+`, `-`, `^`, wildcards), None for our defaults."""

    ciphers: str | None = None
    macs: str | None = None
    kex: str | None = None
    host_key: str | None = None
    pubkey_accepted: str | None = None
    ca_signature: str | None = None
    compression: bool = False


class HostSettings(NamedTuple):
    """One machine and the way to it: through `jump`, through a `proxy_command`, or direct.

    With `passes_socket`, the command passes a connected socket instead of carrying the data.
    `origins` has the place in the configuration (`path:line`, `-o`) of each keyword, in lower case.
    """

    address: Address
    trust: Trust
    login: Login
    algorithms: Algorithms = Algorithms()
    jump: HostSettings | None = None
    proxy_command: str | None = None
    passes_socket: bool = False
    origins: Mapping[str, str] = MappingProxyType({})

    def __repr__(self) -> str:
        return f"HostSettings({self.address!r}, …)"  # people write passwords into a ProxyCommand


class Sharing(NamedTuple):
    """A connection that several processes use: OpenSSH's at `control_path`, or `ours`.

    Ours is held for `persist` more seconds when nobody uses it any more.
    """

    control_path: Path | None = None
    ours: bool = False
    persist: float = 0.0

    @property
    def is_wanted(self) -> bool:
        return self.ours or self.control_path is not None


class Request(NamedTuple):
    """The process to run: a command line for the user's shell, a subsystem, or else a shell.

    `environment` comes from the configuration; `variables` were asked for, so a refusal is
    reported. The command prints `marker`, if there is one, before its own output. `shown` is the
    command without values, fit for messages; `inner` is it without folder and variables.
    """

    command: str | None = None
    subsystem: str | None = None
    environment: tuple[tuple[str, str], ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    marker: str = ""
    shown: str | None = None
    inner: str = ""

    def __repr__(self) -> str:
        names = [name for name, _ in (*self.environment, *self.variables)]
        command = None if self.command is None else "…"
        return (
            f"Request({command}, {self.subsystem!r}, {names})"  # commands and values may be secrets
        )

    @property
    def may_be_shell(self) -> bool:
        """True if a shell may read what is sent: no command is named, or one that is a shell."""
        if self.command is None:
            return self.subsystem is None
        program, *options = self.command.removeprefix("exec ").split() or [""]
        is_shell = program.rpartition("/")[2] in _SHELLS
        return is_shell and all(word.startswith("-") for word in options)
