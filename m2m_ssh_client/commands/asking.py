"""Output and questions of the commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

from m2m_ssh_client.text import colours_are_wanted, encodable

_COLOURS = {"+": "\x1b[32m", "-": "\x1b[31m", "@": "\x1b[36m"}
_NO_COLOUR = "\x1b[0m"


def say(text: str) -> None:
    """Print a line on stdout; characters unknown to the console are escaped."""
    sys.stdout.write(encodable(text, sys.stdout.encoding) + "\n")
    sys.stdout.flush()


def can_ask() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def confirmed(question: str) -> bool:
    """Ask until the answer is yes or no, or y or n; the end of stdin means no.

    Requires `can_ask`.
    """
    while True:
        try:
            answer = input(f"{question} (yes/no)? ").strip().lower()
        except EOFError:
            return False
        if answer in ("y", "yes", "n", "no"):
            return answer.startswith("y")


def say_diff(lines: Iterable[str]) -> None:
    """Print a unified diff, in colour where that is wanted."""
    colours = _COLOURS if _shows_colours() else {}
    for line in lines:
        colour = colours.get(line[:1])
        say(f"{colour}{line}{_NO_COLOUR}" if colour else line)


def _shows_colours() -> bool:
    if not sys.stdout.isatty() or not colours_are_wanted() or os.environ.get("TERM") == "dumb":
        return False
    # The old Windows console needs to be switched first; Windows Terminal sets this variable.
    return sys.platform != "win32" or "WT_SESSION" in os.environ
