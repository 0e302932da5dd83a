"""Parameters and OpenSSH's configuration, put together: where to connect, as whom, to run what.

Precedence: parameters, configuration, defaults (see `Parameters`). Jump hosts get what `ssh` gives
them: their own configuration, port 22 and the local user's name. Where that sets nothing, they get
the known_hosts file and the client key of the parameters.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from m2m_ssh_client import user_only_files
from m2m_ssh_client.errors import ConfigError
from m2m_ssh_client.parameters import (
    DEFAULT_CLIENT_KEY,
    DEFAULT_CONNECT_TIMEOUT,
    DEFAULT_KEEPALIVE,
    DEFAULT_KEEPALIVE_COUNT,
    DEFAULT_PORT,
    DEFAULT_USERNAME,
    SSH_PORT,
    Parameters,
)
from m2m_ssh_client.remote_command import command_line, on_one_line, readable
from m2m_ssh_client.ssh import config
from m2m_ssh_client.ssh.config.lines import keyword_of, parse
from m2m_ssh_client.ssh.config.tokens import local_user
from m2m_ssh_client.ssh.settings import (
    LEAST_RSA_BITS,
    Address,
    Algorithms,
    HostSettings,
    Login,
    Request,
    Sharing,
    Trust,
)
from m2m_ssh_client.usage import pasteable

_DEFAULT_KEYS = ("id_ed25519", "id_ecdsa", "id_rsa", "id_ed25519_sk", "id_ecdsa_sk")
_KNOWN_HOSTS = ("known_hosts", "known_hosts2")
_SYSTEM_KNOWN_HOSTS = ("ssh_known_hosts", "ssh_known_hosts2")
_MOST_JUMPS = 16
_WINDOWS_AGENT = r"\\.\pipe\openssh-ssh-agent"

_OF_OUR_LOGIN = (
    *("client_key", "key_fingerprint", "known_hosts", "host_key", "disable_host_key_checking"),
    "use_key_server",
)

# LogLevel as a level for stderr. INFO stays silent: hosts show each line there as an error.
_LOG_LEVELS = {
    "QUIET": logging.CRITICAL,
    "FATAL": logging.CRITICAL,
    "ERROR": logging.ERROR,
    "VERBOSE": logging.INFO,
    "DEBUG": logging.DEBUG,
    "DEBUG2": logging.DEBUG,
    "DEBUG3": logging.DEBUG,
}


class Destination(NamedTuple):
    """A remote server, resolved. Times in seconds; `warnings` are lines for the log."""

    settings: HostSettings
    request: Request
    connect_timeout: float
    keepalive: float
    keepalive_count: int
    sharing: Sharing = Sharing()
    warnings: tuple[str, ...] = ()
    log_level: int | None = None


def resolve(params: Parameters) -> Destination:
    """Read the configuration, if there is one. Raises ConfigError.

    Blocks: for files, and for the commands of `Match exec`. These may depend on the network, so
    call it before each connection.
    """
    _require_home()
    found, defaults = _configured(params)
    alive = (params.keepalive, found.server_alive_interval, DEFAULT_KEEPALIVE)
    return Destination(
        _target(params, found, defaults),
        _request(params, found),
        connect_timeout=(
            params.connect_timeout or max(found.connect_timeout or 0, DEFAULT_CONNECT_TIMEOUT)
        ),
        keepalive=next(each for each in alive if each is not None),
        keepalive_count=(
            params.keepalive_count or found.server_alive_count_max or DEFAULT_KEEPALIVE_COUNT
        ),
        sharing=_sharing(params, found),
        warnings=found.warnings,
        log_level=_LOG_LEVELS.get(found.log_level or ""),
    )


def _sharing(params: Parameters, found: config.HostConfig) -> Sharing:
    """Return how the connection is shared: as our option says, else as ControlMaster does.

    What ssh holds has been checked by ssh, so options of ours for login and trust exclude it. It is
    also ssh that has to notice when the link is dead, which it does only with ServerAliveInterval.
    """
    if params.share is False:
        return Sharing()
    is_plain = not any(getattr(params, name) for name in _OF_OUR_LOGIN)
    path = found.control_path
    ours = params.share or (path is not None and found.control_master in ("yes", "auto"))
    notices = bool(found.server_alive_interval)
    return Sharing(path if is_plain and notices else None, ours, found.control_persist)


class _Defaults(NamedTuple):
    """The port and the user where nothing else names one; `other` is the port of the other kind."""

    port: int
    user: str | None
    other: int


_OF_SSH = _Defaults(SSH_PORT, None, DEFAULT_PORT)
_OF_M2M = _Defaults(DEFAULT_PORT, DEFAULT_USERNAME, SSH_PORT)


def _configured(params: Parameters) -> tuple[config.HostConfig, _Defaults]:
    """Read the configuration. Conditions and tokens see the defaults, so these come first."""
    if params.is_for_any_sshd:
        return _read(params, _OF_SSH), _OF_SSH
    found = _read(params, _OF_M2M)
    if found.remote_command and not params.use_key_server:
        return _read(params, _OF_SSH), _OF_SSH
    return found, _OF_M2M


def _read(params: Parameters, defaults: _Defaults) -> config.HostConfig:
    return config.resolve(
        params.host,
        files=_files(params),
        options=params.ssh_options,
        user=params.username,
        port=params.port,
        default_user=defaults.user,
        default_port=defaults.port,
        command=params.command_line() or "",
    )


def _require_home() -> None:
    """Raise ConfigError without a home folder, where keys, known_hosts and configuration are.

    ssh(1) refuses a user without an account, too.
    """
    try:
        Path.home()
    except RuntimeError as exc:
        raise ConfigError(
            "Your home folder is unknown: HOME is not set, and your user id has no account",
            "Set HOME (on Windows: USERPROFILE) in the environment that the host gives us.",
        ) from exc


def _files(params: Parameters) -> tuple[Path, ...] | None:
    if params.ssh_config is None:
        return None
    return () if params.ssh_config.lower() == "none" else (Path(params.ssh_config),)


def _target(params: Parameters, found: config.HostConfig, defaults: _Defaults) -> HostSettings:
    known_hosts, key = _given_files(params)
    port = found.port or defaults.port
    trust = _trust(found, port, known_hosts or found.user_known_hosts_files)._replace(
        pin=params.host_key,
        unchecked=params.disable_host_key_checking,
        command=_trust_command(params, params.host, params.port if found.port else port),
    )
    files = (*key, *_identities(found))
    user = found.user or defaults.user or local_user()
    login = _login(params, found, user, files)._replace(
        required=key[0] if key else None, fingerprint=params.key_fingerprint
    )
    settings = _settings(found, port, trust, login, _jump(params, found.proxy_jump, 1))
    if found.port:
        return settings
    return settings._replace(address=settings.address._replace(other_port=defaults.other))


def _jump(
    params: Parameters, jumps: Sequence[config.Jump] | None, depth: int
) -> HostSettings | None:
    """Return the last of these jump hosts; the ones before it are its own way."""
    if not jumps:
        return None
    jump, before = jumps[-1], jumps[:-1]
    if depth > _MOST_JUMPS:
        raise ConfigError(
            f"ProxyJump leads through more than {_MOST_JUMPS} machines, {jump.host} among them",
            "Does a jump host lead through itself? `Host * !jump` excludes it.",
        )
    found = config.resolve(
        jump.host, files=_files(params), user=jump.user, port=jump.port, default_port=SSH_PORT
    )
    known_hosts, key = _given_files(params)
    port = found.port or SSH_PORT
    user_files = found.user_known_hosts_files
    if user_files is None and known_hosts:
        user_files = known_hosts
    trust = _trust(found, port, user_files)._replace(
        command=_trust_command(params, jump.host, port, is_jump=True)
    )
    login = _login(params, found, found.user or local_user(), (*_identities(found), *key))
    # As with `ssh -J a,b`: the machines named before it, else what its own configuration says.
    way = _jump(params, before or found.proxy_jump, depth + 1)
    settings = _settings(found, port, trust, login, way)
    return settings._replace(proxy_command=None) if before else settings


def _settings(
    found: config.HostConfig, port: int, trust: Trust, login: Login, jump: HostSettings | None
) -> HostSettings:
    return HostSettings(
        _address(found, port),
        trust,
        login,
        _algorithms(found),
        jump,
        found.proxy_command or None,
        bool(found.proxy_use_fdpass),
        found.origins,
    )


def _given_files(params: Parameters) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return the known_hosts file and the client key of the parameters, each if it is set."""
    return (
        (params.known_hosts.expanduser(),) if params.known_hosts else (),
        (params.client_key.expanduser(),) if params.client_key else (),
    )


def _address(found: config.HostConfig, port: int) -> Address:
    return Address(
        found.hostname,
        port,
        found.address_family or "any",
        found.bind_address,
        found.connection_attempts or 1,
        found.connect_timeout or None,
        found.tcp_keep_alive is not False,
    )


def _trust(found: config.HostConfig, port: int, user_files: Sequence[Path] | None) -> Trust:
    learns = found.update_host_keys == "yes"
    if found.update_host_keys is None:  # the default depends on these two (ssh_config(5))
        learns = user_files is None and found.verify_host_key_dns in (None, "no")
    if user_files is None:
        user_files = [Path("~/.ssh", name).expanduser() for name in _KNOWN_HOSTS]
    global_files = found.global_known_hosts_files
    if global_files is None:
        global_files = tuple(_system_folder() / name for name in _SYSTEM_KNOWN_HOSTS)
    strict = found.strict_host_key_checking
    return Trust(
        found.host_key_alias or found.hostname,
        None if found.host_key_alias else port,
        _real(user_files),
        _real(global_files),
        "yes" if strict is None or strict == "ask" else strict,  # nobody can be asked here
        bool(found.hash_known_hosts),
        revoked_files=found.revoked_host_keys or (),
        rsa_bits=found.required_rsa_size or LEAST_RSA_BITS,
        learns=learns,
    )


def _real(files: Sequence[Path]) -> tuple[Path, ...]:
    """Return the files without the null device, which is neither read nor locked.

    OpenSSH for Windows takes both spellings for it.
    """
    nowhere = {Path(os.devnull), Path("/dev/null")}
    return tuple(path for path in files if path not in nowhere)


def _identities(found: config.HostConfig) -> tuple[Path, ...]:
    return found.identity_files or ()


def _login(
    params: Parameters, found: config.HostConfig, user: str, files: tuple[Path, ...]
) -> Login:
    own = Path("~/.ssh").expanduser()
    defaults = (DEFAULT_CLIENT_KEY.expanduser(), *(own / name for name in _DEFAULT_KEYS))
    if found.identity_files == () or (files and found.identities_only):
        defaults = ()
    login = Login(
        user,
        files,
        found.certificate_files or (),
        defaults,
        identities_only=bool(found.identities_only),
        passphrase=params.passphrase,
        passphrase_file=params.passphrase_file and params.passphrase_file.expanduser(),
        passphrase_prompt=params.passphrase_prompt,
        batch=bool(found.batch_mode),
        keyboard_interactive=_may_interact(found),
    )
    return _with_agent(login, found.identity_agent)


def _may_interact(found: config.HostConfig) -> bool:
    """Return whether ssh would try keyboard-interactive, which BatchMode switches off."""
    preferred = found.preferred_authentications
    return (
        not found.batch_mode
        and found.kbd_interactive_authentication is not False
        and (preferred is None or "keyboard-interactive" in preferred.split(","))
    )


def _with_agent(login: Login, configured: str | None) -> Login:
    """Add the agent's socket or pipe. Without IdentityAgent, others may be looked for.

    They are if SSH_AUTH_SOCK is not set, or is that of a session that has ended. An empty one means
    no agent, as for ssh.
    """
    if configured is not None:
        path = None if configured == "none" else configured
        return login._replace(agent=path, agent_by="IdentityAgent")
    given = os.environ.get("SSH_AUTH_SOCK")
    if sys.platform == "win32":
        by = "SSH_AUTH_SOCK" if given else ""
        return login._replace(agent=given or _WINDOWS_AGENT, agent_by=by)
    return login._replace(agent=given or None, agent_by="SSH_AUTH_SOCK", seek_agent=given != "")


def _algorithms(found: config.HostConfig) -> Algorithms:
    return Algorithms(
        found.ciphers,
        found.macs,
        found.kex_algorithms,
        found.host_key_algorithms,
        found.pubkey_accepted_algorithms,
        found.ca_signature_algorithms,
        bool(found.compression),
    )


def _request(params: Parameters, found: config.HostConfig) -> Request:
    """Return what to run: from the parameters, or RemoteCommand as SessionType says."""
    command, subsystem = params.command_line(), params.subsystem
    if command is None and subsystem is None and found.remote_command:
        if found.session_type == "subsystem":
            subsystem = found.remote_command
        else:
            command = found.remote_command
    sent = {
        name: value
        for name, value in user_only_files.environment().items()
        if any(fnmatchcase(name, pattern) for pattern in found.send_env)
    }
    environment = {**sent, **(found.set_env or {})}
    variables = dict(map(_variable, params.env))
    for name in variables:
        environment.pop(name, None)
    request = Request(command, subsystem, tuple(environment.items()), tuple(variables.items()))
    are_words = len(params.command) > 1
    if not (are_words or params.env_in_command or params.cwd or params.login_shell):
        return request
    return _in_command_line(params, request, are_words=are_words)


def _in_command_line(params: Parameters, request: Request, *, are_words: bool) -> Request:
    if request.command is None:
        raise ConfigError(
            "--cwd, --login-shell and --env-in-command are for a remote command, and there is none",
            "Pass the command that starts the MCP server there after `--`.",
        )
    inside = request.variables if params.env_in_command else ()
    line = command_line(request.command, folder=params.cwd, variables=inside)
    request = request._replace(
        command=on_one_line(line) if are_words else line,
        variables=() if inside else request.variables,
        shown=readable(request.command, params.cwd, [(name, "…") for name, _ in inside]),
        inner=request.command,
    )
    if not params.login_shell:
        return request
    from m2m_ssh_client.ssh.missing_program import in_login_shell

    return in_login_shell(request)


def _variable(text: str) -> tuple[str, str]:
    name, given, value = text.partition("=")
    if not given and name not in os.environ:
        raise ConfigError(
            f"--env {name}: this program has no such environment variable",
            "Set it where the program starts (a host's `env`), or give a value: --env NAME=VALUE.",
        )
    return name, value if given else os.environ[name]


def _system_folder() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("PROGRAMDATA", r"C:\ProgramData"), "ssh")
    return Path("/etc/ssh")


def _without_secrets(proxy_command: str) -> str:
    from m2m_ssh_client.masking import masked

    line = parse(proxy_command)
    return masked(line.rest) if line else ""


def _trust_command(
    params: Parameters, host: str, port: int | None, *, is_jump: bool = False
) -> str:
    """Return the command line that shows and adds this machine's host keys.

    `port` is None if the configuration has it.
    """
    words = ["--host", host, *(("--port", str(port)) if port else ())]
    if not is_jump:
        words += ["--username", params.username] if params.username else []
        for option in params.ssh_options:
            keyword = keyword_of(option)
            if keyword == "proxycommand":
                words += ["-o", f"ProxyCommand={_without_secrets(option)}"]
            elif keyword != "setenv":  # values may be secret, and do not matter there
                words += ["-o", option]
    words += ["-F", params.ssh_config] if params.ssh_config else []
    words += ["--known-hosts", str(params.known_hosts)] if params.known_hosts else []
    return pasteable("trust", *words)
