"""Foreign text made fit to be shown to a person."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

# Control characters (C0 but for the tab, DEL, C1), and the marks that turn a terminal's writing direction.
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

# What JSON may hold as it is and a terminal acts on; a line separator, which is no line feed to JSON, too.
_UNSAFE_IN_JSON = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def printable(data: bytes | str) -> str:
    """The text on one line, with what could steer a terminal shown as an escape instead of being one."""
    text = data.decode("utf-8", "backslashreplace") if isinstance(data, bytes) else data
    return _CONTROL.sub(_escape, text)


def printable_lines(text: str) -> str:
    """The same for text of several lines: line feeds stay."""
    return "\n".join(printable(line) for line in text.replace("\r\n", "\n").split("\n"))


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def encodable(text: str, encoding: str | None) -> str:
    """Return the text with escapes for what the encoding, by default ASCII, does not have."""
    return text.encode(encoding or "ascii", "backslashreplace").decode(encoding or "ascii")


def colours_are_wanted() -> bool:
    """Return False if the environment variable NO_COLOR is set (no-color.org)."""
    return not os.environ.get("NO_COLOR")


def readable_json(value: Any) -> str:
    """An indented document with letters as they are, in which a terminal can act on nothing. A lone surrogate stays."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return _UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match.group()):04x}", text)


def shortened(text: str, most: int = 200) -> str:
    """The text, cut to `most` characters with a mark where it was cut."""
    return text if len(text) <= most else text[: most - 1] + "…"


def quoted(argument: str | Path) -> str:
    """For pasting into a command line of this platform."""
    if sys.platform == "win32":
        return subprocess.list2cmdline([str(argument)])
    return shlex.quote(str(argument))


def quoted_line(argv: Iterable[str]) -> str:
    """Return a command line to paste into a shell of this platform."""
    return " ".join(map(quoted, argv))


def shown(path: Path) -> str:
    """The path as people write it, with `~` for their home folder."""
    with suppress(ValueError, RuntimeError):  # elsewhere; or nobody knows where the home folder is
        return str("~" / path.relative_to(Path.home()))
    return str(path)
