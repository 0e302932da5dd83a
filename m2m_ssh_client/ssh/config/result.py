"""The configuration of one host, typed."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple, cast

from m2m_ssh_client.errors import ConfigError
from m2m_ssh_client.ssh.config.files import HINT
from m2m_ssh_client.ssh.config.lines import lower
from m2m_ssh_client.ssh.config.reading import Reading
from m2m_ssh_client.ssh.config.tokens import expand_home
from m2m_ssh_client.ssh.config.unhonoured import warnings
from m2m_ssh_client.ssh.config.values import Jump

AddressFamily = Literal["any", "inet", "inet6"]
StrictHostKeyChecking = Literal["yes", "accept-new", "no", "ask"]
SessionType = Literal["none", "subsystem", "default"]
RequestTTY = Literal["yes", "no", "force", "auto"]

# Tokens for the commands and hosts of a proxy; other keywords know all tokens.
_PROXY_TOKENS = "hknpr"


class HostConfig(NamedTuple):
    """One attribute for each keyword, None if it is not set.

    Times are in seconds; tokens, `~` and variables are expanded. An empty tuple of files or jumps,
    and an empty command, means `none`: set, and not to be replaced by a default. `identity_agent`
    is a path or "none". `proxy_jump` is in the order of travel, and never set together with
    `proxy_command`. `control_persist` is 0 for `no`. Algorithms are lists as written, with `+`,
    `-`, `^` and wildcards. `origins` has the place (`path:line`, `-o`) of each keyword, in lower
    case; `warnings` a line for each keyword that is ignored although it matters.
    """

    hostname: str
    origins: Mapping[str, str]
    warnings: tuple[str, ...]
    user: str | None = None
    port: int | None = None
    address_family: AddressFamily | None = None
    bind_address: str | None = None
    connect_timeout: int | None = None
    connection_attempts: int | None = None
    server_alive_interval: int | None = None
    server_alive_count_max: int | None = None
    tcp_keep_alive: bool | None = None
    batch_mode: bool | None = None
    kbd_interactive_authentication: bool | None = None
    preferred_authentications: str | None = None
    identity_files: tuple[Path, ...] | None = None
    certificate_files: tuple[Path, ...] | None = None
    identities_only: bool | None = None
    identity_agent: str | None = None
    user_known_hosts_files: tuple[Path, ...] | None = None
    global_known_hosts_files: tuple[Path, ...] | None = None
    revoked_host_keys: tuple[Path, ...] | None = None
    host_key_alias: str | None = None
    strict_host_key_checking: StrictHostKeyChecking | None = None
    hash_known_hosts: bool | None = None
    update_host_keys: str | None = None
    verify_host_key_dns: str | None = None
    required_rsa_size: int | None = None
    proxy_jump: tuple[Jump, ...] | None = None
    proxy_command: str | None = None
    proxy_use_fdpass: bool | None = None
    ciphers: str | None = None
    macs: str | None = None
    kex_algorithms: str | None = None
    host_key_algorithms: str | None = None
    pubkey_accepted_algorithms: str | None = None
    ca_signature_algorithms: str | None = None
    compression: bool | None = None
    send_env: tuple[str, ...] = ()
    set_env: Mapping[str, str] = MappingProxyType({})
    remote_command: str | None = None
    session_type: SessionType | None = None
    request_tty: RequestTTY | None = None
    control_master: str | None = None
    control_path: Path | None = None
    control_persist: float = 0.0
    log_level: str | None = None


def build(reading: Reading) -> HostConfig:
    """Return the values of a reading, typed and expanded.

    Raises ConfigError, which names the place of a value that cannot be expanded.
    """
    typed = _Typed(reading)
    return HostConfig(
        hostname=reading.host,
        origins={name: value.origin for name, value in reading.values.items() if value.origin},
        warnings=tuple(warnings(reading.values)),
        user=reading.word("user"),
        port=typed.number("port"),
        address_family=cast("AddressFamily | None", reading.word("addressfamily")),
        bind_address=reading.word("bindaddress"),
        connect_timeout=typed.number("connecttimeout"),
        connection_attempts=typed.number("connectionattempts"),
        server_alive_interval=typed.number("serveraliveinterval"),
        server_alive_count_max=typed.number("serveralivecountmax"),
        tcp_keep_alive=typed.flag("tcpkeepalive"),
        batch_mode=typed.flag("batchmode"),
        kbd_interactive_authentication=typed.flag("kbdinteractiveauthentication"),
        preferred_authentications=reading.word("preferredauthentications"),
        identity_files=typed.files("identityfile"),
        certificate_files=typed.files("certificatefile"),
        identities_only=typed.flag("identitiesonly"),
        identity_agent=typed.agent(),
        user_known_hosts_files=typed.files("userknownhostsfile"),
        global_known_hosts_files=typed.files("globalknownhostsfile"),
        revoked_host_keys=typed.files("revokedhostkeys"),
        host_key_alias=typed.alias(),
        strict_host_key_checking=cast(
            "StrictHostKeyChecking | None", reading.word("stricthostkeychecking")
        ),
        hash_known_hosts=typed.flag("hashknownhosts"),
        update_host_keys=reading.word("updatehostkeys"),
        verify_host_key_dns=reading.word("verifyhostkeydns"),
        required_rsa_size=typed.number("requiredrsasize"),
        proxy_jump=typed.jumps(),
        proxy_command=typed.command("proxycommand", _PROXY_TOKENS),
        proxy_use_fdpass=typed.flag("proxyusefdpass"),
        ciphers=reading.word("ciphers"),
        macs=reading.word("macs"),
        kex_algorithms=reading.word("kexalgorithms"),
        host_key_algorithms=reading.word("hostkeyalgorithms"),
        pubkey_accepted_algorithms=reading.word("pubkeyacceptedalgorithms"),
        ca_signature_algorithms=reading.word("casignaturealgorithms"),
        compression=typed.flag("compression"),
        send_env=typed.words("sendenv"),
        set_env=typed.variables(),
        remote_command=typed.command("remotecommand"),
        session_type=cast("SessionType | None", reading.word("sessiontype")),
        request_tty=cast("RequestTTY | None", reading.word("requesttty")),
        control_master=reading.word("controlmaster"),
        control_path=typed.control_path(),
        control_persist=typed.control_persist(),
        log_level=reading.word("loglevel"),
    )


class _Typed:
    """The values of a finished reading, as types."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading
        self._tokens = reading.tokens

    def words(self, keyword: str) -> tuple[str, ...]:
        value = self._reading.values.get(keyword)
        return () if value is None else value.words

    def flag(self, keyword: str) -> bool | None:
        word = self._reading.word(keyword)
        return None if word is None else word == "yes"

    def number(self, keyword: str) -> int | None:
        word = self._reading.word(keyword)
        return None if word is None else int(word)

    def alias(self) -> str | None:
        word = self._reading.word("hostkeyalias")
        return None if word is None else lower(word)

    def files(self, keyword: str) -> tuple[Path, ...] | None:
        if keyword not in self._reading.values:
            return None
        with self._told(keyword):
            words = (word for word in self.words(keyword) if word.lower() != "none")
            return tuple(Path(self._path(word, keyword)) for word in words)

    def agent(self) -> str | None:
        word = self._reading.word("identityagent")
        if word is None or word == "none":
            return word
        if word == "SSH_AUTH_SOCK":
            word = "$SSH_AUTH_SOCK"
        with self._told("identityagent"):
            path = self._path(word, "identityagent")
        return os.environ.get(path[1:]) or "none" if path.startswith("$") else path

    def control_path(self) -> Path | None:
        word = self._reading.word("controlpath")
        if word is None or word.lower() == "none":
            return None
        with self._told("controlpath"):
            return Path(self._path(word, "controlpath"))

    def control_persist(self) -> float:
        word = self._reading.word("controlpersist")
        return 0.0 if word in (None, "no") else float(word) or float("inf")

    def command(self, keyword: str, only: str = "") -> str | None:
        word = self._reading.word(keyword)
        if word is None or word.lower() == "none":
            return word and ""
        with self._told(keyword):
            return self._tokens.expand(word, only)

    def jumps(self) -> tuple[Jump, ...] | None:
        jumps = self._reading.jumps
        if jumps is None:
            return None
        with self._told("proxyjump"):
            return tuple(self._jump(each) for each in jumps)

    def variables(self) -> dict[str, str]:
        variables: dict[str, str] = {}
        for word in self.words("setenv"):
            name, _, value = word.partition("=")
            variables.setdefault(name, self._tokens.expand_if_valid(value))
        return variables

    def _jump(self, jump: Jump) -> Jump:
        expand = self._tokens.expand
        user = jump.user and expand(jump.user, _PROXY_TOKENS)
        return Jump(expand(jump.host, _PROXY_TOKENS), user, jump.port)

    def _path(self, word: str, keyword: str) -> str:
        path = expand_home(word)
        # ssh_config(5) has no tokens for this one.
        return (
            path if keyword == "globalknownhostsfile" else self._tokens.expand(path, variables=True)
        )

    @contextmanager
    def _told(self, keyword: str) -> Iterator[None]:
        try:
            yield
        except ValueError as exc:
            origin = self._reading.values[keyword].origin
            raise ConfigError(f"{origin}: {keyword}: {exc}", HINT) from exc
