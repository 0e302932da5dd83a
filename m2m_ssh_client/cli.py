"""The command line: arguments → parameters → a command → an exit status.

`main()` alone turns exceptions into exit statuses: 0 when the host ended the session, 1 for a
failure, 2 for a usage error, 128 + N for signal N.
"""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from m2m_ssh_client import logs, options
from m2m_ssh_client._version import PROGRAM, __version__
from m2m_ssh_client.errors import SSHClientError, UsageError, unexpected
from m2m_ssh_client.lean_imports import leave_out_openssl
from m2m_ssh_client.text import encodable, filled
from m2m_ssh_client.usage import COMMANDS, HelpFormatter, Parser, nearest

if TYPE_CHECKING:
    from m2m_ssh_client.parameters import Parameters
    from m2m_ssh_client.ssh.opener import Opener

logger = logging.getLogger(__name__)

_COLUMNS = 80  # of a terminal that does not know its size
_SWITCH_INTERVAL = 0.0005  # seconds
_MODULES = {
    **dict.fromkeys(("prompts", "resources", "tools"), "server_lists"),
    "logs": "log_lines",
    "status": "relays",
}
"""The modules in commands/ that have other names than their commands."""

_EPILOG = """\
The command after `--` starts the MCP server on the remote machine. A single argument is a
command line for the shell there; several arguments are quoted one by one. Without a command
(and without --subsystem) a shell is requested, as m2m-mcp-server-ssh-server expects.

examples:
  %(prog)s --host lab -- uvx mcp-server-git --repository /srv/repo
  %(prog)s --host ada@lab.example --login-shell -- 'cd /srv && ./serve'
  %(prog)s --host lab.example --use-key-server
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if sys.platform == "win32":
        _write_utf_8()
    try:
        if arguments and arguments[0] in COMMANDS:
            status: int = command(arguments[0]).main(arguments[0], arguments[1:])
            return status
        return _proxy(arguments)
    except SSHClientError as exc:
        _complain(exc)
        return exc.exit_status
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _write_utf_8() -> None:
    """Let stdout and stderr be UTF-8 where they are files or pipes; a console is Unicode anyway.

    By default, they have the code page of the machine, which lacks most characters.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not stream.isatty():
            stream.reconfigure(encoding="utf-8")


def command(name: str) -> ModuleType:
    """Load the module of a command, which has `main(name, arguments)` and `parser(name)`."""
    return import_module(f"m2m_ssh_client.commands.{_MODULES.get(name, name)}")


def _complain(error: SSHClientError) -> None:
    """Write the error to stderr: for a person on a terminal what happened, then what to do."""
    line = f"{PROGRAM}: error: {error}"
    if sys.stderr.isatty():
        width = os.get_terminal_size(sys.stderr.fileno()).columns or _COLUMNS
        line = filled(f"error: {error.message}", width, "  ")
        line += "\n" + filled(f"→ {error.hint}", width, "  ") if error.hint else ""
    sys.stderr.write(encodable(line, sys.stderr.encoding) + "\n")


def _proxy(arguments: list[str]) -> int:
    """Relay. What goes wrong before there is a proxy answers the host, too."""
    try:
        return _relay(arguments)
    except UsageError as exc:
        failure: SSHClientError = exc
    except SSHClientError:
        raise
    except Exception as exc:  # noqa: BLE001 - reported here, and logged where it happened
        # A bug, or a machine short of memory or threads.
        failure = unexpected(exc)
    _complain(failure)
    from m2m_ssh_client.proxy.refusal import refuse

    refuse(str(failure))
    return failure.exit_status


def _relay(arguments: list[str]) -> int:
    args, command = options.understood(parser(), arguments)
    if command is None:
        _check_destination(args.destination)
    with logs.configured(
        args.log_level, args.log_file, payloads=args.log_payloads, arguments=arguments
    ):
        params = options.parameters(args, command)
        options.warn(args)
        if not params.use_key_server:
            leave_out_openssl()
        from m2m_ssh_client.ssh.opener import Opener

        # A thread woken by the network waits up to this long for one that computes (default: 5 ms).
        sys.setswitchinterval(_SWITCH_INTERVAL)
        remote = Opener(params)
        try:
            _begin(remote, params)
            from m2m_ssh_client.relay import relay_stdio  # while the connection is being made

            return relay_stdio(remote, arguments)
        except BaseException as exc:
            logger.info("details", exc_info=exc)
            remote.give_up()
            raise


def _begin(remote: Opener, params: Parameters) -> None:
    if params.keep is None:
        remote.begin()
    else:
        from m2m_ssh_client.keeping.kept_servers import under_keeper

        remote.begin(under_keeper)


def _check_destination(word: str | None) -> None:
    """Raise UsageError for what a person has most likely typed as a command."""
    command = word and sys.stdin is not None and sys.stdin.isatty() and nearest(word, COMMANDS)
    if command:
        raise UsageError(
            f"There is no command {word!r}",
            f"Did you mean `{command}`? A machine of that name: --host {word}",
        )


def parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        usage="%(prog)s [HOST] [options] [-- REMOTE COMMAND ...]\n"
        "       %(prog)s COMMAND [--help] ...",
        description="Use an MCP server on another machine, over SSH, as if it were local: a stdio\n"
        "MCP server for Claude Desktop, Cursor, VS Code and other hosts.\n\n"
        "commands, each with its own --help:\n"
        + "\n".join(f"  {name:<11} {line}" for name, line in COMMANDS.items()),
        epilog=_EPILOG,
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
    other = options.add_all(parser)
    other.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser
