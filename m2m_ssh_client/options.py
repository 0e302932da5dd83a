"""Connection options: their definition, and their translation into parameters.

All commands that connect share these groups of options.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

from m2m_ssh_client import logs
from m2m_ssh_client.errors import UsageError
from m2m_ssh_client.parameters import DEFAULT_KEEP, Parameters, ParametersError
from m2m_ssh_client.usage import Parser
from m2m_ssh_client.user_only_files import PASSPHRASE_VARIABLE

logger = logging.getLogger(__name__)

FILES = ("--client-key", "-i", "--passphrase-file", "--known-hosts")
"""Options that take the path of a file."""

OPTIONAL_FILES = ("-F", "--ssh-config", "--log-file")
"""Options that take the path of a file, or `none`."""


def split_command(arguments: list[str]) -> tuple[list[str], tuple[str, ...] | None]:
    """Split at the first `--`; argparse would swallow a second one as well."""
    if "--" not in arguments:
        return arguments, None
    at = arguments.index("--")
    return arguments[:at], tuple(arguments[at + 1 :])


def understood(
    parser: Parser, arguments: list[str]
) -> tuple[argparse.Namespace, tuple[str, ...] | None]:
    """Return the options of a connection and the remote command. Raises UsageError."""
    given, command = split_command(arguments)
    args = parser.understood(given)
    take_destination(parser, args)
    return args, command


def take_destination(parser: Parser, args: argparse.Namespace) -> None:
    """Make the machine that stands without `--host` the host. Raises UsageError."""
    if args.destination is None:
        return
    if args.host is not None:
        raise parser.unexpected([args.destination], args)
    if getattr(args, "passphrase", None) is not None:
        raise UsageError(
            "Beside --passphrase, the machine needs --host",
            "A word without an option may be a part of an unquoted passphrase.",
        )
    args.host = args.destination


def parameters(
    args: argparse.Namespace,
    command: tuple[str, ...] | None,
    passphrase_prompt: Callable[[str], str | None] | None = None,
) -> Parameters:
    """Return the parameters. Raises UsageError."""
    if command == ():
        raise UsageError("nothing follows `--`", "Put the remote command there, or omit the `--`.")
    given = {
        field.name: value
        for field in fields(Parameters)
        if (value := getattr(args, field.name, None)) is not None
    }
    if {"known_hosts", "key_server_url"} <= given.keys():
        raise UsageError("--known-hosts is not allowed with --key-server-url")
    if "passphrase" not in given and os.environ.get(PASSPHRASE_VARIABLE):
        given["passphrase"] = os.environ[PASSPHRASE_VARIABLE]
    for name in ("ssh_options", "env", "tool", "ignore_tool"):
        given[name] = tuple(given.get(name, ()))
    try:
        return Parameters(**given, command=command or (), passphrase_prompt=passphrase_prompt)
    except ParametersError as exc:
        problems = (
            f"--{name.replace('_', '-')} {text}" if name else text
            for name, text in exc.problems.items()
        )
        raise UsageError("; ".join(problems)) from None


def warn(args: argparse.Namespace) -> None:
    if args.key_server_port is not None and args.key_server_url is not None:
        logger.warning("--key-server-port is ignored: --key-server-url includes the port")
    elif args.key_server_port is not None and not args.use_key_server:
        logger.warning("--key-server-port is ignored without --use-key-server")
    if args.log_payloads and args.log_level != "DEBUG":
        logger.warning("--log-payloads is ignored without --log-level DEBUG")
    if args.known_hosts is not None and args.host_key is not None:
        logger.warning("--known-hosts is ignored: --host-key names the only key to accept")
    if args.env_in_command:
        logger.warning(
            "other users of the remote machine can see the values of --env in its command line"
        )
    if args.disable_host_key_checking:
        logger.warning(
            "the host key is not checked: anyone on the network path can read and change everything"
        )
    if args.passphrase is not None:
        logger.warning(
            "other users of this machine can see --passphrase: use --passphrase-file or %s",
            PASSPHRASE_VARIABLE,
        )


def add_all(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add all options of a connection; return the group `other`."""
    machine = parser.add_argument_group("the remote machine")
    add_machine(machine)
    add_subsystem(machine)
    add_environment(parser.add_argument_group("the remote command"))
    add_login(parser.add_argument_group("login"))
    add_trust(parser.add_argument_group("trust"))
    add_survival(parser.add_argument_group("when the network fails"))
    add_tools(parser.add_argument_group("a part of the server"))
    add_eras(parser.add_argument_group("a host and a server of different protocol versions"))
    other = parser.add_argument_group("other")
    other.add_argument(
        "--max-message-size",
        type=int,
        metavar="BYTES",
        help="longest JSON-RPC message to relay (default: 268435456, 256 MiB)",
    )
    add_logging(other)
    return other


def add_machine(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "destination", nargs="?", metavar="HOST", help="the machine, as --host names it"
    )
    group.add_argument(
        "--host",
        metavar="[USER@]HOST",
        help="name, address, or alias from the SSH configuration (default: localhost)",
    )
    group.add_argument(
        "-p",
        "--port",
        type=int,
        metavar="PORT",
        help="port of the SSH server (default: 22; without a remote command 8022)",
    )
    group.add_argument(
        "-l",
        "--username",
        metavar="NAME",
        help="remote user (default: your name here; without a remote command mcp)",
    )
    group.add_argument(
        "-J",
        "--jump",
        dest="ssh_options",
        action="append",
        type="ProxyJump={}".format,
        metavar="HOST[,HOST...]",
        help="jump hosts on the way, as for `ssh -J`",
    )
    group.add_argument(
        "-F",
        "--ssh-config",
        metavar="FILE",
        help="OpenSSH client configuration, or `none` (default: ~/.ssh/config, then "
        "/etc/ssh/ssh_config)",
    )
    group.add_argument(
        "-o",
        "--ssh-option",
        dest="ssh_options",
        action="append",
        metavar="KEYWORD=VALUE",
        help="configuration line that overrides the files, as for `ssh -o` (may be repeated)",
    )
    group.add_argument(
        "--via",
        metavar="COMMAND",
        help="let this program carry in place of our own SSH: `ssh`, or a command line with the "
        "places {destination}, {host}, {port}, {user}, and {command} or {words}",
    )
    share = group.add_mutually_exclusive_group()
    share.add_argument(
        "--share",
        action="store_const",
        const=True,
        help="use one SSH connection for all entries with the same machine, user and options, held "
        "by a process that ends with the last of them (default: as ControlMaster says)",
    )
    share.add_argument(
        "--no-share",
        dest="share",
        action="store_const",
        const=False,
        help="have a connection of its own, whatever ControlMaster and ControlPath say",
    )
    group.add_argument(
        "--connect-timeout",
        type=float,
        metavar="SECONDS",
        help="time limit for all attempts and jump hosts, up to the open session (default: 25)",
    )


def add_subsystem(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--subsystem", metavar="NAME", help="request this SSH subsystem")


def add_login(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-i",
        "--client-key",
        type=Path,
        metavar="FILE",
        help="private key file, or the public half of a key that the agent holds (default: the "
        "keys of the SSH configuration and of the agent, ~/.ssh/m2m_mcp_server_ssh_client, "
        "~/.ssh/id_*)",
    )
    group.add_argument(
        "--key-fingerprint",
        metavar="SHA256:...",
        help="use only the client key with this fingerprint",
    )
    group.add_argument(
        "--passphrase-file",
        type=Path,
        metavar="FILE",
        help="file whose single line is the passphrase of encrypted keys",
    )
    group.add_argument(
        "--passphrase",
        help="visible to other users of this machine: prefer --passphrase-file or the environment "
        f"variable {PASSPHRASE_VARIABLE}",
    )


def add_trust(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--host-key", metavar="SHA256:...", help="accept only the host key with this fingerprint"
    )
    group.add_argument(
        "--key-server-port",
        type=int,
        metavar="PORT",
        help="port of the key server, over plain HTTP (default: 8000)",
    )
    group.add_argument(
        "--key-server-url",
        metavar="URL",
        help="URL of the key server, if not on the host; https:// never falls back to http://",
    )
    way = group.add_mutually_exclusive_group()
    way.add_argument(
        "--known-hosts",
        type=Path,
        metavar="FILE",
        help="file of trusted host keys (default: ~/.ssh/known_hosts)",
    )
    way.add_argument(
        "--disable-host-key-checking",
        action="store_true",
        help="accept any host key (INSECURE: only for development on your own machine)",
    )
    way.add_argument(
        "--use-key-server",
        action="store_true",
        help="first exchange keys with the key server of m2m-mcp-server-ssh-server",
    )


def add_environment(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--env",
        action="append",
        metavar="NAME[=VALUE]",
        help="environment variable for the remote command; without a value, the local one is sent "
        "(may be repeated)",
    )
    group.add_argument(
        "--env-in-command",
        action="store_const",
        const=True,
        help="set these variables in the remote command line, for SSH servers that accept none; "
        "visible to other users there",
    )
    group.add_argument("--cwd", metavar="DIR", help="folder in which the remote command runs")
    login_shell = group.add_mutually_exclusive_group()
    login_shell.add_argument(
        "--login-shell",
        action="store_const",
        const=True,
        help="run it in the user's login shell, with the PATH set there; what the shell itself "
        "prints is dropped (default: only if its program is not found otherwise)",
    )
    login_shell.add_argument(
        "--no-login-shell",
        dest="login_shell",
        action="store_const",
        const=False,
        help="never run it in the login shell",
    )


def add_tools(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--tool",
        action="append",
        metavar="PATTERN",
        help="offer only the tools whose names match, such as `git_*` (may be repeated; default: all)",
    )
    group.add_argument(
        "--ignore-tool",
        action="append",
        metavar="PATTERN",
        help="leave out the tools whose names match, and refuse calls of them (may be repeated)",
    )


def add_eras(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--bridge",
        choices=["auto", "off", "modern"],
        help="translate between MCP before and from 2026-07-28 where host and server share no "
        "version: auto, off, or modern for a host that speaks the newer one only (default: auto)",
    )


def add_survival(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--keepalive",
        type=float,
        metavar="SECONDS",
        help="send a keepalive after this many idle seconds; 0 disables (default: 15)",
    )
    group.add_argument(
        "--keepalive-count",
        type=int,
        metavar="N",
        help="give the connection up after N unanswered keepalives in a row (default: 3)",
    )
    group.add_argument(
        "--ping",
        type=float,
        metavar="SECONDS",
        help="with --via PROGRAM: after this many silent seconds, ping the server, and start the "
        "program again after --keepalive-count pings without an answer (default: never)",
    )
    group.add_argument(
        "--keep",
        nargs="?",
        type=float,
        const=DEFAULT_KEEP,
        metavar="SECONDS",
        help="let the remote server live on for this time when the connection is lost, and go on "
        "with it afterwards; needs python3 there (default without SECONDS: 600)",
    )
    group.add_argument(
        "--no-reconnect",
        dest="reconnect",
        action="store_const",
        const=False,
        help="exit when the connection is lost, instead of reconnecting",
    )
    group.add_argument(
        "--reconnect-timeout",
        type=float,
        metavar="SECONDS",
        help="stop reconnecting after this time (default: never)",
    )
    group.add_argument(
        "--hold-timeout",
        type=float,
        metavar="SECONDS",
        help="how long a request waits for a reconnect before it fails (default: 20)",
    )
    group.add_argument(
        "--retry-tool-calls",
        action="store_const",
        const=True,
        help="after a reconnect, repeat calls of tools annotated readOnlyHint or idempotentHint",
    )


def add_logging(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--log-level",
        choices=logs.LEVELS,
        help="level of stderr and the log file (default: WARNING on stderr, INFO in the file)",
    )
    group.add_argument(
        "--log-payloads",
        action="store_true",
        help="with --log-level DEBUG, log messages too, cut to 500 characters; may contain secrets",
    )
    group.add_argument(
        "--log-file",
        type=Path,
        metavar="FILE",
        help="append log lines to this file, or `none` (default: the one that `logs` shows)",
    )
