"""What a fuzz target is, and what targets share."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from m2m_ssh_client.text import printable_lines

FOLDER = Path(__file__).resolve().parent
SEEDS = FOLDER / "seeds"


class Target(NamedTuple):
    """`place` is a module here and a function in it, which takes any bytes and raises only where something is wrong.

    `words` are what the fuzzer may put together, `longest` is the size of an input in bytes, and `share` how much of
    the time the target gets.
    """

    place: str
    words: tuple[str, ...] = ()
    longest: int = 2048
    share: int = 1

    def load(self) -> Callable[[bytes], None]:
        """The function; only now is imported what it needs."""
        module, _, function = self.place.partition(".")
        check: Callable[[bytes], None] = getattr(import_module(f"fuzz.{module}"), function)
        return check


@cache
def folder() -> Path:
    """An empty folder for the files of all runs in this process, gone with it."""
    path = tempfile.mkdtemp(prefix="fuzz-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return Path(path)


@contextmanager
def replaced(*places: tuple[Any, str, Any]) -> Iterator[None]:
    """Attributes that are other ones for as long as this lasts: (object, name, value)."""
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in places]
    for owner, name, value in places:
        setattr(owner, name, value)
    try:
        yield
    finally:
        for owner, name, value in before:
            setattr(owner, name, value)


def is_showable(text: object) -> None:
    """What an error says can be shown on a terminal as it is."""
    assert str(text) == printable_lines(str(text)), f"not fit to be shown: {text!r}"
