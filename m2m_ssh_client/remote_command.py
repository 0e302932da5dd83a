"""Build the command line for the remote user's shell: command, folder, variables, login shell."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

_NOT_WITHIN_QUOTES = re.compile(r"['\\]")
_HOME = re.compile(r"~[\w.-]*", re.ASCII)


def command_line(
    command: str,
    *,
    folder: str | None = None,
    variables: Sequence[tuple[str, str]] = (),
    marker: str = "",
) -> str:
    """Return a command line that runs `command` in `folder` with these environment variables.

    `command` is not changed; the rest is quoted for POSIX shells and fish. With a `marker`, the
    user's login shell runs it, whose start-up files set the usual PATH, and prints the marker on a
    line of its own after them.
    """
    if folder is not None:
        command = f"cd {_quoted_folder(folder)} && {command}"
    if variables:
        assignments = " ".join(f"{name}={quoted(value)}" for name, value in variables)
        command = f"export {assignments}; {command}"
    if marker:
        command = f'exec "$SHELL" -lc {quoted(f"echo {marker}; {command}")}'
    return command


def quoted(word: str) -> str:
    """Return the word quoted for POSIX shells and for fish.

    fish treats backslashes within single quotes as escapes (see its manual, "Quotes"), so they are
    placed outside of the quotes, like single quotes.
    """
    if word == shlex.quote(word):
        return word
    return "'" + _NOT_WITHIN_QUOTES.sub(r"'\\\g<0>'", word) + "'"


def _quoted_folder(folder: str) -> str:
    """Return the folder quoted, except for a leading `~` or `~user`."""
    head, slash, rest = folder.partition("/")
    if not _HOME.fullmatch(head):
        return quoted(f"./{folder}" if folder.startswith("-") else folder)
    return head + slash + (quoted(rest) if rest else "")
