"""Output of these commands: tables and text for people, one JSON document for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from m2m_ssh_client.text import (
    colours_are_wanted,
    encodable,
    filled,
    printable_lines,
    readable_json,
)

_WRAPPED = "description"  # the only column that may be narrower than its text
_LEAST = 24  # columns for it
_GAP = 2  # columns
_NAME_STYLE = "cyan"
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
    """Write a table of the server's text, cleaned. Empty columns are omitted.

    Only descriptions are wrapped. Where a terminal is too narrow for the other columns, the cells
    of a row are below each other instead.
    """
    out = console(sys.stdout)
    kept = [n for n in range(len(columns)) if any(row[n] for row in rows)]
    names = [columns[n] for n in kept]
    cells = [[printable_lines(row[n]) for n in kept] for row in rows]
    if not out.is_terminal:
        with out.capture() as captured:
            out.print(_table(names, [list(map(_joined, row)) for row in cells]))
        for line in captured.get().split("\n")[:-1]:
            sys.stdout.write(line.rstrip() + "\n")
        return
    widths = [max(map(_width, column)) for column in zip(names, *cells, strict=True)]
    if names and names[-1] == _WRAPPED:
        widths[-1] = min(widths[-1], _LEAST)
    if sum(widths) + _GAP * (len(widths) - 1) <= out.width:
        out.print(_table(names, cells))
    else:
        _write_list(out, names, cells)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
    for n, column in enumerate(columns):
        style = None if n else _NAME_STYLE
        table.add_column(column, style=style, overflow="fold", no_wrap=column != _WRAPPED)
    for row in rows:
        table.add_row(*map(_text, row))
    return table


def _write_list(out: Console, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write each row as its name and, indented, its other cells; only blanks become line ends."""
    _write_wrapped(out, ", ".join(columns), "bold")
    for name, *others in rows:
        _write_wrapped(out, name, _NAME_STYLE)
        for cell in filter(None, others):
            _write_wrapped(out, _joined(cell), "", indent="  ")


def _write_wrapped(out: Console, text: str, style: str, indent: str = "") -> None:
    shown = indent + filled(_text(text).plain, out.width - len(indent), indent)
    out.print(Text(shown, style), soft_wrap=True)


def _width(cell: str) -> int:
    return max(map(cell_len, _text(cell).plain.split("\n")))


def _joined(cell: str) -> str:
    return ", ".join(cell.split("\n"))


def _text(text: str) -> Text:
    return Text(encodable(text, sys.stdout.encoding))
