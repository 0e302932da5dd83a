"""Output of these commands: tables and text for people, one JSON document for programs."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any, Final, TextIO

import msgspec
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from m2m_ssh_client.proxy.frames.frame import LONGEST_OBJECTS, JSONText, load
from m2m_ssh_client.terminal.json_text import size_of
from m2m_ssh_client.terminal.limit import Limit
from m2m_ssh_client.text import (
    colours_are_wanted,
    encodable,
    filled,
    printable_lines,
    readable_json,
    safe_in_quotes,
    takes_escapes,
)

NO_LIMIT: Final = Limit()

_WRAPPED = "description"  # the only column that may be narrower than its text
_LEAST = 24  # columns for it
_GAP = 2  # columns
_NAME_STYLE = "cyan"
_TAB = 8  # columns
_AT_ONCE = 100  # rows that become rich's objects
_PIECE = 64 * 1024  # characters or bytes
_UNBOUNDED = 1_000_000  # columns, without a terminal


def console(stream: TextIO) -> Console:
    """Return a rich console: plain without a terminal, and without markup in foreign text."""
    terminal = takes_escapes(stream)
    return Console(
        file=stream,
        legacy_windows=False,
        force_terminal=terminal,
        color_system="auto" if terminal and colours_are_wanted() else None,
        width=None if terminal else _UNBOUNDED,
        highlight=False,
        markup=False,
        emoji=False,
    )


def write_text(text: str, stream: TextIO | None = None, limit: Limit = NO_LIMIT) -> None:
    """Write the server's text, cleaned; the terminal wraps it, so long lines can be copied."""
    stream = stream or sys.stdout
    for piece in _pieces(text):
        _write(encodable(printable_lines(piece), stream.encoding), stream, limit)


def write_json_as_text(text: JSONText, stream: TextIO, limit: Limit) -> None:
    """Write a document between others, in the encoding of the console."""
    for piece in chain(_json_pieces(text), "\n"):
        _write(encodable(piece, stream.encoding), stream, limit)


def write_json(value: Any) -> None:
    """Write one document, in UTF-8 whatever the console's encoding, safe for a terminal."""
    _write_utf8([readable_json(value), "\n"], NO_LIMIT)


def write_json_text(text: JSONText, limit: Limit) -> None:
    """Write one document, as `write_json`; a long one on one line."""
    _write_utf8(chain(_json_pieces(text), "\n"), limit)


def write_json_lists(lists: Mapping[str, Sequence[bytes]], limit: Limit) -> None:
    """Write a list of documents, or an object of several lists, as `write_json`."""
    _write_utf8(chain(_json_lists(lists), "\n"), limit)


def _json_lists(lists: Mapping[str, Sequence[bytes]]) -> Iterator[str]:
    if len(lists) == 1:
        (texts,) = lists.values()
        yield from _json_list(texts, "\n")
        return
    before = "{"
    for name, texts in lists.items():
        yield f"{before}\n  {readable_json(name)}: "
        yield from _json_list(texts, "\n  ")
        before = ","
    yield "\n}"


def _json_list(texts: Sequence[bytes], end: str) -> Iterator[str]:
    """Yield a list whose last line begins with `end`."""
    before = f"[{end}  "
    for text in texts:
        yield before
        for piece in _json_pieces(text):
            yield piece.replace("\n", f"{end}  ")
        before = f",{end}  "
    yield f"{end}]" if texts else "[]"


def _json_pieces(text: JSONText) -> Iterator[str]:
    """Yield a document in pieces, safe for a terminal: indented, or a long or deep one as it is."""
    if size_of(text) <= LONGEST_OBJECTS:
        try:
            indented = _readable(bytes(text))
        except (ValueError, RecursionError):  # too many levels for objects
            pass
        else:
            yield indented
            return
    decode = codecs.getincrementaldecoder("utf-8")().decode
    data = memoryview(text)
    for at in range(0, len(data), _PIECE):
        yield safe_in_quotes(decode(data[at : at + _PIECE]))


def _readable(text: bytes) -> str:
    """Return a document as `readable_json` does, with numbers as the server wrote them."""
    if b"\\" in text:  # escapes become what they stand for
        return readable_json(load(text))
    return safe_in_quotes(msgspec.json.format(text, indent=2).decode())


def _write_utf8(pieces: Iterable[str], limit: Limit) -> None:
    sys.stdout.flush()
    for piece in pieces:
        limit.check()
        limit.uncounted(sys.stdout.buffer.write, piece.encode("utf-8", "surrogatepass"))


def _write(text: str, stream: TextIO, limit: Limit) -> None:
    limit.check()
    limit.uncounted(stream.write, text)


def _pieces(text: str) -> Iterator[str]:
    """Cut a text, but not between a carriage return and a line feed; the last ends its line."""
    at = 0
    while len(text) - at > _PIECE:
        end = at + _PIECE
        end += text[end - 1 : end + 1] == "\r\n"
        yield text[at:end]
        at = end
    if at < len(text) or not text:
        yield text[at:] + "\n" * (text[-1:] != "\n")


def write_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], limit: Limit = NO_LIMIT
) -> None:
    """Write a table of the server's text, cleaned. Empty columns are omitted.

    The rows are iterated over twice, and never kept. Only descriptions are wrapped. Where a
    terminal is too narrow for the other columns, the cells of a row are below each other instead.
    """
    out = console(sys.stdout)
    show = _cell if out.is_terminal else _joined_cell
    found = [-1] * len(columns)
    for row in rows:
        for n, cell in enumerate(row):
            if cell:
                found[n] = max(found[n], _width(show(cell)))
    kept = [n for n, width in enumerate(found) if width >= 0]
    names = [columns[n] for n in kept]
    widths = [max(found[n], _width(columns[n])) for n in kept]
    shown = ([show(row[n]) for n in kept] for row in rows)
    for text in (_on_terminal if out.is_terminal else _plain)(out, names, widths, shown):
        _write(text, sys.stdout, limit)


def _plain(
    _out: Console, names: Sequence[str], widths: Sequence[int], rows: Iterable[Sequence[str]]
) -> Iterator[str]:
    for row in chain([names], rows):
        padded = (cell + " " * (n - cell_len(cell)) for cell, n in zip(row, widths, strict=True))
        yield (" " * _GAP).join(padded).rstrip() + "\n"


def _on_terminal(
    out: Console, names: Sequence[str], widths: Sequence[int], rows: Iterable[Sequence[str]]
) -> Iterator[str]:
    """Yield what shows the rows, a part of them at a time."""
    if not names:
        yield "\n"
        return
    *others, last = widths
    left = out.width - sum(others) - _GAP * len(others)
    wrapped = names[-1:] == [_WRAPPED]
    fits = left >= (min(last, _LEAST) if wrapped else last)
    write = _write_rows if fits else _write_list
    head = True
    while (part := list(islice(rows, _AT_ONCE))) or head:
        with out.capture() as captured:
            write(out, names, [*others, min(last, left)], part, head)
        yield captured.get()
        head = False


def _write_rows(
    out: Console,
    columns: Sequence[str],
    widths: Sequence[int],
    rows: Sequence[Sequence[str]],
    head: bool,
) -> None:
    table = Table(
        box=None, pad_edge=False, padding=(0, 0, 0, _GAP), header_style="bold", show_header=head
    )
    for n, (column, width) in enumerate(zip(columns, widths, strict=True)):
        style = None if n else _NAME_STYLE
        is_wrapped = column == _WRAPPED
        table.add_column(column, style=style, overflow="fold", no_wrap=not is_wrapped, width=width)
    for row in rows:
        table.add_row(*map(Text, row))
    out.print(table)


def _write_list(
    out: Console,
    columns: Sequence[str],
    _widths: Sequence[int],
    rows: Sequence[Sequence[str]],
    head: bool,
) -> None:
    """Write each row as its name and, indented, its other cells; only blanks become line ends."""
    if head:
        _write_wrapped(out, ", ".join(columns), "bold")
    for name, *others in rows:
        _write_wrapped(out, name, _NAME_STYLE)
        for cell in filter(None, others):
            _write_wrapped(out, _joined(cell), "", indent="  ")


def _write_wrapped(out: Console, text: str, style: str, indent: str = "") -> None:
    shown = indent + filled(Text(text).plain, out.width - len(indent), indent)
    out.print(Text(shown, style), soft_wrap=True)


def _width(cell: str) -> int:
    return max(map(cell_len, cell.split("\n"))) if "\n" in cell else cell_len(cell)


def _cell(text: str) -> str:
    """Return a cell as it is shown, with blanks for tabs."""
    if text.isascii() and text.isprintable():  # quicker, for long lists
        return text
    return encodable(printable_lines(text), sys.stdout.encoding).expandtabs(_TAB)


def _joined_cell(text: str) -> str:
    return _joined(_cell(text))


def _joined(cell: str) -> str:
    return ", ".join(cell.split("\n"))
