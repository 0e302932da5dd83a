"""Usage of the commands: parsers whose help ends with examples, and command lines to paste."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from m2m_ssh_client._version import PROGRAM
from m2m_ssh_client.text import quoted


def pasteable(command: str, *words: str | Path) -> str:
    """Return a command of this program, quoted for a shell on this platform."""
    return " ".join([PROGRAM, command, *map(quoted, words)])


def command_parser(
    name: str,
    description: str,
    examples: Sequence[str],
    *,
    words: str | None = None,
    remark: str = "",
) -> argparse.ArgumentParser:
    """Return a parser for the command `name`.

    `examples` omit the program's name. `words` replaces argparse's usage where that is too long.
    The line breaks of `description`, and of a `remark` above the examples, are kept.
    """
    shown = "".join(f"  %(prog)s {example}\n" for example in examples)
    return argparse.ArgumentParser(
        prog=f"{PROGRAM} {name}",
        usage=words and f"%(prog)s {words}",
        description=description,
        epilog=f"{remark}examples:\n{shown}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
