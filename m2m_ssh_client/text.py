"""Make foreign text safe to show to a person."""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

# Characters that JSON may hold unescaped and a terminal acts on: DEL, C1, line separators, marks
# that change the writing direction.
_UNSAFE_IN_QUOTES = [*range(0x7F, 0xA0), *range(0x2028, 0x202F), *range(0x2066, 0x206A)]
# These, and C0 without the tab.
_CONTROL = [*range(0x09), *range(0x0A, 0x20), *_UNSAFE_IN_QUOTES]

# Tables for `translate`: a pattern of such characters takes 1 ms to compile.
_ESCAPED = {code: f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" for code in _CONTROL}
_ESCAPED_IN_QUOTES = {code: f"\\u{code:04x}" for code in _UNSAFE_IN_QUOTES}

_UNITS = re.compile(r"`[^`]*`\S*|m2m-mcp-server-ssh-client .*|\S+")


def printable(data: bytes | str) -> str:
    """Return the text on one line, with escapes for characters that could control a terminal."""
    text = data.decode("utf-8", "backslashreplace") if isinstance(data, bytes) else data
    return text.translate(_ESCAPED)


def printable_lines(text: str) -> str:
    """Return the same for several lines: line feeds stay."""
    return "\n".join(printable(line) for line in text.replace("\r\n", "\n").split("\n"))


def encodable(text: str, encoding: str | None) -> str:
    """Return the text with escapes for what the encoding, by default ASCII, does not have."""
    return text.encode(encoding or "ascii", "backslashreplace").decode(encoding or "ascii")


def can_show(text: str, encoding: str | None) -> bool:
    """Return True if the encoding, by default ASCII, has all characters of the text."""
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def takes_escapes(stream: TextIO) -> bool:
    """Return True for a terminal that takes escape sequences; a console of Windows is told to."""
    if not stream.isatty():
        return False
    if sys.platform != "win32":
        return True
    from m2m_ssh_client.windows import calls

    try:
        return calls.take_escapes(stream.fileno())
    except io.UnsupportedOperation:  # a terminal that is no console, such as that of an editor
        return True


def colours_are_wanted() -> bool:
    """Return False if the environment variable NO_COLOR is set (no-color.org)."""
    return not os.environ.get("NO_COLOR")


def readable_json(value: Any) -> str:
    """Return an indented document, safe for a terminal; only such characters are escaped."""
    import json  # not needed to start a relay

    return safe_in_quotes(json.dumps(value, ensure_ascii=False, indent=2))


def safe_in_quotes(document: str) -> str:
    """Return a document of quoted strings (JSON, TOML, YAML), safe for a terminal."""
    return document.translate(_ESCAPED_IN_QUOTES)


def shortened(text: str, most: int = 200) -> str:
    """Return the text, cut to `most` characters with an ellipsis at the cut."""
    return text if len(text) <= most else text[: most - 1] + "…"


def filled(text: str, width: int, indent: str) -> str:
    """Return the text in lines of `width` columns; all but the first begin with `indent`.

    Commands stay on one line, for people who copy them: those in backquotes, and ours.
    """
    lines = [""]
    for unit in _UNITS.findall(text):
        if lines[-1].strip() and len(lines[-1]) + 1 + len(unit) > width:
            lines.append(indent + unit)
        else:
            lines[-1] += f" {unit}" if lines[-1].strip() else unit
    return "\n".join(lines)


def quoted(argument: str | Path) -> str:
    """Return the argument quoted for a command line of this platform."""
    if sys.platform == "win32":
        from subprocess import list2cmdline  # not needed to start a relay

        return list2cmdline([str(argument)])
    return shlex.quote(str(argument))


def quoted_line(argv: Iterable[str]) -> str:
    """Return a command line to paste into a shell of this platform."""
    return " ".join(map(quoted, argv))


def shown(path: Path) -> str:
    """Return the path as people write it, with `~` for the home folder."""
    with suppress(ValueError, RuntimeError):  # not at home, or no home folder known
        return str("~" / path.relative_to(Path.home()))
    return str(path)
