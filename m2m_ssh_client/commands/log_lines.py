"""The `logs` command: show the end of the log, of all relays or of one entry's, and follow it."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import NoReturn

from m2m_ssh_client import logs
from m2m_ssh_client.commands.entry_names import arguments_of_entry
from m2m_ssh_client.entry_tag import tag
from m2m_ssh_client.errors import UsageError, reason
from m2m_ssh_client.hosts.apps import Machine
from m2m_ssh_client.status.log_reading import Line, LogReader
from m2m_ssh_client.terminal.asking import say
from m2m_ssh_client.text import printable, shown
from m2m_ssh_client.usage import Parser, command_parser

_POLL = 0.25  # seconds
_OPTION = "--log-file"


def main(name: str, arguments: list[str]) -> int:
    """Return 0; with --follow, once Ctrl-C ends it. Raises UsageError."""
    args = parser(name).understood(arguments)
    if args.lines < 0:
        raise UsageError("--lines must not be negative")
    entries = arguments_of_entry(Machine.this(), args.name) if args.name else []
    path = args.log_file or _file_of(entries) or logs.default_file()
    if path is None or str(path) == logs.NO_FILE:
        raise UsageError(
            "there is no log file", "The entry says `--log-file none`, or has no home."
        )
    tags = frozenset(map(tag, entries)) - {""} if args.name else None
    try:
        with closing(LogReader(path.expanduser())) as reader:
            _show(reader.last(args.lines, tags), as_json=args.json)
            if not reader.exists:
                sys.stderr.write(f"Nothing has been logged yet. The log will be {_shown(path)}.\n")
            if args.follow:
                _follow(reader, tags, as_json=args.json)
    except BrokenPipeError:  # `logs | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:  # the way to end --follow
        pass
    except OSError as exc:
        raise UsageError(f"the log {_shown(path)} cannot be read: {reason(exc)}") from exc
    return 0


def parser(name: str) -> Parser:
    parser = command_parser(
        name,
        "Show the end of the log. With the name of an installed entry, show only what its relays\n"
        "have logged.",
        ("", "lab-git --follow", "-n 200 --json"),
        words="[NAME] [options]",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="name of an entry, as in `list`")
    parser.add_argument(
        *("-n", "--lines"), type=int, default=50, metavar="N", help="number of lines (default: 50)"
    )
    parser.add_argument(
        "--follow", action="store_true", help="go on with the lines that are added, until Ctrl-C"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON document for each line")
    parser.add_argument(
        _OPTION,
        type=Path,
        metavar="FILE",
        help="read this file (default: the file that the entry names, else the log of all relays)",
    )
    return parser


def _show(lines: Iterable[Line], *, as_json: bool) -> None:
    for line in lines:
        say(json.dumps(line.document()) if as_json else line.raw)


def _follow(reader: LogReader, tags: frozenset[str] | None, *, as_json: bool) -> NoReturn:
    """Show what is added, until an exception.

    A function of its own: from the end of a `while` in a `try`, CPython 3.13 lets KeyboardInterrupt
    escape (https://github.com/python/cpython/issues/130279).
    """
    while True:
        time.sleep(_POLL)
        _show(reader.added(tags), as_json=as_json)


def _file_of(entries: Sequence[Sequence[str]]) -> Path | None:
    """Return the log file that the entries name, if they do."""
    for arguments in entries:
        for before, word in zip(["", *arguments], arguments, strict=False):
            if word == "--":
                break
            if before == _OPTION:
                return Path(word)
            if word.startswith(f"{_OPTION}="):
                return Path(word.partition("=")[2])
    return None


def _shown(path: Path) -> str:
    return printable(shown(path))
