"""The frame of each of these commands: its options, one session with the server, and the exit status.

Light: what is needed to connect and to show is loaded once the arguments have been understood.
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
from m2m_ssh_client.usage import command_parser

if TYPE_CHECKING:
    from m2m_ssh_client.terminal.client import Session
    from m2m_ssh_client.terminal.reports import Reports

_DEFAULT_TIMEOUT = 60.0
_BROKEN_PIPE = 128 + 13  # as a shell has it for SIGPIPE, which Python ignores
_NO_READER = (errno.EPIPE, errno.EINVAL) if sys.platform == "win32" else (errno.EPIPE,)

T = TypeVar("T")


@dataclass
class Command:
    """A command's arguments and its remote command; made by `understood`."""

    args: argparse.Namespace
    remote_command: tuple[str, ...] | None

    @property
    def wants_json(self) -> bool:
        return bool(self.args.output == "json")

    def run(
        self,
        what: str,
        use: Callable[[Session, Reports], Awaitable[T]],
        show: Callable[[T], int],
    ) -> int:
        """Connect, get what `use` makes of the session, end it, and `show` that; returns the exit status.

        `what` is the label of a progress bar. Raises an SSHClientError.
        """
        from m2m_ssh_client.terminal.reports import Reports

        args = self.args
        with (
            Reports(what) as reports,
            logs.configured(
                args.log_level, args.log_file, reports.log_stream, payloads=args.log_payloads
            ),
        ):
            params = options.parameters(args, self.remote_command)
            options.warn(args)
            if not 0 < args.timeout < float("inf"):
                raise UsageError("--timeout: a number above 0, please")
            from m2m_ssh_client.terminal.client import Interrupted, run

            try:
                found = run(params, args.timeout, lambda session: use(session, reports), reports)
            except Interrupted as exc:
                return exc.status
        return _shown(show, found)


def parser_for(
    name: str,
    words: str,
    description: str,
    examples: Sequence[str],
    *,
    short: str = "--json",
    saves: bool = False,
) -> argparse.ArgumentParser:
    """With every option that these commands share. `words` is the usage between the name and the options.

    `short` is the short form of `--output json`; `saves` tells that the answer may have to go to files.
    """
    parser = command_parser(
        name,
        description,
        examples,
        words=f"{words}[options] [-- REMOTE COMMAND ...]",
        remark="The options of the connection, and the remote command behind `--`, are those of the proxy.\n\n",
    )
    group = parser.add_argument_group("the answer")
    group.add_argument(
        "--output",
        choices=("text", "json"),
        default="text",
        help="json: one JSON document on stdout, and nothing else there",
    )
    group.add_argument(
        short, dest="output", action="store_const", const="json", help="the same as --output json"
    )
    group.add_argument(
        "--timeout",
        type=float,
        default=_DEFAULT_TIMEOUT,
        metavar="SECONDS",
        help="for all of it, connecting included (default: 60)",
    )
    if saves:
        group.add_argument(
            "--save-to",
            type=Path,
            default=Path(),
            metavar="DIR",
            help="where images, audio and other files go (default: the current folder)",
        )
    options.add_all(parser)
    return parser


def understood(parser: argparse.ArgumentParser, arguments: list[str]) -> Command:
    """Options may stand before, between and behind the other arguments."""
    given, remote_command = options.split_command(arguments)
    return Command(parser.parse_intermixed_args(given), remote_command)


def _shown(show: Callable[[T], int], found: T) -> int:
    try:
        status = show(found)
        sys.stdout.flush()
    except OSError as exc:
        if exc.errno not in _NO_READER:
            raise
        # Whoever read has enough, as `head` does; Python would complain at its end once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _BROKEN_PIPE
    return status
