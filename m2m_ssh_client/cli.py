"""The command line: arguments → parameters → a command → an exit status.

`main()` alone turns exceptions into exit statuses: 0 when the host ended the session, 1 for a
failure, 2 for a usage error, 128 + N for signal N.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from m2m_ssh_client import logs, options
from m2m_ssh_client._version import PROGRAM, __version__
from m2m_ssh_client.errors import SSHClientError, unexpected

logger = logging.getLogger(__name__)

_SWITCH_INTERVAL = 0.0005  # seconds
COMMANDS = (
    "call",
    "completion",
    "demo",
    "doctor",
    "install",
    "list",
    "logs",
    "prompt",
    "prompts",
    "read",
    "resources",
    "status",
    "tools",
    "trust",
    "uninstall",
)
"""The subcommands; without one of them, the program is the proxy."""

_MODULES = {
    **dict.fromkeys(("prompts", "resources", "tools"), "server_lists"),
    "logs": "log_lines",
    "status": "relays",
}
"""The modules in commands/ that have other names than their commands."""

_EPILOG = f"""\
The command after `--` starts the MCP server on the remote machine. A single argument is a
command line for the shell there; several arguments are quoted one by one. Without a command
(and without --subsystem) a shell is requested, as m2m-mcp-server-ssh-server expects.

examples:
  %(prog)s --host lab -- uvx mcp-server-git --repository /srv/repo
  %(prog)s --host ada@lab.example --port 22 --login-shell -- 'cd /srv && ./serve'
  %(prog)s --host lab.example --use-key-server

other commands, each with its own --help:
  {"  ".join(COMMANDS[:8])}
  {"  ".join(COMMANDS[8:])}
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments and arguments[0] in COMMANDS:
            status: int = command(arguments[0]).main(arguments[0], arguments[1:])
            return status
        return _proxy(arguments)
    except SSHClientError as exc:
        sys.stderr.write(f"{PROGRAM}: error: {exc}\n")
        return exc.exit_status
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def command(name: str) -> ModuleType:
    """Load the module of a command, which has `main(name, arguments)` and `parser(name)`."""
    return import_module(f"m2m_ssh_client.commands.{_MODULES.get(name, name)}")


def _proxy(arguments: list[str]) -> int:
    try:
        return _relay(arguments)
    except SSHClientError:
        raise
    except Exception as exc:  # noqa: BLE001 - reported here, and logged where it happened
        # A bug, or a machine short of memory or threads. No proxy runs yet to answer the host.
        failure = unexpected(exc)
        sys.stderr.write(f"{PROGRAM}: error: {failure}\n")
        from m2m_ssh_client.proxy.refusal import refuse

        refuse(str(failure))
        return failure.exit_status


def _relay(arguments: list[str]) -> int:
    given, command = options.split_command(arguments)
    args = options.parsed(parser(), given)
    with logs.configured(
        args.log_level, args.log_file, payloads=args.log_payloads, arguments=arguments
    ):
        params = options.parameters(args, command)
        options.warn(args)
        from m2m_ssh_client.ssh.opener import Opener

        # A thread woken by the network waits up to this long for one that computes (default: 5 ms).
        sys.setswitchinterval(_SWITCH_INTERVAL)
        remote = Opener(params)
        try:
            remote.begin()
            from m2m_ssh_client.relay import relay_stdio  # while the connection is being made

            return relay_stdio(remote, arguments)
        except BaseException as exc:
            logger.info("details", exc_info=exc)
            remote.give_up()
            raise


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        usage="%(prog)s [options] [-- REMOTE COMMAND ...]",
        description="Use an MCP server on another machine, over SSH, as if it were local: a stdio\n"
        "MCP server for Claude Desktop, Cursor, VS Code and other hosts.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    other = options.add_all(parser)
    other.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser
