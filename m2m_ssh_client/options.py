"""The options that say what to reach and how: their definition, and from arguments to parameters.

Commands that connect share them, each group in its place.
"""

from __future__ import annotations

import argparse
import logging
import os
from dataclasses import fields
from pathlib import Path

from m2m_ssh_client import logs
from m2m_ssh_client.errors import UsageError
from m2m_ssh_client.parameters import Parameters, ParametersError
from m2m_ssh_client.text import shown
from m2m_ssh_client.user_only_files import PASSPHRASE_VARIABLE

logger = logging.getLogger(__name__)

FILES = ("-F", "--ssh-config", "--log-file", "--client-key", "--passphrase-file", "--known-hosts")
"""The options whose value is the path of a file; `none` is none for the first three."""

_DEFAULT_LOG_FILE = shown(logs.default_file() or Path(logs.NO_FILE)).replace("%", "%%")


def split_command(arguments: list[str]) -> tuple[list[str], tuple[str, ...] | None]:
    """What stands before the first `--`, and behind it; argparse alone would swallow a second one."""
    if "--" not in arguments:
        return arguments, None
    at = arguments.index("--")
    return arguments[:at], tuple(arguments[at + 1 :])


def parsed(parser: argparse.ArgumentParser, arguments: list[str]) -> argparse.Namespace:
    """As `parse_args`; but the words of a passphrase without quotes, which nothing takes, are not repeated."""
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        hide = args.passphrase is not None
        words = (word if word.startswith("-") or not hide else "…" for word in unknown)
        parser.error(f"unrecognized arguments: {' '.join(words)}")
    return args


def parameters(args: argparse.Namespace, command: tuple[str, ...] | None) -> Parameters:
    """Raises UsageError."""
    if command == ():
        raise UsageError(
            "nothing follows `--`", "Put the remote command there, or leave out the `--`."
        )
    given = {
        field.name: value
        for field in fields(Parameters)
        if (value := getattr(args, field.name, None)) is not None
    }
    if {"known_hosts", "key_server_url"} <= given.keys():
        raise UsageError("--known-hosts: not allowed with --key-server-url")
    if "passphrase" not in given and os.environ.get(PASSPHRASE_VARIABLE):
        given["passphrase"] = os.environ[PASSPHRASE_VARIABLE]
    for name in ("ssh_options", "env"):
        given[name] = tuple(given.get(name, ()))
    try:
        return Parameters(**given, command=command or ())
    except ParametersError as exc:
        problems = (
            f"--{name.replace('_', '-')}: {text}" if name else text
            for name, text in exc.problems.items()
        )
        raise UsageError("; ".join(problems)) from None


def warn(args: argparse.Namespace) -> None:
    if args.key_server_port is not None and args.key_server_url is not None:
        logger.warning(
            "--key-server-port is ignored: --key-server-url says where the key server is"
        )
    elif args.key_server_port is not None and not args.use_key_server:
        logger.warning("--key-server-port is ignored without --use-key-server")
    if args.log_payloads and args.log_level != "DEBUG":
        logger.warning("--log-payloads is ignored without --log-level DEBUG")
    if args.known_hosts is not None and args.host_key is not None:
        logger.warning("--known-hosts is ignored: --host-key says which key is right")
    if args.env_in_command:
        logger.warning(
            "other users of the remote machine can see the values of --env in the command line there"
        )
    if args.disable_host_key_checking:
        logger.warning(
            "the host key is not checked: anyone on the path can read and change everything"
        )
    if args.passphrase is not None:
        logger.warning(
            "other users of this machine can see --passphrase: use --passphrase-file or %s",
            PASSPHRASE_VARIABLE,
        )


def add_all(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Every option of a connection that is made to be used; returns the group of those that fit nowhere else."""
    machine = parser.add_argument_group("the remote machine")
    add_machine(machine)
    machine.add_argument("--subsystem", metavar="NAME", help="ask for this SSH subsystem")
    add_environment(parser.add_argument_group("the remote command"))
    add_login(parser.add_argument_group("login"))
    add_trust(parser.add_argument_group("trust"))
    add_survival(parser.add_argument_group("when the network fails"))
    other = parser.add_argument_group("other")
    other.add_argument(
        "--max-message-size",
        type=int,
        metavar="BYTES",
        help="the longest JSON-RPC message to pass (default: 268435456, 256 MiB)",
    )
    add_logging(other)
    return other


def add_machine(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--host",
        metavar="[USER@]HOST",
        help="name, address, or an alias of your SSH configuration (default: localhost)",
    )
    group.add_argument("--port", type=int, help="port of its SSH server (default: 8022)")
    group.add_argument("--username", metavar="NAME", help="user there (default: mcp)")
    group.add_argument(
        "-F",
        "--ssh-config",
        metavar="FILE",
        help="OpenSSH client configuration; `none`: none (default: ~/.ssh/config, then /etc/ssh/ssh_config)",
    )
    group.add_argument(
        "-o",
        "--ssh-option",
        dest="ssh_options",
        action="append",
        metavar="KEYWORD=VALUE",
        help="a line of that configuration that wins over the files, as `ssh -o` takes it",
    )
    group.add_argument(
        "--connect-timeout",
        type=float,
        metavar="SECONDS",
        help="for everything up to the open session (default: 25)",
    )


def add_login(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--client-key",
        type=Path,
        metavar="FILE",
        help="our private key, or the public half of one that the agent has (default: those of the SSH "
        "configuration, of the agent, ~/.ssh/m2m_mcp_server_ssh_client and ~/.ssh/id_*)",
    )
    group.add_argument(
        "--key-fingerprint",
        metavar="SHA256:...",
        help="use only the client key with this fingerprint",
    )
    group.add_argument(
        "--passphrase-file", type=Path, metavar="FILE", help="its one line opens encrypted keys"
    )
    group.add_argument(
        "--passphrase",
        help=f"visible to other users: better --passphrase-file, or the variable {PASSPHRASE_VARIABLE}",
    )


def add_trust(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--host-key", metavar="SHA256:...", help="accept only the host key with this fingerprint"
    )
    group.add_argument(
        "--key-server-port", type=int, metavar="PORT", help="of plain HTTP (default: 8000)"
    )
    group.add_argument(
        "--key-server-url",
        metavar="URL",
        help="where the key server is, if not at the host; https:// is never given up for http://",
    )
    way = group.add_mutually_exclusive_group()
    way.add_argument(
        "--known-hosts", type=Path, metavar="FILE", help="host keys (default: ~/.ssh/known_hosts)"
    )
    way.add_argument(
        "--disable-host-key-checking",
        action="store_true",
        help="accept any host key (INSECURE: for development on your own machine only)",
    )
    way.add_argument(
        "--use-key-server",
        action="store_true",
        help="exchange keys with the key server of m2m-mcp-server-ssh-server first",
    )


def add_environment(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--env",
        action="append",
        metavar="NAME[=VALUE]",
        help="an environment variable for it, with our own value where none is given (may be repeated)",
    )
    group.add_argument(
        "--env-in-command",
        action="store_const",
        const=True,
        help="set these in the command line, where the SSH server accepts none; other users there can see them",
    )
    group.add_argument("--cwd", metavar="DIR", help="the folder that it runs in")
    group.add_argument(
        "--login-shell",
        action="store_const",
        const=True,
        help="let the login shell of the user run it, with the PATH that they know; what that prints is dropped",
    )


def add_survival(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--keepalive",
        type=float,
        metavar="SECONDS",
        help="ask for a sign of life when nothing was heard for so long; 0: never (default: 15)",
    )
    group.add_argument(
        "--keepalive-count",
        type=int,
        metavar="N",
        help="the connection is lost when N of these in a row went unanswered (default: 3)",
    )
    group.add_argument(
        "--no-reconnect",
        dest="reconnect",
        action="store_const",
        const=False,
        help="end when the connection is lost, instead of making it again",
    )
    group.add_argument(
        "--reconnect-timeout",
        type=float,
        metavar="SECONDS",
        help="give up a lost connection after this time (default: never)",
    )
    group.add_argument(
        "--hold-timeout",
        type=float,
        metavar="SECONDS",
        help="how long a request waits for a lost connection before it gets an error (default: 20)",
    )
    group.add_argument(
        "--retry-tool-calls",
        action="store_const",
        const=True,
        help="after a lost connection, repeat calls of tools whose annotations say readOnlyHint or idempotentHint",
    )


def add_logging(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--log-level",
        choices=logs.LEVELS,
        help="for stderr and the log file (default: INFO; stderr shows WARNING and above unless given)",
    )
    group.add_argument(
        "--log-payloads",
        action="store_true",
        help="with --log-level DEBUG: the messages too, each cut to 500 characters; they may hold secrets",
    )
    group.add_argument(
        "--log-file",
        type=Path,
        metavar="FILE",
        help=f"append log lines to this file; `none`: to no file (default: {_DEFAULT_LOG_FILE})",
    )
