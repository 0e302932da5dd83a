"""The relays that are running, shown to a person: a few lines for each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone

from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from m2m_ssh_client.status.report import Report, RoundTrip
from m2m_ssh_client.terminal.output import console
from m2m_ssh_client.text import encodable, printable, shortened

Found = Sequence[tuple[Sequence[str], Report]]
"""Reports, each with the names of its entries."""

_STATES = {
    "connecting": ("connecting", "yellow"),
    "connected": ("connected, no answer yet", "yellow"),
    "open": ("open", "green"),
    "reconnecting": ("connection lost, reconnecting", "bold red"),
    "failed": ("failed", "bold red"),
}
_BARS = "▁▂▃▄▅▆▇█"
_PLAIN_BARS = "_.-~=+*#"
_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
_NOTHING = "No relay is running."


def write(found: Found) -> None:
    """Print the relays on stdout."""
    out = console(sys.stdout)
    with out.capture() as captured:
        out.print(_page(found))
    lines = captured.get().rstrip("\n").split("\n")
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in lines))


@contextmanager
def live(find: Callable[[], Found]) -> Iterator[Callable[[], None]]:
    """Show the relays on the terminal within the context; provide the function that refreshes."""
    with Live(_page(find()), console=console(sys.stdout), auto_refresh=False) as display:
        yield lambda: display.update(_page(find()), refresh=True)


def _page(found: Found) -> RenderableType:
    if not found:
        return Text(_NOTHING)
    now = datetime.now(timezone.utc)
    return Group(*(_block(names, report, now) for names, report in found))


def _block(names: Sequence[str], report: Report, now: datetime) -> RenderableType:
    state, style = _STATES[report.state]
    head = Text.assemble(
        (_fit(", ".join(names) or report.alias), "bold"),
        "  ",
        (state, style),
        f" for {duration((now - report.since).total_seconds())}",
    )
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in _details(report, now):
        if text:
            table.add_row(Text(f"  {label}"), Text(_fit(text)))
    return Group(head, table)


def _details(report: Report, now: datetime) -> Iterator[tuple[str, str]]:
    started_by = f"started by {report.parent}" if report.parent else ""
    yield "application", ", ".join(filter(None, (report.host, started_by)))
    alias = "" if f"@{report.alias}:" in report.destination else report.alias
    named = f" ({alias})" if alias and alias != report.destination else ""
    yield "destination", report.destination + named
    yield "server", ", ".join(filter(None, (report.server, report.command)))
    yield "connection", _losses(report)
    yield "requests", f"{report.requests} in flight" if report.requests else "none in flight"
    yield "round trips", _round_trips(report.round_trips)
    error = report.last_error
    if error is not None:
        ago = duration((now - error.at).total_seconds())
        yield "last error", f"{ago} ago: {shortened(error.text, 300)}"
    yield "process", f"{report.pid}, up for {duration((now - report.started).total_seconds())}"


def _losses(report: Report) -> str:
    again = max(report.connections - 1, 0)
    if not report.losses:
        return "never lost" if report.connections else ""
    if report.losses == again:
        return f"lost and made again {_times(again)}"
    return f"lost {_times(report.losses)}" + (f", made again {_times(again)}" if again else "")


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _round_trips(found: Sequence[RoundTrip]) -> str:
    if not found:
        return ""
    times = [each.ms for each in found]
    of = f" ({min(times):.1f} to {max(times):.1f})" if len(times) > 1 else ""
    return f"{sparkline(times)}  {times[-1]:.1f} ms{of}"


def sparkline(values: Sequence[float], most: int = 20) -> str:
    """Return a bar for each of the last values, the highest for the largest."""
    values = values[-most:]
    bars = _BARS if encodable(_BARS, sys.stdout.encoding) == _BARS else _PLAIN_BARS
    top = max(*values, 0.1)
    return "".join(bars[min(int(value / top * len(bars)), len(bars) - 1)] for value in values)


def duration(seconds: float) -> str:
    """Return a duration in its two largest units: `2 h 5 min`."""
    left = max(int(seconds), 0)
    words = []
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count:
            words.append(f"{count} {unit}")
        elif words:
            break
    return " ".join(words[:2]) or "0 s"


def _fit(text: str) -> str:
    return encodable(printable(text), sys.stdout.encoding)
