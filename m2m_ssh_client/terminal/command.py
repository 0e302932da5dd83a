"""The frame of a command that uses a server: options, one session, exit status.

Modules to connect and to show results load only after the arguments are parsed.
"""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from m2m_ssh_client import logs, options
from m2m_ssh_client.errors import UsageError
from m2m_ssh_client.hosts import named
from m2m_ssh_client.terminal.asking import passphrase_prompt
from m2m_ssh_client.terminal.limit import Limit
from m2m_ssh_client.usage import Parser, command_parser

if TYPE_CHECKING:
    from m2m_ssh_client.terminal.client import Session
    from m2m_ssh_client.terminal.reports import Reports

_DEFAULT_TIMEOUT = 60.0
_BROKEN_PIPE = 128 + 13  # the status for SIGPIPE, which Python ignores
_NO_READER = (errno.EPIPE, errno.EINVAL) if sys.platform == "win32" else (errno.EPIPE,)

T = TypeVar("T")


@dataclass
class Command:
    """The parsed arguments of a command, and the remote command."""

    args: argparse.Namespace
    remote_command: tuple[str, ...] | None

    @property
    def wants_json(self) -> bool:
        return bool(self.args.output == "json")

    def run(
        self,
        what: str,
        use: Callable[[Session, Reports], Awaitable[T]],
        show: Callable[[T, Limit], int],
    ) -> int:
        """Connect, `use` the session, end it, `show` the result; return the exit status.

        `what` labels the progress bar. Raises an SSHClientError.
        """
        args = self.args
        if not 0 < args.timeout < float("inf"):
            raise UsageError("--timeout must be above 0")
        limit = Limit(args.timeout)
        from m2m_ssh_client.terminal.reports import Reports

        with (
            Reports(what) as reports,
            logs.configured(
                args.log_level, args.log_file, reports.log_stream, payloads=args.log_payloads
            ),
        ):
            params = options.parameters(args, self.remote_command, _prompt(reports))
            options.warn(args)
            reports.waiting(f"connecting to {params.host}")
            from m2m_ssh_client.terminal.client import Interrupted, run

            try:
                found = run(params, limit, lambda session: use(session, reports), reports)
            except Interrupted as exc:
                return exc.status
        return _shown(show, found, limit)


def parser_for(
    name: str,
    words: str,
    description: str,
    examples: Sequence[str],
    *,
    saves: bool = False,
) -> Parser:
    """Return a parser with the options that these commands share.

    `words` is the usage between the name and the options. `saves` says that the answer may go to
    files.
    """
    parser = command_parser(
        name,
        description,
        examples,
        words=f"[HOST] {words}[options] [-- REMOTE COMMAND ...]",
        remark="Connection options and the remote command after `--` are those of the proxy. In place of\n"
        "HOST and all of them, the name of an entry will do that `install` has made.\n\n",
    )
    _add_answer(parser.add_argument_group("the answer"), saves=saves)
    options.add_all(parser)
    return parser


def _add_answer(group: argparse._ArgumentGroup, *, saves: bool) -> None:
    group.add_argument(
        "--output",
        choices=("text", "json"),
        default="text",
        help="json prints exactly one JSON document on stdout",
    )
    group.add_argument(
        "--json", dest="output", action="store_const", const="json", help="same as --output json"
    )
    group.add_argument(
        "--timeout",
        type=float,
        default=_DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help="time limit, including the connection (default: 60)",
    )
    if saves:
        group.add_argument(
            "--save-to",
            type=Path,
            metavar="DIR",
            help="folder for images, audio and other files, under the server's names (default: "
            "the current one, with .bin behind names that a program could act on)",
        )


def understood(parser: Parser, arguments: list[str]) -> Command:
    """Parse the arguments; options may stand before, between and after the others."""
    given, remote_command = options.split_command(arguments)
    args = parser.understood(given)
    if args.destination is not None and _is_no_name(args):
        args.words.insert(0, args.name)
        args.destination, args.name = None, args.destination
    remote_command = named.take_entry(parser, args, remote_command)
    options.take_destination(parser, args)
    return Command(args, remote_command)


def _is_no_name(args: argparse.Namespace) -> bool:
    """Return whether argparse took a name for the machine, and an argument for the name."""
    return "name" in args and (args.host is not None or "=" in args.name)


def _prompt(reports: Reports) -> Callable[[str], str | None] | None:
    """Return the question for a passphrase, which stands alone on the terminal."""
    ask = passphrase_prompt()

    def prompt(question: str) -> str | None:
        with reports.paused():
            return ask(question) if ask else None

    return prompt if ask else None


def _shown(show: Callable[[T, Limit], int], found: T, limit: Limit) -> int:
    try:
        status = show(found, limit)
        sys.stdout.flush()
    except OSError as exc:
        if exc.errno not in _NO_READER:
            raise
        # The reader, for example `head`, has gone. Without this, Python would complain on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    return status
