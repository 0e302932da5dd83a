"""Usage of the commands: parsers whose help ends with examples, and command lines to paste."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NoReturn

from m2m_ssh_client._version import PROGRAM
from m2m_ssh_client.errors import UsageError
from m2m_ssh_client.text import quoted, quoted_line

_COLUMNS = 80

COMMANDS = {
    "tools": "list the tools of a remote server",
    "resources": "list its resources",
    "prompts": "list its prompts",
    "call": "call a tool",
    "read": "read a resource",
    "prompt": "get a prompt, filled in",
    "setup": "set up a remote server, step by step",
    "trust": "show the host keys of a machine and add them to known_hosts",
    "doctor": "find out why a connection fails",
    "install": "write an entry into the configuration of an MCP host",
    "uninstall": "remove an entry",
    "list": "show the entries",
    "status": "show the relays that are running",
    "logs": "show the log, of one entry too",
    "kept": "show the servers that live on without a connection, or end them",
    "demo": "show the client at work on this machine",
    "completion": "print the completion for a shell",
}
"""The subcommands, and what they do; without one of them, the program is the proxy."""


def pasteable(command: str, *words: str | Path) -> str:
    """Return a command of this program, quoted for a shell on this platform."""
    return " ".join([PROGRAM, command, *map(quoted, words)])


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of descriptions.

    argparse makes a formatter for each option, and would load shutil to learn the terminal's width,
    with three compressors: 2 ms of each start.
    """

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_columns() - 2)


@cache
def _columns() -> int:
    """Return the width of the terminal, or of one that does not know it."""
    try:
        return int(os.environ.get("COLUMNS", 0)) or os.get_terminal_size(1).columns or _COLUMNS
    except (OSError, ValueError):  # not a terminal, not a number
        return _COLUMNS


class Parser(argparse.ArgumentParser):
    """argparse's parser with UsageError in place of its exit, and with advice for what is wrong."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"`{self.prog} --help` lists the options.")

    def understood(self, arguments: Sequence[str]) -> argparse.Namespace:
        """Parse; options may stand before, between and after the other words.

        Raises UsageError.
        """
        args, unknown = self.parse_known_intermixed_args(arguments)
        if unknown:
            raise self.unexpected(unknown, args)
        return args

    def unexpected(self, words: Sequence[str], args: argparse.Namespace) -> UsageError:
        """Return the error for words that have no meaning beside `args`."""
        if words[0].startswith("-"):
            option = words[0].partition("=")[0]
            return UsageError(f"Unknown option {option}", self._advice(option))
        if getattr(args, "passphrase", None) is not None:
            # It may have a blank and no quotes: the words may be a part of it.
            return UsageError("Unexpected words", "Quote the passphrase.")
        text = quoted_line(words)
        for word in (getattr(args, "destination", None), words[0]):
            if command := word and nearest(word, COMMANDS):
                return UsageError(f"Unexpected: {text}", f"Did you mean the command `{command}`?")
        hint = f"`{self.prog} --help` shows the usage."
        if "destination" in args:
            hint = f"A remote command goes after `--`: -- {text}"
        return UsageError(f"Unexpected: {text}", hint)

    def _advice(self, option: str) -> str:
        if known := nearest(option, self._option_string_actions):
            return f"Did you mean {known}?"
        return f"`{self.prog} --help` lists the options."


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that looks most like this one, if any does."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, list(known), 1, 0.7)), None)


def command_parser(
    name: str,
    description: str,
    examples: Sequence[str],
    *,
    words: str | None = None,
    remark: str = "",
) -> Parser:
    """Return a parser for the command `name`.

    `examples` omit the program's name. `words` replaces argparse's usage where that is too long.
    The line breaks of `description`, and of a `remark` above the examples, are kept.
    """
    shown = "".join(f"  %(prog)s {example}".rstrip() + "\n" for example in examples)
    return Parser(
        prog=f"{PROGRAM} {name}",
        usage=words and f"%(prog)s {words}",
        description=description,
        epilog=f"{remark}examples:\n{shown}",
        formatter_class=HelpFormatter,
        allow_abbrev=False,
    )
