"""Output and questions of the commands."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial

from m2m_ssh_client.text import colours_are_wanted, encodable, takes_escapes

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


def entered(question: str) -> str:
    """Ask for a line; return it without surrounding blanks, "" at the end of stdin."""
    try:
        return input(question).strip()
    except EOFError:
        return ""


def chosen(question: str, titles: Sequence[str]) -> int | None:
    """Show a numbered list and ask for one; return its index, None for an empty answer."""
    for number, title in enumerate(titles, 1):
        say(f"  {number}  {title}")
    while answer := entered(question):
        if answer.isdecimal() and 0 < int(answer) <= len(titles):
            return int(answer) - 1
    return None


def passphrase_prompt() -> Callable[[str], str | None] | None:
    """Return the function that asks for a passphrase, None without a terminal. For any thread."""
    return _passphrase if can_ask() else None


def _passphrase(question: str) -> str | None:
    """Ask on the terminal without showing what is typed; return None at its end.

    On Windows, getpass brings halves of characters (UTF-16), and raises KeyboardInterrupt where it
    runs, which need not be the thread that Ctrl-C ends the program in.
    """
    import getpass

    with _echo_restored():
        try:
            typed = getpass.getpass(question)
        except EOFError:
            return None
        except KeyboardInterrupt:
            signal.raise_signal(signal.SIGINT)
            return None
    return typed if sys.platform != "win32" else whole_characters(typed)


def whole_characters(text: str) -> str:
    """Join the halves of characters beyond U+FFFF."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


@contextmanager
def _echo_restored() -> Iterator[None]:
    """Switch the echo on again if the process ends, by Ctrl-C, while a thread asks."""
    if sys.platform == "win32":  # getpass changes nothing there
        yield
        return
    import atexit
    import termios

    stdin = sys.stdin.fileno()
    restore = partial(termios.tcsetattr, stdin, termios.TCSANOW, termios.tcgetattr(stdin))
    atexit.register(restore)
    try:
        yield
    finally:
        atexit.unregister(restore)


def say_diff(lines: Iterable[str]) -> None:
    """Print a unified diff, in colour where that is wanted."""
    colours = _COLOURS if _shows_colours() else {}
    for line in lines:
        colour = colours.get(line[:1])
        say(f"{colour}{line}{_NO_COLOUR}" if colour else line)


def _shows_colours() -> bool:
    is_dumb = os.environ.get("TERM") == "dumb"
    return not is_dumb and colours_are_wanted() and takes_escapes(sys.stdout)
