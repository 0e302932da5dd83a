"""Output of these commands: tables and text for people, one JSON document for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from m2m_ssh_client.text import colours_are_wanted, encodable, printable_lines, readable_json

_UNBOUNDED = 1_000_000  # columns, without a terminal


def console(stream: TextIO) -> Console:
    """Return a rich console: plain without a terminal, and without markup in foreign text."""
    terminal = stream.isatty()
    return Console(
        file=stream,
        force_terminal=terminal,
        color_system="auto" if terminal and colours_are_wanted() else None,
        width=None if terminal else _UNBOUNDED,
        highlight=False,
        markup=False,
        emoji=False,
    )


def write_text(text: str, stream: TextIO | None = None) -> None:
    """Write the server's text, cleaned; the terminal wraps it, so long lines can be copied."""
    stream = stream or sys.stdout
    stream.write(encodable(printable_lines(text).removesuffix("\n") + "\n", stream.encoding))


def write_json(value: Any) -> None:
    """Write one document, in UTF-8 whatever the console's encoding, safe for a terminal."""
    sys.stdout.flush()
    sys.stdout.buffer.write(readable_json(value).encode("utf-8", "surrogatepass") + b"\n")


def write_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table of the server's text, cleaned. Empty columns are omitted."""
    out = console(sys.stdout)
    terminal = out.is_terminal
    kept = [n for n in range(len(columns)) if any(row[n] for row in rows)]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for place, n in enumerate(kept):
        table.add_column(columns[n], style="cyan" if not place else None, overflow="fold")
    for row in rows:
        cells = [printable_lines(row[n]) for n in kept]
        if not terminal:
            cells = [", ".join(cell.split("\n")) for cell in cells]
        table.add_row(*(Text(encodable(cell, sys.stdout.encoding)) for cell in cells))
    if terminal:
        out.print(table)
        return
    with out.capture() as captured:
        out.print(table)
    for line in captured.get().split("\n")[:-1]:
        sys.stdout.write(line.rstrip() + "\n")
