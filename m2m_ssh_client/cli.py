"""The command line: arguments → parameters → a command → an exit status.

`main()` is the one place that turns exceptions into exit statuses: 0 when the host ended the session, 1 when
something failed, 2 for a usage error, 128 + N for signal N.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from m2m_ssh_client import logs
from m2m_ssh_client._version import __version__
from m2m_ssh_client.errors import SSHClientError, UsageError

if TYPE_CHECKING:
    from m2m_ssh_client.parameters import SSHServerParameters

logger = logging.getLogger(__name__)

PROGRAM = "m2m-mcp-server-ssh-client"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] == ["demo"]:
            return _demo(arguments[1:])
        return _proxy(arguments)
    except SSHClientError as exc:
        sys.stderr.write(f"{PROGRAM}: error: {exc}\n")
        return exc.exit_status
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _proxy(arguments: list[str]) -> int:
    options, command = _split_command(arguments)
    args = _parser().parse_args(options)
    with logs.configured(args.log_level, args.log_file):
        params = _parameters(args, command)
        if args.key_server_port is not None and not args.use_key_server:
            logger.warning("--key-server-port is ignored without --use-key-server")
        if args.known_hosts is not None and args.host_key is not None:
            logger.warning("--known-hosts is ignored: --host-key says which key is right")
        if args.disable_host_key_checking:
            logger.warning(
                "the host key is not checked: anyone on the path can read and change everything"
            )
        from m2m_ssh_client.relay import relay_stdio

        try:
            return relay_stdio(params)
        except Exception as exc:
            logger.error("Error running MCP SSH client: unexpected %s: %s", type(exc).__name__, exc)  # noqa: TRY400
            logger.debug("details", exc_info=exc)
            return 1


def _split_command(arguments: list[str]) -> tuple[list[str], tuple[str, ...] | None]:
    """What stands before the first `--`, and behind it; argparse alone would swallow a second one."""
    if "--" not in arguments:
        return arguments, None
    at = arguments.index("--")
    return arguments[:at], tuple(arguments[at + 1 :])


def _parameters(args: argparse.Namespace, command: tuple[str, ...] | None) -> SSHServerParameters:
    from pydantic import ValidationError

    from m2m_ssh_client.parameters import SSHServerParameters

    if command == ():
        raise UsageError(
            "nothing follows `--`", "Put the remote command there, or leave out the `--`."
        )
    given = {
        name: value
        for name in SSHServerParameters.model_fields
        if (value := getattr(args, name, None)) is not None
    }
    try:
        return SSHServerParameters(**given, command=command or ())
    except ValidationError as exc:
        raise UsageError("; ".join(_in_words(error) for error in exc.errors())) from None


def _in_words(error: Any) -> str:
    option = "--" + "-".join(str(part) for part in error["loc"]).replace("_", "-")
    text = str(error["msg"]).removeprefix("Value error, ")
    return f"{option}: {text}" if error["loc"] else text


def _demo(arguments: list[str]) -> int:
    options, command = _split_command(arguments)
    parser = argparse.ArgumentParser(
        prog=f"{PROGRAM} demo",
        description="Start an SSH server, a key server and a sample MCP server on loopback, in a "
        "temporary home, and run the real client against them.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--serve",
        action="store_true",
        help="keep them running, on ports 8022 and 8000, until Ctrl-C; with `-- COMMAND`, serve "
        "that stdio MCP server instead of the sample",
    )
    args = parser.parse_args(options)
    if command is not None and not (args.serve and command):
        raise UsageError("a command after `--` goes with `demo --serve`")
    from m2m_ssh_client.commands import demo

    return demo.run(serve=args.serve, command=command or ())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        usage="%(prog)s [options] [-- REMOTE COMMAND ...]",
        description="Use an MCP server on another machine, over SSH, as if it were local: a stdio MCP "
        "server for Claude Desktop, Cursor, VS Code and other hosts.",
        epilog="Behind `--` stands the command that starts the MCP server on the remote machine: one argument is "
        "a command line for the shell there, several are quoted one by one. Without it (and without "
        "--subsystem) a shell is asked for, as m2m-mcp-server-ssh-server expects. "
        f"See also: {PROGRAM} demo --help",
        allow_abbrev=False,
    )
    _add_machine(parser.add_argument_group("the remote machine"))
    _add_trust(parser.add_argument_group("trust"))
    _add_survival(parser.add_argument_group("when the network fails"))
    other = parser.add_argument_group("other")
    other.add_argument(
        "--max-message-size",
        type=int,
        metavar="BYTES",
        help="the longest JSON-RPC message to pass (default: 268435456, 256 MiB)",
    )
    other.add_argument(
        "--log-level",
        choices=logs.LEVELS,
        help="for stderr and the log file (default: INFO; stderr shows WARNING and above unless given)",
    )
    other.add_argument(
        "--log-file", type=Path, metavar="FILE", help="append log lines to this file"
    )
    other.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def _add_machine(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--host", help="name or address (default: localhost)")
    group.add_argument("--port", type=int, help="port of its SSH server (default: 8022)")
    group.add_argument("--username", metavar="NAME", help="user there (default: mcp)")
    group.add_argument("--subsystem", metavar="NAME", help="ask for this SSH subsystem")
    group.add_argument(
        "--connect-timeout",
        type=float,
        metavar="SECONDS",
        help="for everything up to the open session (default: 25)",
    )


def _add_survival(group: argparse._ArgumentGroup) -> None:
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
        help="the connection is lost when N times as long nothing was heard (default: 3)",
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


def _add_trust(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--client-key",
        type=Path,
        metavar="FILE",
        help="our private key (default: ~/.ssh/m2m_mcp_server_ssh_client, made on first use)",
    )
    group.add_argument("--passphrase", help="of an encrypted client key")
    group.add_argument(
        "--host-key", metavar="SHA256:...", help="accept only the host key with this fingerprint"
    )
    group.add_argument(
        "--key-server-port", type=int, metavar="PORT", help="of plain HTTP (default: 8000)"
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
