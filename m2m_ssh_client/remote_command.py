"""The command line for the remote user's shell: the remote command, and what was wished for around it."""

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
    """`command` as it is, in `folder`, with these environment variables; quoted for POSIX shells and fish.

    With a `marker` the login shell of the user runs it, whose start-up files set the PATH that people know; once they
    are through, it says the marker on a line of its own.
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
    """One word for POSIX shells and for fish, which takes backslashes within single quotes for escapes: see its
    manual, "Quotes". So these stand outside of the quotes, as single quotes have to.
    """
    if word == shlex.quote(word):
        return word
    return "'" + _NOT_WITHIN_QUOTES.sub(r"'\\\g<0>'", word) + "'"


def _quoted_folder(folder: str) -> str:
    """With its `~` or `~user` left to the shell."""
    head, slash, rest = folder.partition("/")
    if not _HOME.fullmatch(head):
        return quoted(f"./{folder}" if folder.startswith("-") else folder)
    return head + slash + (quoted(rest) if rest else "")
